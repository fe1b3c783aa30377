using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>POST /api/enrol/: a machine registers itself with a key of a fleet, and gets its slug and its token.</summary>
/// <param name="writer">Registers it.</param>
/// <param name="clock">The receiver's.</param>
/// <param name="tell">Takes a line about each machine that enrolled.</param>
internal sealed class EnrolEndpoint(Writer writer, AgentClock clock, Action<string> tell)
{
    /// <summary>The path, for the router.</summary>
    public const string Route = "/api/enrol";

    /// <summary>Handles a request.</summary>
    public async Task Handle(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await context.RefuseMethod("POST");
            return;
        }

        using var body = await RequestBody.Read(context);

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return;
        }

        await EnrolmentModule.Read(body.Bytes).Match(
            request => Enrol(context, request),
            refusal => context.Json(StatusCodes.Status400BadRequest, Responses.Refused(refusal)));
    }

    private async Task Enrol(HttpContext context, EnrolRequest request)
    {
        var hash = Registrations.Hash(request.Key);
        var token = Registrations.NewToken();
        var now = clock.GetUtcNow();
        Grant? grant = null;
        var isFull = false;

        var isStored = await writer.Register(connection =>
        {
            if (EnrolKeys.Find(connection, hash) is { } key && key.IsValid(now))
            {
                grant = Register(connection, key, request, Registrations.Hash(token), now);
                isFull = grant is null;
            }
        });

        if (!isStored)
        {
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The machine cannot be registered.", "the database cannot be written to now");
        }
        else if (isFull)
        {
            await context.Refuse(
                StatusCodes.Status507InsufficientStorage, "There is no room for another server.", "remove-server makes room");
        }
        else if (grant is not { } granted)
        {
            await context.Refuse(StatusCodes.Status401Unauthorized, "Invalid enrolment key.");
        }
        else
        {
            tell($"{granted.Slug} {(granted.IsNew ? "enrolled" : "enrolled again, with a new token")}: host name \"{request.Hostname}\", key {granted.Key.Name}, from {context.Connection.RemoteIpAddress}");
            await context.Json(StatusCodes.Status200OK, EnrolmentModule.Granted(granted.Slug, token, granted.Key.Labels));
        }
    }

    private static Grant? Register(SqliteConnection connection, EnrolKey key, EnrolRequest request, byte[] tokenHash, DateTimeOffset now)
    {
        var known = EnrolmentModule.Decide(now, EnrolKeys.Candidates(connection, request), request).Match(
            again: id => Registrations.All(connection).Find(one => one.Registration.Id == id).Registration,
            @new: static Registration? () => null);

        if ((known?.Id ?? Registrations.FreeId(connection)) is not { } id)
        {
            return null;
        }

        var slug = known?.Slug ?? EnrolmentModule.SlugFor(taken => Registrations.Find(connection, taken) is not null, request);
        Registrations.Save(connection, EnrolmentModule.Registered(Maybe.Of(known), id, slug, request, tokenHash, now));
        EnrolKeys.Note(connection, id, key, request);
        return new Grant(slug, key, known is null);
    }

    private readonly record struct Grant(string Slug, EnrolKey Key, bool IsNew);
}
