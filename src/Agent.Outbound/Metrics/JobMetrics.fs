/// Who uses the GPUs, what each job does, and what holds it back. Nothing where nobody uses any.
[<RequireQualifiedAccess>]
module internal Agent.Outbound.JobMetrics

open System
open System.Globalization
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// One family with a sample for each job.
[<NoEquality; NoComparison>]
type private JobRow =
    {
        /// The family's name without `ai_dashboard_job_`.
        Name: string
        /// What it means, with its unit where the name has none.
        Help: string
        /// The figure; none where it is unknown.
        Of: Job -> float voption
    }

let private row name help of' = { Name = name; Help = help; Of = of' }

let private share (value: float<percent> voption) = ValueOption.map ratioOfPercent value
let private rate (value: float<B / s> voption) = ValueOption.map float value
let private bytes (value: uint64<B> voption) = ValueOption.map float value
let private count (value: int) = ValueSome(float value)

/// Every figure of a job, in the order of the text.
let private rows =
    [|
        row "start_time_seconds" "When the topmost process of a job started, in seconds since 1970." (fun job ->
            job.StartedAt |> ValueOption.map (fun at -> float (secondsSinceEpoch at)))
        row "gpus" "GPUs and MIG instances that a job holds." (fun job -> count job.Gpus.Length)
        row "processes" "Processes of a job." (fun job -> count job.Processes)
        row "threads" "Threads of a job." (fun job -> count job.Threads)
        row "loaders" "Data loader workers of a job." (fun job -> count job.Loaders)
        row "cpu_cores" "CPU time that a job uses, over time: 2.5 is two and a half cores." _.CpuCores
        row "cpu_cores_allowed" "CPU cores that a job may use, by cpuset and quota." _.CpuCoresAllowed
        row "busiest_thread_ratio" "CPU time of the busiest thread of a job, of one core." (fun job -> share job.BusiestThread)
        row "main_thread_ratio" "CPU time of the busiest thread of a job that drives a GPU, of one core." (fun job -> share job.MainThread)
        row "loaders_busy_ratio" "Mean CPU time of the data loaders of a job, each of one core." (fun job -> share job.LoadersBusy)
        row "cpu_wait_ratio" "Time that threads of a job waited for a CPU, of the time that they ran or waited." (fun job ->
            share job.CpuWait)
        row "cpu_throttled_ratio" "Periods of its CPU quota in which a job was throttled, of all." (fun job -> share job.CpuThrottled)
        row "blocked_ratio" "Looks at which a loader or main thread of a job was in uninterruptible sleep, of all." (fun job ->
            share job.Blocked)
        row "main_blocked_ratio" "The same of the threads that drive a GPU." (fun job -> share job.MainBlocked)
        row "read_bytes_per_second" "Read by a job from disks and network storage." (fun job -> rate job.Read)
        row "written_bytes_per_second" "Written by a job to disks and network storage." (fun job -> rate job.Written)
        row "network_receive_bytes_per_second" "Received by a job over sockets." (fun job -> rate job.NetworkReceived)
        row "memory_bytes" "Memory of a job's control group, else of its processes." (fun job -> bytes job.Memory)
        row "memory_limit_bytes" "The memory limit of a job's control group." (fun job -> bytes job.MemoryLimit)
        row "memory_stall_ratio" "Time in which some task of a job stalled for memory." (fun job -> share job.MemoryStall)
        row "io_stall_ratio" "Time in which some task of a job stalled for I/O." (fun job -> share job.IoStall)
        row "major_faults_per_second" "Page faults of a job that needed a disk." (fun job ->
            job.MajorFaults |> ValueOption.map (fun faults -> float faults))
        row "gpu_busy_ratio" "Mean utilisation of a job's GPUs." (fun job -> share job.GpuBusy)
        row "gpu_least_busy_ratio" "Utilisation of the least busy GPU of a job." (fun job -> share job.GpuLeastBusy)
        row "gpu_power_ratio" "Mean power of a job's GPUs, each of its limit." (fun job -> share job.GpuPower)
    |]

/// The labels that a job may have: a machine alone is idle, a job holds a GPU.
let private jobLabels = VerdictLabel.All |> Array.filter (fun label -> not label.IsIdle)

