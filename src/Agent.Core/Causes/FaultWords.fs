/// What is said of faults.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.FaultWords

open Agent.Core

let private text (fault: Faults.Fault) : struct (string * string) =
    let gpu = $"GPU {fault.Gpu}"

    match fault.Kind with
    | Faults.Kind.Driver problem ->
        struct ($"No GPU can be read: {problem}", "See dmesg and nvidia-smi; reload the driver (modprobe nvidia), or restart the machine.")
    | Faults.Kind.Lost ->
        struct ($"{gpu} is lost: the driver no longer answers for it",
                "Drain the machine and restart it; dmesg | grep -i xid says what happened. If it happens again, have the board checked.")
    | Faults.Kind.Ecc count ->
        struct ($"{gpu} reported {count} uncorrected memory errors",
                $"Restart the job; when the GPU is free, reset it (nvidia-smi --gpu-reset -i {fault.Gpu}) and look at nvidia-smi -q -d ECC,ROW_REMAPPER.")
    | Faults.Kind.RemapPending ->
        struct ($"{gpu} has memory rows waiting to be remapped", $"When the GPU is free, reset it: nvidia-smi --gpu-reset -i {fault.Gpu}.")
    | Faults.Kind.Xid code ->
        let what =
            match Xid.description code with
            | "" -> ""
            | text -> $" ({text})"

        let event = $"{gpu} reported XID {code}{what}"

        match Xid.action code with
        | Xid.Action.RestartProgram ->
            struct ($"{event}: an error of the program, the GPU itself is fine",
                    "Restart the job; if it happens again, run it under compute-sanitizer or with CUDA_LAUNCH_BLOCKING=1.")
        | Xid.Action.Reset ->
            struct ($"{event}: the GPU needs a reset", $"Drain the GPU and reset it: nvidia-smi --gpu-reset -i {fault.Gpu}.")
        | Xid.Action.Reboot ->
            struct ($"{event}: a reset does not help", "Drain the machine and restart it; if it happens again, have the board checked.")
        | Xid.Action.Report
        | Xid.Action.Nothing -> struct (event, Fixes.seeFaults)

/// What is broken; none where nothing is.
let decide (faults: Faults.Fault[]) : Decided voption =
    if faults.Length = 0 then
        ValueNone
    else
        let struct (first, fix) = text faults[0]

        let more =
            match faults.Length - 1 with
            | 0 -> ""
            | 1 ->
                let struct (other, _) = text faults[1]
                $". Also: {other}"
            | many -> $". {many} more faults are reported"

        ValueSome
            {
                Label = VerdictLabel.GpuFault
                Second = ValueNone
                Confidence = Limits.surest
                Reason = first + more + "."
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
