namespace Agent.Core.Causes

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// What the window says at one look, before it is held against what was said before.
type internal Decided =
    {
        /// What holds it back.
        Label: VerdictLabel
        /// What is close behind.
        Second: VerdictLabel voption
        /// How sure.
        Confidence: float
        /// Why.
        Reason: string
        /// What to try.
        Fix: string
        /// The witnesses.
        Evidence: Witness[]
        /// What was looked at and is not the limit.
        RuledOut: Witness[]
        /// Since when, where that is known by other means than the window.
        Since: DateTimeOffset voption
    }

/// From findings to one label.
[<RequireQualifiedAccess>]
module internal Decision =
    // What it takes from the confidence that a limit has only half of its stage's time, and that it explains only half of all. Both are
    // figures of the limit itself, so that more room in it never makes its label more certain.
    let private shareDoubt, partDoubt = 0.15, 0.2

    // Below 0.5 a verdict is a guess; a label of nothing is less than that.
    let private guess = 0.2

    // What cannot be told from the machine's figures alone, whoever agrees.
    let private anonymous = 0.65

    /// The strongest finding that explains enough, the one close behind, and how sure that is.
    let private choose (findings: Finding list) : struct (Finding * VerdictLabel voption * float) voption =
        let ranked =
            findings
            |> List.filter (fun finding -> finding.Clues |> List.exists (fun clue -> clue.Pull > 0.0))
            |> Finding.ranked

        match ranked with
        | first :: rest when first.Strength >= Limits.explains ->
            let nearness =
                match rest with
                | second :: _ -> second.Strength / first.Strength
                | [] -> 0.0

            let second =
                match rest with
                | second :: _ when nearness >= Limits.close -> ValueSome second.Label
                | _ -> ValueNone

            let doubt =
                shareDoubt * Clue.ramp Limits.alone Limits.half first.Part
                + partDoubt * Clue.ramp Limits.stage Limits.explains first.Strength

            ValueSome(first, second, Math.Max(0.05, Finding.confidence first - doubt))
        | _ -> ValueNone

    /// The clearest first; those that contradict come last.
    let private witnesses (finding: Finding) : Witness[] =
        finding.Clues
        |> List.sortBy (fun clue -> -clue.Pull)
        |> List.map _.Witness
        |> Array.ofList

    let private named (name: string) (unit: string) (limit: float) (value: float<'u> voption) : Witness option =
        match value with
        | ValueSome value ->
            Some
                {
                    Name = name
                    Value = float value
                    Limit = ValueSome limit
                    Unit = unit
                }
        | ValueNone -> None

    let private below (witness: Witness) =
        match witness.Limit with
        | ValueSome limit -> witness.Value < limit
        | ValueNone -> true

    /// One figure for each family that is neither the limit nor close behind, where it is below its limit.
    let private ruledOut (scene: Scene) (isTold: VerdictLabel -> bool) : Witness[] =
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
                named "loaders busy" "%" (float Limits.busyThread) job.LoadersBusy

            if not (isTold VerdictLabel.MainThread) then
                named "main thread busy" "%" (float Limits.busyThread) job.MainThread

            if not (isTold VerdictLabel.CpuContended) then
                named "wait for a CPU" "%" (float Limits.cpuWait) job.CpuWait

            if not (isTold VerdictLabel.CpuQuota) then
                named "throttled periods" "%" (float Limits.cpuThrottled) job.CpuThrottled

            if
                not (
                    isTold VerdictLabel.DiskRead
                    || isTold VerdictLabel.DiskWrite
                    || isTold VerdictLabel.NetworkStorage
                )
            then
                named "threads blocked" "%" (float Limits.blocked) job.Blocked
                named "busiest disk" "%" (float Limits.diskBusy) busiestDisk

            if not (isTold VerdictLabel.NetworkStorage) then
                named "operation on network storage" "ms" (float Limits.mountSlow) slowestMount

            if not (isTold VerdictLabel.Network || isTold VerdictLabel.Communication) then
                named "received" "B/s" (float Limits.trickle) (NetworkCauses.received scene)

            if not (isTold VerdictLabel.Memory) then
                named "tasks that stall for memory" "%" (float Limits.memoryStall) (ValueOption.orElse host.MemoryStall job.MemoryStall)

            if not (isTold VerdictLabel.Compute || isTold VerdictLabel.Communication) then
                named "GPU busy" "%" (float Limits.saturated) scene.Busy
        |]
        |> Array.choose id
        |> Array.filter below

    let private ruledOutOfHost (host: HostEvidence) (isTold: VerdictLabel -> bool) : Witness[] =
        [|
            if not (isTold VerdictLabel.Compute || isTold VerdictLabel.Idle) then
                named "all CPUs" "%" (float Limits.hostBusy) host.CpuBusy

            if not (isTold VerdictLabel.MainThread) then
                named "busiest CPU" "%" (float Limits.hostOneCpu) host.BusiestCpu

            if
                not (
                    isTold VerdictLabel.DiskRead
                    || isTold VerdictLabel.DiskWrite
                    || isTold VerdictLabel.NetworkStorage
                )
            then
                named "tasks that stall for I/O" "%" (float Limits.ioStall) (HostCauses.ioShare host)

            if not (isTold VerdictLabel.Memory) then
                named "tasks that stall for memory" "%" (float Limits.memoryStall) host.MemoryStall

            match NetworkCauses.fullest host with
            | ValueSome(struct (link, full)) when not (isTold VerdictLabel.Network) ->
                named $"{link.Name} of its speed" "%" (float Limits.linkFull) (ValueSome full)
            | _ -> ()

            if not (isTold VerdictLabel.CpuContended) then
                named "taken by the hypervisor" "%" (float Limits.steal) host.Steal
        |]
        |> Array.choose id
        |> Array.filter below

    let private tells (first: VerdictLabel) (second: VerdictLabel voption) (label: VerdictLabel) =
        label.Name = first.Name
        || (match second with
            | ValueSome second -> label.Name = second.Name
            | ValueNone -> false)

    let private causes (scene: Scene) : Finding list =
        GpuCauses.find scene
        @ Imbalance.find scene
        @ CpuCauses.find scene
        @ StorageCauses.find scene
        @ NetworkCauses.find scene

    let private ofCauses (scene: Scene) : Decided =
        match choose (causes scene) with
        | ValueSome(first, second, confidence) ->
            let excluded = ruledOut scene (tells first.Label second)

            {
                Label = first.Label
                Second = second
                Confidence =
                    if scene.IsAnonymous then
                        min anonymous confidence
                    else
                        confidence
                Reason = Reasons.ofJob scene first.Label second excluded
                Fix = Fixes.ofJob scene first.Label
                Evidence = witnesses first
                RuledOut = excluded
                Since = ValueNone
            }
        | ValueNone ->
            let excluded = ruledOut scene (fun _ -> false)

            {
                Label = VerdictLabel.Unknown
                Second = ValueNone
                Confidence = guess
                Reason = Reasons.ofJob scene VerdictLabel.Unknown ValueNone excluded
                Fix = Fixes.ofJob scene VerdictLabel.Unknown
                Evidence = scene.WaitClue |> List.map _.Witness |> Array.ofList
                RuledOut = excluded
                Since = ValueNone
            }

    let private stillWitnesses (scene: Scene) (time: float<s>) (limit: float<s>) : Witness[] =
        [|
            named "GPU busy" "%" (float Limits.gpuStill) scene.Busy
            named "cores in use" "" Limits.cpuStill scene.Job.CpuCores
            named "GPU power" "%" (float Limits.lowPower) scene.Power
            named "standing still" "s" (float limit) (ValueSome time)
        |]
        |> Array.choose id

    let private hang (scene: Scene) (since: DateTimeOffset voption) (time: float<s>) : Decided =
        let pid = scene.Job.RootPid
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
                "nothing moves between the GPUs or over the network, though a thread spins"

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

    let private heldIdle (scene: Scene) (since: DateTimeOffset voption) (time: float<s>) : Decided =
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
            match scene.Job.Owner.Kind with
            | _ when scene.IsAnonymous -> "Ask who holds it (nvidia-smi lists the processes), and end it if it is not needed."
            | OwnerKind.Slurm -> $"Ask {who}, then end it: scancel {scene.Job.Owner.Value}."
            | OwnerKind.Pod when scene.Job.Owner.Name <> "" ->
                $"Ask {who}, then end it: kubectl delete pod -n {scene.Job.Owner.Namespace} {scene.Job.Owner.Name}."
            | OwnerKind.Unit -> $"Ask {who}, then end it: systemctl stop {scene.Job.Owner.Value}."
            | _ -> $"Ask {who}, then end it: kill {scene.Job.RootPid}."

        {
            Label = VerdictLabel.HeldIdle
            Second = ValueNone
            Confidence = if scene.IsAnonymous then anonymous else 0.9
            Reason = $"It has used neither GPU nor CPU for {Figures.time time}{memory}: {Figures.number hours} GPU-hours so far on {many}."
            Fix = what
            Evidence = stillWitnesses scene time Limits.idle
            RuledOut = [||]
            Since = since
        }

    /// What holds a job back, by the window and by how long it stands still.
    let ofJob (scene: Scene) (at: DateTimeOffset) (still: Standstill.Still) : Decided =
        match Standstill.judge scene at still with
        | Standstill.Kind.HangsBusy time -> hang scene still.Pinned time
        | Standstill.Kind.HangsSilent time -> hang scene still.Silent time
        | Standstill.Kind.Held time -> heldIdle scene still.Unused time
        | Standstill.Kind.No -> ofCauses scene

    let private faultText (fault: Faults.Fault) : struct (string * string) =
        let gpu = $"GPU {fault.Gpu}"

        match fault.Kind with
        | Faults.Kind.Driver problem ->
            struct ($"No GPU can be read: {problem}",
                    "See dmesg and nvidia-smi; reload the driver (modprobe nvidia), or restart the machine.")
        | Faults.Kind.Lost ->
            struct ($"{gpu} is lost: the driver no longer answers for it",
                    "Drain the machine and restart it; dmesg | grep -i xid says what happened. If it comes back, have the board checked.")
        | Faults.Kind.Ecc count ->
            struct ($"{gpu} reported {count} uncorrected memory errors",
                    $"Restart the job; when the GPU is free, reset it (nvidia-smi --gpu-reset -i {fault.Gpu}) and look at nvidia-smi -q -d ECC,ROW_REMAPPER.")
        | Faults.Kind.RemapPending ->
            struct ($"{gpu} has memory rows that wait to be remapped",
                    $"When the GPU is free, reset it: nvidia-smi --gpu-reset -i {fault.Gpu}.")
        | Faults.Kind.Xid code ->
            let what =
                match Xid.description code with
                | "" -> ""
                | text -> $" ({text})"

            let event = $"{gpu} reported XID {code}{what}"

            match Xid.action code with
            | Xid.Action.RestartProgram ->
                struct ($"{event}: an error of the program, the GPU itself is well",
                        "Restart the job; if it comes again, run it under compute-sanitizer or with CUDA_LAUNCH_BLOCKING=1.")
            | Xid.Action.Reset ->
                struct ($"{event}: the GPU needs a reset", $"Drain the GPU and reset it: nvidia-smi --gpu-reset -i {fault.Gpu}.")
            | Xid.Action.Reboot ->
                struct ($"{event}: a reset does not help", "Drain the machine and restart it; if it comes again, have the board checked.")
            | Xid.Action.Report
            | Xid.Action.Nothing ->
                struct (event, "See dmesg | grep -i xid and NVIDIA's XID catalogue; nvidia-bug-report.sh collects what NVIDIA asks for.")

    /// What is broken.
    let ofFaults (faults: Faults.Fault[]) : Decided voption =
        if faults.Length = 0 then
            ValueNone
        else
            let struct (text, fix) = faultText faults[0]

            let more =
                match faults.Length - 1 with
                | 0 -> ""
                | 1 ->
                    let struct (other, _) = faultText faults[1]
                    $". Also: {other}"
                | many -> $". {many} more faults are reported"

            ValueSome
                {
                    Label = VerdictLabel.GpuFault
                    Second = ValueNone
                    Confidence = Limits.surest
                    Reason = text + more + "."
                    Fix = fix
                    Evidence =
                        [|
                            {
                                Name = "faults reported"
                                Value = float faults.Length
                                Limit = ValueSome 1.0
                                Unit = ""
                            }
                        |]
                    RuledOut = [||]
                    Since = ValueSome(faults |> Array.map _.Since |> Array.min)
                }

    /// What holds a machine back whose GPUs nobody uses.
    let ofHost (host: HostEvidence) : Decided =
        let chosen = choose (HostCauses.find host)

        let label, second, confidence, evidence =
            match chosen with
            | ValueSome(first, second, confidence) -> first.Label, second, confidence, witnesses first
            | ValueNone -> VerdictLabel.Unknown, ValueNone, guess, [||]

        let excluded = ruledOutOfHost host (tells label second)

        {
            Label = label
            Second = second
            Confidence = confidence
            Reason = Reasons.ofHost host label second excluded evidence
            Fix = Fixes.ofHost host label
            Evidence = evidence
            RuledOut = excluded
            Since = ValueNone
        }

    /// Too little was seen yet.
    let starting (reason: string) : Decided =
        {
            Label = VerdictLabel.Starting
            Second = ValueNone
            Confidence = 0.0
            Reason = reason
            Fix = ""
            Evidence = [||]
            RuledOut = [||]
            Since = ValueNone
        }
