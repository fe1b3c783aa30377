using System.Globalization;
using System.Text;
using Agent.Core;
using Agent.Core.Sys;
using Agent.Host.Reading.Jobs;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// Reads the files of one collector, again and again: what can stay open does, and what is not there is looked for once a minute. Used by
/// one thread at a time.
/// </summary>
/// <param name="collector">What to read.</param>
/// <param name="settings">Where it lies.</param>
/// <param name="mostOpen">So many files are kept open.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class CollectorReader(Collector collector, Settings settings, int mostOpen, AgentClock clock)
{
    /// <summary>So many directories of one shape are looked at; a machine with more interfaces or threads tells of these.</summary>
    public const int MostDirectories = 65536;

    /// <summary>So many files of other programs are read.</summary>
    public const int MostTextFiles = 256;

    /// <summary>No more is read of one file, in bytes.</summary>
    private const int LongestFile = 4 * 1024 * 1024;

    private readonly SmallFiles files = new(LongestFile, mostOpen);
    private readonly Dictionary<string, CollectorFile[]>[] known = Array.ConvertAll(collector.Sets, static _ => new Dictionary<string, CollectorFile[]>());

    /// <summary>The collector's name.</summary>
    public string Name => collector.Name;

    /// <summary>What the files say now.</summary>
    public CollectorReading Read()
    {
        var begin = clock.Elapsed;
        var texts = new List<FileText>();

        for (var i = 0; i < collector.Sets.Length; i++)
        {
            Read(collector.Sets[i], i, texts);
        }

        return new CollectorReading(collector, [.. texts], clock.Elapsed - begin);
    }

    private void Read(FileSet set, int index, List<FileText> texts)
    {
        if (set.Root.IsTextfile)
        {
            texts.AddRange(TextFiles());
        }
        else if (set.Root.IsSensors)
        {
            foreach (var chip in SysFiles.Directories(Path.Join(settings.SysFs, "class/hwmon")))
            {
                texts.AddRange(Sensors(chip));
            }
        }
        else if (set.Root.IsCall)
        {
            foreach (var name in set.Files)
            {
                if (KernelCalls.Answer(name) is { } answer)
                {
                    texts.Add(new FileText([], name, answer));
                }
            }
        }
        else
        {
            ReadPlaces(set, index, texts);
        }
    }

    private void ReadPlaces(FileSet set, int index, List<FileText> texts)
    {
        var before = known[index];
        var now = new Dictionary<string, CollectorFile[]>(before.Count);

        foreach (var place in Directories(set))
        {
            if (!before.Remove(place.Directory, out var own))
            {
                own = Array.ConvertAll(set.Files, file => new CollectorFile(Path.Join(place.Directory, file), file, files, clock));
            }

            now[place.Directory] = own;

            foreach (var file in own)
            {
                if (file.Read() is { } text)
                {
                    texts.Add(new FileText(place.Names, file.Name, text));
                }
            }
        }

        known[index] = now;

        foreach (var gone in before.Values)
        {
            Array.ForEach(gone, static file => file.Dispose());
        }
    }

    /// <summary>The whole file, read once; null where it cannot be.</summary>
    private byte[]? Read(string path)
    {
        var read = files.Read<byte[]>(path, CollectorFile.Copy);
        return read.IsOk ? read.ResultValue : null;
    }

    /// <summary>What a sensor chip tells.</summary>
    private IEnumerable<FileText> Sensors(string chip)
    {
        string[] names = [Path.GetFileName(chip)];

        if (SysFiles.DeviceOf(chip) is { } device)
        {
            yield return new FileText(names, "device", Encoding.UTF8.GetBytes(device + "\n"));
        }

        foreach (var path in SysFiles.ChipFiles(chip))
        {
            var file = Path.GetFileName(path);

            if ((file == "name" || Hwmon.AttributeOf(file).IsSome) && Read(path) is { } text)
            {
                yield return new FileText(names, file, text);
            }
        }
    }

    /// <summary>What other programs left, each with its path and when it was written.</summary>
    private IEnumerable<FileText> TextFiles()
    {
        foreach (var path in SysFiles.Directories(settings.TextfileDirectory)
            .Where(static path => path.EndsWith(".prom", StringComparison.Ordinal))
            .Take(MostTextFiles))
        {
            var text = Read(path);
            var written = (new FileInfo(path).LastWriteTimeUtc - DateTime.UnixEpoch).TotalSeconds;
            yield return new FileText(
                [path, text is null ? "" : written.ToString(CultureInfo.InvariantCulture)], Path.GetFileName(path), text ?? []);
        }
    }

    /// <summary>The directories of a shape, each with what its stars stand for.</summary>
    private List<Place> Directories(FileSet set)
    {
        List<Place> found = [new(RootOf(set.Root), [])];

        foreach (var part in set.Directory.Split('/'))
        {
            found = part == "*"
                ? [.. found.SelectMany(static one => Below(one.Directory, one.Names)).Take(MostDirectories)]
                : [.. found.Select(one => new Place(Path.Join(one.Directory, part), one.Names))];
        }

        return found;
    }

    private string RootOf(FileRoot root) =>
        root.IsSys ? settings.SysFs
        : root.IsNet ? ProcPaths.Net(settings.ProcFs)
        : root.IsOwn ? "/proc/self"
        : settings.ProcFs;

    private static IEnumerable<Place> Below(string directory, string[] names) =>
        SysFiles.Directories(directory).Select(path => new Place(path, [.. names, Path.GetFileName(path)]));

    /// <summary>A directory, and what the stars of its shape stand for. A class, because queries over structs are compiled once for each.</summary>
    private sealed class Place(string directory, string[] names)
    {
        public string Directory => directory;

        public string[] Names => names;
    }
}

/// <summary>One file of a collector.</summary>
/// <param name="path">Where it lies.</param>
/// <param name="name">What the collector calls it.</param>
/// <param name="files">Who reads it.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class CollectorFile(string path, string name, SmallFiles files, AgentClock clock) : IDisposable
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private KeptFile? file;
    private TimeSpan absentUntil;

    /// <summary>What the collector calls it.</summary>
    public string Name => name;

    /// <summary>A text as it is.</summary>
    public static FSharpResult<byte[], ParseError> Copy(ReadOnlySpan<byte> text) => FSharpResult<byte[], ParseError>.NewOk(text.ToArray());

    /// <summary>The whole file; null where it cannot be read.</summary>
    public byte[]? Read()
    {
        if (clock.Elapsed < absentUntil)
        {
            return null;
        }

        // What was open may be that of a device that is gone, and another one in its place.
        var wasOpen = file is not null;
        var read = ReadOnce();
        read = wasOpen && !read.IsOk ? ReadOnce() : read;

        if (!read.IsOk && read.ErrorValue.IsAbsent)
        {
            absentUntil = clock.Elapsed + LookAgain;
        }

        return read.IsOk ? read.ResultValue : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        file?.Dispose();
        file = null;
    }

    private FSharpResult<byte[], SourceError> ReadOnce()
    {
        file ??= new KeptFile(path, files);
        var read = file.Read<byte[]>(Copy);

        if (!read.IsOk)
        {
            Dispose();
        }

        return read;
    }
}
