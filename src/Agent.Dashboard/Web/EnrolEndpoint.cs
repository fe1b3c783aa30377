using System.Net;
using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>POST /api/enrol/: a machine registers itself with an enrolment key and gets its slug and its token.</summary>
/// <param name="writer">Knows the machines.</param>
/// <param name="store">Registers it.</param>
/// <param name="shares">The memory for bodies.</param>
/// <param name="audit">Takes a line about each enrolment and each refusal.</param>
/// <param name="clock">The receiver's.</param>
internal sealed class EnrolEndpoint(Writer writer, IStateStore store, BodyShares shares, AuditLog audit, AgentClock clock)
{
    /// <summary>The path, for the router.</summary>
    public const string Route = "/api/enrol";

    /// <summary>The most addresses whose requests are counted at a time.</summary>
    private const int MostAddresses = 4096;

    /// <summary>Of one address, which may be that of a router with a whole fleet behind it: a burst of 100, then one a second.</summary>
    private static readonly BucketSize OfAddress = new(rate: 1, capacity: 100);

    /// <summary>Of all addresses: each request costs a transaction.</summary>
    private static readonly BucketSize OfAll = new(rate: 20, capacity: 400);

    private readonly Lock gate = new();
    private readonly Buckets<IPAddress> buckets = new(OfAddress, OfAll, MostAddresses);

    /// <summary>Handles a request.</summary>
    public async Task Handle(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await context.RefuseMethod("POST");
            return;
        }

        // Counted before its body is read.
        if (Take(context) is { Ticks: > 0 } wait)
        {
            await TooMany(context, wait);
            return;
        }

        using var body = await RequestBody.ReadSmall(context, shares, Enrolment.LongestBody);

        if (body.Status != StatusCodes.Status200OK)
        {
            await context.Refuse(body.Status, body.Error, body.Detail);
            return;
        }

        await Enrolment.Read(body.Bytes).Match(
            request => Enrol(context, request),
            refusal => context.Json(StatusCodes.Status400BadRequest, Responses.Refused(refusal)));
    }

    private TimeSpan Take(HttpContext context)
    {
        lock (gate)
        {
            return buckets.Take(AddressShares.Owner(context.Connection.RemoteIpAddress), clock.Elapsed);
        }
    }

    private static Task TooMany(HttpContext context, TimeSpan wait)
    {
        var seconds = AllowanceModule.RetryAfter(wait);
        context.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return context.Refuse(
            StatusCodes.Status429TooManyRequests, "Too many enrolments.", $"again in {seconds} s");
    }

    private async Task Enrol(HttpContext context, EnrolRequest request)
    {
        var hash = Registrations.Hash(request.Key);
        var token = Registrations.NewToken();
        var now = clock.GetUtcNow();
        var address = Forwarding.Key(context.Connection.RemoteIpAddress ?? IPAddress.None);
        var outcome = new Outcome(null, IsFull: false);

        var isStored = await store.Register(connection => outcome = Register(connection, request, hash, Registrations.Hash(token), now));

        if (!isStored)
        {
            await context.Refuse(
                StatusCodes.Status503ServiceUnavailable, "The machine cannot be registered.", store.Reason);
        }
        else if (outcome.IsFull)
        {
            audit.Note("enrolment refused", request.Hostname, address, "the maximum number of servers is registered");
            await context.Refuse(
                StatusCodes.Status507InsufficientStorage,
                "There is no room for another server.",
                $"{RegistrationModule.MostServers} servers are registered; ai-dashboard remove-server makes room");
        }
        else if (outcome.Grant is not { } granted)
        {
            audit.Note("enrolment refused", request.Hostname, address, "the key is unknown or expired");
            await context.Refuse(
                StatusCodes.Status401Unauthorized, "Invalid enrolment key.", "ai-dashboard enrol-keys list lists the keys and when they expire");
        }
        else
        {
            audit.Note(granted.IsNew ? "enrolled" : "enrolled again, with a new token", granted.Slug, address, $"key {granted.Key.Name}");
            context.Response.Headers.CacheControl = "no-store";
            await context.Json(StatusCodes.Status200OK, Enrolment.Granted(granted.Slug, token, granted.Key.Labels));
        }
    }

    private Outcome Register(
        StateConnection connection, EnrolRequest request, byte[] keyHash, byte[] tokenHash, DateTimeOffset now)
    {
        if (EnrolKeys.Find(connection, keyHash) is not { } key || !key.IsValid(now))
        {
            return new Outcome(null, IsFull: false);
        }

        var known = Enrolment.Decide(now, EnrolKeys.Candidates(connection, request, id => LastSample(connection, id)), request).Match(
            again: id => Registrations.All(connection).Find(one => one.Registration.Id == id).Registration,
            @new: static Registration? () => null);

        if ((known?.Id ?? Registrations.FreeId(connection)) is not { } id)
        {
            return new Outcome(null, IsFull: true);
        }

        var slug = known?.Slug ?? Enrolment.SlugFor(taken => Registrations.Find(connection, taken) is not null, request);
        Registrations.Save(connection, Enrolment.Registered(Maybe.Of(known), id, slug, request, tokenHash, now));
        EnrolKeys.Note(connection, id, key, request);
        return new Outcome(new Grant(slug, key, known is null), IsFull: false);
    }

    /// <summary>By the database, or where samples are not kept by what is shown of the machine.</summary>
    private FSharpValueOption<DateTimeOffset> LastSample(StateConnection connection, int id) =>
        Registrations.LastSample(connection, id) is { IsSome: true } stored ? stored
        : writer.Fleet.All.FirstOrDefault(server => server.Id == id)?.View.Latest is { IsSome: true, Value: var shown }
            ? FSharpValueOption<DateTimeOffset>.NewValueSome(shown.Report.CollectedAt)
            : FSharpValueOption<DateTimeOffset>.ValueNone;

    private readonly record struct Outcome(Grant? Grant, bool IsFull);

    private sealed record Grant(string Slug, EnrolKey Key, bool IsNew);
}
