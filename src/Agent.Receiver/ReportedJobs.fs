/// Posted jobs as their agent had them, for what is made of either. What is not posted is unknown.
[<RequireQualifiedAccess>]
module internal Agent.Receiver.ReportedJobs

open System
open Agent.Core
open Agent.Core.Jobs

let private kinds =
    [|
        OwnerKind.Slurm
        OwnerKind.Pod
        OwnerKind.Container
        OwnerKind.Unit
        OwnerKind.Session
    |]

/// Kinds of later agents are told as the one that stands for nothing else known.
let private kindOf (name: string) : OwnerKind =
    kinds
    |> Array.tryFind (fun kind -> kind.Name = name)
    |> Option.defaultValue OwnerKind.Session

let private decimals = JobSchema.schema.Decimals |> Array.map (fun (struct (name, _)) -> name)

/// A job as its agent had it.
let private jobOf (job: ReportedJob) : Job =
    let plain name =
        job.Figures.Decimal(Array.IndexOf(decimals, name))

    let measured name : float<'unit> voption =
        plain name |> ValueOption.map LanguagePrimitives.FloatWithMeasure

    let whole name =
        job.Figures.Whole(Array.IndexOf(JobSchema.schema.Integers, name))

    let bytes name : uint64<Units.B> voption =
        whole name
        |> ValueOption.map (fun count -> LanguagePrimitives.UInt64WithMeasure(uint64 count))

    let count name unknown =
        match whole name with
        | ValueSome count when count <= int64 Int32.MaxValue -> int count
        | _ -> unknown

    { Job.Unknown with
        Id = job.Id
        Owner =
            {
                Kind = kindOf job.OwnerKind
                Value = job.OwnerValue
                Namespace = job.OwnerNamespace
                Name = job.OwnerName
            }
        User = job.User
        Uid = whole "uid" |> ValueOption.defaultValue -1L
        Name = job.Name
        Command = job.Command
        StartedAt = job.StartedAt
        Gpus = job.Gpus
        Processes = count "processes" 0
        Threads = count "threads" 0
        Loaders = count "loaders" 0
        CpuCores = plain "cpu_cores_used"
        CpuCoresAllowed = plain "cpu_cores_allowed"
        BusiestThread = measured "busiest_thread_percent"
        MainThread = measured "main_thread_percent"
        LoadersBusy = measured "loaders_busy_percent"
        CpuWait = measured "cpu_wait_percent"
        CpuThrottled = measured "cpu_throttled_percent"
        Blocked = measured "blocked_percent"
        MainBlocked = measured "main_blocked_percent"
        Read = measured "read_bytes_per_s"
        Written = measured "write_bytes_per_s"
        NetworkReceived = measured "network_rx_bytes_per_s"
        Memory = bytes "memory_bytes"
        MemoryLimit = bytes "memory_limit_bytes"
        MemoryStall = measured "memory_stall_percent"
        IoStall = measured "io_stall_percent"
        Refaults = measured "refault_bytes_per_s"
        MajorFaults = measured "major_faults_per_s"
        OutOfMemoryKills =
            whole "out_of_memory_kills"
            |> ValueOption.map uint64
            |> ValueOption.defaultValue 0UL
        GpuBusy = measured "gpu_busy_percent"
        GpuLeastBusy = measured "gpu_least_busy_percent"
        GpuPower = measured "gpu_power_percent"
    }

/// What was said, as its agent had it. How many jobs it left out is not kept.
let reportOf (judgement: Judgement) : JobReport =
    {
        Jobs =
            judgement.Jobs
            |> Array.map (fun job ->
                {
                    Job = jobOf job
                    Verdict = job.Verdict
                })
        Machine = judgement.Machine
        LeftOut = 0
    }
