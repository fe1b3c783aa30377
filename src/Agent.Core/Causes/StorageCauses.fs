/// Disks, network storage and memory: what threads in uninterruptible sleep wait for.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.StorageCauses

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

let private reaches (limit: float<'u>) (value: float<'u> voption) =
    match value with
    | ValueSome value -> value >= limit
    | ValueNone -> false

/// The disk that is read most.
let mostRead (host: HostEvidence) : DiskEvidence voption =
    match host.Disks with
    | [||] -> ValueNone
    | disks -> ValueSome(Array.maxBy (fun disk -> float disk.Read) disks)

/// The disk that is written most.
let mostWritten (host: HostEvidence) : DiskEvidence voption =
    match host.Disks with
    | [||] -> ValueNone
    | disks -> ValueSome(Array.maxBy (fun disk -> float disk.Written) disks)

/// The mount that most operations wait at.
let busiestMount (host: HostEvidence) : NetworkMountEvidence voption =
    match host.NetworkMounts with
    | [||] -> ValueNone
    | mounts ->
        ValueSome(
            mounts
            |> Array.maxBy (fun mount -> mount.Outstanding |> ValueOption.defaultValue (float mount.Operations))
        )

/// The share of its memory limit that a job uses.
let limitUse (job: Job) : float<percent> voption =
    match job.Memory, job.MemoryLimit with
    | ValueSome used, ValueSome limit when limit > 0UL<B> -> ValueSome(percentOf (float used) (float limit))
    | _ -> ValueNone

/// How much of the time memory is waited for; none where it is not.
let private memoryShare (scene: Scene) : float<percent> voption =
    let job, host = scene.Job, scene.Host

    let isSwapping = reaches Limits.swapIn host.SwapIn || reaches Limits.majorFaults job.MajorFaults

    let isFull = reaches Limits.memoryFull (limitUse job)

    let isShort =
        match host.MemoryAvailable with
        | ValueSome available -> available < Limits.memoryAvailable
        | ValueNone -> false

    // Waiting for what was evicted counts as waiting for a disk, and evicting as work: stalls are the smaller part of it.
    if isFull && reaches Limits.refaults job.Refaults then
        ValueSome(max 50.0<percent> (job.MemoryStall |> ValueOption.defaultValue 0.0<percent>))
    elif reaches Limits.memoryStall job.MemoryStall then
        job.MemoryStall
    elif reaches Limits.memoryStall host.MemoryStall && isSwapping then
        host.MemoryStall
    elif
        job.MemoryStall.IsNone
        && host.MemoryStall.IsNone
        && isShort
        && reaches Limits.swapInAlone host.SwapIn
    then
        ValueSome 50.0<percent>
    elif
        job.MemoryStall.IsNone
        && isFull
        && reaches (5.0 * Limits.majorFaults) job.MajorFaults
    then
        ValueSome 50.0<percent>
    elif job.OutOfMemoryKills > 0UL then
        ValueSome 50.0<percent>
    else
        ValueNone

let private memory (scene: Scene) (strength: float<percent>) : Finding =
    let job, host = scene.Job, scene.Host

    {
        Label = VerdictLabel.Memory
        Strength = strength
        Part = 1.0
        Clues =
            Clue.share
                "tasks that stall for memory"
                Limits.memoryStall
                (Clue.ramp 0.0<percent> (1.5 * Limits.memoryStall))
                (ValueOption.orElse host.MemoryStall job.MemoryStall)
            @ Clue.bytes "swapped in" Limits.swapIn (Clue.ramp 0.0<B / s> (5.0 * Limits.swapIn)) host.SwapIn
            @ (match job.MajorFaults with
               | ValueSome faults ->
                   Clue.number
                       "major faults a second"
                       (float Limits.majorFaults)
                       (fun faults -> Clue.ramp 0.0 (2.0 * float Limits.majorFaults) faults)
                       (ValueSome(float faults))
               | ValueNone -> [])
            @ Clue.bytes "evicted and read again" Limits.refaults (Clue.ramp 0.0<B / s> (2.0 * Limits.refaults)) job.Refaults
            @ Clue.share "use of its memory limit" Limits.memoryFull (Clue.ramp 80.0<percent> Limits.memoryFull) (limitUse job)
            @ (if job.OutOfMemoryKills > 0UL then
                   Clue.number "killed for lack of memory" 1.0 (min 1.0) (ValueSome(float job.OutOfMemoryKills))
               else
                   [])
            @ (match host.MemoryAvailable with
               | ValueSome available when host.SwapIn.IsSome && limitUse job |> _.IsNone ->
                   Clue.share
                       "memory available"
                       Limits.memoryAvailable
                       (fun available -> Clue.ramp (3.0 * Limits.memoryAvailable) Limits.memoryAvailable available)
                       (ValueSome available)
               | _ -> [])
    }

