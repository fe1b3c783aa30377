using System.Net;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>
/// Finds out who asks, lets in who may look, and sets the headers that keep pages to themselves. Samples have their own token. From here
/// on the connection's remote address and the request's scheme are the client's, as far as trusted proxies say so.
/// </summary>
internal sealed class Guard(AccessControl access)
{
    private const string Events = "/api/events";

    /// <summary>A year: browsers then speak https to this name alone.</summary>
    private const string StrictTransport = "max-age=31536000";

    private readonly AccessSettings settings = access.Settings;

    /// <summary>Passes a request on, or answers it.</summary>
    public async Task Handle(HttpContext context, RequestDelegate next)
    {
        SetHeaders(context);
        var peer = context.Connection.RemoteIpAddress ?? IPAddress.None;
        BelieveProxies(context, peer);
        var path = context.Request.Path;

        if (IsOpen(path))
        {
            await next(context);
            return;
        }

        if (settings.IsOpen && IsForwarded(context.Request))
        {
            await context.Refuse(
                StatusCodes.Status403Forbidden,
                "No proxy is expected here.",
                "without logins only this machine is served; behind a proxy use --users-file, --viewer-password-file or --trust-proxy-user");
            return;
        }

        if (await Who(context, peer) is not { } identity)
        {
            await Refuse(context, path);
            return;
        }

        context.Features.Set(identity);
        await (path.StartsWithSegments(Events, StringComparison.Ordinal) ? Within(context, next, identity) : next(context));
    }

    private static void SetHeaders(HttpContext context)
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = Access.ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";

        if (context.Request.IsHttps)
        {
            headers.StrictTransportSecurity = StrictTransport;
        }
    }

    private void BelieveProxies(HttpContext context, IPAddress peer)
    {
        var headers = context.Request.Headers;
        var client = Forwarding.Client(
            settings.TrustedProxies,
            peer,
            context.Request.IsHttps,
            headers["X-Forwarded-For"].ToString(),
            headers["X-Forwarded-Proto"].ToString());
        context.Connection.RemoteIpAddress = client.Address;
        context.Request.Scheme = client.IsHttps ? "https" : "http";
    }

    private static bool IsForwarded(HttpRequest request)
    {
        foreach (var (name, _) in request.Headers)
        {
            if (Forwarding.IsForwardingHeader(name))
            {
                return true;
            }
        }

        return false;
    }

    private bool IsOpen(PathString path) =>
        path.StartsWithSegments("/api/ingest", StringComparison.Ordinal)
        || path.StartsWithSegments(EnrolEndpoint.Route, StringComparison.Ordinal)
        || path == OwnEndpoints.HealthPath
        || (access.Login is not null
            && (path == "/login" || path == "/logout" || path == "/favicon.ico" || path.StartsWithSegments(OidcLogin.Start, StringComparison.Ordinal)
                || path.StartsWithSegments("/assets", StringComparison.Ordinal)));

    /// <summary>
    /// Passes a request on once it is known which endpoint answers it: whatever might change something needs an admin, and a page of this
    /// dashboard. Endpoints that only read, and those that are open to all, are left alone.
    /// </summary>
    public static Task AdmitChange(HttpContext context, RequestDelegate next) =>
        Access.IsChange(context.Request.Method)
        && context.Identity() is { } identity
        && context.GetEndpoint()?.Metadata.GetMetadata<ReadOnlyEndpoint>() is null
        && (!identity.Role.IsAdmin || Access.IsFromElsewhere(context.Request.Headers["Sec-Fetch-Site"].ToString()))
            ? context.Refuse(StatusCodes.Status403Forbidden, "Only an admin may change anything.", "from a page of this dashboard or with a token")
            : next(context);

    private async ValueTask<Identity?> Who(HttpContext context, IPAddress peer)
    {
        var token = access.Tokens is null ? "" : AccessTokens.In(context.Request);
        var identity = token.Length > 0 ? access.Tokens?.Find(token) : null;

        if (identity is null && access.Sessions is { } sessions)
        {
            identity = await sessions.Find(context.Request);
        }

        if (identity is null && access.MayNameUsers(peer))
        {
            var name = Access.ProxyUser(context.Request.Headers[settings.ProxyUserHeader].ToString());
            identity = name.Length == 0 ? null : new Identity(name, Role.Viewer, CancellationToken.None);
        }

        if (identity is null && settings.IsOpen && Access.IsOwnHost(context.Request.Host.Host))
        {
            identity = Identity.Anybody;
        }

        if (identity is null && token.Length > 0)
        {
            access.Audit.Note("token refused", "", Forwarding.Key(context.Connection.RemoteIpAddress!), "no such token");
        }

        return identity;
    }

    /// <summary>Events end with the session, the user or the token that began them.</summary>
    private static async Task Within(HttpContext context, RequestDelegate next, Identity identity)
    {
        using var life = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, identity.Life);
        context.RequestAborted = life.Token;
        await next(context);
    }

    private Task Refuse(HttpContext context, PathString path)
    {
        if (settings.IsOpen)
        {
            return context.Refuse(
                StatusCodes.Status403Forbidden,
                "Host is not this machine.",
                $"\"{context.Request.Host.Host}\": without a login only an IP address or localhost is accepted as host; behind a proxy set --trust-proxy-user");
        }

        var isPage = HttpMethods.IsGet(context.Request.Method)
            && !path.StartsWithSegments("/api", StringComparison.Ordinal)
            && path != OwnEndpoints.MetricsPath;

        if (access.Login is not null && isPage)
        {
            context.Response.StatusCode = StatusCodes.Status303SeeOther;
            // The page that was asked for comes after the log-in.
            context.Response.Headers.Location = Redirects.ToLogin(path, context.Request.QueryString.Value ?? "");
            return Task.CompletedTask;
        }

        if (access.Tokens is not null)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
        }

        return context.Refuse(
            StatusCodes.Status401Unauthorized,
            "Log in first.",
            access.Login is not null
                ? "POST name and password to /login, or send a token"
                : $"no trusted proxy sent a user in {settings.ProxyUserHeader}");
    }
}