/// The label of `ai_dashboard_job_info` with what the machine's user says all of its jobs are part of.
[<Literal>]
let MachineJob = "machine_job"

let private optional (sink: MetricSink) (name: string) (value: string) =
    if value <> "" then
        sink.Label(name, value)

let private info (sink: MetricSink) (machineJob: string) (accounts: JobAccount[]) =
    sink.Family("ai_dashboard_job_info", MetricKind.Info, "Whose a job is and what it is called.")

    for account in accounts do
        let job = account.Job
        sink.Label("job", job.Id)
        sink.Label("owner_kind", job.Owner.Kind.Name)
        optional sink "owner" job.Owner.Value
        optional sink "namespace" job.Owner.Namespace
        optional sink "owner_name" job.Owner.Name
        optional sink "user" job.User
        sink.Label("uid", job.Uid.ToString CultureInfo.InvariantCulture)
        optional sink "name" job.Name
        optional sink "hpc_job" account.SchedulerId
        optional sink MachineJob machineJob
        sink.Whole 1UL

/// A counter of seconds for each label: of all that a job may have, or of those under which there were some.
let private seconds (sink: MetricSink) name help (accounts: JobAccount[]) (isWhole: bool) (of': JobAccount -> float<s>[]) =
    sink.Family("ai_dashboard_job_" + name, MetricKind.Counter, help)

    for account in accounts do
        let told = of' account

        for i in 0 .. VerdictLabel.All.Length - 1 do
            let label = VerdictLabel.All[i]

            if isWhole && not label.IsIdle || told[i] > 0.0<s> then
                sink.Label("job", account.Job.Id)
                sink.Label("label", label.Name)
                sink.Value(float told[i])

/// A GPU or MIG instance that a job holds.
[<NoEquality; NoComparison>]
type private Held = { Account: JobAccount; Gpu: JobGpu }

let private gpus (sink: MetricSink) (running: JobAccount[]) =
    let held =
        [|
            for account in running do
                for gpu in account.Job.Gpus do
                    { Account = account; Gpu = gpu }
        |]

    let label (held: Held) =
        sink.Label("job", held.Account.Job.Id)
        sink.Label("gpu", held.Gpu.Index.ToString CultureInfo.InvariantCulture)
        sink.Label("UUID", held.Gpu.Uuid)
        optional sink "hpc_job" held.Account.SchedulerId

    let tell name kind help (value: JobGpu -> float voption) =
        sink.Each("ai_dashboard_job_" + name, kind, help, held, label, (fun held -> value held.Gpu))

    tell "gpu_info" MetricKind.Info "Which GPUs and MIG instances a job holds." (fun _ -> ValueSome 1.0)
    tell "gpu_memory_bytes" MetricKind.Gauge "Device memory that a job holds on a GPU." (fun gpu -> bytes gpu.Memory)

    tell "sm_percent" MetricKind.Gauge "Share of the multiprocessors' time on a GPU that a job used (in %)." (fun gpu ->
        ValueOption.map float gpu.SmShare)

let private isSame (one: VerdictLabel) (other: VerdictLabel) = String.Equals(one.Name, other.Name)

/// So many figures of a verdict are told; the names of disks and mounts are among theirs.
[<Literal>]
let private MostFigures = 8

/// The figures that decided one verdict or several, and what they are compared with, in the units of their label.
let private evidence (sink: MetricSink) (family: string) (whose: string) (verdicts: (struct (string * Verdict))[]) =
    let tell name help (value: Witness -> float voption) =
        sink.Family(family + name, MetricKind.Gauge, help)

        for struct (job, verdict) in verdicts do
            for place in 0 .. min MostFigures verdict.Evidence.Length - 1 do
                let witness = verdict.Evidence[place]

                match value witness with
                | ValueSome value ->
                    optional sink "job" job
                    sink.Label("figure", witness.Name)
                    sink.Label("place", place.ToString CultureInfo.InvariantCulture)
                    optional sink "unit" witness.Unit
                    sink.Value value
                | ValueNone -> ()

    tell "" $"A figure that decided what holds {whose} back, by its place among them." (fun witness -> ValueSome witness.Value)
    tell "_limit" "The limit that such a figure is compared with." _.Limit

let private verdicts (sink: MetricSink) (report: JobReport) =
    sink.Family("ai_dashboard_job_verdict", MetricKind.Gauge, "What holds a job back: 1 for the label that holds, 0 for the others.")

    for judged in report.Jobs do
        for label in jobLabels do
            sink.Label("job", judged.Job.Id)
            sink.Label("label", label.Name)
            sink.Whole(if isSame label judged.Verdict.Label then 1UL else 0UL)

    sink.Family("ai_dashboard_job_verdict_confidence", MetricKind.Gauge, "How sure a job's verdict is, 0 to 1.")

    for judged in report.Jobs do
        sink.Label("job", judged.Job.Id)
        sink.Value judged.Verdict.Confidence

    sink.Family(
        "ai_dashboard_verdict",
        MetricKind.Gauge,
        "What holds the machine back, which is its worst job: 1 for the label that holds, 0 for the others."
    )

    for label in VerdictLabel.All do
        sink.Label("label", label.Name)
        sink.Whole(if isSame label report.Machine.Label then 1UL else 0UL)

    sink.Family("ai_dashboard_verdict_confidence", MetricKind.Gauge, "How sure the machine's verdict is, 0 to 1.")
    sink.Value report.Machine.Confidence

    evidence
        sink
        "ai_dashboard_job_verdict_evidence"
        "a job"
        (report.Jobs |> Array.map (fun judged -> struct (judged.Job.Id, judged.Verdict)))

    evidence sink "ai_dashboard_verdict_evidence" "the machine" [| struct ("", report.Machine) |]

let private all
    (sink: MetricSink)
    (at: DateTimeOffset)
    (machineJob: string)
    (report: JobReport voption)
    (accounts: JobAccounts)
    (leftOut: JobReport -> int voption)
    : unit =
    let shown = JobAccounts.shown accounts
    info sink machineJob shown

    match report with
    | ValueSome report ->
        let label (judged: JudgedJob) = sink.Label("job", judged.Job.Id)

        for row in rows do
            sink.Each("ai_dashboard_job_" + row.Name, MetricKind.Gauge, row.Help, report.Jobs, label, (fun judged -> row.Of judged.Job))

        let at = float (secondsSinceEpoch at)

        sink.Each(
            "ai_dashboard_job_seen_timestamp_seconds",
            MetricKind.Gauge,
            "When the sample was taken that a job was seen in last, in seconds since 1970.",
            report.Jobs,
            label,
            (fun _ -> ValueSome at)
        )

        gpus sink (shown |> Array.filter _.IsRunning)
        verdicts sink report
        sink.Family("ai_dashboard_jobs_left_out", MetricKind.Gauge, "Jobs that use GPUs and are not watched: more than 64.")

        match leftOut report with
        | ValueSome count -> sink.Whole(uint64 count)
        | ValueNone -> ()
    | ValueNone -> ()

    seconds
        sink
        "gpu_seconds_total"
        "Time in which a job held GPUs, times their number, by what held it back meanwhile."
        shown
        true
        _.Seconds

    seconds
        sink
        "gpu_part_seconds_total"
        "Time in which a job held GPUs, times their number, by what held it back; of a GPU that several jobs hold each has its part."
        shown
        false
        _.Parts

    seconds
        sink
        "gpu_wasted_seconds_total"
        "Time of GPUs that a job held and lost, times their number, by what held it back; of a GPU that several jobs hold each has its part."
        shown
        false
        _.Wasted

/// Tells everything of the jobs of one sample, and of those that ended lately what their GPU time went into. `machineJob` is the label `job` that the
/// machine's user gave it, which tells that its jobs are parts of one on several machines; empty for none.
let write (sink: MetricSink) (at: DateTimeOffset) (machineJob: string) (report: JobReport voption) (accounts: JobAccounts) : unit =
    all sink at machineJob report accounts (fun report -> ValueSome report.LeftOut)

/// The same of a report that was posted, of which nobody knows how many jobs it left out.
let writePosted (sink: MetricSink) (at: DateTimeOffset) (machineJob: string) (report: JobReport voption) (accounts: JobAccounts) : unit =
    all sink at machineJob report accounts (fun _ -> ValueNone)
