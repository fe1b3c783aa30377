/// Loaders, threads, and the CPUs that they do or do not get.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.CpuCauses

open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// What a job uses of the cores that it may use.
let allowanceUse (job: Job) : float<percent> voption =
    match job.CpuCores, job.CpuCoresAllowed with
    | ValueSome used, ValueSome allowed when allowed > 0.0 -> ValueSome(min 100.0<percent> (used / allowed * 100.0<percent>))
    | _ -> ValueNone

/// True where its allowance is less than the machine has.
let isLimited (scene: Scene) : bool =
    match scene.Job.CpuCoresAllowed with
    | ValueSome allowed -> scene.Host.Cpus > 0 && allowed < float scene.Host.Cpus - Limits.allowanceBelow
    | ValueNone -> false

let private atLeast (limit: float<percent>) (value: float<percent> voption) =
    match value with
    | ValueSome value -> value >= limit
    | ValueNone -> false

/// True when its own limit holds it: throttled, or all of an allowance below the machine's used while threads wait for more.
let private isHeldByQuota (scene: Scene) : bool =
    let job = scene.Job
    let usage = allowanceUse job

    let isThrottled =
        atLeast Limits.cpuThrottled job.CpuThrottled
        && (usage.IsNone || atLeast Limits.allowanceTouched usage)

    let isUsedUp =
        isLimited scene
        && atLeast Limits.allowanceUsed usage
        && (job.CpuWait.IsNone || atLeast (0.4 * Limits.cpuWait) job.CpuWait)

    isThrottled || isUsedUp

let private waitClue (scene: Scene) =
    scene.Job.CpuWait
    |> Clue.share "wait for a CPU" Limits.cpuWait (Clue.swing (0.2 * Limits.cpuWait) Limits.cpuWait)

let private noWaitClue (scene: Scene) =
    scene.Job.CpuWait
    |> Clue.share "wait for a CPU" Limits.cpuWait (fun wait -> -(Clue.ramp (0.6 * Limits.cpuWait) (2.0 * Limits.cpuWait) wait))

let private quota (scene: Scene) (part: float) (strength: float<percent>) : Finding =
    {
        Label = VerdictLabel.CpuQuota
        Strength = strength
        Part = part
        Clues =
            Clue.share "throttled periods" Limits.cpuThrottled (Clue.ramp 0.0<percent> (2.0 * Limits.cpuThrottled)) scene.Job.CpuThrottled
            @ Clue.share
                "use of its CPU allowance"
                Limits.allowanceUsed
                (Clue.ramp Limits.allowanceTouched Limits.allowanceUsed)
                (allowanceUse scene.Job)
            @ scene.WaitClue
            @ (if isLimited scene then waitClue scene else [])
    }

let private contended (scene: Scene) (part: float) (strength: float<percent>) : Finding =
    {
        Label = VerdictLabel.CpuContended
        Strength = strength
        Part = part
        Clues =
            waitClue scene
            @ Clue.share
                "tasks that stall for a CPU"
                Limits.hostCpuStall
                (Clue.swing (0.2 * Limits.hostCpuStall) Limits.hostCpuStall)
                scene.Host.CpuStall
            @ Clue.share "all CPUs" Limits.hostCpuFull (Clue.ramp 60.0<percent> Limits.hostCpuFull) scene.Host.CpuBusy
            @ scene.WaitClue
    }

/// What the CPU side of a stage is held by: its own work, its quota, or others. `own` is what it is where a CPU is free.
let private ofStage (scene: Scene) (stage: Stage) (strength: float<percent>) (own: float<percent> -> Finding) : Finding list =
    let part = stage.PartOf stage.CpuSide
    let wait = scene.Job.CpuWait |> ValueOption.defaultValue 0.0<percent>

    if isHeldByQuota scene then
        [ quota scene part strength ]
    elif wait >= Limits.cpuWait then
        [
            contended scene part strength
            own (strength * 0.9 * (Limits.cpuWait / wait))
        ]
    elif wait >= 0.4 * Limits.cpuWait then
        [
            own strength
            contended scene part (strength * 0.9 * (wait / Limits.cpuWait))
        ]
    else
        [ own strength ]

