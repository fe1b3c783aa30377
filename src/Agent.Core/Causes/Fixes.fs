/// One concrete thing to try for each label.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Fixes

open System
open Agent.Core
open Agent.Core.Units

// What is said where no more is known than the label.
let private moreWorkers = "Raise num_workers, with persistent_workers=True, as far as there are cores."

let private findThread =
    "See what the busy thread does: top -H, then py-spy dump --pid PID; more num_workers if it is a loader, torch.compile if it is the trainer."

let private findSlowdown = "nvidia-smi -q -d PERFORMANCE says what slows the GPU."

let private ownCores =
    "See who uses the CPUs (top), and give the trainer cores of its own: taskset -c, or a cpuset."

let private readLess =
    "Read less often and in larger pieces: pack small files into shards (WebDataset, tar), keep the data set on local NVMe or in memory (/dev/shm), or increase prefetch_factor."

let private writeLess =
    "Write checkpoints in the background (torch.distributed.checkpoint.async_save), less often, or to a faster disk."

let private copyFirst = "Copy the data set to a local disk before the run, or keep a local cache of it."

let private useLessMemory =
    "Lower num_workers and prefetch_factor, or stop what else uses memory (top -o %MEM)."

let private communicateLess =
    "Communicate less often: gradient accumulation or a larger batch size; nvidia-smi topo -m and NCCL_DEBUG=INFO say whether the GPUs use NVLink."

let private lookAtProcesses = "Run ai-dashboard-agent --why on the machine: it looks at the processes."

/// GPU memory that somebody holds, nobody knows who.
let askHolder = "Ask who holds it (nvidia-smi lists the processes), and end it if it is not needed."

/// A fault of which no more is known.
let seeFaults =
    "See dmesg | grep -i xid and NVIDIA's XID catalogue; nvidia-bug-report.sh collects what NVIDIA asks for."

/// What usually helps against a label, where nothing is known of the job; empty where nothing needs to be done.
let usual (label: VerdictLabel) : string =
    match label with
    | VerdictLabel.Throttled -> findSlowdown
    | VerdictLabel.LoaderCpu -> moreWorkers
    | VerdictLabel.MainThread -> findThread
    | VerdictLabel.CpuContended -> ownCores
    | VerdictLabel.CpuQuota ->
        "Give it more CPUs: --cpus-per-task in Slurm, resources.limits.cpu of a pod, --cpus of a container, CPUQuota= of a unit."
    | VerdictLabel.DiskRead -> readLess
    | VerdictLabel.DiskWrite -> writeLess
    | VerdictLabel.NetworkStorage -> copyFirst
    | VerdictLabel.Network ->
        "Fetch more at once: more num_workers and prefetch_factor=4, which hide the latency of each request, or keep a local cache of the data."
    | VerdictLabel.Memory -> useLessMemory
    | VerdictLabel.Communication -> communicateLess
    | VerdictLabel.Imbalance ->
        "Give the ranks equal work (DistributedSampler with drop_last=True, batches by length, even pipeline stages), and compare the GPUs: nvidia-smi -q -d CLOCK."
    | VerdictLabel.Hang -> "See where each rank stands: py-spy dump --pid PID (and its children). Then restart it."
    | VerdictLabel.HeldIdle -> askHolder
    | VerdictLabel.GpuFault -> seeFaults
    | VerdictLabel.Unknown -> lookAtProcesses
    | VerdictLabel.Compute
    | VerdictLabel.Idle
    | VerdictLabel.Starting -> ""

/// Ranks that have loaders of their own: one for each GPU where the loaders divide evenly among them.
let private ranks (scene: Scene) : int =
    let gpus = scene.Job.Gpus.Length

    if gpus > 1 && scene.Job.Loaders >= gpus && scene.Job.Loaders % gpus = 0 then
        gpus
    else
        1

