/// What was looked at and is not the limit.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.RuledOut

open Agent.Core
open Agent.Core.Units

let private below (witness: Witness) =
    match witness.Limit with
    | ValueSome limit -> witness.Value < limit
    | ValueNone -> true

/// One figure for each family that is neither the limit nor close behind, where it is below its limit.
let ofJob (scene: Scene) (isTold: VerdictLabel -> bool) : Witness[] =
    let job, host = scene.Job, scene.Host

    let busiestDisk =
        host.Disks
        |> Array.choose (fun disk -> ValueOption.toOption disk.Busy)
        |> fun busy ->
            if busy.Length = 0 then
                ValueNone
            else
                ValueSome(Array.max busy)

    let slowestMount =
        match StorageCauses.busiestMount host with
        | ValueSome mount -> ValueOption.orElse mount.RoundTrip mount.Execution
        | ValueNone -> ValueNone

    [|
        if not (isTold VerdictLabel.LoaderCpu) then
            Witness.known "loaders busy" "%" (float Limits.busyThread) job.LoadersBusy

        if not (isTold VerdictLabel.MainThread) then
            Witness.known "main thread busy" "%" (float Limits.busyThread) job.MainThread

        if not (isTold VerdictLabel.CpuContended) then
            Witness.known "wait for a CPU" "%" (float Limits.cpuWait) job.CpuWait

        if not (isTold VerdictLabel.CpuQuota) then
            Witness.known "throttled periods" "%" (float Limits.cpuThrottled) job.CpuThrottled

        if
            not (
                isTold VerdictLabel.DiskRead
                || isTold VerdictLabel.DiskWrite
                || isTold VerdictLabel.NetworkStorage
            )
        then
            Witness.known "threads blocked" "%" (float Limits.blocked) job.Blocked
            Witness.known "busiest disk" "%" (float Limits.diskBusy) busiestDisk

        if not (isTold VerdictLabel.NetworkStorage) then
            Witness.known "operation on network storage" "ms" (float Limits.mountSlow) slowestMount

        if not (isTold VerdictLabel.Network || isTold VerdictLabel.Communication) then
            Witness.known "received" "B/s" (float Limits.trickle) (NetworkCauses.received scene)

        if not (isTold VerdictLabel.Memory) then
            Witness.known "tasks that stall for memory" "%" (float Limits.memoryStall) (ValueOption.orElse host.MemoryStall job.MemoryStall)

        if not (isTold VerdictLabel.Compute || isTold VerdictLabel.Communication) then
            Witness.known "GPU busy" "%" (float Limits.saturated) scene.Busy
    |]
    |> Array.choose id
    |> Array.filter below

/// The same for a machine whose GPUs are not in use.
let ofHost (host: HostEvidence) (isTold: VerdictLabel -> bool) : Witness[] =
    [|
        if not (isTold VerdictLabel.Compute || isTold VerdictLabel.Idle) then
            Witness.known "all CPUs" "%" (float Limits.hostBusy) host.CpuBusy

        if not (isTold VerdictLabel.MainThread) then
            Witness.known "busiest CPU" "%" (float Limits.hostOneCpu) host.BusiestCpu

        if
            not (
                isTold VerdictLabel.DiskRead
                || isTold VerdictLabel.DiskWrite
                || isTold VerdictLabel.NetworkStorage
            )
        then
            Witness.known "tasks that stall for I/O" "%" (float Limits.ioStall) (HostCauses.ioShare host)

        if not (isTold VerdictLabel.Memory) then
            Witness.known "tasks that stall for memory" "%" (float Limits.memoryStall) host.MemoryStall

        match NetworkCauses.fullest host with
        | ValueSome(struct (link, full)) when not (isTold VerdictLabel.Network) ->
            Witness.known $"{link.Name} of its speed" "%" (float Limits.linkFull) (ValueSome full)
        | _ -> ()

        if not (isTold VerdictLabel.CpuContended) then
            Witness.known "taken by the hypervisor" "%" (float Limits.steal) host.Steal
    |]
    |> Array.choose id
    |> Array.filter below
