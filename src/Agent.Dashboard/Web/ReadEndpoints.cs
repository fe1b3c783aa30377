using System.Buffers;
using System.Collections.Concurrent;
using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>What the page, and whoever else may look, can ask for. docs/dashboard-api.md.</summary>
internal sealed class ReadEndpoints(Writer writer, Readers readers, string version, Keeping keeping, bool login, AgentClock clock)
{
    private const string UnknownServer = "Unknown server.";
    private const int OutputBytes = 1 << 20;
    private const int MostOutputs = 2;

    /// <summary>
    /// Buffers for answers. One grows to a megabyte, and so much garbage at once makes the collector look through everything.
    /// </summary>
    private readonly ConcurrentBag<ArrayBufferWriter<byte>> outputs = [];

    private Fleet Fleet => writer.Fleet;

    /// <summary>GET /api/</summary>
    public Task Root(HttpContext context) =>
        context.Json(StatusCodes.Status200OK, Responses.Root(version, keeping, writer.Storage.State, login, clock.GetUtcNow()));

    /// <summary>GET /api/servers/</summary>
    public async Task Servers(HttpContext context)
    {
        await writer.Refresh();
        var now = clock.GetUtcNow();
        var views = Fleet.All.Select(server => (server.View, server.SparkUntil(now))).ToArray();
        await context.Json(StatusCodes.Status200OK, Responses.Servers(views, now));
    }

    /// <summary>GET /api/metrics/latest/?server=</summary>
    public async Task Latest(HttpContext context)
    {
        if (await Server(context) is { } server)
        {
            await context.Json(StatusCodes.Status200OK, Responses.Latest(server.View, clock.GetUtcNow()));
        }
    }

    /// <summary>GET /api/metrics/history/?server=&amp;minutes=&amp;to=</summary>
    public async Task Metrics(HttpContext context)
    {
        if (await Server(context) is not { } server)
        {
            return;
        }

        var range = History.Range(context.Request.Query["minutes"].ToString(), context.Request.Query["to"].ToString());

        if (!range.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(range.ErrorValue));
            return;
        }

        var now = RowKey.Microseconds(clock.GetUtcNow());
        var asked = range.ResultValue;
        var until = asked.Until.IsValueSome ? RowKey.Microseconds(asked.Until.Value) : now;
        var from = Math.Max(0, until - (asked.Minutes * RowKey.MicrosecondsPerMinute));
        var body = await readers.Use(
            reader =>
            {
                var output = outputs.TryTake(out var used) ? used : new ArrayBufferWriter<byte>(OutputBytes);
                Responses.HistoryInto(output, server.Registration.Slug, reader.Read(server.Id, from, until, now));
                return output;
            },
            context.RequestAborted);
        await context.Json(StatusCodes.Status200OK, body.WrittenMemory);

        if (outputs.Count < MostOutputs)
        {
            body.ResetWrittenCount();
            outputs.Add(body);
        }
    }

    /// <summary>The server that the query names; null, and answered, when it names none.</summary>
    private async Task<LiveServer?> Server(HttpContext context)
    {
        var slug = context.Request.Query["server"].ToString();

        if (slug.Length == 0)
        {
            await context.Refuse(StatusCodes.Status400BadRequest, "The query cannot be read.", "server: missing; name one by its slug");
            return null;
        }

        if (Fleet.Find(slug) is null)
        {
            await writer.Refresh();
        }

        if (Fleet.Find(slug) is { } server)
        {
            return server;
        }

        await context.Refuse(StatusCodes.Status404NotFound, UnknownServer, slug);
        return null;
    }
}
