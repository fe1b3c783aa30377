using System.Globalization;
using System.Text;
using Agent.Core;
using Agent.Core.Sys;
using Agent.Host.Reading.Jobs;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// Reads the files of collectors, when metrics are asked for. A driver that hangs costs its own collector: it keeps its thread until it
/// answers, and is not asked again before that. Used by one thread.
/// </summary>
internal sealed class CollectorFiles
{
    /// <summary>So many directories of one shape are looked at; a machine with more interfaces or threads tells of these.</summary>
    public const int MostDirectories = 65536;

    /// <summary>So many files of other programs are read.</summary>
    public const int MostTextFiles = 256;

    /// <summary>No more is read of one file, in bytes.</summary>
    private const int LongestFile = 4 * 1024 * 1024;

    private readonly Settings settings;
    private readonly Collector[] collectors;
    private readonly AgentClock clock;
    private readonly MountProbes<CollectorReading> probes;

    /// <summary>The files of the collectors that the settings name.</summary>
    public CollectorFiles(Settings settings, AgentClock clock)
    {
        this.settings = settings;
        this.clock = clock;
        collectors = Array.FindAll(Collectors.All, IsWanted);
        probes = new(clock, name => FSharpResult<CollectorReading, SourceError>.NewOk(Read(Array.Find(collectors, one => one.Name == name)!)));

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

    private CollectorReading Read(Collector collector)
    {
        var begin = clock.Elapsed;
        // Of its own: another collector may hang in another thread.
        var files = new SmallFiles(LongestFile);
        FileText[] texts = [.. collector.Sets.SelectMany(set => Read(set, files))];
        return new CollectorReading(collector, texts, clock.Elapsed - begin);
    }

    private IEnumerable<FileText> Read(FileSet set, SmallFiles files) =>
        set.Root.IsTextfile ? TextFiles(files)
        : set.Root.IsSensors ? SysFiles.Directories(Path.Join(settings.SysFs, "class/hwmon")).SelectMany(chip => Sensors(chip, files))
        : set.Root.IsCall
            ? from name in set.Files
              let answer = KernelCalls.Answer(name)
              where answer is not null
              select new FileText([], name, answer)
            : from one in Directories(set)
              from file in set.Files
              let text = Read(Path.Join(one.Directory, file), files)
              where text is not null
              select new FileText(one.Names, file, text);

    /// <summary>The whole file; null where it cannot be read.</summary>
    private static byte[]? Read(string path, SmallFiles files)
    {
        var read = files.Read<byte[]>(path, static text => FSharpResult<byte[], ParseError>.NewOk(text.ToArray()));
        return read.IsOk ? read.ResultValue : null;
    }

    /// <summary>What a sensor chip tells.</summary>
    private static IEnumerable<FileText> Sensors(string chip, SmallFiles files)
    {
        string[] names = [Path.GetFileName(chip)];

        if (SysFiles.DeviceOf(chip) is { } device)
        {
            yield return new FileText(names, "device", Encoding.UTF8.GetBytes(device + "\n"));
        }

        foreach (var path in SysFiles.ChipFiles(chip))
        {
            var file = Path.GetFileName(path);

            if ((file == "name" || Hwmon.AttributeOf(file).IsSome) && Read(path, files) is { } text)
            {
                yield return new FileText(names, file, text);
            }
        }
    }

    /// <summary>What other programs left, each with its path and when it was written.</summary>
    private IEnumerable<FileText> TextFiles(SmallFiles files) =>
        from path in SysFiles.Directories(settings.TextfileDirectory)
            .Where(static path => path.EndsWith(".prom", StringComparison.Ordinal))
            .Take(MostTextFiles)
        let text = Read(path, files)
        let written = (new FileInfo(path).LastWriteTimeUtc - DateTime.UnixEpoch).TotalSeconds
        select new FileText(
            [path, text is null ? "" : written.ToString(CultureInfo.InvariantCulture)], Path.GetFileName(path), text ?? []);

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
