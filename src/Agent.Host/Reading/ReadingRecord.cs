using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>The sources of one snapshot, in the order in which they are told.</summary>
internal enum FastSource
{
    /// <summary>/proc/stat</summary>
    Cpu,

    /// <summary>/proc/meminfo</summary>
    Memory,

    /// <summary>/proc/spl/kstat/zfs/arcstats</summary>
    Arc,

    /// <summary>/proc/loadavg</summary>
    Load,

    /// <summary>/proc/diskstats</summary>
    Disks,

    /// <summary>/proc/net/dev</summary>
    Network,

    /// <summary>The directories of /proc.</summary>
    Processes,

    /// <summary>/proc/pressure/cpu</summary>
    CpuPressure,

    /// <summary>/proc/pressure/io</summary>
    IoPressure,

    /// <summary>/proc/pressure/memory</summary>
    MemoryPressure,
}

/// <summary>
/// What metrics tell of a reading and a sample does not: the texts as they were, and what each source took. Used by the
/// sampling thread alone; kept only where metrics are exported.
/// </summary>
internal sealed class ReadingRecord
{
    private static readonly string[] Names =
    [
        "cpu", "memory", "zfs-arc", "load", "disks", "network", "processes", "cpu-pressure", "io-pressure", "memory-pressure",
    ];

    private readonly TimeSpan[] durations = new TimeSpan[Names.Length];
    private readonly ReadOnlyMemory<byte>[] texts = new ReadOnlyMemory<byte>[Names.Length];

    /// <summary>The texts of the newest reading.</summary>
    public KernelTexts Texts => new(
        stat: texts[(int)FastSource.Cpu],
        memory: texts[(int)FastSource.Memory],
        disks: texts[(int)FastSource.Disks],
        network: texts[(int)FastSource.Network]);

    /// <summary>Keeps the text of a source that metrics need whole.</summary>
    public void Keep(FastSource source, ReadOnlySpan<byte> text) =>
        texts[(int)source] = source is FastSource.Cpu or FastSource.Memory or FastSource.Disks or FastSource.Network
            ? text.ToArray()
            : default;

    /// <summary>Keeps what a source took.</summary>
    public void Took(FastSource source, TimeSpan duration) => durations[(int)source] = duration;

    /// <summary>How each source fared; one that this machine lacks and may lack is not among them.</summary>
    public SourceState[] States(Snapshot snapshot) =>
    [
        .. State(FastSource.Cpu, snapshot.Stat, needed: true),
        .. State(FastSource.Memory, snapshot.Memory, needed: true),
        .. State(FastSource.Arc, snapshot.Arc, needed: false),
        .. State(FastSource.Load, snapshot.Load, needed: true),
        .. State(FastSource.Disks, snapshot.Disks, needed: true),
        .. State(FastSource.Network, snapshot.Network, needed: true),
        .. State(FastSource.Processes, snapshot.Processes, needed: true),
        .. State(FastSource.CpuPressure, snapshot.CpuPressure, needed: false),
        .. State(FastSource.IoPressure, snapshot.IoPressure, needed: false),
        .. State(FastSource.MemoryPressure, snapshot.MemoryPressure, needed: false),
    ];

    private SourceState[] State<T>(FastSource source, FSharpResult<T, SourceError> reading, bool needed) =>
        needed || reading.IsOk || !reading.ErrorValue.IsAbsent
            ?
            [
                new SourceState(
                    Names[(int)source],
                    reading.IsOk,
                    FSharpValueOption<TimeSpan>.NewValueSome(durations[(int)source])),
            ]
            : [];
}
