using Agent.Host.Reading.Jobs;
using Agent.Sender;

namespace Agent.Host.Reading;

/// <summary>The files of one set, in every directory of its shape. Used by one thread at a time.</summary>
/// <param name="set">The shape and the files.</param>
/// <param name="root">The directory that its root is here.</param>
/// <param name="means">What reads the files.</param>
internal sealed class CollectorPlaces(FileSet set, string root, CollectorMeans means)
{
    /// <summary>At most so many directories of one shape are read; of a machine with more interfaces or threads only these are reported.</summary>
    public const int MostDirectories = 65536;

    // What stands between the stars of the shape.
    private readonly string[] parts = Array.ConvertAll(set.Directory.Split('*'), static part => part.Trim('/'));
    private readonly string first = Path.Join(root, set.Directory.Split('*')[0].Trim('/'));
    private readonly Dictionary<string, CollectorPlace> known = [];
    private int round;
    private int visited;
    private int read;

    /// <summary>Adds what the files say now.</summary>
    public void Read(List<FileText> texts, SharedListings listings)
    {
        round++;
        visited = 0;
        read = 0;

        if (parts.Length == 1)
        {
            ReadPlace(first, [], texts);
        }
        else
        {
            foreach (var entry in listings.In(first))
            {
                Enter(entry, 1, [], texts);
            }
        }

        if (read < known.Count)
        {
            // A dictionary may lose entries while it is walked through.
            foreach (var (entry, place) in known)
            {
                if (place.Round != round)
                {
                    place.Dispose();
                    known.Remove(entry);
                }
            }
        }
    }

    /// <summary>Looks below what a star stands for; the names are those of the stars before it.</summary>
    private void Enter(string entry, int part, string[] names, List<FileText> texts)
    {
        if (++visited > MostDirectories)
        {
            return;
        }

        if (part == parts.Length - 1)
        {
            ReadPlace(entry, names, texts);
            return;
        }

        string[] its = [.. names, Path.GetFileName(entry)];

        foreach (var below in DirectoryEntries.In(Path.Join(entry, parts[part])))
        {
            Enter(below, part + 1, its, texts);
        }
    }

    private void ReadPlace(string entry, string[] names, List<FileText> texts)
    {
        if (!known.TryGetValue(entry, out var place))
        {
            place = parts.Length > 1
                ? new CollectorPlace(Path.Join(entry, parts[^1]), [.. names, Path.GetFileName(entry)], set, means)
                : new CollectorPlace(entry, names, set, means);
            known[entry] = place;
        }

        place.Round = round;
        read++;
        place.Read(texts);
    }
}

/// <summary>What reads the files of a collector.</summary>
/// <param name="files">Of files that are read each time.</param>
/// <param name="steadyFiles">Of files that hardly ever change.</param>
/// <param name="steadyFor">What those say counts for so long, unless another file of their directory says something new.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class CollectorMeans(SmallFiles files, SmallFiles steadyFiles, TimeSpan steadyFor, AgentClock clock)
{
    /// <summary>Of files that are read each time.</summary>
    public SmallFiles Files => files;

    /// <summary>Of files that hardly ever change.</summary>
    public SmallFiles SteadyFiles => steadyFiles;

    /// <summary>What those say counts for so long, unless another file of their directory says something new.</summary>
    public TimeSpan SteadyFor => steadyFor;

    /// <summary>The monotonic clock.</summary>
    public AgentClock Clock => clock;
}

/// <summary>The files of one directory.</summary>
internal sealed class CollectorPlace : IDisposable
{
    private readonly CollectorFile[] files;
    private readonly CollectorFile[] steady;
    private readonly CollectorMeans means;
    private TimeSpan steadyUntil;

    /// <summary>Those of a set.</summary>
    /// <param name="directory">Where they lie.</param>
    /// <param name="names">What the stars of its shape stand for.</param>
    /// <param name="set">The files.</param>
    /// <param name="means">What reads them.</param>
    public CollectorPlace(string directory, string[] names, FileSet set, CollectorMeans means)
    {
        this.means = means;
        files = Array.ConvertAll(set.Files, file => new CollectorFile(directory, names, file, means.Files));
        steady = Array.ConvertAll(set.Steady, file => new CollectorFile(directory, names, file, means.SteadyFiles));
    }

    /// <summary>The reading that saw the directory last.</summary>
    public int Round { get; set; }

    /// <summary>Adds what the files say now.</summary>
    public void Read(List<FileText> texts)
    {
        var now = means.Clock.Elapsed;
        var isDue = now >= steadyUntil;

        foreach (var file in files)
        {
            isDue |= file.Read(now);
            Add(file);
        }

        foreach (var file in steady)
        {
            if (isDue)
            {
                file.Read(now);
            }

            Add(file);
        }

        if (isDue)
        {
            steadyUntil = now + means.SteadyFor;
        }

        void Add(CollectorFile file)
        {
            if (file.Text is { } text)
            {
                texts.Add(text);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Array.ForEach(files, static file => file.Dispose());
        Array.ForEach(steady, static file => file.Dispose());
    }
}
