using Agent.Core;
using Agent.Sender;
using Agent.Host.Reading;
using Microsoft.FSharp.Core;

namespace Agent.Host.Service;

/// <summary>
/// Says which sources cannot be read: once when it begins, once when it ends. Counts failures. Runs on the sampling
/// thread alone.
/// </summary>
/// <param name="settings">Names the disks and interfaces that the user wants.</param>
/// <param name="slowFaults">What the slow sources could not read.</param>
/// <param name="log">Where to say it.</param>
internal sealed class SourceWatch(Settings settings, Func<SourceError[]> slowFaults, Log log)
{
    // How each source of the snapshot failed at the last sample; empty for not at all.
    private readonly string[] broken = [.. Sources.All.Select(static _ => "")];
    private HashSet<string> slowBroken = new(StringComparer.Ordinal);
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

        ObserveParts(snapshot.Faults);

        if (!namesChecked)
        {
            namesChecked = true;
            CheckNames(snapshot);
        }
    }

    private void Observe(Source source, ref string before, FSharpValueOption<SourceError> failure)
    {
        if (failure.IsNone && before.Length == 0)
        {
            return;
        }

        // One state for each kind of failure: the raw text of a garbled file may differ at every sample.
        var state = failure.IsNone ? "" : failure.Value.Match(_ => "absent", (_, reason) => Repetition.Gist(reason), _ => "garbled");
        var isFault = state.Length > 0 && (source.IsNeeded || state != "absent");
        Failures += isFault ? 1 : 0;

        if (before == state)
        {
            return;
        }

        before = state;

        if (isFault)
        {
            log.Lost($"no {source.What}: {failure.Value}");
        }
        else if (state.Length > 0)
        {
            log.Debug($"no {source.What}: {failure.Value}");
        }
        else
        {
            log.Info($"{source.What}: can be read again");
        }
    }

    /// <summary>Slow sources, and lines of fast ones: what costs a part of the readings and not a source of the snapshot.</summary>
    private void ObserveParts(ParseError[] lines)
    {
        var faults = slowFaults();

        if (lines.Length > 0)
        {
            faults = [.. lines.Select(SourceError.NewGarbled), .. faults];
        }

        if (faults.Length == 0 && slowBroken.Count == 0)
        {
            return;
        }

        var now = new HashSet<string>(StringComparer.Ordinal);

        foreach (var fault in faults)
        {
            var source = fault.Match(static path => path, static (path, _) => path, static error => error.Source + " " + error.Field);
            Failures++;

            if (now.Add(source) && !slowBroken.Contains(source))
            {
                log.Lost(fault.ToString());
            }
        }

        foreach (var source in slowBroken)
        {
            if (!now.Contains(source))
            {
                log.Info($"{source}: can be read again");
            }
        }

        slowBroken = now;
    }

    private void CheckNames(Snapshot snapshot)
    {
        if (snapshot.Disks.IsOk)
        {
            var disks = snapshot.Disks.ResultValue;
            var blocks = snapshot.Slow.Devices.Blocks;
            Missing("--disks", Devices.SelectDisks(blocks, settings.Disks, disks).Missing, [.. disks.Select(static d => d.Device)]);

            if (Diagnosis.DiskAdvice(blocks, settings.Disks, disks) is { Length: > 0 } advice)
            {
                log.Warning($"advice: {advice}");
            }
        }

        if (snapshot.Network.IsOk)
        {
            var interfaces = snapshot.Network.ResultValue;
            Missing(
                "--interfaces",
                Devices.SelectInterfaces(settings.Interfaces, interfaces).Missing,
                [.. interfaces.Select(static i => i.Name)]);
        }
    }

    private void Missing(string flag, string[] missing, string[] present)
    {
        if (missing.Length > 0)
        {
            log.Warning($"{flag}: this machine has no {string.Join(", ", missing)}; it has {string.Join(", ", present)}");
        }
    }
}
