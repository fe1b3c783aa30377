using System.Security.Cryptography;
using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>POST /api/ingest/servers/{slug}/metrics/: takes one sample, and answers when it is on disk.</summary>
internal sealed class IngestEndpoint(Writer writer, IngestFigures figures, AgentClock clock)
{
    /// <summary>The path, for the router.</summary>
    public const string Route = "/api/ingest/servers/{slug}/metrics";

    private const string UnknownServer = "Unknown server.";
    private const string DisabledServer = "Server is disabled.";
    private const string InvalidToken = "Invalid ingest token.";

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

    private async Task Answer(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await context.RefuseMethod("POST");
            return;
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
                return;
            }
        }

        using var body = await RequestBody.Read(context);

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return;
        }

        await Store(context, server!, token, body);
    }

    private async Task Store(HttpContext context, LiveServer server, byte[] token, RequestBody body)
    {
        var now = clock.GetUtcNow();
        var read = IntakeModule.Read(body.Bytes, now);

        if (!read.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(read.ErrorValue));
            return;
        }

        var intake = read.ResultValue;
        var job = Job(server, token, intake, now);
        var slug = server.Registration.Slug;
        var result = await writer.Store(job);

        await (result switch
        {
            IngestResult.Stored or IngestResult.Known =>
                context.Json(StatusCodes.Status200OK, Responses.Accepted(server.Registration, job.Stored!, intake.Warnings)),
            IngestResult.Gone => context.Refuse(
                StatusCodes.Status404NotFound, UnknownServer, Registering.CommandFor(StatusCodes.Status404NotFound, slug)),
            IngestResult.Disabled => context.Refuse(StatusCodes.Status403Forbidden, DisabledServer),
            IngestResult.WrongToken => context.Refuse(
                StatusCodes.Status401Unauthorized, InvalidToken, Registering.CommandFor(StatusCodes.Status401Unauthorized, slug)),
            _ => context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The sample cannot be stored.", writer.Storage.State.Reason),
        });
    }

    private static IngestJob Job(LiveServer server, byte[] token, Intake intake, DateTimeOffset now)
    {
        var agent = intake.Agent.Span;
        var isNews = agent.Length > 0 && !server.SaysTheSame(agent);
        var kept = isNews ? IntakeModule.KeptAgent(intake.Agent) : default;
        return kept.IsValueSome
            ? new IngestJob(server, token, intake.Report, now, agent.ToArray(), kept.Value)
            : new IngestJob(server, token, intake.Report, now, [], "");
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
