using Microsoft.Extensions.FileProviders;

namespace Agent.Dashboard.Web;

/// <summary>Pages and their files, all of which lie in wwwroot.</summary>
internal sealed class Pages(IFileProvider files)
{
    /// <summary>The fleet and each machine: one document, whose script looks at the address.</summary>
    public Task Index(HttpContext context) => Send(context, "index.html");

    /// <summary>What is nowhere else.</summary>
    public static Task NotFound(HttpContext context) =>
        context.Refuse(StatusCodes.Status404NotFound, "Not found.", context.Request.Path.Value ?? "");

    private async Task Send(HttpContext context, string name)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            await context.RefuseMethod("GET, HEAD");
            return;
        }

        var file = files.GetFileInfo(name);

        if (!file.Exists)
        {
            await NotFound(context);
            return;
        }

        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.Headers.CacheControl = "no-cache";
        await context.Response.SendFileAsync(file, context.RequestAborted);
    }
}
