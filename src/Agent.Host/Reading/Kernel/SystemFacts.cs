using System.Runtime.InteropServices;
using System.Text;
using Agent.Core;
using Agent.Core.Proc;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the machine's slow facts: what it is, how full its file systems are, how it is addressed.</summary>
internal sealed partial class SystemFacts(string procfs, SysFiles sys, AgentClock clock)
{
    private readonly ReadBuffer buffer = new();
    private int coresOf = -1;
    private FaultyReading<FSharpValueOption<int>> cores = new(FSharpValueOption<int>.None, []);

    /// <summary>Everything but the partitions, which may hang and are read apart.</summary>
    public FaultyReading<SystemInfo> Read()
    {
        var names = UnameFields();
        var stat = Lines(Sources.Stat);
        var memory = Lines(Sources.Memory);
        var logical = stat.Match(static s => s.Cpus.Length, static _ => 0);

        if (logical != coresOf)
        {
            coresOf = logical;
            cores = sys.ReadPhysicalCores(logical);
        }

        var model = sys.ReadCpuName();
        var uptime = Proc("uptime", Uptime.Parse);
        var uptimeOrNone = uptime.Match(
            static seconds => FSharpValueOption<double>.NewValueSome(seconds),
            static _ => FSharpValueOption<double>.None);
        var isContained = KernelFiles.ReadOnce(ProcPaths.Mounts(procfs), buffer, Mounts.Parse)
            .Match(static mounts => Mounts.HasContainedUptime(mounts.Value), static _ => false);

        var info = new SystemInfo(
            osName: names[0],
            osRelease: names[2],
            osVersion: names[3],
            machine: names[4],
            libC: LibC(),
            cpuModel: model.Value,
            hostname: names[1],
            cpuCountLogical: stat.Match(static s => s.Online, static _ => FSharpValueOption<int>.None),
            cpuCountPhysical: cores.Value,
            memoryTotal: memory.Match(static m => m.Total, static _ => FSharpValueOption<ulong>.None),
            swapTotal: memory.Match(static m => m.SwapTotal, static _ => FSharpValueOption<ulong>.None),
            bootTime: SystemInfoModule.BootTime(clock.GetUtcNow(), uptimeOrNone, isContained, stat.Match(
                static known => FSharpValueOption<Stat.CpuStat>.NewValueSome(known),
                static _ => FSharpValueOption<Stat.CpuStat>.None)),
            uptime: uptimeOrNone,
            partitions: [],
            interfaces: InterfaceAddresses.Read());

        // What stat and meminfo lack is said where they are read at every sample.
        return new(info, SourceErrors.Together(
            model.Faults,
            cores.Faults,
            uptime.Match(static _ => (SourceError[])[], static error => error.IsAbsent ? [] : [error])));
    }

    private FSharpResult<T, SourceError> Lines<T>(FileSource<T> source) =>
        KernelFiles.ReadOnce(ProcPaths.Of(procfs, source), buffer, source.Parse).Select(static read => read.Value);

    private FSharpResult<T, SourceError> Proc<T>(string name, TextParser<T> parse) =>
        KernelFiles.ReadOnce(Path.Join(procfs, name), buffer, parse);

    /// <summary>uname(2): system, node, release, version, machine; each ends with a zero byte.</summary>
    private static string[] UnameFields()
    {
        const int Fields = 6;
        const int Width = 65;
        Span<byte> names = stackalloc byte[Fields * Width];

        if (Uname(ref MemoryMarshal.GetReference(names)) != 0)
        {
            return ["", "", "", "", ""];
        }

        var texts = new string[5];

        for (var i = 0; i < texts.Length; i++)
        {
            var field = names.Slice(i * Width, Width);
            texts[i] = Encoding.UTF8.GetString(field[..field.IndexOf((byte)0)]);
        }

        return texts;
    }

    private static string LibC()
    {
        try
        {
            return "glibc" + Marshal.PtrToStringUTF8(GnuGetLibcVersion());
        }
        catch (EntryPointNotFoundException)
        {
            // musl has no such function, and no version to ask for.
            return "";
        }
    }

    [LibraryImport("libc", EntryPoint = "uname")]
    private static partial int Uname(ref byte names);

    [LibraryImport("libc", EntryPoint = "gnu_get_libc_version")]
    private static partial nint GnuGetLibcVersion();
}
