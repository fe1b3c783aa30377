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
        var named = Grouping.Holdings(gpus).Select(static one => one.Pid).Distinct().ToArray();
        var seen = named.Where(pid => File.Exists($"{procfs}/{pid}/stat")).ToArray();
        // Of a process outside of the agent's PID namespace some drivers give the number 0.
        var nameless = gpus.Sum(static gpu => gpu.ComputeProcesses is { IsSome: true, Value: var all } ? all.Count(static one => one.Pid <= 0) : 0);
        string[] tried = [.. seen.Take(MostProcesses).Select(pid => $"{procfs}/{pid}")];
        string[] toldBy = seen.Length > 0 ? tried : [$"{procfs}/{Environment.ProcessId}"];

        return new JobFact(
            hasGpus: gpus.Length > 0,
            holders: named.Length + nameless,
            unseen: named.Length - seen.Length + nameless,
            isBusy: gpus.Any(static gpu => gpu.Utilization is { IsSome: true, Value: > 0 }),
            isApart: new FileInfo("/proc/self/ns/pid").LinkTarget is { } space && space != FirstNamespace,
            environment: seen.Length > 0 ? CanRead(tried, "environ") : MayReadAnybodys(),
            io: seen.Length > 0 ? CanRead(tried, "io") : MayReadAnybodys(),
            schedule: CanRead(toldBy, "schedstat"),
            children: CanRead([.. toldBy.Select(static process => $"{process}/task/{Path.GetFileName(process)}")], "children"),
            cgroups: new CgroupFiles(settings.SysFs, files).Versions);
    }

    /// <summary>True for an agent that may look into every process and open every file.</summary>
    private bool MayReadAnybodys()
    {
        var held = files.Read("/proc/self/status", ProcessStatus.Capabilities)
            .Match(static read => read.IsSome ? read.Value : 0, static _ => 0UL);

        return (held & SysPtrace) != 0 && (held & (DacOverride | DacReadSearch)) != 0;
    }

    /// <summary>True when one of the files can be read and none is refused; a process may have ended meanwhile.</summary>
    private bool CanRead(string[] directories, string name)
    {
        FSharpResult<int, SourceError>[] read =
        [
            .. directories.Select(directory => files.Read($"{directory}/{name}", static text => FSharpResult<int, ParseError>.NewOk(text.Length))),
        ];

        return read.Any(static one => one.IsOk) && read.All(static one => one.IsOk || one.ErrorValue.IsAbsent);
    }
}
