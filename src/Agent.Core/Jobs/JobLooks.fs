/// What one job did between two looks.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.JobLooks

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units

/// A thread between two looks.
[<Struct>]
[<NoComparison>]
type private Thread =
    {
        Role: ThreadRole
        Busy: float<percent> voption
        Ran: float<s> voption
        Waited: float<s> voption
        Looks: int
        Blocked: int
    }

/// What libraries call threads that serve the GPU or the network and are no part of a trainer's own work.
let private helpers =
    [|
        "cuda"
        "nv"
        "nccl"
        "NCCL"
        "pt_nccl"
        "pt_tcpstore"
        "pt_gloo"
        "gloo"
        "grpc"
        "jemalloc"
        "iou-"
        "ray"
        "TraceThread"
    |]

/// PyTorch's thread of the backward pass, which launches work on the GPU as the main thread does.
let private backward = "pt_autograd"

/// A thread of a driver is taken for one that loads data from this share of a core on.
let private working = 5.0<percent>

let private startsWith (beginning: string) (text: string) =
    text.StartsWith(beginning, StringComparison.Ordinal)

let private threadOf (length: float<s>) (before: ThreadCounters voption) (after: ThreadCounters) (role: ThreadRole) : Thread =
    let ran, waited =
        match before, after.Times with
        | ValueSome before, ValueSome times ->
            match before.Times with
            | ValueSome earlier ->
                Rates.grown earlier.RunTime times.RunTime |> Rates.ofNanoseconds,
                Rates.grown earlier.WaitTime times.WaitTime |> Rates.ofNanoseconds
            | ValueNone -> ValueNone, ValueNone
        | _ -> ValueNone, ValueNone

    let ticks =
        match before with
        | ValueSome before -> Rates.grown before.CpuTime after.CpuTime |> Rates.ofTicks
        | ValueNone -> ValueNone

    {
        Role = role
        Busy = Rates.share length (if ran.IsSome then ran else ticks)
        Ran = ran
        Waited = waited
        Looks = after.Looks
        Blocked = after.Blocked
    }

let private continues (before: ThreadCounters) (after: ThreadCounters) =
    before.Tid = after.Tid && before.StartedAt = after.StartedAt

let private watchedRole (isDriver: bool) (isLoader: bool) (thread: Thread) (name: string) : ThreadRole =
    if isLoader then
        ThreadRole.Loader
    elif not isDriver then
        ThreadRole.Other
    elif startsWith backward name then
        ThreadRole.Main
    elif helpers |> Array.exists (fun helper -> startsWith helper name) then
        ThreadRole.Other
    elif thread.Blocked > 0 || (thread.Busy.IsSome && thread.Busy.Value >= working) then
        ThreadRole.Loader
    else
        ThreadRole.Other

/// The threads of a process: the main one first.
let private threadsOf
    (length: float<s>)
    (isDriver: bool)
    (isLoader: bool)
    (before: ProcessCounters voption)
    (after: ProcessCounters)
    : Thread[] =
    let role =
        if isDriver then ThreadRole.Main
        elif isLoader then ThreadRole.Loader
        else ThreadRole.Other

    let main =
        threadOf
            length
            (before
             |> ValueOption.map _.Main
             |> ValueOption.filter (fun main -> continues main after.Main))
            after.Main
            role

    let watched =
        after.Watched
        |> Array.map (fun thread ->
            let earlier =
                match before with
                | ValueSome before ->
                    match before.Watched |> Array.tryFind (fun other -> continues other thread) with
                    | Some other -> ValueSome other
                    | None -> ValueNone
                | ValueNone -> ValueNone

            let seen = threadOf length earlier thread ThreadRole.Other

            { seen with
                Role = watchedRole isDriver isLoader seen thread.Name
            })

    Array.append [| main |] watched

/// Blocked looks as a share of all looks.
let private blockedShare (threads: Thread seq) : float<percent> voption =
    let looks = threads |> Seq.sumBy _.Looks
    let blocked = threads |> Seq.sumBy _.Blocked

    if looks = 0 then
        ValueNone
    else
        ValueSome(percentOf (float blocked) (float looks))

/// One device over another counts each byte again, and a striped one over several counts all of theirs: the largest is the truth, or what is
/// nearest to it where a job uses several disks.
let private deviceRate length (before: CgroupCounters) (after: CgroupCounters) part : float<B / s> voption =
    match before.Io, after.Io with
    | ValueSome before, ValueSome after ->
        after
        |> Array.map (fun now ->
            match Rates.find (fun (other: Sys.CgroupIo.DeviceBytes) -> other.Device) now.Device before with
            | ValueSome earlier -> Rates.grown (part earlier) (part now)
            // A device appears with the first byte.
            | ValueNone -> Rates.grown 0UL<B> (part now))
        |> Rates.extreme Array.max
        |> Rates.perSecond length
    | _ -> ValueNone

