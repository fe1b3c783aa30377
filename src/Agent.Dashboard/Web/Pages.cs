using System.Net.Mime;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.Extensions.FileProviders;

namespace Agent.Dashboard.Web;

/// <summary>Pages and their files, all of which lie in wwwroot.</summary>
internal sealed class Pages(IFileProvider files, Writer writer)
{
    /// <summary>One document for every page, whose script looks at the address.</summary>
    public Task Index(HttpContext context) => Send(context, StatusCodes.Status200OK);

    /// <summary>The page of a machine; for one that is not registered the same page, which says so, with 404.</summary>
    public Task Machine(HttpContext context) => OfMachine(context, context.Request.RouteValues["slug"] as string ?? "");

    /// <summary>The page of a job; where its key names no machine that is registered the same page, which says so, with 404.</summary>
    public Task Job(HttpContext context) =>
        OfMachine(context, JobResponses.KeyOf(context.Request.RouteValues["key"] as string ?? "") is { IsValueSome: true, Value: var (slug, _) } ? slug : "");

    /// <summary>What is nowhere else: a page for a browser that shows one, JSON for everybody else.</summary>
    public Task NotFound(HttpContext context) =>
        IsLookedAt(context.Request) ? Send(context, StatusCodes.Status404NotFound) : Refuse(context);

    private async Task OfMachine(HttpContext context, string slug)
    {
        if (writer.Fleet.Find(slug) is null)
        {
            await writer.Refresh();
        }

        await Send(context, writer.Fleet.Find(slug) is null ? StatusCodes.Status404NotFound : StatusCodes.Status200OK);
    }

    private static bool IsLookedAt(HttpRequest request) =>
        HttpMethods.IsGet(request.Method)
        && !request.Path.StartsWithSegments("/api", StringComparison.Ordinal)
        && request.Headers.Accept.ToString().Contains(MediaTypeNames.Text.Html, StringComparison.Ordinal);

    private static Task Refuse(HttpContext context) =>
        context.Refuse(StatusCodes.Status404NotFound, "Not found.", context.Request.Path.Value ?? "");

    private async Task Send(HttpContext context, int status)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            await context.RefuseMethod("GET, HEAD");
            return;
        }

        var file = files.GetFileInfo("index.html");

        if (!file.Exists)
        {
            await Refuse(context);
            return;
        }

        context.Response.StatusCode = status;
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.Headers.CacheControl = "no-cache";
        await context.Response.SendFileAsync(file, context.RequestAborted);
    }
}