let private loader (scene: Scene) (stage: Stage) (strength: float<percent>) : Finding =
    {
        Label = VerdictLabel.LoaderCpu
        Strength = strength
        Part = stage.PartOf stage.CpuSide
        Clues =
            Clue.share
                "loaders busy"
                Limits.busyThread
                (Clue.swing 60.0<percent> Limits.busyThread)
                (scene.Job.LoadersBusy |> ValueOption.orElse scene.Job.BusiestThread)
            @ scene.WaitClue
            @ noWaitClue scene
            @ (match scene.Job.Blocked with
               | ValueSome _ ->
                   Clue.share
                       "loaders blocked"
                       Limits.blocked
                       (fun blocked -> -(Clue.ramp Limits.blocked 60.0<percent> blocked))
                       (ValueSome stage.Blocked)
               | ValueNone -> [])
    }

let private mainThread (scene: Scene) (strength: float<percent>) : Finding =
    let busiest = scene.Job.MainThread |> ValueOption.orElse scene.Job.BusiestThread

    let together =
        match busiest, scene.Busy with
        | ValueSome thread, ValueSome busy when not scene.IsHollow -> ValueSome(min 100.0<percent> (thread + busy))
        | thread, _ -> thread

    {
        Label = VerdictLabel.MainThread
        Strength = strength
        Part = scene.Main.PartOf scene.Main.CpuSide
        Clues =
            Clue.share "main thread busy" Limits.busyThread (Clue.ramp 30.0<percent> 75.0<percent>) busiest
            @ Clue.share "main thread and GPU together" Limits.busyThread (Clue.ramp 75.0<percent> 95.0<percent>) together
            @ scene.WaitClue
            @ noWaitClue scene
    }

/// A thread that is neither main nor loader, or one loader of many: it can hold all up, and can as well be innocent.
let private lonelyThread (scene: Scene) : Finding list =
    match scene.Job.BusiestThread, scene.Job.BusiestThreadRole with
    | ValueSome busy, ValueSome role when busy >= Limits.busyThread && not role.IsMain ->
        let label =
            if role.IsLoader then
                VerdictLabel.LoaderCpu
            else
                VerdictLabel.MainThread

        [
            {
                Label = label
                Strength = 0.75 * busy * scene.Feeding
                Part = 1.0
                Clues =
                    Clue.share
                        (if role.IsLoader then "busiest loader" else "busiest thread")
                        Limits.busyThread
                        (Clue.ramp 60.0<percent> Limits.busyThread)
                        (ValueSome busy)
            }
        ]
    | _ -> []

/// Where no thread can be asked, the machine's figures stand in: one CPU that is full, or all of them.
let private ofMachine (scene: Scene) : Finding list =
    let host = scene.Host
    let isUnknown = scene.Job.MainThread.IsNone && scene.Job.LoadersBusy.IsNone

    match host.CpuBusy, host.BusiestCpu with
    | ValueSome busy, _ when isUnknown && busy >= Limits.hostCpuFull -> [ contended scene 1.0 (busy * scene.Feeding) ]
    | ValueSome busy, ValueSome one when
        isUnknown
        && scene.Job.BusiestThread.IsNone
        && one >= Limits.hostOneCpu
        && host.Cpus >= 2
        ->
        // It cannot be determined whether a main thread or a loader is what one CPU is full of; the first is met more often.
        let clues =
            Clue.share "busiest CPU" Limits.hostOneCpu (Clue.ramp 70.0<percent> Limits.hostOneCpu) (ValueSome one)

        [
            {
                Label = VerdictLabel.MainThread
                Strength = 0.8 * one * scene.Feeding
                Part = 1.0
                Clues = clues
            }
            {
                Label = VerdictLabel.LoaderCpu
                Strength = 0.7 * one * scene.Feeding
                Part = 1.0
                Clues = clues
            }
        ]
    | _ -> []

/// Everything that CPUs can be.
let find (scene: Scene) : Finding list =
    let loaders =
        match scene.Loaders with
        | ValueSome stage when stage.CpuSide > 0.0<percent> ->
            ofStage scene stage (scene.Feeding * stage.StrengthOf stage.CpuSide) (loader scene stage)
        | _ -> []

    let main =
        // Copying what it writes is the disk's.
        let own =
            scene.Main.CpuSide
            - (StorageCauses.copying scene |> ValueOption.defaultValue 0.0<percent>)

        if own > 0.0<percent> then
            ofStage scene scene.Main (scene.Main.StrengthOf own) (mainThread scene)
        else
            []

    loaders @ main @ lonelyThread scene @ ofMachine scene
