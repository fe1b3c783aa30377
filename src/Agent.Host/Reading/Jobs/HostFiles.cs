using Agent.Core;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>What the machine as a whole counts, for what holds its jobs back. Read beside the sampling, at other times than a sample.</summary>
internal sealed class HostFiles : IDisposable
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private readonly string procfs;
    private readonly string sysfs;
    private readonly AgentClock clock;
    private readonly ReadBuffer buffer = new();
    private readonly KernelFile stat;
    private readonly KernelFile load;
    private readonly KernelFile cpuPressure;
    private readonly KernelFile ioPressure;
    private readonly KernelFile memoryPressure;
    private readonly KernelFile memory;
    private readonly KernelFile arc;
    private readonly KernelFile vm;
    private readonly KernelFile disks;
    private readonly KernelFile network;
    private readonly FabricFiles fabric;
    private readonly NetworkStorageFiles storage;
    private TimeSpan? lookedAt;
    private (string Name, double Speed)[] speeds = [];
    private (string Name, double Speed)[] portSpeeds = [];
    private bool isContained;

    /// <summary>The files below these directories.</summary>
    public HostFiles(string procfs, string sysfs, AgentClock clock)
    {
        this.procfs = procfs;
        this.sysfs = sysfs;
        this.clock = clock;
        stat = Of(Sources.Stat);
        load = Of(Sources.Load);
        cpuPressure = Of(Sources.CpuPressure);
        ioPressure = Of(Sources.IoPressure);
        memoryPressure = Of(Sources.MemoryPressure);
        memory = Of(Sources.Memory);
        arc = Of(Sources.Arc);
        // No sample has it, so it has no row there.
        vm = At(Path.Join(procfs, "vmstat"));
        disks = Of(Sources.Disks);
        network = Of(Sources.Network);
        fabric = new FabricFiles(sysfs, () => clock.Elapsed);
        storage = new NetworkStorageFiles(procfs, sysfs, () => clock.Elapsed);

        KernelFile Of(Source source) => At(ProcPaths.Of(procfs, source));

        KernelFile At(string path) => new(path, () => clock.Elapsed);
    }

    /// <summary>Everything at this instant. What a machine may lack is left out silently; what cannot be read or understood is a fault.</summary>
    public HostCounters Read(List<SourceError> faults)
    {
        if (lookedAt is null || clock.Elapsed - lookedAt > LookAgain)
        {
            lookedAt = clock.Elapsed;
            FindSpeeds(faults);
            isContained = KernelFiles.ReadOnce(ProcPaths.Mounts(procfs), buffer, Mounts.Parse)
                .Match(static mounts => Mounts.HasContainedMemInfo(mounts.Value), static _ => false);
        }

        return new HostCounters(
            stat: Lines(stat, Sources.Stat.Parse, faults),
            runnable: Value(load, LoadAvg.Runnable, faults),
            cpuPressure: Lines(cpuPressure, Sources.CpuPressure.Parse, faults),
            ioPressure: Lines(ioPressure, Sources.IoPressure.Parse, faults),
            memoryPressure: Lines(memoryPressure, Sources.MemoryPressure.Parse, faults),
            memory: Lines(memory, Sources.Memory.Parse, faults),
            // In a container of LXC the cache is the host's, beside a memory of its own.
            arc: isContained ? FSharpValueOption<ArcStats.Arc>.None : Lines(arc, Sources.Arc.Parse, faults),
            vm: Value(vm, VmStat.Parse, faults),
            disks: Lines(disks, Sources.Disks.Parse, faults) is { IsSome: true, Value: var lines } ? lines : [],
            interfaces: Lines(network, Sources.Network.Parse, faults) is { IsSome: true, Value: var interfaces } ? interfaces : [],
            speeds: [.. speeds],
            ports: fabric.Read(buffer),
            portSpeeds: [.. portSpeeds],
            networkMounts: storage.Read(faults));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in (KernelFile[])[stat, load, cpuPressure, ioPressure, memoryPressure, memory, arc, vm, disks, network])
        {
            file.Dispose();
        }
    }

    private FSharpValueOption<T> Value<T>(KernelFile file, TextParser<T> parse, List<SourceError> faults)
    {
        var read = file.Read(buffer, parse);

        if (read.IsOk)
        {
            return FSharpValueOption<T>.NewValueSome(read.ResultValue);
        }

        if (!read.ErrorValue.IsAbsent)
        {
            faults.Add(read.ErrorValue);
        }

        return FSharpValueOption<T>.None;
    }

    private FSharpValueOption<T> Lines<T>(KernelFile file, TextParser<Parsed<T>> parse, List<SourceError> faults)
    {
        var read = Value(file, parse, faults);

        if (read.IsSome)
        {
            faults.AddRange(read.Value.Faults.Select(SourceError.NewGarbled));
        }

        return read.IsSome ? FSharpValueOption<T>.NewValueSome(read.Value.Value) : FSharpValueOption<T>.None;
    }

    private void FindSpeeds(List<SourceError> faults)
    {
        speeds =
        [
            .. from directory in SysFiles.Directories(Path.Join(sysfs, "class/net"))
               let speed = Speed(LinkSpeed.OfInterface(KernelFiles.ReadText(Path.Join(directory, "speed"), buffer)), faults)
               where speed is not null
               select (Path.GetFileName(directory), speed.Value),
        ];

        portSpeeds =
        [
            .. from device in SysFiles.Directories(Path.Join(sysfs, "class/infiniband"))
               from port in SysFiles.Directories(Path.Join(device, "ports"))
               let speed = Speed(LinkSpeed.OfPort(KernelFiles.ReadText(Path.Join(port, "rate"), buffer)), faults)
               where speed is not null
               select ($"{Path.GetFileName(device)}/{Path.GetFileName(port)}", speed.Value),
        ];
    }

    private static double? Speed(FSharpResult<FSharpValueOption<double>, SourceError> read, List<SourceError> faults)
    {
        if (!read.IsOk)
        {
            faults.Add(read.ErrorValue);
            return null;
        }

        return read.ResultValue.IsSome ? read.ResultValue.Value : null;
    }
}
