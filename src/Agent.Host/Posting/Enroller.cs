using Agent.Core;
using Agent.Host.Service;
using Agent.Outbound;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>
/// Asks a receiver for the slug and the token of a machine that has none, until it gets them or is told to stop. Samples are taken from then on.
/// </summary>
internal sealed class Enroller(
    EnrolmentTarget target, TokenSource key, TlsTrust trust, Settings settings, string userAgent, AgentClock clock, Log log)
{
    private readonly EnrolmentStore store = new(target, settings);

    /// <summary>The settings with a target. Null when told to stop, or with --once at the first failure.</summary>
    /// <param name="signals">Tell to stop.</param>
    /// <param name="systemd">Hears what the agent waits for.</param>
    public Settings? Run(Signals signals, Systemd systemd)
    {
        using var client = new SampleClient(new EnrolmentTemplate(target, key), trust, settings.Interval, settings.Timeout, userAgent, clock);
        var isWaiting = false;

        for (var failures = 1; !signals.Orderly.IsCancellationRequested; failures++)
        {
            var (granted, delay) = Attempt(client, signals);

            if (granted is not null || settings.Once)
            {
                return granted;
            }

            // The service has started, though it has nothing to send yet: systemd would end it otherwise.
            isWaiting = isWaiting || systemd.Notify($"READY=1\nSTATUS=Waits for enrolment at {target.Host}");

            if (systemd.Watchdog is not null)
            {
                systemd.Notify("WATCHDOG=1");
            }

            Pause(delay ?? Delivery.BackOff(settings.Interval, failures, Random.Shared.NextDouble()), signals, systemd);
        }

        return null;
    }

    private (Settings? Granted, TimeSpan? Delay) Attempt(SampleClient client, Signals signals)
    {
        try
        {
            // Asked for only when it can be kept: the receiver makes a new token each time.
            store.Prepare();
            var body = Enrolment.RequestOf(key.Current, store.Machine(), target.Slug);
            var exchange = client.Post(body, signals.AtOnce);

            return Enrolment.StepAfter(clock.GetUtcNow(), target.Host, exchange).Match<(Settings?, TimeSpan?)>(
                done: (enrolled, token) =>
                {
                    var settled = store.Keep(enrolled, token);
                    log.Routine($"Enrolled at {target.Host} as {enrolled.Slug}.");
                    return (settled, null);
                },
                later: (delay, reason) =>
                {
                    log.Warning($"enrolment at {target.Host}: {reason}");
                    _ = key.Refresh();
                    return (null, delay.IsSome ? delay.Value : null);
                });
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            log.Error($"enrolment: \"{target.Directory}\" cannot keep the token: {error.Message}");
            return (null, Enrolment.LongestPause);
        }
    }

    private void Pause(TimeSpan delay, Signals signals, Systemd systemd)
    {
        var gate = new object();
        var until = clock.Elapsed + (delay < Enrolment.LongestPause ? delay : Enrolment.LongestPause);

        using var stopping = signals.Orderly.Register(() =>
        {
            lock (gate)
            {
                Monitor.PulseAll(gate);
            }
        });

        lock (gate)
        {
            while (!signals.Orderly.IsCancellationRequested && until - clock.Elapsed is { Ticks: > 0 } left)
            {
                var step = systemd.Watchdog is { } limit && limit / 2 < left ? limit / 2 : left;
                clock.Wait(gate, step);

                if (systemd.Watchdog is not null)
                {
                    systemd.Notify("WATCHDOG=1");
                }
            }
        }
    }
}

/// <summary>The request for a slug and a token.</summary>
internal sealed class EnrolmentTemplate(EnrolmentTarget target, TokenSource key) : IRequestTemplate
{
    private const string Json = "application/json";

    /// <inheritdoc/>
    public Uri Endpoint => target.Endpoint;

    /// <inheritdoc/>
    public RequestParts Parts { get; } = new([("Accept", Json), ("Content-Type", Json)], [key.Current.Reveal()]);

    /// <inheritdoc/>
    public bool Refresh() => false;
}
