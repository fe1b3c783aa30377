using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Lets in who may look, and sets the headers that keep pages to themselves. Samples have their own token.</summary>
/// <param name="sessions">Log-ins, or null where nobody need log in.</param>
/// <param name="proxyUserHeader">The header in which a proxy names whom it let in; empty for none.</param>
internal sealed class Guard(Sessions? sessions, string proxyUserHeader)
{
    /// <summary>Passes a request on, or answers it.</summary>
    public Task Handle(HttpContext context, RequestDelegate next)
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = Access.ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";

        var path = context.Request.Path;

        return IsOpen(path) || MayLook(context) ? next(context) : Refuse(context, path);
    }

    private bool IsOpen(PathString path) =>
        path.StartsWithSegments("/api/ingest", StringComparison.Ordinal)
        || path == "/healthz"
        || (sessions is not null
            && (path == "/login" || path == "/logout" || path == "/favicon.ico"
                || path.StartsWithSegments("/assets", StringComparison.Ordinal)));

    private bool MayLook(HttpContext context) =>
        sessions is not null ? sessions.Has(context.Request)
        : proxyUserHeader.Length > 0 ? !string.IsNullOrWhiteSpace(context.Request.Headers[proxyUserHeader])
        : Access.IsOwnHost(context.Request.Host.Host);

    private Task Refuse(HttpContext context, PathString path)
    {
        if (sessions is null && proxyUserHeader.Length == 0)
        {
            return context.Refuse(
                StatusCodes.Status403Forbidden,
                "Host is not this machine.",
                $"\"{context.Request.Host.Host}\": without a password only an IP address or localhost is accepted as host; behind a proxy set --trust-proxy-user");
        }

        var isPage = HttpMethods.IsGet(context.Request.Method)
            && !path.StartsWithSegments("/api", StringComparison.Ordinal)
            && path != "/metrics";

        if (sessions is not null && isPage)
        {
            context.Response.StatusCode = StatusCodes.Status303SeeOther;
            // The page that was asked for comes after the log-in.
            context.Response.Headers.Location = path == "/" ? "/login" : $"/login?next={Uri.EscapeDataString(path)}";
            return Task.CompletedTask;
        }

        return context.Refuse(
            StatusCodes.Status401Unauthorized,
            "Log in first.",
            sessions is not null ? "POST the password to /login" : $"the proxy in front sent no user in {proxyUserHeader}");
    }
}