/// What blocked threads most likely wait for: where most requests are under way.
let private blockedOn (host: HostEvidence) (blocked: float<percent> voption) (read: float<B / s> voption) (written: float<B / s> voption) =
    let outstanding =
        host.NetworkMounts
        |> Seq.choose (fun mount -> ValueOption.toOption mount.Outstanding)
        |> Seq.sum

    let queue =
        host.Disks
        |> Seq.choose (fun disk -> ValueOption.toOption disk.Queue)
        |> Seq.sum

    let read = read |> ValueOption.defaultValue (host.Disks |> Array.sumBy _.Read)
    let written = written |> ValueOption.defaultValue (host.Disks |> Array.sumBy _.Written)

    match blocked with
    | ValueSome share when share >= 1.0<percent> ->
        if outstanding > 0.1 && outstanding >= queue then
            ValueSome BlockedOn.NetworkStorage
        elif read <= 0.0<B / s> && written <= 0.0<B / s> then
            ValueNone
        elif read >= written then
            ValueSome BlockedOn.DiskRead
        else
            ValueSome BlockedOn.DiskWrite
    | _ -> ValueNone

/// A MIG instance has no utilisation, and its board's figures are those of all its instances: what counts is its own activity.
let private gpuShares (look: Look) (job: JobGroup) =
    let gpuOf index =
        look.Gpus |> Array.tryFind (fun gpu -> gpu.Index = index)

    let own = job.Gpus |> Array.map _.Index |> Array.distinct |> Array.choose gpuOf

    let busyOf (held: JobGpu) : float<percent> voption =
        match gpuOf held.Index with
        | Some gpu when GpuShares.isInstance gpu held.Uuid -> GpuShares.instanceActivity look gpu held.Uuid
        | Some gpu -> gpu.Utilization
        | None -> ValueNone

    let busy = job.Gpus |> Array.map busyOf

    let power = own |> Array.map (fun gpu -> Rates.partOf gpu.Power gpu.PowerLimit)

    struct (Rates.mean busy, Rates.extreme Array.min busy, Rates.mean power)

