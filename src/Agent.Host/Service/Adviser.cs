using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Service;

/// <summary>
/// Says what is wrong and what to do, once whenever that changes and not at every attempt; what comes and goes is said as often as the fault
/// itself at most (<see cref="Repetition.Period"/>). Runs on the posting thread
/// alone.
/// </summary>
/// <param name="destination">Where requests go.</param>
/// <param name="askForRoute">Asks why the webapp answers 404.</param>
/// <param name="clock">The wall clock for the webapp's, the monotonic clock for the questions.</param>
/// <param name="log">Where to say it.</param>
/// <param name="stop">Set when requests are being broken off, of which nothing follows.</param>
internal sealed class Adviser(
    Destination destination, Func<FSharpValueOption<Cause>> askForRoute, AgentClock clock, Log log, CancellationToken stop)
{
    /// <summary>The shortest time between two questions about a 404 that lasts.</summary>
    private static readonly TimeSpan AskAgain = TimeSpan.FromMinutes(10);

    /// <summary>When each cause was said last. There are as many as the union has cases.</summary>
    private readonly Dictionary<Cause, TimeSpan> told = [];

    private Cause? current;
    private Cause? route;
    private TimeSpan askedAt;
    private bool isSkewed;

    /// <summary>Looks at what came of an attempt.</summary>
    public void Consider(Exchange exchange)
    {
        if (!stop.IsCancellationRequested)
        {
            var now = clock.GetUtcNow();
            ConsiderClock(Advice.ClockOf(now, exchange));
            ConsiderCause(Advice.OfDestination(destination, now, exchange), Advice.DetailOf(exchange));
        }
    }

    /// <summary>The same for an answer that says that its sample is delivered.</summary>
    public void ConsiderDelivered(Exchange exchange)
    {
        if (!stop.IsCancellationRequested)
        {
            ConsiderClock(Advice.ClockOf(clock.GetUtcNow(), exchange));
            ConsiderCause(default);
        }
    }

    /// <summary>All is well, whatever an answer on the way to it was.</summary>
    public void Clear() => ConsiderCause(default);

    private void ConsiderCause(FSharpValueOption<Cause> found, string detail = "")
    {
        var cause = found.IsNone ? null : found.Value.Equals(Cause.NotFound) ? Route() : found.Value;

        // One that comes and goes is not asked about each time.
        route = found.IsNone && clock.Elapsed - askedAt >= Repetition.Period ? null : route;

        if (Equals(cause, current))
        {
            return;
        }

        current = cause;

        if (cause is not null && IsNews(cause))
        {
            log.Warning($"advice: {Advice.LineFor(destination, cause)}{(detail.Length > 0 ? " " : "")}{detail}");
        }
    }

    private bool IsNews(Cause cause)
    {
        var now = clock.Elapsed;

        if (told.TryGetValue(cause, out var last) && now - last < Repetition.Period)
        {
            return false;
        }

        told[cause] = now;
        return true;
    }

    private Cause Route()
    {
        if (route is null || clock.Elapsed - askedAt >= AskAgain)
        {
            askedAt = clock.Elapsed;
            var told = askForRoute();
            route = told.IsSome ? told.Value : Cause.NotFound;
        }

        return route;
    }

    private void ConsiderClock(FSharpValueOption<TimeSpan> skew)
    {
        if (skew.IsSome == isSkewed)
        {
            return;
        }

        isSkewed = skew.IsSome;

        if (isSkewed && IsNews(Cause.ClockSkewed))
        {
            log.Warning($"advice: {Advice.ClockLine(destination, skew.Value)}");
        }
    }
}
