using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Service;

/// <summary>
/// Says which sources cannot be read: once when it begins, once when it ends. Counts failures. Runs on the sampling
/// thread alone.
/// </summary>
/// <param name="settings">Names the disks and interfaces that the user wants.</param>
/// <param name="slowFaults">What the slow sources could not read.</param>
/// <param name="log">Where to say it.</param>
internal sealed class SourceWatch(Settings settings, Func<IEnumerable<SourceError>> slowFaults, Log log)
{
    private readonly Dictionary<string, string> broken = new(StringComparer.Ordinal);
    private HashSet<string> slowBroken = new(StringComparer.Ordinal);
    private bool namesChecked;

    /// <summary>Readings of any source that failed since the start; a source that is absent does not count.</summary>
    public long Failures { get; private set; }

    /// <summary>Looks at one snapshot.</summary>
    public void Observe(Snapshot snapshot)
    {
        Observe("CPU times", snapshot.Stat, needed: true);
        Observe("memory", snapshot.Memory, needed: true);
        Observe("load averages", snapshot.Load, needed: true);
        Observe("disk counters", snapshot.Disks, needed: true);
        Observe("network counters", snapshot.Network, needed: true);
        Observe("process count", snapshot.Processes, needed: true);
        Observe("CPU pressure", snapshot.CpuPressure, needed: false);
        Observe("I/O pressure", snapshot.IoPressure, needed: false);
        Observe("memory pressure", snapshot.MemoryPressure, needed: false);
        ObserveSlow();

        if (!namesChecked)
        {
            namesChecked = true;
            CheckNames(snapshot);
        }
    }

    private void Observe<T>(string what, FSharpResult<T, SourceError> reading, bool needed)
    {
        // One state for each kind of failure: the raw text of a garbled file may differ at every sample.
        var state = reading.IsOk ? "" : reading.ErrorValue.Match(_ => "absent", (_, reason) => reason, _ => "garbled");
        var isFault = state.Length > 0 && (needed || state != "absent");
        Failures += isFault ? 1 : 0;

        if (broken.GetValueOrDefault(what, "") == state)
        {
            return;
        }

        broken[what] = state;

        if (isFault)
        {
            log.Lost($"no {what}: {reading.ErrorValue}");
        }
        else if (state.Length > 0)
        {
            log.Debug($"no {what}: {reading.ErrorValue}");
        }
        else
        {
            log.Info($"{what}: can be read again");
        }
    }

    private void ObserveSlow()
    {
        var now = new HashSet<string>(StringComparer.Ordinal);

        foreach (var fault in slowFaults())
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
            Missing("--disks", Devices.SelectDisks(settings.Disks, disks).Missing, [.. disks.Select(static d => d.Device)]);
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
