using Agent.Core;
using Agent.Core.Gpu;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Agent.Sender;
using Agent.Host.Reading;
using Agent.Host.Reading.Jobs;
using Microsoft.FSharp.Core;

namespace Agent.Host.Diagnosing;

/// <summary>
/// How much can be read of the processes that use the GPUs. While there are none: what the agent's capabilities allow, and what the kernel tells of
/// the agent itself.
/// </summary>
internal sealed class JobCheck(Settings settings)
{
    /// <summary>So many processes are tried.</summary>
    private const int MostProcesses = 64;

    /// <summary>The PID namespace that the kernel starts in: PROC_PID_INIT_INO of its proc_ns.h.</summary>
    private const string FirstNamespace = "pid:[4026531836]";

    /// <summary>CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE of capabilities(7), as bits.</summary>
    private const ulong DacOverride = 1UL << 1;
    private const ulong DacReadSearch = 1UL << 2;
    private const ulong SysPtrace = 1UL << 19;

    private readonly SmallFiles files = new();

    /// <summary>Looks once.</summary>
    /// <param name="gpus">The GPUs, with the processes that the driver names.</param>
    public JobFact Look(Gpu[] gpus)
    {
        var procfs = new ProcessNames(settings.ProcFs).Root;
        var named = new HashSet<int>();
        var seen = new List<string>();

        foreach (var one in Grouping.Holdings(gpus))
        {
            if (named.Add(one.Pid) && File.Exists($"{procfs}/{one.Pid}/stat"))
            {
                seen.Add($"{procfs}/{one.Pid}");
            }
        }

        var holders = named.Count + Nameless(gpus);
        string[] tried = [.. seen.Take(MostProcesses)];
        string[] toldBy = tried.Length > 0 ? tried : [$"{procfs}/{Environment.ProcessId}"];
        var mayReadAnybodys = tried.Length == 0 && MayReadAnybodys();

        return new JobFact(
            hasGpus: gpus.Length > 0,
            holders: holders,
            unseen: holders - seen.Count,
            isBusy: gpus.Any(static gpu => gpu.Utilization is { IsSome: true, Value: > 0 }),
            isApart: new FileInfo("/proc/self/ns/pid").LinkTarget is { } space && space != FirstNamespace,
            environment: mayReadAnybodys || CanRead(tried, static process => process + "/environ"),
            io: mayReadAnybodys || CanRead(tried, static process => process + "/io"),
            schedule: CanRead(toldBy, static process => process + "/schedstat"),
            children: CanRead(toldBy, static process => $"{process}/task/{Path.GetFileName(process)}/children"),
            cgroups: new CgroupFiles(settings.SysFs, files).Versions);
    }

    /// <summary>Of a process outside of the agent's PID namespace some drivers give the number 0.</summary>
    private static int Nameless(Gpu[] gpus)
    {
        var count = 0;

        foreach (var gpu in gpus)
        {
            if (gpu.ComputeProcesses is { IsSome: true, Value: var processes })
            {
                count += processes.Count(static one => one.Pid <= 0);
            }
        }

        return count;
    }

    /// <summary>True for an agent that may look into every process and open every file.</summary>
    private bool MayReadAnybodys() =>
        files.Read("/proc/self/status", ProcessStatus.Capabilities) is { IsOk: true, ResultValue: { IsSome: true, Value: var held } }
        && (held & SysPtrace) != 0
        && (held & (DacOverride | DacReadSearch)) != 0;

    /// <summary>True when one of the files can be read and none is refused; a process may have ended meanwhile.</summary>
    private bool CanRead(string[] processes, Func<string, string> file)
    {
        var canRead = false;

        foreach (var process in processes)
        {
            // What they say is of no matter here, and a type that other readers use costs the executable nothing.
            var read = files.Read(file(process), static _ => FSharpResult<string[], ParseError>.NewOk([]));

            if (!read.IsOk && !read.ErrorValue.IsAbsent)
            {
                return false;
            }

            canRead |= read.IsOk;
        }

        return canRead;
    }
}