/// Whole cores that are free. Some of a core is always taken by something, so that a little more than half of one counts.
let private freeCores (scene: Scene) : int voption =
    Scene.spareCores scene
    |> ValueOption.map (fun spare -> int (Math.Floor(min 10000.0 spare + 0.4)))

/// How many workers would feed the GPU, as far as there are cores for them: those of now, times what the GPU could take, at most four times as
/// many; none where no core is left.
let workers (scene: Scene) : int voption =
    match freeCores scene with
    | ValueSome free when free >= 1 && scene.Job.Loaders < 100000 ->
        let now = max 1 scene.Job.Loaders

        let factor =
            match scene.Busy with
            | ValueSome busy when not scene.IsHollow -> min 4.0 (100.0 / max 1.0 (float busy))
            | _ -> 2.0

        let wanted = int (Math.Ceiling(float now * factor))
        ValueSome(max (now + 1) (min wanted (now + free)))
    | _ -> ValueNone

let private setWorkers (scene: Scene) (many: int) : string =
    match ranks scene with
    | 1 -> $"num_workers={many}"
    | ranks -> $"num_workers={max 1 ((many + ranks - 1) / ranks)} in each of the {ranks} ranks"

let private cores (scene: Scene) : string =
    match scene.Job.CpuCoresAllowed with
    | ValueSome allowed -> Figures.number (min (2.0 * allowed) (float (max 1 scene.Host.Cpus)))
    | ValueNone -> "more"

let private askForCores (scene: Scene) : string =
    match scene.Job.Owner.Kind with
    | Jobs.OwnerKind.Slurm -> $"submit it with --cpus-per-task={cores scene}"
    | Jobs.OwnerKind.Pod -> $"increase resources.limits.cpu of the pod to {cores scene}"
    | Jobs.OwnerKind.Container -> $"start the container with --cpus={cores scene}"
    | Jobs.OwnerKind.Unit -> $"increase CPUQuota= of {scene.Job.Owner.Value} (systemctl edit)"
    | Jobs.OwnerKind.Session -> "increase the limit of its cgroup (cpu.max) or its affinity (taskset -p)"

let private loaderCpu (scene: Scene) : string =
    match workers scene with
    | ValueSome many ->
        let left =
            match freeCores scene with
            | ValueSome free when free > 1 -> $"{free} cores are"
            | _ -> "1 core is"

        $"Set {setWorkers scene many} (now {scene.Job.Loaders}; {left} left), with persistent_workers=True."
    | ValueNone when (Scene.spareCores scene).IsSome && CpuCauses.isLimited scene ->
        $"No core of its allowance is left for more workers: {askForCores scene}, then increase num_workers."
    | ValueNone when (Scene.spareCores scene).IsSome ->
        "No core is left for more workers: make each sample cheaper (decode and resize once and store the result, or decode on the GPU with NVIDIA DALI)."
    | ValueNone -> moreWorkers

let private mainThread (scene: Scene) : string =
    let pid = JobAdvice.profiled scene.Job

    match scene.Job.Loaders with
    | 0 when not scene.IsAnonymous && not scene.IsHollow ->
        let many = workers scene |> ValueOption.defaultValue 2
        $"If it loads its data itself, set num_workers={many} and pin_memory=True; else see where it spends its time: py-spy dump --pid {pid}."
    | _ when scene.IsHollow ->
        "Launch fewer, larger kernels: torch.compile(mode=\"reduce-overhead\") or CUDA graphs, or a larger batch size."
    | _ when scene.IsAnonymous -> findThread
    | _ ->
        $"See where the main thread spends its time: py-spy record --pid {pid} -o trace.svg; move that into the loaders, or use torch.compile."