/// One job between two looks; before is none for one that is new.
let between (length: float<s>) (host: HostEvidence) (look: Look) (before: JobCounters voption) (after: JobCounters) : Job =
    let group = after.Group

    let pidsOf (processes: TreeProcess[]) =
        HashSet<int>(processes |> Seq.map _.Pid)

    let drivers, loaders = pidsOf group.Drivers, pidsOf group.Loaders
    let earlierProcesses = Dictionary<int, ProcessCounters>()

    match before with
    | ValueSome before ->
        for one in before.Processes do
            earlierProcesses[one.Pid] <- one
    | ValueNone -> ()

    let earlierOf (one: ProcessCounters) : ProcessCounters voption =
        match earlierProcesses.TryGetValue one.Pid with
        | true, earlier when earlier.StartedAt = one.StartedAt -> ValueSome earlier
        | _ -> ValueNone

    let growthOf (part: ProcessCounters -> uint64<'u> voption) : float<'u> voption =
        after.Processes
        |> Seq.map (fun one -> Rates.grownBoth (earlierOf one |> ValueOption.bind part) (part one))
        |> Rates.total

    let growthOfChildren = ChildTimes.growth before after earlierOf

    let threads =
        after.Processes
        |> Array.map (fun one -> struct (one, threadsOf length (drivers.Contains one.Pid) (loaders.Contains one.Pid) (earlierOf one) one))

    let all = threads |> Array.collect (fun (struct (_, threads)) -> threads)

    let ofRole role =
        all |> Array.filter (fun thread -> thread.Role = role)

    let mains = ofRole ThreadRole.Main
    let busyOf (threads: Thread seq) = threads |> Seq.map _.Busy

    // As a share of one core, however many of them ran at once.
    let childShare (one: ProcessCounters) : float<percent> voption =
        growthOfChildren one |> Rates.ofTicks |> Rates.share length

    // A loader that is a process counts once, by its busiest thread, or by the programs that it starts for each sample.
    let loaderShares =
        threads
        |> Array.collect (fun (struct (one, threads)) ->
            if loaders.Contains one.Pid then
                [| Rates.extreme Array.max (Seq.append (busyOf threads) [ childShare one ]) |]
            else
                threads
                |> Array.filter (fun thread -> thread.Role = ThreadRole.Loader)
                |> Array.map _.Busy)

    // Where the trainer itself starts them, they are its loaders; a helper that sleeps beside it does not speak against it.
    let startedByDrivers =
        after.Processes
        |> Array.filter (fun one -> drivers.Contains one.Pid)
        |> Array.map childShare
        |> Array.filter (fun share -> share.IsSome && share.Value >= working)
        |> Rates.mean

    let loadersBusy = Rates.extreme Array.max [| Rates.mean loaderShares; startedByDrivers |]

    let busiest =
        all
        |> Array.filter _.Busy.IsSome
        |> Array.sortByDescending _.Busy.Value
        |> Array.tryHead

    let ran, waited = Rates.total (all |> Seq.map _.Ran), Rates.total (all |> Seq.map _.Waited)
    let blocked = blockedShare (all |> Seq.filter (fun thread -> thread.Role <> ThreadRole.Other))

    let earlierCgroup =
        match before with
        | ValueSome before -> before.Cgroup
        | ValueNone -> CgroupCounters.Unknown

    let ofCgroupOr part ofProcess =
        match deviceRate length earlierCgroup after.Cgroup part with
        | ValueSome rate -> ValueSome rate
        | ValueNone ->
            growthOf (fun one -> one.Io |> ValueOption.map ofProcess)
            |> Rates.perSecond length

    let read =
        ofCgroupOr (fun (device: Sys.CgroupIo.DeviceBytes) -> device.Read) (fun (io: Proc.ProcessIo.ProcessIo) -> io.Read)

    let written = ofCgroupOr _.Written _.Written

    let cpu (part: Sys.CgroupCpu.CpuStat -> uint64 voption) =
        Rates.grownBoth (earlierCgroup.Cpu |> ValueOption.bind part) (after.Cgroup.Cpu |> ValueOption.bind part)

    let struct (gpuBusy, gpuLeastBusy, gpuPower) = gpuShares look group

    {
        Id = group.Id
        Owner = group.Owner
        User = OneLine.name after.User
        Uid = group.Uid
        Name = Grouping.nameOf look.Detail group
        Command = Grouping.commandOf look.Detail group
        RootPid = group.Root.Pid
        DriverPid = group.Drivers[0].Pid
        ProcessGroup =
            // One whose leader is not of this job may hold others.
            if
                group.Root.Group > 1
                && group.Processes |> Array.exists (fun one -> one.Pid = group.Root.Group)
            then
                group.Root.Group
            else
                0
        IsStopped =
            (let states = after.Processes |> Array.filter (fun one -> drivers.Contains one.Pid)
             states.Length > 0 && states |> Array.forall (fun one -> one.State = 'T'))
        StartedAt =
            match look.Host.Stat |> ValueOption.bind _.BootTime with
            | ValueSome boot ->
                let seconds = float boot + float (secondsOfTicks group.Root.StartedAt)

                // What is beyond this is no time that a process started at.
                if seconds >= 0.0 && seconds < 1e11 then
                    ValueSome(DateTimeOffset.UnixEpoch + TimeSpan.FromSeconds seconds)
                else
                    ValueNone
            | ValueNone -> ValueNone
        Gpus = GpuShares.ofJob look group
        Processes = group.Drivers.Length + group.Loaders.Length + group.Others.Length
        Threads = after.Processes |> Array.sumBy _.Threads
        Loaders = loaderShares.Length
        CpuCores =
            growthOf (fun one -> ValueSome one.CpuTime)
            |> ValueOption.map (fun own ->
                let ended = after.Processes |> Seq.map growthOfChildren |> Rates.total
                own + ValueOption.defaultValue 0.0<tick> ended)
            |> Rates.ofTicks
            |> Rates.perSecond length
            |> ValueOption.map float
        CpuCoresAllowed =
            match after.Cgroup.CpuLimit, host.Cpus with
            | ValueSome limit, 0 -> ValueSome limit
            | ValueSome limit, cpus -> ValueSome(min limit (float cpus))
            | ValueNone, 0 -> ValueNone
            | ValueNone, cpus -> ValueSome(float cpus)
        BusiestThread =
            match busiest with
            | Some thread -> thread.Busy
            | None -> ValueNone
        BusiestThreadRole =
            match busiest with
            | Some thread -> ValueSome thread.Role
            | None -> ValueNone
        MainThread = Rates.extreme Array.max (busyOf mains)
        LoadersBusy = loadersBusy
        CpuWait = Rates.partOf waited (Rates.total [ ran; waited ])
        CpuThrottled = Rates.partOf (cpu _.ThrottledPeriods) (cpu _.Periods)
        Blocked = blocked
        MainBlocked = blockedShare mains
        BlockedOn = blockedOn host blocked read written
        Read = read
        Written = written
        NetworkReceived =
            Rates.grownBoth (before |> ValueOption.bind _.Received) after.Received
            |> Rates.perSecond length
        Memory =
            match after.Cgroup.Memory with
            | ValueSome memory -> ValueSome memory
            | ValueNone when after.Processes.Length > 0 -> ValueSome(after.Processes |> Array.map _.Resident |> Array.reduce addSaturating)
            | ValueNone -> ValueNone
        MemoryLimit = after.Cgroup.MemoryLimit
        MemoryStall = Rates.stall length false earlierCgroup.MemoryPressure after.Cgroup.MemoryPressure
        IoStall = Rates.stall length false earlierCgroup.IoPressure after.Cgroup.IoPressure
        Refaults =
            Rates.grownBoth earlierCgroup.Refaulted after.Cgroup.Refaulted
            |> Rates.perSecond length
        MajorFaults = growthOf (fun one -> ValueSome one.MajorFaults) |> Rates.perSecond length
        OutOfMemoryKills =
            match Rates.grownBoth earlierCgroup.Kills after.Cgroup.Kills with
            | ValueSome kills -> uint64 kills
            | ValueNone -> 0UL
        GpuBusy = gpuBusy
        GpuLeastBusy = gpuLeastBusy
        GpuPower = gpuPower
    }
