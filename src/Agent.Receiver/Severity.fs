namespace Agent.Receiver

open Agent.Core

/// How bad a verdict is, from the worst on. The page orders, filters and colours by it, and alerts are raised by it.
[<RequireQualifiedAccess>]
type Severity =
    /// Something is broken, or a job stopped.
    | Fault
    /// A job does not get on as fast as its GPUs could.
    | HeldBack
    /// GPUs are held by a job that does nothing.
    | HeldIdle
    /// GPUs work, or too little is known to say otherwise.
    | Healthy
    /// Nobody uses the machine.
    | Idle

    /// Its name in answers.
    member severity.Name: string =
        match severity with
        | Fault -> "fault"
        | HeldBack -> "held-back"
        | HeldIdle -> "held-idle"
        | Healthy -> "healthy"
        | Idle -> "idle"

    /// Its name in answers.
    override severity.ToString() = severity.Name

    /// That of a label.
    [<CompiledName "Of">]
    static member ofLabel(label: VerdictLabel) : Severity =
        match label with
        | VerdictLabel.GpuFault
        | VerdictLabel.Hang -> Fault
        | VerdictLabel.HeldIdle -> HeldIdle
        | VerdictLabel.Compute
        | VerdictLabel.Starting
        | VerdictLabel.Unknown -> Healthy
        | VerdictLabel.Idle -> Idle
        | VerdictLabel.Throttled
        | VerdictLabel.LoaderCpu
        | VerdictLabel.MainThread
        | VerdictLabel.CpuContended
        | VerdictLabel.CpuQuota
        | VerdictLabel.DiskRead
        | VerdictLabel.DiskWrite
        | VerdictLabel.NetworkStorage
        | VerdictLabel.Network
        | VerdictLabel.Memory
        | VerdictLabel.Communication
        | VerdictLabel.Imbalance -> HeldBack
