using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// Reads the files of collectors, when metrics are asked for. A driver that hangs costs its own collector: it keeps its thread until it
/// answers, and is not asked again before that. Used by one thread.
/// </summary>
internal sealed class CollectorFiles
{
    /// <summary>
    /// So many files of each collector are kept open for the next sample. Only those of interfaces, CPUs and adapters are more than a few; a service may
    /// have 1024 open by default, most of which are for jobs.
    /// </summary>
    public const int MostOpenForSamples = 40;

    /// <summary>And for the next scrape, which may be the last for a minute.</summary>
    public const int MostOpenForScrapes = 4;

    private readonly Collector[] collectors;
    private readonly MountProbes<CollectorReading> probes;

    /// <summary>The files of the collectors that the settings name.</summary>
    public CollectorFiles(Settings settings, int mostOpen, AgentClock clock)
    {
        collectors = Array.FindAll(Collectors.All, IsWanted);
        var readers = Array.ConvertAll(collectors, one => new CollectorReader(one, settings, mostOpen, clock));
        probes = new(
            clock, name => FSharpResult<CollectorReading, SourceError>.NewOk(Array.Find(readers, one => one.Name == name)!.Read()));

        bool IsWanted(Collector collector) =>
            (settings.Collectors is { IsSome: true, Value: var names } ? names.Contains(collector.Name) : collector.IsDefault)
            && (settings.TextfileDirectory.Length > 0 || !collector.Sets[0].Root.IsTextfile);
    }

    /// <summary>What all of them say now; one that does not answer has read nothing.</summary>
    public CollectorReading[] Read()
    {
        var answers = probes.Ask(collectors.Select(static collector => collector.Name));

        return
        [
            .. collectors.Select((collector, index) =>
                answers[index].IsOk ? answers[index].ResultValue : new CollectorReading(collector, [], MountProbes<CollectorReading>.Limit)),
        ];
    }
}
