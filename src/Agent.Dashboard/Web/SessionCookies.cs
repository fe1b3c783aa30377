using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>The cookie of a session: for this site alone, out of reach of scripts, and with https for https alone.</summary>
internal static class SessionCookies
{
    /// <summary>Hands a session's token to the browser.</summary>
    public static void Set(HttpContext context, string token) =>
        context.Response.Cookies.Append(Access.SessionCookie, token, Options(context, Access.session, "/"));

    /// <summary>Takes it back.</summary>
    public static void Delete(HttpContext context) =>
        context.Response.Cookies.Delete(Access.SessionCookie, Options(context, TimeSpan.Zero, "/"));

    /// <summary>How long, for which paths and by which ways a cookie is sent.</summary>
    public static CookieOptions Options(HttpContext context, TimeSpan age, string path) =>
        new()
        {
            HttpOnly = true,
            SameSite = SameSiteMode.Strict,
            Secure = context.Request.IsHttps,
            Path = path,
            MaxAge = age,
        };
}
