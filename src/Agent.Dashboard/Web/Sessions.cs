using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>Log-ins by password. Sessions live in memory: a restart ends them.</summary>
internal sealed class Sessions(string password, AgentClock clock)
{
    private const int MostSessions = 1000;

    private readonly byte[] passwordHash = Hash(password);
    private readonly ConcurrentDictionary<string, TimeSpan> ends = new(StringComparer.Ordinal);
    private readonly Lock gate = new();
    private readonly Dictionary<string, FailedLogins> failures = new(StringComparer.Ordinal);

    /// <summary>Whether a request belongs to a session.</summary>
    public bool Has(HttpRequest request) =>
        request.Cookies[Access.SessionCookie] is { Length: > 0 } token
        && ends.TryGetValue(Key(token), out var end)
        && clock.Elapsed < end;

    /// <summary>POST /login</summary>
    public async Task Login(HttpContext context)
    {
        var client = context.Connection.RemoteIpAddress?.ToString() ?? "";
        var wait = WaitFor(client);

        if (wait > TimeSpan.Zero)
        {
            context.Response.Headers.RetryAfter = $"{Math.Ceiling(wait.TotalSeconds)}";
            await context.Refuse(
                StatusCodes.Status429TooManyRequests, "Too many wrong passwords.", $"try again in {Math.Ceiling(wait.TotalSeconds)} s");
            return;
        }

        if (!CryptographicOperations.FixedTimeEquals(Hash(await Password(context)), passwordHash))
        {
            Failed(client);
            await context.Refuse(StatusCodes.Status401Unauthorized, "Wrong password.");
            return;
        }

        context.Response.Cookies.Append(Access.SessionCookie, Open(), Cookie(context, Access.session));
        Redirect(context, "/");
    }

    /// <summary>POST /logout</summary>
    public Task Logout(HttpContext context)
    {
        if (context.Request.Cookies[Access.SessionCookie] is { Length: > 0 } token)
        {
            ends.TryRemove(Key(token), out _);
        }

        context.Response.Cookies.Delete(Access.SessionCookie, Cookie(context, TimeSpan.Zero));
        Redirect(context, "/login");
        return Task.CompletedTask;
    }

    private static void Redirect(HttpContext context, string path)
    {
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = path;
    }

    private static CookieOptions Cookie(HttpContext context, TimeSpan age) =>
        new()
        {
            HttpOnly = true,
            SameSite = SameSiteMode.Strict,
            Secure = context.Request.IsHttps || context.Request.Headers["X-Forwarded-Proto"] == "https",
            Path = "/",
            MaxAge = age,
        };

    private static byte[] Hash(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));

    /// <summary>Sessions are known by a hash, so that looking one up takes no time that tells of its token.</summary>
    private static string Key(string token) => Convert.ToBase64String(Hash(token));

    private static async Task<string> Password(HttpContext context)
    {
        var isForm = context.Request.ContentType?.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase);

        if (isForm != true || context.Request.ContentLength is null or > 4096)
        {
            return "";
        }

        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        return form["password"].ToString();
    }

    private string Open()
    {
        foreach (var (key, end) in ends)
        {
            if (end <= clock.Elapsed || ends.Count >= MostSessions)
            {
                ends.TryRemove(key, out _);
            }
        }

        var token = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        ends[Key(token)] = clock.Elapsed + Access.session;
        return token;
    }

    private TimeSpan WaitFor(string client)
    {
        lock (gate)
        {
            return failures.TryGetValue(client, out var failed) ? Access.WaitFor(clock.Elapsed, failed) : TimeSpan.Zero;
        }
    }

    private void Failed(string client)
    {
        lock (gate)
        {
            // Whoever fails from a thousand addresses makes all of them start anew, which a thousand windows outweigh.
            if (failures.Count > 10000)
            {
                failures.Clear();
            }

            failures[client] = Access.Failed(clock.Elapsed, failures.GetValueOrDefault(client, Access.noFailures));
        }
    }
}
