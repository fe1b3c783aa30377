using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// What metrics tell of a reading and a sample does not: the text of /proc/meminfo as it was, and what each source took. Used by
/// the sampling thread alone; kept only where metrics are exported.
/// </summary>
internal sealed class ReadingRecord
{
    private readonly Dictionary<Source, TimeSpan> durations = [];

    /// <summary>/proc/meminfo of the newest reading.</summary>
    public ReadOnlyMemory<byte> MemoryText { get; private set; }

    /// <summary>Keeps the text of a source that metrics need whole.</summary>
    public void Keep(Source source, ReadOnlySpan<byte> text)
    {
        if (ReferenceEquals(source, Sources.Memory))
        {
            MemoryText = text.ToArray();
        }
    }

    /// <summary>Keeps what a source took.</summary>
    public void Took(Source source, TimeSpan duration) => durations[source] = duration;

    /// <summary>How each source fared; one that this machine lacks and may lack is not among them.</summary>
    public SourceState[] States(Snapshot snapshot) =>
    [
        .. from source in Sources.All
           let failure = source.FailureIn(snapshot)
           where failure.IsNone || source.IsNeeded || !failure.Value.IsAbsent
           select new SourceState(
               source.Name, failure.IsNone, FSharpValueOption<TimeSpan>.NewValueSome(durations.GetValueOrDefault(source))),
    ];
}
