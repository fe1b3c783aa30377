using Agent.Core;
using Agent.Core.Gpu;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// The GPUs that the driver reported before and no longer does. One that the kernel does not list any more was taken out, or given to a virtual
/// machine, and is not lost.
/// </summary>
/// <param name="sysfs">Where /sys is.</param>
internal sealed class LostGpus(string sysfs)
{
    private Gpu[] known = [];
    private Gpu[] lost = [];

    /// <summary>Those that are lost by this reading; by the one before where there is none.</summary>
    public Gpu[] Find(GpuReading? newest)
    {
        if (newest is null)
        {
            return lost;
        }

        lost = [.. GpuLooks.Missing(known, newest.Gpus).Where(IsListed)];
        known = [.. newest.Gpus, .. lost];
        return lost;
    }

    // NVML writes the domain with eight digits and in capitals, the kernel with four and in small letters.
    private bool IsListed(Gpu gpu)
    {
        var devices = Path.Join(sysfs, "bus/pci/devices");
        var place = gpu.PciBusId.ToLowerInvariant();
        place = place.StartsWith("0000", StringComparison.Ordinal) && place.IndexOf(':') == 8 ? place[4..] : place;
        return place.Length == 0 || !Directory.Exists(devices) || Directory.Exists(Path.Join(devices, place));
    }
}

/// <summary>What a container's interfaces received.</summary>
internal static class ContainerNetwork
{
    /// <summary>All but its loopback; none where its interfaces are the machine's.</summary>
    public static FSharpValueOption<ulong> Received(SmallFiles files, string procfs, int pid)
    {
        var own = files.Read($"{procfs}/{pid}/net/dev", NetDev.Parse);
        var machine = files.Read(ProcPaths.Of(procfs, Sources.Network), NetDev.Parse);

        if (!own.IsOk || !machine.IsOk || NamesOf(own.ResultValue.Value).SequenceEqual(NamesOf(machine.ResultValue.Value)))
        {
            return FSharpValueOption<ulong>.None;
        }

        var received = own.ResultValue.Value.Where(static one => one.Name != "lo").Aggregate(0UL, static (sum, one) => unchecked(sum + one.Received.Bytes));
        return FSharpValueOption<ulong>.NewValueSome(received);
    }

    private static IEnumerable<string> NamesOf(NetDev.InterfaceCounters[] interfaces) => interfaces.Select(static one => one.Name);
}
