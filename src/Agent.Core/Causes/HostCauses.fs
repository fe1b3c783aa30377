/// What holds back a machine whose GPUs are not in use: a build, a data preparation, or nothing.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.HostCauses

open Agent.Core
open Agent.Core.Units

let private reaches (limit: float<'u>) (value: float<'u> voption) =
    match value with
    | ValueSome value -> value >= limit
    | ValueNone -> false

/// CPUs in use, as if they were whole ones.
let coresUsed (host: HostEvidence) : float voption =
    match host.CpuBusy with
    | ValueSome busy when host.Cpus > 0 -> ValueSome(float host.Cpus * ratioOfPercent busy)
    | _ -> ValueNone

/// How much of the time something waits for I/O: by PSI, else the share of the CPUs' free time.
let ioShare (host: HostEvidence) : float<percent> voption =
    match host.IoStall, host.Iowait, host.CpuBusy with
    | ValueSome stall, _, _ -> ValueSome stall
    | ValueNone, ValueSome iowait, ValueSome busy -> ValueSome(percentOf iowait (max iowait (100.0<percent> - busy)))
    | ValueNone, iowait, _ -> iowait

let private stallClue (host: HostEvidence) =
    match host.IoStall with
    | ValueSome _ -> Clue.share "tasks that stall for I/O" Limits.ioStall (Clue.ramp 0.0<percent> (2.0 * Limits.ioStall)) host.IoStall
    | ValueNone -> Clue.share "CPUs that wait for I/O" Limits.iowait (Clue.ramp 0.0<percent> Limits.iowait) host.Iowait

let private diskClues (disk: DiskEvidence) (latency: float<ms> voption) =
    Clue.share $"{disk.Device} busy" Limits.diskBusy (Clue.swing 20.0<percent> Limits.diskBusy) disk.Busy
    @ Clue.number $"requests at {disk.Device}" Limits.diskQueue (Clue.ramp 0.5 Limits.diskQueue) disk.Queue
    @ Clue.time $"latency of {disk.Device}" Limits.diskLatency (Clue.ramp 0.0<ms> Limits.diskLatency) latency

let private compute (host: HostEvidence) : Finding list =
    match host.CpuBusy with
    | ValueSome busy ->
        [
            {
                Label = VerdictLabel.Compute
                Part = 1.0
                Strength = Limits.ownShare * busy
                Clues =
                    Clue.share "all CPUs" Limits.hostBusy (Clue.swing 40.0<percent> Limits.hostBusy) host.CpuBusy
                    @ Clue.share "tasks that stall for a CPU" Limits.hostCpuStall (Clue.ramp 0.0<percent> Limits.hostCpuStall) host.CpuStall
                    @ (match host.Runnable with
                       | ValueSome runnable when host.Cpus > 0 ->
                           Clue.number
                               "runnable tasks"
                               (float host.Cpus)
                               (fun tasks -> Clue.ramp (0.5 * float host.Cpus) (float host.Cpus) tasks)
                               (ValueSome(float runnable))
                       | _ -> [])
            }
        ]
    | ValueNone -> []

/// One thread, wherever the scheduler puts it: one CPU that is full, or about one core's worth of work.
let private oneThread (host: HostEvidence) : Finding list =
    match coresUsed host, host.BusiestCpu with
    | ValueSome used, busiest when host.Cpus >= 2 && used <= Limits.hostOneThread ->
        let one = ratioOfPercent Limits.hostOneCpu

        if reaches Limits.hostOneCpu busiest || used >= one then
            [
                {
                    Label = VerdictLabel.MainThread
                    Part = 1.0
                    Strength = Limits.stage
                    Clues =
                        Clue.share "busiest CPU" Limits.hostOneCpu (Clue.ramp 40.0<percent> Limits.hostOneCpu) busiest
                        @ Clue.number "cores in use" one (Clue.ramp (0.5 * one) one) (ValueSome used)
                }
            ]
        else
            []
    | _ -> []