let private blockedClue (name: string) (limit: float<percent>) (value: float<percent>) =
    Clue.share name limit (Clue.ramp 0.0<percent> (2.0 * limit)) (ValueSome value)

let private stallClue (scene: Scene) =
    ValueOption.orElse scene.Host.IoStall scene.Job.IoStall
    |> Clue.share "tasks that stall for I/O" Limits.ioStall (Clue.swing (0.2 * Limits.ioStall) Limits.ioStall)

/// A disk that is busy, with requests that wait or take long. Nothing speaks against a job like a disk that has nothing to do.
let private diskClues (disk: DiskEvidence voption) (latency: DiskEvidence -> float<ms> voption) (bytes: DiskEvidence -> float<B / s>) =
    match disk with
    | ValueNone -> []
    | ValueSome disk ->
        Clue.share $"{disk.Device} busy" Limits.diskBusy (Clue.swing 20.0<percent> Limits.diskBusy) disk.Busy
        @ Clue.number $"requests at {disk.Device}" Limits.diskQueue (Clue.ramp 0.5 Limits.diskQueue) disk.Queue
        @ Clue.time $"latency of {disk.Device}" Limits.diskLatency (Clue.ramp 0.0<ms> Limits.diskLatency) (latency disk)
        @ Clue.note $"bytes of {disk.Device}" "B/s" (ValueSome(bytes disk))

let private diskRead (scene: Scene) (part: float) (blocked: Clue list) (strength: float<percent>) : Finding =
    {
        Label = VerdictLabel.DiskRead
        Strength = strength
        Part = part
        Clues =
            blocked
            @ stallClue scene
            @ diskClues (mostRead scene.Host) _.ReadLatency _.Read
            @ scene.WaitClue
    }

let private diskWrite (scene: Scene) (part: float) (blocked: Clue list) (strength: float<percent>) : Finding =
    let written =
        scene.Job.Written
        |> ValueOption.orElse (mostWritten scene.Host |> ValueOption.map _.Written)

    {
        Label = VerdictLabel.DiskWrite
        Strength = strength
        Part = part
        Clues =
            blocked
            @ Clue.bytes "bytes written" Limits.diskBytes (Clue.ramp 0.0<B / s> (5.0 * Limits.diskBytes)) written
            @ stallClue scene
            @ diskClues (mostWritten scene.Host) _.WriteLatency _.Written
            @ scene.WaitClue
    }

let private networkStorage (scene: Scene) (part: float) (blocked: Clue list) (strength: float<percent>) : Finding =
    let mount =
        match busiestMount scene.Host with
        | ValueNone -> []
        | ValueSome mount ->
            Clue.time
                $"time of an operation on {mount.MountPoint}"
                Limits.mountSlow
                (Clue.swing (0.2 * Limits.mountSlow) Limits.mountSlow)
                (ValueOption.orElse mount.RoundTrip mount.Execution)
            @ Clue.number
                $"operations that wait at {mount.MountPoint}"
                Limits.mountOutstanding
                (Clue.ramp 0.0 (2.0 * Limits.mountOutstanding))
                mount.Outstanding
            @ Clue.note $"bytes of {mount.MountPoint}" "B/s" (ValueSome(mount.Read + mount.Written))

    {
        Label = VerdictLabel.NetworkStorage
        Strength = strength
        Part = part
        Clues = blocked @ mount @ scene.WaitClue
    }

/// What the blocked threads wait for. Where the reader cannot tell, the machine does: a mount with operations that wait, else the
/// direction in which more bytes go.
let private waitedFor (scene: Scene) : BlockedOn voption =
    let job = scene.Job

    let local =
        match job.Read, job.Written with
        | ValueSome read, ValueSome written when read + written >= Limits.trickle -> ValueSome(read, written)
        | _ ->
            let read = scene.Host.Disks |> Array.sumBy _.Read
            let written = scene.Host.Disks |> Array.sumBy _.Written

            if read + written >= Limits.diskBytes then
                ValueSome(read, written)
            else
                ValueNone

    match job.BlockedOn, busiestMount scene.Host, local with
    | ValueSome on, _, _ -> ValueSome on
    | ValueNone, ValueSome mount, _ when reaches Limits.mountOutstanding mount.Outstanding -> ValueSome BlockedOn.NetworkStorage
    | ValueNone, _, ValueSome(read, written) ->
        ValueSome(
            if written > read then
                BlockedOn.DiskWrite
            else
                BlockedOn.DiskRead
        )
    | _ -> ValueNone

let private labelled (scene: Scene) (on: BlockedOn) =
    match on with
    | BlockedOn.DiskRead -> diskRead scene
    | BlockedOn.DiskWrite -> diskWrite scene
    | BlockedOn.NetworkStorage -> networkStorage scene

