using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Web;

/// <summary>/api/servers/: GET lists the servers, POST adds one. The guard lets admins alone add.</summary>
/// <param name="list">Answers GET.</param>
/// <param name="writer">Knows the servers.</param>
/// <param name="store">Registers them.</param>
/// <param name="audit">Takes a line about each server that was added.</param>
/// <param name="clock">The receiver's.</param>
internal sealed class ServersEndpoint(RequestDelegate list, Writer writer, IStateStore store, AuditLog audit, AgentClock clock)
{
    private readonly BodyShares bodies = new();

    /// <summary>Handles a request.</summary>
    public Task Handle(HttpContext context) =>
        HttpMethods.IsPost(context.Request.Method) ? Add(context)
        : HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method) ? list(context)
        : context.RefuseMethod("GET, HEAD, POST");

    private async Task Add(HttpContext context)
    {
        using var body = await RequestBody.ReadSmall(context, bodies, Registering.LongestBody);

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return;
        }

        var read = Registering.Read(body.Bytes);

        if (!read.IsOk)
        {
            await context.Json(StatusCodes.Status400BadRequest, Responses.Refused(read.ErrorValue));
            return;
        }

        await Add(context, read.ResultValue);
    }

    private async Task Add(HttpContext context, ServerAddition addition)
    {
        var token = Registrations.NewToken();
        var now = clock.GetUtcNow();
        var hash = Registrations.Hash(token);
        Registration? added = null;
        var isTaken = false;
        var isStored = await store.Register(connection =>
        {
            isTaken = Registrations.Find(connection, addition.Slug) is not null;

            if (!isTaken && Registrations.FreeId(connection) is { } id)
            {
                added = Registering.Added(addition, hash, now, id);
                Registrations.Save(connection, added);
            }
        });

        if (!isStored)
        {
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The machine cannot be added.", store.Reason);
        }
        else if (isTaken)
        {
            await context.Refuse(
                StatusCodes.Status409Conflict, "The name is taken.", $"there is a server {addition.Slug} already; give another name");
        }
        else if (added is null)
        {
            await context.Refuse(
                StatusCodes.Status507InsufficientStorage,
                "There is no room for another machine.",
                $"{RegistrationModule.MostServers} servers are registered; ai-dashboard remove-server makes room");
        }
        else
        {
            await Tell(context, added, token, now);
        }
    }

    private async Task Tell(HttpContext context, Registration registration, string token, DateTimeOffset now)
    {
        // Pages that are open learn of it now, and not with the next sample of somebody else.
        await writer.Refresh();
        audit.Note(
            "server added", context.Identity()?.Name ?? "", Forwarding.Key(context.Connection.RemoteIpAddress!), registration.Slug);
        var commands = Registering.Commands(
            context.Request.Scheme, context.Request.Host.Value ?? "", registration.Slug, token);
        await context.Json(
            StatusCodes.Status201Created,
            Responses.Added(registration, token, commands.Terminal, commands.Service, now));
    }
}
