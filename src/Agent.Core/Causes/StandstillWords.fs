/// What is said of jobs that stand still.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.StandstillWords

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

let private stillWitnesses (scene: Scene) (time: float<s>) (limit: float<s>) : Witness[] =
    [|
        Witness.known "GPU busy" "%" (float Limits.gpuStill) scene.Busy
        Witness.known "cores in use" "" Limits.cpuStill scene.Job.CpuCores
        Witness.known "GPU power" "%" (float Limits.lowPower) scene.Power
        Witness.known "standing still" "s" (float limit) (ValueSome time)
    |]
    |> Array.choose id

/// It stopped.
let hang (scene: Scene) (since: DateTimeOffset voption) (time: float<s>) : Decided =
    let pid = JobAdvice.profiled scene.Job
    let busy = scene.Busy |> ValueOption.defaultValue 0.0<percent>
    let isQuiet = Standstill.isQuiet scene

    let power =
        match scene.Power with
        | ValueSome power when busy > Limits.gpuStill -> $" at {Figures.percent power} of the power limit"
        | _ -> ""

    let rest =
        if isQuiet then
            "no CPU time is used and no bytes move"
        else
            "nothing moves between the GPUs or over the network, though CPU time is used"

    let waitsFor =
        match scene.Job.Blocked, scene.Job.BlockedOn with
        | ValueSome blocked, ValueSome on when blocked >= Limits.explains ->
            $" {Figures.percent blocked} of its threads are stuck in the kernel ({on.Name})."
        | _ -> ""

    {
        Label = VerdictLabel.Hang
        Second = ValueNone
        Confidence = if isQuiet && not scene.IsAnonymous then 0.85 else 0.6
        Reason = $"It stopped: for {Figures.time time} utilisation has been at {Figures.percent busy}{power}, {rest}.{waitsFor}"
        Fix =
            $"See where each rank stands: py-spy dump --pid {pid} (and its children); TORCH_NCCL_DUMP_ON_TIMEOUT=1 for the next run. Then restart it."
        Evidence = stillWitnesses scene time Limits.hang
        RuledOut = [||]
        Since = since
    }

/// Somebody stopped it, with SIGSTOP or Ctrl+Z.
let stopped (scene: Scene) : Decided =
    let job = scene.Job

    let continued =
        if job.ProcessGroup > 0 then
            $"-- -{job.ProcessGroup}"
        else
            string (JobAdvice.profiled job)

    {
        Label = VerdictLabel.Hang
        Second = ValueNone
        Confidence = 0.95
        Reason = "Its processes are stopped by a signal (SIGSTOP, or Ctrl+Z in a terminal): they keep their GPU memory and do nothing."
        Fix = $"kill -CONT {continued} continues it."
        Evidence =
            [|
                Witness.known "GPU busy" "%" (float Limits.gpuStill) scene.Busy
                Witness.known "cores in use" "" Limits.cpuStill job.CpuCores
            |]
            |> Array.choose id
        RuledOut = [||]
        Since = ValueNone
    }

/// Nobody uses it.
let heldIdle (scene: Scene) (since: DateTimeOffset voption) (time: float<s>) : Decided =
    let gpus = max 1 scene.Job.Gpus.Length
    let many = Figures.count gpus "GPU"
    let hours = float gpus * float time / 3600.0

    let memory =
        let held =
            (0UL<B>, scene.Job.Gpus)
            ||> Array.fold (fun sum gpu -> addSaturating sum (gpu.Memory |> ValueOption.defaultValue 0UL<B>))

        if held > 0UL<B> then
            $" and holds {Figures.number (float held / float (1UL <<< 30))} GiB of GPU memory"
        else
            ""

    let who = if scene.Job.User = "" then "its user" else scene.Job.User

    let what =
        if scene.IsAnonymous then
            Fixes.askHolder
        else
            $"Ask {who}, then end it: {JobAdvice.ending scene.Job}."

    // Loaders that sleep may be a server's helpers.
    let mayHang = scene.Job.Loaders > 0

    let doubt =
        if mayHang then
            " A server that waits looks the same, and so does a job that stopped before it was watched."
        else
            ""

    {
        Label = VerdictLabel.HeldIdle
        Second = ValueNone
        Confidence =
            if scene.IsAnonymous then Limits.anonymous
            elif mayHang then 0.6
            else 0.9
        Reason =
            $"It has used neither GPU nor CPU for {Figures.time time}{memory}: {Figures.number hours} GPU-hours so far on {many}.{doubt}"
        Fix = what
        Evidence = stillWitnesses scene time Limits.idle
        RuledOut = [||]
        Since = since
    }
