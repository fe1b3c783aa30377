using System.Text;
using System.Text.Json;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>GET and POST /login, POST /logout.</summary>
internal sealed class LoginEndpoint(Accounts accounts, Sessions sessions, AttemptLimits limits, AuditLog audit, AgentClock clock)
{
    private const int LongestForm = 16384;
    private const string Refused = "login refused";

    /// <summary>What a log-in is answered that nobody could keep.</summary>
    public const string NotKept = "The log-in cannot be kept.";

    /// <summary>A form that takes longer is not waited for.</summary>
    private static readonly TimeSpan FormLimit = TimeSpan.FromSeconds(10);

    /// <summary>The parts of the page that there is a use for.</summary>
    public IEnumerable<string> Marks(bool hasProvider) =>
    [
        .. accounts.HasPasswords ? new[] { "password", accounts.HasNames ? "names" : "one-password" } : [],
        .. hasProvider ? new[] { "provider" } : [],
    ];

    private readonly Devices devices = new(sessions.DeviceKey);

    /// <summary>POST /login</summary>
    public async Task Login(HttpContext context)
    {
        var address = Forwarding.Key(context.Connection.RemoteIpAddress!);
        var device = devices.Of(context.Request);
        // Before anything is read: of a thousand at once, all but five are refused here.
        var wait = limits.Begin(Counted(device, address), out var at);

        if (wait > TimeSpan.Zero)
        {
            await TooMany(context, wait, "", address, "too many attempts from this address");
            return;
        }

        if (Access.IsFromElsewhere(context.Request.Headers["Sec-Fetch-Site"].ToString()))
        {
            audit.Note(Refused, "", address, "sent by another site's page");
            await context.Refuse(StatusCodes.Status403Forbidden, "Another site's page sent this.");
            return;
        }

        if (await Form(context) is not { } form)
        {
            audit.Note(Refused, "", address, "not a login form");
            await context.Refuse(StatusCodes.Status400BadRequest, "The form cannot be read.", "send name and password as a form");
            return;
        }

        await Try(context, form, device, address, at);
    }

    /// <summary>POST /logout</summary>
    public async Task Logout(HttpContext context)
    {
        var (name, isKept) = await sessions.End(context.Request);

        if (name is not null)
        {
            audit.Note("logout", name, Forwarding.Key(context.Connection.RemoteIpAddress!));
        }

        SessionCookies.Delete(context);

        if (isKept)
        {
            Redirect(context, "/login");
            return;
        }

        await context.Refuse(
            StatusCodes.Status503ServiceUnavailable, "You are logged out here, and may not be at the other dashboards.", sessions.Reason);
    }

    private async Task Try(HttpContext context, IFormCollection form, Device? device, string address, TimeSpan at)
    {
        var name = form["name"].ToString().Trim();
        var password = form["password"].ToString();
        var account = accounts.FindNow(name);
        var key = AttemptLimits.AccountKey(account?.Name ?? name, account is not null);

        if (device is not null && device.Name != account?.Name)
        {
            // A browser that is known for one account is a stranger to every other.
            device = null;
            var wait = limits.Begin(address, out at);

            if (wait > TimeSpan.Zero)
            {
                await TooMany(context, wait, name, address, "too many attempts from this address");
                return;
            }
        }

        if (device is null && limits.Look(key, address, at) is { Ticks: > 0 } turn)
        {
            await TooMany(context, turn, name, address, "too many attempts on this account");
            return;
        }

        var isRight = password.Length <= Credentials.LongestPassword
            ? await accounts.Verify(account, password, context.RequestAborted)
            : false;

        if (isRight is null)
        {
            audit.Note(Refused, name, address, "too many logins at once");
            context.Response.Headers.RetryAfter = "2";
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, "Too many log in at once.", "try again in 2 s");
            return;
        }

        if (isRight is false)
        {
            audit.Note(Refused, name, address, account is null ? "no such user" : "wrong password");
            await context.Refuse(StatusCodes.Status401Unauthorized, accounts.HasNames ? "Wrong name or password." : "Wrong password.");
            return;
        }

        limits.Forgive(Counted(device, address), at);
        limits.Succeed(key, address, at);

        if (await sessions.Open(account!) is not { } token)
        {
            await context.Refuse(StatusCodes.Status503ServiceUnavailable, NotKept, sessions.Reason);
            return;
        }

        devices.Remember(context, account!.Name);
        audit.Note("login", account.Name, address);
        SessionCookies.Set(context, token);
        await Lead(context, Redirects.Home(Next(context, form)));
    }

    /// <summary>What the attempts of a request are counted under: the browser where it is known, else the address.</summary>
    private static string Counted(Device? device, string address) => device is null ? address : $"device {device.Id}";

    /// <summary>Where to go: the form says it, or the address that the form was sent to.</summary>
    private static string Next(HttpContext context, IFormCollection form) =>
        form["next"].ToString() is { Length: > 0 } asked ? asked : context.Request.Query["next"].ToString();

    /// <summary>Scripts of the page cannot look into a redirect, and ask for JSON.</summary>
    private static Task Lead(HttpContext context, string next)
    {
        if (context.Request.Headers.Accept.ToString().Contains("application/json", StringComparison.OrdinalIgnoreCase))
        {
            return context.Json(
                StatusCodes.Status200OK, Encoding.ASCII.GetBytes($"{{\"ok\":true,\"next\":\"{JsonEncodedText.Encode(next)}\"}}"));
        }

        Redirect(context, next);
        return Task.CompletedTask;
    }

    private Task TooMany(HttpContext context, TimeSpan wait, string name, string address, string reason)
    {
        var seconds = $"{Math.Ceiling(wait.TotalSeconds)}";
        audit.Note(Refused, name, address, reason);
        context.Response.Headers.RetryAfter = seconds;
        return context.Refuse(StatusCodes.Status429TooManyRequests, "Too many attempts to log in.", $"{reason}; try again in {seconds} s");
    }

    private async Task<IFormCollection?> Form(HttpContext context)
    {
        var isForm = context.Request.ContentType?.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase);

        if (isForm != true || context.Request.ContentLength is null or > LongestForm)
        {
            return null;
        }

        using var limit = new CancellationTokenSource(FormLimit, clock);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, context.RequestAborted);

        try
        {
            return await context.Request.ReadFormAsync(both.Token);
        }
        catch (Exception unreadable) when (
            unreadable is InvalidDataException or BadHttpRequestException
            || (unreadable is OperationCanceledException && limit.IsCancellationRequested))
        {
            return null;
        }
    }

    private static void Redirect(HttpContext context, string path)
    {
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = path;
    }
}
