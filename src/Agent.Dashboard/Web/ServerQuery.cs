using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>The server that a query names.</summary>
internal static class ServerQuery
{
    private const string UnknownServer = "Unknown server.";

    /// <summary>The server of the parameter <c>server</c>; null, and answered, when it names none.</summary>
    public static async Task<LiveServer?> Of(HttpContext context, Writer writer)
    {
        var slug = context.Request.Query["server"].ToString();

        if (slug.Length == 0)
        {
            await context.Refuse(StatusCodes.Status400BadRequest, "The query cannot be read.", "server: missing; give a server's slug");
            return null;
        }

        if (writer.Fleet.Find(slug) is null)
        {
            // It may have been registered a moment ago.
            await writer.Refresh();
        }

        if (writer.Fleet.Find(slug) is { } server)
        {
            return server;
        }

        await context.Refuse(StatusCodes.Status404NotFound, UnknownServer, slug);
        return null;
    }
}
