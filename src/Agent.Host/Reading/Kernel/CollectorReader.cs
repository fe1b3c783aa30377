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
internal sealed class CollectorReader
{
    /// <summary>So many files of other programs are read.</summary>
    public const int MostTextFiles = 256;

    /// <summary>No more is read of one file, in bytes.</summary>
    private const int LongestFile = 4 * 1024 * 1024;

    private readonly Collector collector;
    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly SmallFiles files;
    private readonly CollectorPlaces[] places;
    private readonly List<FileText> texts = [];

    /// <summary>One that has not read anything yet.</summary>
    /// <param name="collector">What to read.</param>
    /// <param name="settings">Where it lies.</param>
    /// <param name="pace">What is kept from reading to reading.</param>
    /// <param name="clock">The monotonic clock.</param>
    public CollectorReader(Collector collector, Settings settings, CollectorPace pace, AgentClock clock)
    {
        this.collector = collector;
        this.settings = settings;
        this.clock = clock;
        files = new(LongestFile, pace.MostOpen);
        // To keep what is read once a minute open would be at the expense of the others.
        var steadyFiles = pace.SteadyFor > TimeSpan.Zero && Array.Exists(collector.Sets, static set => set.Steady.Length > 0)
            ? new SmallFiles(LongestFile, mostKept: 0)
            : files;
        var means = new CollectorMeans(files, steadyFiles, pace.SteadyFor, clock);
        places = Array.ConvertAll(collector.Sets, set => new CollectorPlaces(set, RootOf(set.Root), means));
    }

    /// <summary>The collector's name.</summary>
    public string Name => collector.Name;

    /// <summary>What the files say now. The bytes of these texts are written anew by the next reading.</summary>
    public CollectorReading Read(SharedListings listings)
    {
        var begin = clock.Elapsed;
        texts.Clear();

        for (var i = 0; i < places.Length; i++)
        {
            Read(collector.Sets[i], places[i], listings);
        }

        return new CollectorReading(collector, [.. texts], clock.Elapsed - begin);
    }

    private void Read(FileSet set, CollectorPlaces its, SharedListings listings)
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
            its.Read(texts, listings);
        }
    }

    /// <summary>The whole file, read once; null where it cannot be.</summary>
    private byte[]? Read(string path)
    {
        var read = files.Read<byte[]>(path, static text => FSharpResult<byte[], ParseError>.NewOk(text.ToArray()));
        return read.IsOk ? read.ResultValue : null;
    }

    /// <summary>What a sensor chip tells; its names alone while its device sleeps.</summary>
    private IEnumerable<FileText> Sensors(string chip)
    {
        string[] names = [Path.GetFileName(chip)];

        if (SysFiles.DeviceOf(chip) is { } device)
        {
            yield return new FileText(names, "device", Encoding.UTF8.GetBytes(device + "\n"));
        }

        var isSuspended = Read(Path.Join(chip, SysFiles.RuntimeStatus)) is { } status
            && Encoding.UTF8.GetString(status).Trim() == SysFiles.Suspended;

        foreach (var path in SysFiles.ChipFiles(chip))
        {
            var file = Path.GetFileName(path);

            if ((file == "name" || (!isSuspended && Hwmon.AttributeOf(file).IsSome)) && Read(path) is { } text)
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

    private string RootOf(FileRoot root) =>
        root.IsSys ? settings.SysFs
        : root.IsNet ? ProcPaths.Net(settings.ProcFs)
        : root.IsOwn ? "/proc/self"
        : settings.ProcFs;
}