/// Blocked loaders, or a main thread that reads: the blocked part of their stage.
let private blockedLoaders (scene: Scene) : Finding list =
    match scene.Loaders, waitedFor scene with
    | ValueSome stage, ValueSome on when stage.Blocked >= Limits.blocked ->
        let strength = scene.Feeding * stage.StrengthOf stage.Blocked

        [
            labelled scene on (stage.PartOf stage.Blocked) (blockedClue "loaders blocked" Limits.blocked stage.Blocked) strength
        ]
    | _ -> []

/// Copying into the page cache, which is CPU time of the thread that writes: none where the main thread does not wait for writes as well.
let copying (scene: Scene) : float<percent> voption =
    // Where only root may see what the job moves, the machine's disks stand in for it.
    let bytes (own: float<B / s> voption) (ofDisk: DiskEvidence -> float<B / s>) =
        match own with
        | ValueSome bytes -> bytes
        | ValueNone -> scene.Host.Disks |> Array.sumBy ofDisk

    let written = bytes scene.Job.Written _.Written

    let isWriting =
        match waitedFor scene with
        | ValueSome BlockedOn.DiskWrite -> true
        | ValueSome BlockedOn.NetworkStorage -> written > bytes scene.Job.Read _.Read
        | _ -> false

    if isWriting && scene.Main.Blocked >= Limits.blockedWriting then
        ValueSome(min scene.Main.Cpu (written / Limits.copyRate * 100.0<percent>))
    else
        ValueNone

/// A main thread that waits: for its checkpoints, or for what it reads itself.
let private blockedMain (scene: Scene) : Finding list =
    let stage = scene.Main

    match waitedFor scene, copying scene with
    | ValueSome on, ValueSome copying ->
        // What nothing else accounts for is the same burst.
        let rest = 100.0<percent> - stage.Total
        let writing = min 100.0<percent> (stage.Blocked + copying + rest)
        let largest = max stage.Gpu (max (stage.CpuSide - copying) writing)
        let strength = min 100.0<percent> (Limits.burst * writing / largest * 100.0<percent>)
        let clue = blockedClue "main thread blocked" Limits.blockedWriting stage.Blocked

        [ labelled scene on (ratioOfPercent writing) clue strength ]
    | ValueSome on, ValueNone when stage.Blocked >= Limits.blocked ->
        let clue = blockedClue "main thread blocked" Limits.blocked stage.Blocked

        [
            labelled scene on (stage.PartOf stage.Blocked) clue (stage.StrengthOf stage.Blocked)
        ]
    | _ -> []

/// Where no thread's state is known: what nothing explains, and a mount or a disk that is really slow.
let private byDevices (scene: Scene) : Finding list =
    if scene.Job.Blocked.IsSome || scene.Job.MainBlocked.IsSome then
        []
    else
        let left = Scene.unexplained scene * scene.Feeding
        let host = scene.Host
        let isStalling = reaches Limits.ioStall host.IoStall || reaches Limits.iowait host.Iowait

        let iowait =
            Clue.share "CPUs that wait for I/O" Limits.iowait (Clue.swing 0.0<percent> Limits.iowait) host.Iowait

        let isSlow (disk: DiskEvidence) =
            reaches Limits.diskBusy disk.Busy
            && (reaches Limits.diskQueue disk.Queue
                || reaches Limits.diskLatency disk.ReadLatency
                || reaches Limits.diskLatency disk.WriteLatency
                || (disk.Queue.IsNone && disk.ReadLatency.IsNone))

        let mounts =
            match busiestMount host with
            | ValueSome mount when reaches (2.0 * Limits.mountOutstanding) mount.Outstanding -> [ networkStorage scene 1.0 [] left ]
            | _ -> []

        let slow = host.Disks |> Array.filter isSlow

        let disks =
            if not isStalling || slow.Length = 0 then
                []
            elif (slow |> Array.sumBy _.Read) >= (slow |> Array.sumBy _.Written) then
                [ diskRead scene 1.0 iowait left ]
            else
                [ diskWrite scene 1.0 iowait left ]

        mounts @ disks

/// Everything that storage and memory can be.
let find (scene: Scene) : Finding list =
    let storage = blockedLoaders scene @ blockedMain scene @ byDevices scene

    match memoryShare scene with
    | ValueNone -> storage
    | ValueSome stall ->
        let strongest =
            (0.0<percent>, storage)
            ||> List.fold (fun most finding -> max most finding.Strength)

        let blocked =
            match scene.Loaders with
            | ValueSome stage -> max stage.Blocked scene.Main.Blocked
            | ValueNone -> scene.Main.Blocked

        // Reading back what was just evicted looks like a slow disk: where stalls for memory make up half of it, memory is the cause.
        if stall >= 0.5 * blocked then
            let strength = min 100.0<percent> (max strongest (stall + Scene.unexplained scene * scene.Feeding))

            memory scene strength
            :: (storage
                |> List.map (fun finding ->
                    { finding with
                        Strength = 0.8 * finding.Strength
                    }))
        else
            memory scene (stall * scene.Feeding) :: storage
