/// Which process to look at, and how to end a job without ending what is not part of it.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.JobAdvice

open System
open Agent.Core.Jobs

/// The process that a profiler is to look at: one that holds a GPU, and not the shell above it.
let profiled (job: Job) : int =
    if job.DriverPid > 0 then job.DriverPid else job.RootPid

/// So much of a container's id is enough to know it by.
[<Literal>]
let private ShortId = 12

/// The command that ends it.
let ending (job: Job) : string =
    let owner = job.Owner

    let processes =
        if job.ProcessGroup > 0 then
            $"kill -- -{job.ProcessGroup}"
        elif job.DriverPid > 0 && job.DriverPid <> job.RootPid then
            $"kill {job.RootPid} {job.DriverPid}"
        else
            $"kill {job.RootPid}"

    match owner.Kind with
    | OwnerKind.Slurm -> $"scancel {owner.Value}"
    | OwnerKind.Pod when owner.Name <> "" -> $"kubectl delete pod -n {owner.Namespace} {owner.Name}"
    | OwnerKind.Pod -> $"kubectl delete pod, of the one whose UID is {owner.Value}"
    | OwnerKind.Container when owner.Name <> "" -> $"lxc-stop -n {owner.Name}"
    | OwnerKind.Container ->
        let id = owner.Value.Substring(0, min ShortId owner.Value.Length)
        $"docker stop {id} (podman, nerdctl and crictl likewise)"
    | OwnerKind.Unit when
        owner.Value.StartsWith("pbs", StringComparison.Ordinal)
        && owner.Value.Contains '/'
        ->
        let id = owner.Value.Substring(owner.Value.LastIndexOf '/' + 1)
        $"qdel {id}"
    // A batch system's group is no unit.
    | OwnerKind.Unit when owner.Value.Contains '/' -> processes
    // A login session and a terminal hold more than this job.
    | OwnerKind.Unit when not (job.Id.StartsWith("process-", StringComparison.Ordinal)) -> $"systemctl stop {owner.Value}"
    | OwnerKind.Unit
    | OwnerKind.Session -> processes
