using Agent.Core;
using Agent.Host.Reading.Jobs;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the files of collectors, when metrics are asked for. Used by one thread.</summary>
/// <param name="procfs">Where /proc is.</param>
/// <param name="sysfs">Where /sys is.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class CollectorFiles(string procfs, string sysfs, AgentClock clock)
{
    /// <summary>So many directories of one shape are looked at; a machine with more interfaces tells of these.</summary>
    public const int MostDirectories = 4096;

    private readonly SmallFiles files = new(longest: 4 * 1024 * 1024);

    /// <summary>What all files of these collectors say now.</summary>
    public CollectorReading[] Read(Collector[] collectors) => Array.ConvertAll(collectors, Read);

    private CollectorReading Read(Collector collector)
    {
        var begin = clock.Elapsed;
        var texts = new List<FileText>();

        foreach (var set in collector.Sets)
        {
            foreach (var (directory, names) in Directories(set))
            {
                foreach (var file in set.Files)
                {
                    var read = files.Read<byte[]>(Path.Join(directory, file), static text => FSharpResult<byte[], ParseError>.NewOk(text.ToArray()));

                    if (read.IsOk)
                    {
                        texts.Add(new FileText(names, file, read.ResultValue));
                    }
                }
            }
        }

        return new CollectorReading(collector, [.. texts], clock.Elapsed - begin);
    }

    /// <summary>The directories of a shape, each with what its stars stand for.</summary>
    private List<(string Directory, string[] Names)> Directories(FileSet set)
    {
        List<(string Directory, string[] Names)> found = [(set.Root.IsSys ? sysfs : set.Root.IsNet ? ProcPaths.Net(procfs) : procfs, [])];

        foreach (var part in set.Directory.Split('/'))
        {
            found = part == "*"
                ? [.. found.SelectMany(static one => Below(one.Directory, one.Names)).Take(MostDirectories)]
                : found.ConvertAll(one => (Path.Join(one.Directory, part), one.Names));
        }

        return found;
    }

    private static IEnumerable<(string Directory, string[] Names)> Below(string directory, string[] names) =>
        SysFiles.Directories(directory).Select(path => (path, (string[])[.. names, Path.GetFileName(path)]));
}
