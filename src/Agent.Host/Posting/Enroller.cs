using System.Text;
using Agent.Core;
using Agent.Host.Service;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>
/// Gets a machine without a token its name and its token, and keeps both: the token in a file of its own, and beside it, written after it,
/// the file that says that the machine is enrolled. Asks until it is told to stop; samples are taken from then on.
/// </summary>
internal sealed class Enroller(EnrolmentTarget target, TokenSource key, TlsTrust trust, Settings settings, string userAgent, AgentClock clock, Log log)
{
    private const string PlaceName = "enrolment.v1";
    private const string TokenName = "enrolment.token";

    /// <summary>No such file is longer; what is in its place may be.</summary>
    private const int Longest = 64 * 1024;

    private readonly string place = Path.Join(target.Directory, PlaceName);
    private readonly string tokenFile = Path.Join(target.Directory, TokenName);

    /// <summary>The settings with a target: as it was kept, or as the receiver grants it. Null when told to stop, or with --once at the first failure.</summary>
    /// <param name="signals">Tell to stop.</param>
    public Settings? Run(Signals signals)
    {
        if (Kept() is { } kept)
        {
            return kept;
        }

        using var client = new SampleClient(new EnrolmentTemplate(target, key), trust, settings.Interval, settings.Timeout, userAgent, clock);
        var body = Enrolment.RequestOf(key.Current, MachineId(), HostName(), target.Slug);

        for (var failures = 1; !signals.Orderly.IsCancellationRequested; failures++)
        {
            var exchange = client.Post(body, signals.AtOnce);
            var granted = Enrolment.StepAfter(clock.GetUtcNow(), target.Host, exchange).Match<Settings?>(
                done: Keep,
                later: (delay, reason) =>
                {
                    log.Warning($"enrolment at {target.Host}: {reason}");

                    if (!settings.Once)
                    {
                        Pause(delay.IsSome ? delay.Value : Delivery.BackOff(settings.Interval, failures, Random.Shared.NextDouble()), signals);
                    }

                    return null;
                });

            if (granted is not null || settings.Once)
            {
                return granted;
            }
        }

        return null;
    }

    /// <summary>The settings with what an earlier run was granted; null for none.</summary>
    public Settings? Kept()
    {
        try
        {
            if (!File.Exists(place) || !File.Exists(tokenFile))
            {
                return null;
            }

            using var stream = PrivateFiles.Open(place, FileMode.Open, FileAccess.Read);
            var text = new byte[Longest];
            var enrolled = Enrolment.Decode(
                target.Host, text.AsMemory(0, stream.ReadAtLeast(text, text.Length, throwOnEndOfStream: false)));
            return enrolled.IsSome ? As(enrolled.Value) : null;
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            log.Warning($"enrolment: {error.Message}");
            return null;
        }
    }

    private Settings? Keep(Enrolled enrolled, Secret token)
    {
        try
        {
            PrivateFiles.MakeDirectory(target.Directory);
            PrivateFiles.CheckDirectory(target.Directory);
            Replace(tokenFile, Encoding.UTF8.GetBytes(token.Reveal()));
            Replace(place, Enrolment.Encode(target.Host, enrolled));
            _ = PrivateFiles.Sync(target.Directory);
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            // It would have to enrol again at the next start, and again: better to say so than to go on.
            log.Error($"enrolment: what {target.Host} granted cannot be kept: {error.Message}");
            return null;
        }

        log.Routine($"Enrolled at {target.Host} as {enrolled.Slug}.");
        return As(enrolled);
    }

    private Settings As(Enrolled enrolled) =>
        SettingsModule.EnrolledAs(enrolled.Slug, TokenOrigin.NewFile(tokenFile, "the token that enrolment granted"), enrolled.Labels, settings);

    /// <summary>Whole or not at all, whenever the power goes.</summary>
    private static void Replace(string path, byte[] content)
    {
        var partial = path + ".partial";
        File.Delete(partial);

        using (var file = PrivateFiles.Open(partial, FileMode.CreateNew, FileAccess.Write))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }

        File.Move(partial, path, overwrite: true);
    }

    private void Pause(TimeSpan delay, Signals signals)
    {
        var gate = new object();

        using (signals.Orderly.Register(() =>
        {
            lock (gate)
            {
                Monitor.PulseAll(gate);
            }
        }))
        {
            lock (gate)
            {
                if (!signals.Orderly.IsCancellationRequested)
                {
                    clock.Wait(gate, delay < Enrolment.LongestPause ? delay : Enrolment.LongestPause);
                }
            }
        }
    }

    /// <summary>machine-id(5); empty where there is none, as in many containers.</summary>
    private string MachineId() =>
        UserFile.Read(Path.Join(settings.RootFs, "etc", "machine-id")).Match(Enrolment.MachineIdOf, static _ => "");

    private string HostName() => settings.Hostname.Length > 0 ? settings.Hostname : Environment.MachineName;
}

/// <summary>The question for a name and a token.</summary>
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
