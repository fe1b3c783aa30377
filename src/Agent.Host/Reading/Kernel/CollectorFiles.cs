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
    private readonly Collector[] collectors;
    private readonly string[] names;
    private readonly MountProbes<CollectorReading> probes;
    private SharedListings listings = new();

    /// <summary>The files of the collectors that the settings name.</summary>
    public CollectorFiles(Settings settings, CollectorPace pace, AgentClock clock)
    {
        collectors = Array.FindAll(Collectors.All, IsWanted);
        names = Array.ConvertAll(collectors, static collector => collector.Name);
        var readers = Array.ConvertAll(collectors, one => new CollectorReader(one, settings, pace, clock));
        probes = new(
            clock,
            name => FSharpResult<CollectorReading, SourceError>.NewOk(readers[Array.IndexOf(names, name)].Read(Volatile.Read(ref listings))));

        bool IsWanted(Collector collector) =>
            (settings.Collectors is { IsSome: true, Value: var names } ? names.Contains(collector.Name) : collector.IsDefault)
            && (settings.TextfileDirectory.Length > 0 || !collector.Sets[0].Root.IsTextfile);
    }

    /// <summary>What all of them say now, until the next reading; one that does not answer has read nothing.</summary>
    public CollectorReading[] Read()
    {
        // A new one each time: a thread that hangs in a directory must not leave what it finds there to a later reading.
        Volatile.Write(ref listings, new SharedListings());
        var answers = probes.Ask(names);
        var readings = new CollectorReading[collectors.Length];

        for (var i = 0; i < readings.Length; i++)
        {
            readings[i] = answers[i].IsOk ? answers[i].ResultValue : new(collectors[i], [], MountProbes<CollectorReading>.Limit);
        }

        return readings;
    }
}

/// <summary>What a collector keeps from reading to reading.</summary>
/// <param name="mostOpen">So many files of each collector are kept open.</param>
/// <param name="steadyFor">What files say that hardly ever change counts for so long.</param>
internal sealed class CollectorPace(int mostOpen, TimeSpan steadyFor)
{
    /// <summary>
    /// For samples. Only the files of interfaces, CPUs and adapters are more than a few; a service may have 1024 open by default, most of which are for jobs.
    /// </summary>
    public static readonly CollectorPace Samples = new(40, TimeSpan.FromMinutes(1));

    /// <summary>For scrapes, each of which may be the last for a minute, and has what the files say when it comes.</summary>
    public static readonly CollectorPace Scrapes = new(4, TimeSpan.Zero);

    /// <summary>So many files of each collector are kept open.</summary>
    public int MostOpen => mostOpen;

    /// <summary>What files say that hardly ever change counts for so long.</summary>
    public TimeSpan SteadyFor => steadyFor;
}

/// <summary>Directories as they were listed for one reading: several collectors ask for the same. Safe for all threads.</summary>
internal sealed class SharedListings
{
    private readonly Dictionary<string, string[]> known = [];

    /// <summary>The paths of all entries, sorted; empty where the directory cannot be read.</summary>
    public string[] In(string directory)
    {
        lock (known)
        {
            if (known.TryGetValue(directory, out var listed))
            {
                return listed;
            }
        }

        // Not under the lock: a directory that does not answer costs its own collector.
        var found = DirectoryEntries.In(directory);

        lock (known)
        {
            known[directory] = found;
        }

        return found;
    }
}
