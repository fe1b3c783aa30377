namespace Agent.Receiver

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// What is kept of a job, and the codes by which labels are stored.
[<RequireQualifiedAccess>]
module JobSchema =
    /// As many jobs as an agent sends.
    [<Literal>]
    let MostJobs = 64

    /// The figures of a job: every number among the rows of JobRows.fs.
    let schema: Schema =
        let keys = JobRows.job.Keys.Keys

        {
            Decimals =
                keys
                |> Array.filter _.Kind.IsNumber
                |> Array.map (fun key -> struct (key.Name, 100))
            Integers =
                keys
                |> Array.filter (fun key -> key.Kind.IsInt || key.Kind.IsCounter)
                |> Array.map _.Name
        }

    let private decimalAt name =
        schema.Decimals |> Array.findIndex (fun (struct (key, _)) -> key = name)

    let private integerAt name = Array.IndexOf(schema.Integers, name)

    let internal gpuBusy = decimalAt "gpu_busy_percent"
    let internal gpuPower = decimalAt "gpu_power_percent"
    let internal cpuCores = decimalAt "cpu_cores_used"
    let internal readBytes = decimalAt "read_bytes_per_s"
    let internal writtenBytes = decimalAt "write_bytes_per_s"
    let internal memoryBytes = integerAt "memory_bytes"
    let internal uid = integerAt "uid"

    let internal labels =
        let byName = Dictionary<string, VerdictLabel>(StringComparer.Ordinal)
        VerdictLabel.All |> Array.iter (fun label -> byName[label.Name] <- label)
        byName

    /// The code of a label, by which it is stored.
    [<CompiledName "CodeOf">]
    let codeOf (label: VerdictLabel) : int =
        Array.FindIndex(VerdictLabel.All, (fun other -> other.Name = label.Name))

/// Who decided.
[<RequireQualifiedAccess>]
type JudgementSource =
    /// The machine's agent, which sees processes.
    | Agent
    /// The dashboard, from samples of a sender that sends no verdict.
    | Dashboard

    /// Its name in answers.
    member source.Name: string =
        match source with
        | Agent -> "agent"
        | Dashboard -> "dashboard"

/// A job, as reported.
[<NoComparison>]
type ReportedJob =
    {
        /// Stays the same for the job's life; at most 128 characters.
        Id: string
        /// `slurm`, `pod`, `container`, `unit`, `session`, or what later agents send.
        OwnerKind: string
        /// Its number, UID, id or name.
        OwnerValue: string
        /// The namespace of a pod; else empty.
        OwnerNamespace: string
        /// The name of a pod or a container; else empty.
        OwnerName: string
        /// Empty when unknown.
        User: string
        /// Program and script.
        Name: string
        /// The command line; empty where the agent keeps it to itself.
        Command: string
        /// When its topmost process started.
        StartedAt: DateTimeOffset voption
        /// What its busiest thread does; empty when unknown.
        BusiestThreadOf: string
        /// What its threads wait for; empty when unknown.
        BlockedOn: string
        /// Its GPUs.
        Gpus: JobGpu[]
        /// By `JobSchema.schema`.
        Figures: Figures
        /// What holds it back.
        Verdict: Verdict
    }

    /// Mean utilisation of its GPUs, in per cent; NaN when unknown.
    member job.GpuBusy: float = job.Figures.Decimals[JobSchema.gpuBusy]

    /// CPU cores used; NaN when unknown.
    member job.CpuCores: float = job.Figures.Decimals[JobSchema.cpuCores]

    /// Bytes of memory; -1 when unknown.
    member job.Memory: int64 = job.Figures.Integers[JobSchema.memoryBytes]

    /// The user's number; -1 when unknown.
    member job.Uid: int64 = job.Figures.Integers[JobSchema.uid]

/// What is said of a machine and of its jobs at one instant.
[<NoComparison>]
type Judgement =
    {
        /// Who says it.
        Source: JudgementSource
        /// What holds the machine back: its worst job, or the host.
        Machine: Verdict
        /// Its jobs; of senders without a verdict none are known.
        Jobs: ReportedJob[]
    }
