using Agent.Core;
using Agent.Outbound;
using Agent.Core.Proc;
using Agent.Sender;
using Agent.Host.Reading;
using Microsoft.FSharp.Core;

namespace Agent.Host.Service;

/// <summary>
/// Says which sources cannot be read: once when it begins, once when it ends, and of what comes and goes one line in ten minutes.
/// Counts failures. Runs on the sampling thread alone.
/// </summary>
/// <param name="settings">Names the disks and interfaces that the user wants.</param>
/// <param name="slowFaults">What the slow sources could not read.</param>
/// <param name="isGone">Whether what such a fault was about has not been read since.</param>
/// <param name="clock">Says what is the same fault again.</param>
/// <param name="log">Where to say it.</param>
internal sealed class SourceWatch(
    Settings settings, Func<SourceError[]> slowFaults, Func<SourceError, bool> isGone, AgentClock clock, Log log)
{
    /// <summary>More parts of readings than this are not remembered one by one.</summary>
    private const int MostParts = 256;

    private const string Again = "can be read again";
    private const string Gone = "is gone, or has no value now";

    private readonly SampleOptions options = new(settings.Disks, settings.Interfaces, settings.CpuWindow);

    // How each source of the snapshot fares.
    private readonly Recurrence[] broken = [.. Sources.All.Select(static _ => RecurrenceModule.None)];
    private readonly Dictionary<string, Part> parts = new(StringComparer.Ordinal);
    private readonly HashSet<string> surplus = new(StringComparer.Ordinal);
    private bool namesChecked;

    /// <summary>Readings of any source that failed since the start; a source that is absent does not count.</summary>
    public long Failures { get; private set; }

    /// <summary>Looks at one snapshot.</summary>
    public void Observe(Snapshot snapshot)
    {
        for (var i = 0; i < broken.Length; i++)
        {
            Observe(Sources.All[i], ref broken[i], Sources.All[i].FailureIn(snapshot));
        }

        ObserveParts(snapshot);

        if (!namesChecked)
        {
            namesChecked = true;
            CheckNames(snapshot);
        }

        foreach (var sentence in SampleModule.Surplus(options, snapshot))
        {
            if (surplus.Add(sentence[..sentence.IndexOf(':')]))
            {
                log.Warning(sentence);
            }
        }
    }

    private void Observe(Source source, ref Recurrence fault, FSharpValueOption<SourceError> failure)
    {
        if (failure.IsNone && RecurrenceModule.IsForgotten(fault))
        {
            return;
        }

        // One state for each kind of failure: the raw text of a garbled file may differ at every sample.
        var state = failure.IsNone ? "" : failure.Value.Match(_ => "absent", (_, reason) => Gist.OfMessage(reason), _ => "garbled");
        var isFault = state.Length > 0 && (source.IsNeeded || state != "absent");
        Failures += isFault ? 1 : 0;
        (fault, var news) = RecurrenceModule.Observe(clock.Elapsed, state, fault);

        if (state.Length == 0 || isFault)
        {
            Say(news, source.What, isFault ? $"no {source.What}: {failure.Value}" : "");
        }
        else if (!news.IsNone)
        {
            log.Debug($"no {source.What}: {failure.Value}");
        }
    }

    /// <summary>Slow sources, and lines of fast ones: what costs a part of the readings and not a source of the snapshot.</summary>
    private void ObserveParts(Snapshot snapshot)
    {
        var lines = snapshot.Faults;
        var faults = slowFaults();

        if (lines.Length > 0)
        {
            faults = [.. lines.Select(SourceError.NewGarbled), .. faults];
        }

        if (faults.Length == 0 && parts.Count == 0)
        {
            return;
        }

        var now = new Dictionary<string, SourceError>(StringComparer.Ordinal);

        foreach (var fault in faults)
        {
            var part = fault.Match(static path => path, static (path, _) => path, static error => error.Source + " " + error.Field);
            Failures++;
            now.TryAdd(part, fault);
        }

        foreach (var name in now.Keys)
        {
            if (parts.Count < MostParts)
            {
                parts.TryAdd(name, new Part(now[name]));
            }
        }

        foreach (var name in (string[])[.. parts.Keys])
        {
            var part = parts[name];
            var isBroken = now.TryGetValue(name, out var error);
            part.Error = isBroken ? error! : part.Error;
            (part.Fault, var news) = RecurrenceModule.Observe(clock.Elapsed, isBroken ? "broken" : "", part.Fault);

            if (!news.IsNone)
            {
                Say(news, name, part.Error.ToString(), !isBroken && IsGone(part.Error, snapshot) ? Gone : Again);
            }

            if (RecurrenceModule.IsForgotten(part.Fault))
            {
                parts.Remove(name);
            }
        }
    }

    private bool IsGone(SourceError fault, Snapshot snapshot) =>
        isGone(fault)
        || fault.Match(static _ => false, static (_, _) => false, error => SnapshotModule.HasLost(error, snapshot));

    private void Say(FaultNews news, string what, string fault, string end = Again)
    {
        switch (news)
        {
            case { IsLost: true }:
                log.Lost(fault);
                break;
            case { IsLostAgain: true, times: var times }:
                log.Lost($"{fault} ({Times(times)} since this was last said)");
                break;
            case { IsOver: true }:
                log.Info($"{what}: {end}");
                break;
            case { IsOverAgain: true, returns: var times }:
                log.Info($"{what}: comes and goes, failed {Times(times)} since this was last said and {end}");
                break;
        }

        static string Times(int count) => count == 1 ? "once" : $"{count} times";
    }

    private void CheckNames(Snapshot snapshot)
    {
        if (snapshot.Disks.IsOk)
        {
            var disks = snapshot.Disks.ResultValue;
            var blocks = snapshot.Slow.Devices.Blocks;
            Missing(
                "--disks",
                DiskStats.Source,
                Devices.SelectDisks(blocks, settings.Disks, disks).Missing,
                [.. disks.Select(static d => d.Device)],
                snapshot.Faults);

            if (DeviceDiagnosis.DiskAdvice(blocks, settings.Disks, disks) is { Length: > 0 } advice)
            {
                log.Warning($"advice: {advice}");
            }
        }

        if (snapshot.Network.IsOk)
        {
            var interfaces = snapshot.Network.ResultValue;
            Missing(
                "--interfaces",
                NetDev.Source,
                Devices.SelectInterfaces(settings.Interfaces, interfaces).Missing,
                [.. interfaces.Select(static i => i.Name)],
                snapshot.Faults);
        }
    }

    private void Missing(string flag, string source, string[] missing, string[] present, ParseError[] faults)
    {
        var unreadable = missing.Where(name => Array.Exists(faults, fault => fault.IsOf(source, name))).ToArray();
        var absent = missing.Except(unreadable).ToArray();

        if (unreadable.Length > 0)
        {
            log.Warning($"{flag}: {string.Join(", ", unreadable)}: there, but with a line in {source} that cannot be read, so not in the samples");
        }

        if (absent.Length > 0)
        {
            log.Warning($"{flag}: this machine has no {string.Join(", ", absent)}; it has {string.Join(", ", present)}");
        }
    }

    /// <summary>A part of the readings that fails or may fail again, and how it did when it last did.</summary>
    private sealed class Part(SourceError error)
    {
        public Recurrence Fault { get; set; } = RecurrenceModule.None;

        public SourceError Error { get; set; } = error;
    }
}
