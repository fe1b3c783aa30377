using System.Security.Cryptography;
using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>POST /api/ingest/servers/{slug}/metrics/: takes one sample, and answers when it is on disk.</summary>
internal sealed class IngestEndpoint(Writer writer, IngestFigures figures, Quotas quotas, AgentClock clock)
{
    /// <summary>The path, for the router.</summary>
    public const string Route = "/api/ingest/servers/{slug}/metrics";

    private const string UnknownServer = "Unknown server.";
    private const string DisabledServer = "Server is disabled.";
    private const string InvalidToken = "Invalid ingest token.";

    /// <summary>Seconds after which a body may come again for which there was no room, and a combination of devices.</summary>
    private const int BodyRetry = 1;
    private const int LayoutRetry = 60;

    private readonly BodyShares bodies = new();

    /// <summary>Handles a request.</summary>
    public async Task Handle(HttpContext context)
    {
        try
        {
            await Answer(context);
        }
        catch (BadHttpRequestException bad)
        {
            // Too slow, too large for its own length, or no valid chunks.
            await context.Refuse(bad.StatusCode, "The request cannot be read.", bad.Message);
        }

        figures.Count(context.Response.StatusCode);
    }

    /// <summary>
    /// The server whose machine asks, with its token, for something else than to store a sample; null, and answered, where it may not. It counts
    /// against the same limits.
    /// </summary>
    public async Task<LiveServer?> Admitted(HttpContext context)
    {
        if (await Sender(context) is not var (server, _))
        {
            return null;
        }

        var quota = quotas.Of(server);

        if (quota.Admit() is { Ticks: > 0 } wait)
        {
            await TooMany(context, wait);
            return null;
        }

        quota.Leave();
        return server;
    }

    /// <summary>The server that a request is for, and the hash of its token; null, and answered, where that is not its token.</summary>
    private async Task<(LiveServer Server, byte[] Token)?> Sender(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await context.RefuseMethod("POST");
            return null;
        }

        var slug = (string?)context.Request.RouteValues["slug"] ?? "";
        var token = TokenHash(context);
        var server = writer.Fleet.Find(slug);

        if (Refusal(server, token) is not null)
        {
            // Another process may have registered it, enabled it or changed its token just now.
            await writer.Refresh();
            server = writer.Fleet.Find(slug);

            if (Refusal(server, token) is { } refusal)
            {
                await context.Refuse(refusal.Status, refusal.Error, Registering.CommandFor(refusal.Status, slug));
                return null;
            }
        }

        return (server!, token);
    }

    private async Task Answer(HttpContext context)
    {
        if (await Sender(context) is not var (server, token))
        {
            return;
        }

        var quota = quotas.Of(server);

        if (quota.Admit() is { Ticks: > 0 } wait)
        {
            await TooMany(context, wait);
            return;
        }

        try
        {
            if (await Read(context, server, quota, token) is (var job, var warnings))
            {
                await Store(context, job, warnings);
            }
        }
        finally
        {
            quota.Leave();
        }
    }

    private static Task TooMany(HttpContext context, TimeSpan wait)
    {
        var seconds = AllowanceModule.RetryAfter(wait);
        return TooMany(context, seconds, $"this server has reached its limit; try again in {seconds} s (--server-samples, --server-kilobytes)");
    }

    private static Task TooMany(HttpContext context, int seconds, string detail)
    {
        context.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return context.Refuse(StatusCodes.Status429TooManyRequests, "Too many samples.", detail);
    }

    /// <summary>The sample in a request's body, and what is said of it; null, and answered, where there is none. The body is not kept.</summary>
    private async Task<(IngestJob Job, string[] Warnings)?> Read(HttpContext context, LiveServer server, Quota quota, byte[] token)
    {
        using var body = await RequestBody.Read(context, bodies, server.Registration.Slug);

        if (body.Status == StatusCodes.Status429TooManyRequests)
        {
            await TooMany(context, BodyRetry, body.Detail);
            return null;
        }

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return null;
        }

        quota.Charge(body.Length);
        var now = clock.GetUtcNow();
        var read = IntakeModule.Read(body.Bytes, now);

        if (!read.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(read.ErrorValue));
            return null;
        }

        var intake = read.ResultValue;
        var (report, leftOut) = quota.Keep(intake.Report);
        var (judgement, unread) = JudgementIntake.Of(intake);
        string[] warnings = [.. LeftOut(leftOut).Concat(intake.Warnings).Concat(unread).Take(IntakeModule.MostWarnings)];
        return (Job(server, quota, token, intake, report, judgement.IsValueSome ? judgement.Value : null, now), warnings);
    }

    private async Task Store(HttpContext context, IngestJob job, string[] warnings)
    {
        var slug = job.Server.Registration.Slug;
        var result = await writer.Store(job);

        await (result switch
        {
            IngestResult.Stored or IngestResult.Known =>
                context.Json(StatusCodes.Status200OK, Responses.Accepted(job.Server.Registration, job.Stored!, warnings)),
            IngestResult.Gone => context.Refuse(
                StatusCodes.Status404NotFound, UnknownServer, Registering.CommandFor(StatusCodes.Status404NotFound, slug)),
            IngestResult.Disabled => context.Refuse(StatusCodes.Status403Forbidden, DisabledServer),
            IngestResult.WrongToken => context.Refuse(
                StatusCodes.Status401Unauthorized, InvalidToken, Registering.CommandFor(StatusCodes.Status401Unauthorized, slug)),
            IngestResult.MinuteIsFull => context.Refuse(
                StatusCodes.Status400BadRequest, "Sample is one too many.", "its minute already has the maximum number of samples"),
            IngestResult.TooManyLayouts => TooMany(context, LayoutRetry, "this server reports new combinations of devices too often"),
            IngestResult.NotRelayed => context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The sample cannot be passed on.", job.Problem),
            _ => context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The sample cannot be stored.", writer.Storage.State.Reason),
        });
    }

    private static IEnumerable<string> LeftOut(int devices) => devices == 0
        ? []
        : [$"{devices} new devices left out: the server has the maximum number of known devices (--server-devices)"];

    private static IngestJob Job(
        LiveServer server, Quota quota, byte[] token, Intake intake, Report report, Judgement? judgement, DateTimeOffset now)
    {
        var agent = intake.Agent.Span;
        var isNews = agent.Length > 0 && !server.SaysTheSame(agent);
        var kept = isNews ? IntakeModule.KeptAgent(intake.Agent) : default;
        return kept.IsValueSome
            ? new IngestJob(server, token, report, judgement, now, agent.ToArray(), kept.Value) { Quota = quota }
            : new IngestJob(server, token, report, judgement, now, [], "") { Quota = quota };
    }

    private static (int Status, string Error)? Refusal(LiveServer? server, byte[] token) =>
        server is null ? (StatusCodes.Status404NotFound, UnknownServer)
        : !server.Registration.IsActive ? (StatusCodes.Status403Forbidden, DisabledServer)
        : !CryptographicOperations.FixedTimeEquals(token, server.Registration.TokenHash)
            ? (StatusCodes.Status401Unauthorized, InvalidToken)
            : null;

    private static byte[] TokenHash(HttpContext context)
    {
        var headers = context.Request.Headers;
        var token = RegistrationModule.TokenIn(headers["X-Monitoring-Token"].ToString(), headers.Authorization.ToString());

        // No token is the hash of none that can be: a registered one is never empty.
        return Registrations.Hash(token.IsValueSome ? token.Value : "");
    }
}