let private throttled (scene: Scene) : string =
    match GpuCauses.slowest scene with
    | ValueSome(struct (gpu, GpuCauses.Slowed.Heat)) ->
        $"Improve the cooling of GPU {gpu.Index} (air flow, fans, dust), or lower its power limit so that it keeps its clock: nvidia-smi -i {gpu.Index} -pl WATTS."
    | ValueSome(struct (gpu, GpuCauses.Slowed.PowerCap)) ->
        let limit =
            match gpu.PowerLimit with
            | ValueSome limit -> $" (now {Figures.number (float limit)} W)"
            | ValueNone -> ""

        $"Raise its power limit{limit}, as far as nvidia-smi -q -d POWER allows: nvidia-smi -i {gpu.Index} -pl WATTS."
    | ValueSome(struct (gpu, GpuCauses.Slowed.Clock)) ->
        $"See whether its clocks are locked, and release them: nvidia-smi -i {gpu.Index} -q -d CLOCK,PERFORMANCE, then nvidia-smi -i {gpu.Index} -rgc."
    | ValueSome(struct (gpu, _)) ->
        $"Check the server's power supplies and power cables, and the cooling of GPU {gpu.Index}: nvidia-smi -i {gpu.Index} -q -d PERFORMANCE says which."
    | ValueNone -> findSlowdown

let private contended (scene: Scene) : string =
    let isOthers =
        match Scene.othersCores scene with
        | ValueSome cores when scene.Host.Cpus > 0 -> cores / float scene.Host.Cpus * 100.0<percent> >= Limits.othersUse
        | _ -> false

    if scene.IsAnonymous then
        ownCores
    elif isOthers then
        "See who else uses the CPUs (top), and give this job cores of its own: --cpus-per-task with --exclusive in Slurm, a cpuset or taskset -c elsewhere."
    else
        let fewer = max 1 (scene.Host.Cpus - max 1 scene.Job.Gpus.Length)
        $"It has more runnable threads than cores: set OMP_NUM_THREADS=1 for the loaders, and at most num_workers={fewer} in all."

let private diskRead (scene: Scene) : string =
    match StorageCauses.mostRead scene.Host with
    | ValueSome disk when
        scene.Job.Read.IsSome
        && disk.Read > 2.0 * ValueOption.defaultValue 0.0<B / s> scene.Job.Read
        ->
        $"Others read more from {disk.Device} than this job does: see who (iotop -o), or copy its data set to another disk."
    | _ -> readLess

let private networkStorage (scene: Scene) : string =
    match StorageCauses.busiestMount scene.Host with
    | ValueSome mount ->
        let waitsHere =
            match mount.Execution, mount.RoundTrip with
            | ValueSome time, ValueSome wire -> time >= Limits.mountBacklog * wire
            | _ -> false

        if mount.Kind.StartsWith("nfs", StringComparison.Ordinal) && waitsHere then
            $"Operations queue on this machine: mount {mount.MountPoint} with -o nconnect=16, or copy the data set to a local disk first."
        else
            $"Copy the data set from {mount.MountPoint} to a local disk before the run, or keep a local cache of it (fscache, /dev/shm); pack small files into shards."
    | ValueNone -> copyFirst

let private network (scene: Scene) : string =
    match NetworkCauses.fullest scene.Host with
    | ValueSome(struct (link, full)) when full >= Limits.linkFull ->
        $"{link.Name} is full: keep a local cache of the data, store it compressed, or use a faster link."
    | _ ->
        let now = max 1 scene.Job.Loaders

        $"Fetch more at once: num_workers={2 * min now 1000} and prefetch_factor=4, which hide the latency of each request, or keep a local cache of the data."

let private memory (scene: Scene) : string =
    match scene.Job.MemoryLimit with
    | ValueSome _ ->
        match scene.Job.Owner.Kind with
        | Jobs.OwnerKind.Slurm -> "Ask for more memory (--mem), or lower num_workers and prefetch_factor."
        | Jobs.OwnerKind.Pod -> "Raise resources.limits.memory of the pod, or lower num_workers and prefetch_factor."
        | _ -> "Raise its memory limit (memory.max), or lower num_workers and prefetch_factor."
    | ValueNone -> useLessMemory

