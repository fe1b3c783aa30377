/// The keys of jobs and verdicts, a row each. All of them are ours; the webapp ignores them.
[<RequireQualifiedAccess>]
module internal Agent.Core.JobRows

open Agent.Core.Jobs
open Agent.Core.UnitNames
open Agent.Core.Row

let private owner =
    Table<Owner>(
        "owner",
        [|
            text ours "kind" "`slurm`, `pod`, `container`, `unit` or `session`" _.Kind.Name
            text
                ours
                "value"
                "the number of a Slurm job, the UID of a pod, the id of a container, the name of a unit, the leader of a session"
                _.Value
            textOrNull ours "namespace" "namespace of a pod" _.Namespace
            textOrNull ours "name" "name of a pod or a container" _.Name
        |]
    )

let private jobGpu =
    Table<JobGpu>(
        "job_gpu",
        [|
            integer ours "gpu_index" none "as in `gpus`" _.Index
            textOrNull ours "uuid" "`GPU-…`, or `MIG-…` of an instance" _.Uuid
            counterOrNull ours "memory_bytes" bytes "device memory that the job holds" _.Memory
            numberOrNull ours "sm_percent" percent "its share of the multiprocessors' time" _.SmShare
        |]
    )

let private witness =
    Table<Witness>(
        "witness",
        [|
            text ours "name" "what was measured" _.Name
            number ours "value" none "the figure" _.Value
            numberOrNull ours "limit" none "the limit that it is compared with; null for a figure that only informs" _.Limit
            text ours "unit" "the unit of both: `%`, `B/s`, `ms`, or empty" _.Unit
        |]
    )

/// What holds a job or a machine back.
let verdict =
    Table<Verdict>(
        "verdict",
        [|
            text ours "label" "one of the labels in docs/verdict.md" _.Label.Name
            textOrNull ours "second" "a limit that is close behind" (fun v ->
                match v.Second with
                | ValueSome label -> label.Name
                | ValueNone -> "")
            instant ours "since" "when the label began to apply" _.Since
            number ours "confidence" none "0 to 1" _.Confidence
            text ours "reason" "why, with figures" _.Reason
            text ours "fix" "one thing to try; empty where nothing needs to be done" _.Fix
            objects ours "evidence" witness "the figures that decided" _.Evidence
            objects ours "ruled_out" witness "what was looked at and is not the limit" _.RuledOut
        |]
    )

/// A job and its verdict.
let job =
    let roles = ThreadRole.All |> Array.map _.Name
    let blocked = BlockedOn.All |> Array.map _.Name

    Table<JudgedJob>(
        "job",
        [|
            text ours "id" "stays the same for the job's life" _.Job.Id
            object' ours "owner" owner "what the job belongs to" _.Job.Owner
            textOrNull ours "user" "the user's name" _.Job.User
            integer64 ours "uid" none "the user's number" _.Job.Uid
            text ours "name" "program and script" _.Job.Name
            textOrNull ours "command" "the command line, with `--job-detail full`; secrets are masked" _.Job.Command
            integer ours "root_pid" none "the topmost process" _.Job.RootPid
            instantOrNull ours "started_at" "when that process started" _.Job.StartedAt
            objects ours "gpus" jobGpu "its GPUs" _.Job.Gpus
            integer ours "processes" none "processes" _.Job.Processes
            integer ours "threads" none "their threads" _.Job.Threads
            integer ours "loaders" none "data loader workers among them" _.Job.Loaders
            numberOrNull ours "cpu_cores_used" none "CPU time per elapsed time" _.Job.CpuCores
            numberOrNull ours "cpu_cores_allowed" none "cores that it may use" _.Job.CpuCoresAllowed
            numberOrNull ours "busiest_thread_percent" percent "CPU time of its busiest thread, of one core" _.Job.BusiestThread
            oneOfOrNull ours "busiest_thread_of" roles "what that thread does" (fun j ->
                match j.Job.BusiestThreadRole with
                | ValueSome role -> role.Name
                | ValueNone -> "")
            numberOrNull ours "main_thread_percent" percent "CPU time of the busiest thread that drives a GPU, of one core" _.Job.MainThread
            numberOrNull ours "loaders_busy_percent" percent "mean CPU time of a loader, of one core" _.Job.LoadersBusy
            numberOrNull
                ours
                "cpu_wait_percent"
                percent
                "time that its threads waited for a CPU, of the time that they ran or waited"
                _.Job.CpuWait
            numberOrNull ours "cpu_throttled_percent" percent "periods of its CPU quota in which it was throttled" _.Job.CpuThrottled
            numberOrNull
                ours
                "blocked_percent"
                percent
                "observations in which a loader or main thread was in uninterruptible sleep"
                _.Job.Blocked
            numberOrNull ours "main_blocked_percent" percent "the same for the threads that drive a GPU" _.Job.MainBlocked
            oneOfOrNull ours "blocked_on" blocked "what they waited for" (fun j ->
                match j.Job.BlockedOn with
                | ValueSome on -> on.Name
                | ValueNone -> "")
            numberOrNull ours "read_bytes_per_s" bytesPerSecond "read from disks or network storage" _.Job.Read
            numberOrNull ours "write_bytes_per_s" bytesPerSecond "written to them" _.Job.Written
            numberOrNull ours "network_rx_bytes_per_s" bytesPerSecond "received over sockets" _.Job.NetworkReceived
            counterOrNull ours "memory_bytes" bytes "memory of its control group, else of its processes" _.Job.Memory
            counterOrNull ours "memory_limit_bytes" bytes "its memory limit; null without one" _.Job.MemoryLimit
            numberOrNull ours "memory_stall_percent" percent "time in which some of its tasks stalled for memory" _.Job.MemoryStall
            numberOrNull ours "io_stall_percent" percent "time in which some of its tasks stalled for I/O" _.Job.IoStall
            numberOrNull ours "refault_bytes_per_s" bytesPerSecond "read again from files after it was evicted from memory" _.Job.Refaults
            numberOrNull ours "major_faults_per_s" none "page faults a second that needed a disk" (fun j ->
                j.Job.MajorFaults |> ValueOption.map (fun rate -> float rate))
            counter
                ours
                "out_of_memory_kills"
                none
                "its processes that the kernel killed for lack of memory, in the interval"
                _.Job.OutOfMemoryKills
            numberOrNull ours "gpu_busy_percent" percent "mean utilisation of its GPUs" _.Job.GpuBusy
            numberOrNull ours "gpu_least_busy_percent" percent "utilisation of the least busy one" _.Job.GpuLeastBusy
            numberOrNull ours "gpu_power_percent" percent "mean power of its GPUs, of their limits" _.Job.GpuPower
            object' ours "verdict" verdict "what holds it back" _.Verdict
        |]
    )

/// A report by itself.
let report =
    Table<JobReport>(
        "report",
        [|
            objects ours "jobs" job "who uses the GPUs, and what holds each of them back" _.Jobs
            object' ours "verdict" verdict "what holds the machine back" _.Machine
        |]
    )