let private storage (host: HostEvidence) : Finding list =
    let share = ioShare host |> ValueOption.defaultValue 0.0<percent>

    let isStalling =
        reaches Limits.ioStall host.IoStall
        || (host.IoStall.IsNone && reaches Limits.iowait host.Iowait)

    match StorageCauses.busiestMount host, StorageCauses.mostRead host, StorageCauses.mostWritten host with
    | ValueSome mount, _, _ when reaches (2.0 * Limits.mountOutstanding) mount.Outstanding ->
        [
            {
                Label = VerdictLabel.NetworkStorage
                Part = 1.0
                Strength = max share 60.0<percent>
                Clues =
                    Clue.number
                        $"operations that wait at {mount.MountPoint}"
                        (2.0 * Limits.mountOutstanding)
                        (Clue.ramp 0.0 (2.0 * Limits.mountOutstanding))
                        mount.Outstanding
                    @ Clue.time
                        $"time of an operation on {mount.MountPoint}"
                        Limits.mountSlow
                        (Clue.swing (0.2 * Limits.mountSlow) Limits.mountSlow)
                        (ValueOption.orElse mount.RoundTrip mount.Execution)
                    @ stallClue host
            }
        ]
    | _, ValueSome read, ValueSome written when isStalling && read.Read + written.Written > 0.0<B / s> ->
        let isReading = (host.Disks |> Array.sumBy _.Read) >= (host.Disks |> Array.sumBy _.Written)

        let label, disk, latency =
            if isReading then
                VerdictLabel.DiskRead, read, read.ReadLatency
            else
                VerdictLabel.DiskWrite, written, written.WriteLatency

        [
            {
                Label = label
                Part = 1.0
                Strength = share
                Clues = stallClue host @ diskClues disk latency
            }
        ]
    | _ -> []

let private network (host: HostEvidence) : Finding list =
    match NetworkCauses.fullest host with
    | ValueSome(struct (link, full)) when full >= Limits.linkFull ->
        [
            {
                Label = VerdictLabel.Network
                Part = 1.0
                Strength = full
                Clues =
                    Clue.share
                        $"{link.Name} of its speed"
                        Limits.linkFull
                        (Clue.ramp (0.6 * Limits.linkFull) Limits.linkFull)
                        (ValueSome full)
            }
        ]
    | _ -> []

let private memory (host: HostEvidence) : Finding list =
    let isShort =
        match host.MemoryAvailable with
        | ValueSome available -> available < Limits.memoryAvailable
        | ValueNone -> false

    let stall =
        if reaches Limits.memoryStall host.MemoryStall then
            host.MemoryStall
        elif host.MemoryStall.IsNone && isShort && reaches Limits.swapInAlone host.SwapIn then
            ValueSome Limits.memoryStall
        else
            ValueNone

    match stall with
    | ValueNone -> []
    | ValueSome stall ->
        [
            {
                Label = VerdictLabel.Memory
                Part = 1.0
                Strength = min 100.0<percent> (Limits.explains + 2.0 * stall)
                Clues =
                    Clue.share
                        "tasks that stall for memory"
                        Limits.memoryStall
                        (Clue.ramp 0.0<percent> (1.5 * Limits.memoryStall))
                        host.MemoryStall
                    @ Clue.bytes "swapped in" Limits.swapIn (Clue.ramp 0.0<B / s> (5.0 * Limits.swapIn)) host.SwapIn
                    @ Clue.share
                        "memory available"
                        Limits.memoryAvailable
                        (fun available -> Clue.ramp (3.0 * Limits.memoryAvailable) Limits.memoryAvailable available)
                        host.MemoryAvailable
            }
        ]

let private stolen (host: HostEvidence) : Finding list =
    match host.Steal with
    | ValueSome steal when steal >= Limits.steal ->
        [
            {
                Label = VerdictLabel.CpuContended
                Part = 1.0
                Strength = min 100.0<percent> ((host.CpuBusy |> ValueOption.defaultValue 0.0<percent>) + 2.0 * steal)
                Clues =
                    Clue.share "taken by the hypervisor" Limits.steal (Clue.ramp 0.0<percent> (2.0 * Limits.steal)) host.Steal
                    @ Clue.share "tasks that stall for a CPU" Limits.hostCpuStall (Clue.ramp 0.0<percent> Limits.hostCpuStall) host.CpuStall
            }
        ]
    | _ -> []

let private idle (host: HostEvidence) : Finding list =
    let isWaiting = reaches Limits.ioStall host.IoStall || reaches Limits.iowait host.Iowait

    let isWorking =
        match coresUsed host with
        | ValueSome used -> used >= ratioOfPercent Limits.hostOneCpu
        | ValueNone -> false

    match host.CpuBusy with
    | ValueSome busy when busy < Limits.hostIdle && not isWaiting && not isWorking ->
        [
            {
                Label = VerdictLabel.Idle
                Part = 1.0
                Strength = 100.0<percent> - busy - Limits.hostIdle
                Clues =
                    Clue.share "all CPUs" Limits.hostIdle (fun busy -> Clue.ramp (1.5 * Limits.hostIdle) 0.0<percent> busy) host.CpuBusy
                    @ Clue.share
                        "tasks that stall for I/O"
                        Limits.ioStall
                        (fun stall -> Clue.ramp (2.0 * Limits.ioStall) 0.0<percent> stall)
                        (ValueOption.orElse host.Iowait host.IoStall)
            }
        ]
    | _ -> []

/// Everything that a machine can be held back by.
let find (host: HostEvidence) : Finding list =
    compute host
    @ oneThread host
    @ storage host
    @ network host
    @ memory host
    @ stolen host
    @ idle host