let private communication (scene: Scene) : string =
    if Scene.bothWays scene.Host >= Limits.movingNetwork then
        "Communicate less often: gradient accumulation (more steps per all-reduce), larger bucket_cap_mb, or FSDP within each node; NCCL_DEBUG=INFO says whether it uses RDMA."
    else
        communicateLess

let private imbalance (scene: Scene) : string =
    match Imbalance.look scene with
    | ValueSome found when found.Kind.IsUnused ->
        let used = max 1 (scene.Gpus.Length - found.Unused)
        $"Start one rank for each GPU (torchrun --nproc-per-node={scene.Gpus.Length}), or ask for only {used}."
    | ValueSome found when not found.Slowed.IsNo ->
        $"Look at GPU {found.Gpu.Index}: nvidia-smi -i {found.Gpu.Index} -q -d PERFORMANCE,TEMPERATURE,CLOCK; until it is fixed, leave it out (CUDA_VISIBLE_DEVICES)."
    | ValueSome found when found.Kind.IsLateInput ->
        $"See what the rank of GPU {found.Gpu.Index} waits for: py-spy dump of its process; its loaders may have fewer cores or a slower disk than the others."
    | ValueSome found ->
        $"Give the ranks equal work (DistributedSampler with drop_last=True, batches by length, even pipeline stages), and compare GPU {found.Gpu.Index} with the others: nvidia-smi -q -d CLOCK."
    | ValueNone -> ""

/// What to try; empty where nothing needs to be done.
let ofJob (scene: Scene) (label: VerdictLabel) : string =
    match label with
    | VerdictLabel.Compute ->
        match scene.Sm, scene.Power with
        | ValueSome sm, _ when sm < Limits.highSm ->
            "Only if it should be faster: a larger batch size, or torch.compile, fills the GPU better."
        | ValueNone, ValueSome power when power < Limits.highPower ->
            "Only if it should be faster: a larger batch size, or torch.compile, fills the GPU better."
        | _ -> ""
    | VerdictLabel.Throttled -> throttled scene
    | VerdictLabel.LoaderCpu -> loaderCpu scene
    | VerdictLabel.MainThread -> mainThread scene
    | VerdictLabel.CpuContended -> contended scene
    | VerdictLabel.CpuQuota ->
        let limit = askForCores scene
        $"Give it more CPUs: {limit}."
    | VerdictLabel.DiskRead -> diskRead scene
    | VerdictLabel.DiskWrite -> writeLess
    | VerdictLabel.NetworkStorage -> networkStorage scene
    | VerdictLabel.Network -> network scene
    | VerdictLabel.Memory -> memory scene
    | VerdictLabel.Communication -> communication scene
    | VerdictLabel.Imbalance -> imbalance scene
    | VerdictLabel.Unknown when scene.IsAnonymous -> lookAtProcesses
    | VerdictLabel.Unknown -> $"See what it waits for: py-spy dump --pid {JobAdvice.profiled scene.Job}."
    | _ -> ""

/// What to try on a machine without GPU jobs.
let ofHost (host: HostEvidence) (label: VerdictLabel) : string =
    match label with
    | VerdictLabel.MainThread ->
        $"Let it use more of the {host.Cpus} CPUs: more parallel jobs (make -j, dotnet build -m), or split the work."
    | VerdictLabel.CpuContended -> "The hypervisor gives this machine's CPUs to others: ask for dedicated ones, or another host."
    | VerdictLabel.DiskRead -> "Keep what is read in memory or on faster storage; iotop -o says who reads."
    | VerdictLabel.DiskWrite -> "Write temporary files to memory (/dev/shm) or to faster storage; iotop -o says who writes."
    | VerdictLabel.NetworkStorage -> "Copy the data to a local disk first, or mount with -o nconnect=16; nfsiostat 5 shows each mount."
    | VerdictLabel.Network -> "Send less or compressed, or use a faster link; nethogs says who."
    | VerdictLabel.Memory -> "Run fewer processes at once, or add memory; ps aux --sort=-rss says who uses it."
    | _ -> ""
