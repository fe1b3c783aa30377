/// Traces for the tests of verdicts: a quiet machine, a healthy trainer, and what goes wrong with either, look by look in virtual time.
module Agent.TestSupport.VerdictTraces

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

let start = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

/// A disk with hardly anything to do.
let quietDisk: DiskEvidence =
    {
        Device = "nvme0n1"
        Busy = ValueSome 2.0<percent>
        Queue = ValueSome 0.02
        ReadLatency = ValueSome 0.2<ms>
        WriteLatency = ValueSome 0.3<ms>
        Read = 100e3<B / s>
        Written = 200e3<B / s>
    }

/// 10 Gb/s with hardly anything to do.
let quietLink: LinkEvidence =
    {
        Name = "eth0"
        Received = 20e3<B / s>
        Sent = 15e3<B / s>
        Speed = ValueSome 1.25e9<B / s>
        IsFabric = false
    }

/// 32 CPUs of which a few do something.
let quietHost: HostEvidence =
    {
        Cpus = 32
        CpuBusy = ValueSome 12.0<percent>
        BusiestCpu = ValueSome 55.0<percent>
        Iowait = ValueSome 0.1<percent>
        Steal = ValueSome 0.0<percent>
        Runnable = ValueSome 3
        CpuStall = ValueSome 0.5<percent>
        IoStall = ValueSome 0.2<percent>
        IoFullStall = ValueSome 0.1<percent>
        MemoryStall = ValueSome 0.0<percent>
        MemoryFullStall = ValueSome 0.0<percent>
        MemoryAvailable = ValueSome 78.0<percent>
        SwapIn = ValueSome 0.0<B / s>
        SwapOut = ValueSome 0.0<B / s>
        Disks = [| quietDisk |]
        Links = [| quietLink |]
        NetworkMounts = [||]
        DriverProblem = ""
    }

/// A GPU at work: busy, hot, at nine tenths of its power.
let workingGpu (index: int) : GpuEvidence =
    {
        Index = index
        Uuid = $"GPU-{index}"
        IsLost = false
        IsSuspended = false
        Busy = ValueSome 97.0<percent>
        MemoryBusy = ValueSome 45.0<percent>
        SmActivity = ValueNone
        TensorActivity = ValueNone
        DramActivity = ValueNone
        Power = ValueSome 630.0<W>
        PowerLimit = ValueSome 700.0<W>
        ClockSm = ValueSome 1900.0<MHz>
        ClockSmMax = ValueSome 1980.0<MHz>
        Temperature = ValueSome 62.0<degC>
        ThrottleReasons = [||]
        PowerViolation = ValueSome 0.0<percent>
        ThermalViolation = ValueSome 0.0<percent>
        PcieReceived = ValueSome 200e6<B / s>
        PcieSent = ValueSome 50e6<B / s>
        Nvlink = ValueNone
        MemoryUsed = ValueSome 60_000_000_000UL<B>
        MemoryTotal = ValueSome 85_000_000_000UL<B>
        Xid = ValueNone
        EccUncorrected = 0UL
        IsRemapPending = false
        IsHeld = true
    }

/// A GPU that waits most of the time.
let waitingGpu (busy: float<percent>) (index: int) : GpuEvidence =
    { workingGpu index with
        Busy = ValueSome busy
        Power = ValueSome(80.0<W> + busy * 5.5<W / percent>)
        PcieReceived = ValueSome 20e6<B / s>
        PcieSent = ValueSome 5e6<B / s>
    }

/// A trainer that does well on so many GPUs: a main thread and four loaders for each.
let healthyJob (gpus: int) : Job =
    {
        Id = "slurm-4711"
        Owner =
            {
                Kind = OwnerKind.Slurm
                Value = "4711"
                Namespace = ""
                Name = ""
            }
        User = "alice"
        Uid = 1001
        Name = "train.py"
        Command = "python train.py"
        RootPid = 4242
        DriverPid = 0
        ProcessGroup = 0
        IsStopped = false
        StartedAt = ValueSome(start.AddHours -3.0)
        Gpus =
            Array.init gpus (fun index ->
                {
                    Index = index
                    Uuid = $"GPU-{index}"
                    Memory = ValueSome 60_000_000_000UL<B>
                    SmShare = ValueSome 90.0<percent>
                })
        Processes = 5 * gpus
        Threads = 40 * gpus
        Loaders = 4 * gpus
        CpuCores = ValueSome(1.5 * float gpus)
        CpuCoresAllowed = ValueSome 32.0
        BusiestThread = ValueSome 35.0<percent>
        BusiestThreadRole = ValueSome ThreadRole.Main
        MainThread = ValueSome 35.0<percent>
        LoadersBusy = ValueSome 25.0<percent>
        CpuWait = ValueSome 1.0<percent>
        CpuThrottled = ValueSome 0.0<percent>
        Blocked = ValueSome 2.0<percent>
        MainBlocked = ValueSome 0.0<percent>
        BlockedOn = ValueNone
        Read = ValueSome 5e6<B / s>
        Written = ValueSome 100e3<B / s>
        NetworkReceived = ValueSome 10e3<B / s>
        Memory = ValueSome 40_000_000_000UL<B>
        MemoryLimit = ValueSome 200_000_000_000UL<B>
        MemoryStall = ValueSome 0.0<percent>
        IoStall = ValueSome 1.0<percent>
        MajorFaults = ValueSome 1.0< / s>
        Refaults = ValueNone
        OutOfMemoryKills = 0UL
        GpuBusy = ValueNone
        GpuLeastBusy = ValueNone
        GpuPower = ValueNone
    }

/// One second of a machine with one job on GPUs that are all alike.
let second (host: HostEvidence) (gpu: int -> GpuEvidence) (job: Job) : Evidence =
    {
        At = start
        Length = 1.0<s>
        Host = host
        Gpus = Array.init job.Gpus.Length gpu
        Jobs = [| job |]
    }

/// The looks of a trace in virtual time, each after its own length.
let timed (trace: Evidence list) : Evidence list =
    (start, trace)
    ||> List.mapFold (fun now look ->
        let at = now.AddSeconds(float look.Length)
        { look with At = at }, at)
    |> fst

/// What was said at each look, with its instant.
let play (trace: Evidence list) : (DateTimeOffset * Verdicts) list =
    (VerdictState.Empty, timed trace)
    ||> List.mapFold (fun state look ->
        let state, verdicts = Verdict.decide state look
        (look.At, verdicts), state)
    |> fst

let times (many: int) (look: Evidence) : Evidence list = List.replicate many look

/// The verdict of the first job at the end.
let jobAfter (trace: Evidence list) : Verdict =
    let _, verdicts = List.last (play trace)
    let struct (_, verdict) = verdicts.Jobs[0]
    verdict

/// The verdict of the machine at the end.
let machineAfter (trace: Evidence list) : Verdict =
    let _, verdicts = List.last (play trace)
    verdicts.Machine

/// The labels of a job, one for each look.
let labelsOf (place: int) (trace: Evidence list) : string list =
    play trace
    |> List.map (fun (_, verdicts) ->
        let struct (_, verdict) = verdicts.Jobs[place]
        verdict.Label.Name)

/// Each label once, as they followed each other.
let steps (labels: string list) : string list =
    (labels, [])
    ||> List.foldBack (fun label rest ->
        match rest with
        | next :: _ when next = label -> rest
        | _ -> label :: rest)

// ---- What goes wrong, with figures of the prototype where it had any -------------------------------------------------

let compute gpus =
    second quietHost workingGpu (healthyJob gpus)

let hot gpus =
    let gpu index =
        { workingGpu index with
            Busy = ValueSome 99.0<percent>
            Power = ValueSome 300.0<W>
            ClockSm = ValueSome 1100.0<MHz>
            Temperature = ValueSome 91.0<degC>
            ThrottleReasons = [| "hw_thermal_slowdown" |]
            ThermalViolation = ValueSome 70.0<percent>
        }

    second quietHost gpu (healthyJob gpus)

/// One loader for each GPU, each on a core of its own.
let oneLoader gpus =
    second
        quietHost
        (waitingGpu 25.0<percent>)
        { healthyJob gpus with
            Loaders = gpus
            LoadersBusy = ValueSome 100.0<percent>
            BusiestThread = ValueSome 100.0<percent>
            BusiestThreadRole = ValueSome ThreadRole.Loader
            MainThread = ValueSome 5.0<percent>
        }

/// A main thread that computes, then waits for its own work on the GPU.
let inTurns gpus =
    second
        quietHost
        (waitingGpu 19.0<percent>)
        { healthyJob gpus with
            MainThread = ValueSome 80.0<percent>
            BusiestThread = ValueSome 80.0<percent>
            LoadersBusy = ValueSome 10.0<percent>
        }

/// More loaders than CPUs.
let contended gpus =
    second
        { quietHost with
            Cpus = 4
            CpuBusy = ValueSome 99.0<percent>
            BusiestCpu = ValueSome 100.0<percent>
            CpuStall = ValueSome 88.0<percent>
            Runnable = ValueSome 17
        }
        (waitingGpu 40.0<percent>)
        { healthyJob gpus with
            Loaders = 16
            LoadersBusy = ValueSome 48.0<percent>
            CpuWait = ValueSome 50.0<percent>
            CpuCores = ValueSome 3.9
            CpuCoresAllowed = ValueSome 4.0
            MainThread = ValueSome 10.0<percent>
        }

let quota gpus =
    second
        quietHost
        (waitingGpu 30.0<percent>)
        { healthyJob gpus with
            LoadersBusy = ValueSome 46.0<percent>
            CpuCores = ValueSome 1.98
            CpuCoresAllowed = ValueSome 2.0
            CpuThrottled = ValueSome 85.0<percent>
            MainThread = ValueSome 6.0<percent>
        }

let private readingDisk =
    { quietDisk with
        Busy = ValueSome 100.0<percent>
        Queue = ValueSome 7.5
        ReadLatency = ValueSome 6.0<ms>
        Read = 1.3e9<B / s>
    }

/// Loaders in D at 97 of 100 looks, the main threads at none: with four loaders for each, 77.6 of all.
let reading gpus =
    second
        { quietHost with
            Disks = [| readingDisk |]
            IoStall = ValueSome 92.0<percent>
            Iowait = ValueSome 11.0<percent>
        }
        (waitingGpu 30.0<percent>)
        { healthyJob gpus with
            LoadersBusy = ValueSome 3.0<percent>
            Blocked = ValueSome 77.6<percent>
            BlockedOn = ValueSome BlockedOn.DiskRead
            Read = ValueSome 1.3e9<B / s>
            IoStall = ValueSome 90.0<percent>
            MainThread = ValueSome 6.0<percent>
        }

/// Checkpoints: main in D at 17 of 100 looks, GPU 60.
let checkpoints gpus =
    second
        { quietHost with
            Disks =
                [|
                    { quietDisk with
                        Busy = ValueSome 45.0<percent>
                        Queue = ValueSome 12.0
                        WriteLatency = ValueSome 20.0<ms>
                        Written = 628e6<B / s>
                    }
                |]
            IoStall = ValueSome 38.0<percent>
        }
        (waitingGpu 60.0<percent>)
        { healthyJob gpus with
            MainThread = ValueSome 20.0<percent>
            MainBlocked = ValueSome 17.0<percent>
            Blocked = ValueSome 4.0<percent>
            BlockedOn = ValueSome BlockedOn.DiskWrite
            Written = ValueSome 628e6<B / s>
            IoStall = ValueSome 36.0<percent>
        }

let nfs: NetworkMountEvidence =
    {
        MountPoint = "/data"
        Kind = "nfs4"
        Operations = 300.0< / s>
        RoundTrip = ValueSome 28.0<ms>
        Execution = ValueSome 31.0<ms>
        Outstanding = ValueSome 9.3
        Read = 60e6<B / s>
        Written = 0.0<B / s>
    }

let remoteFiles gpus =
    second
        { quietHost with
            NetworkMounts = [| nfs |]
            Links =
                [|
                    { quietLink with
                        Received = 62e6<B / s>
                    }
                |]
        }
        (waitingGpu 20.0<percent>)
        { healthyJob gpus with
            LoadersBusy = ValueSome 4.0<percent>
            Blocked = ValueSome 76.0<percent>
            BlockedOn = ValueSome BlockedOn.NetworkStorage
            MainThread = ValueSome 5.0<percent>
        }

/// Loaders asleep, 20 MB/s in, GPU 19.
let remoteData gpus =
    second
        { quietHost with
            Links =
                [|
                    { quietLink with
                        Received = 21e6<B / s>
                    }
                |]
        }
        (waitingGpu 19.0<percent>)
        { healthyJob gpus with
            LoadersBusy = ValueSome 5.0<percent>
            MainThread = ValueSome 5.0<percent>
            Blocked = ValueSome 0.0<percent>
            NetworkReceived = ValueSome 20e6<B / s>
        }

let swapping gpus =
    second
        { quietHost with
            MemoryAvailable = ValueSome 3.0<percent>
            MemoryStall = ValueSome 42.0<percent>
            SwapIn = ValueSome 80e6<B / s>
            SwapOut = ValueSome 70e6<B / s>
            IoStall = ValueSome 60.0<percent>
        }
        (waitingGpu 30.0<percent>)
        { healthyJob gpus with
            MemoryStall = ValueSome 40.0<percent>
            MajorFaults = ValueSome 4000.0< / s>
            Blocked = ValueSome 45.0<percent>
            BlockedOn = ValueSome BlockedOn.DiskRead
            LoadersBusy = ValueSome 20.0<percent>
        }

/// GPU 99 at 20 % of its power.
let collectives gpus =
    let gpu index =
        { workingGpu index with
            Busy = ValueSome 99.0<percent>
            Power = ValueSome 140.0<W>
            Nvlink = ValueSome 20e9<B / s>
        }

    second quietHost gpu (healthyJob gpus)

/// The last GPU computes; the others wait for it inside a collective.
let straggler gpus =
    let gpu index =
        if index = gpus - 1 then
            workingGpu index
        else
            { workingGpu index with
                Busy = ValueSome 99.0<percent>
                Power = ValueSome 150.0<W>
                Nvlink = ValueSome 10e9<B / s>
            }

    second quietHost gpu (healthyJob gpus)

let private still (job: Job) =
    { job with
        CpuCores = ValueSome 0.0
        MainThread = ValueSome 0.0<percent>
        LoadersBusy = ValueSome 0.0<percent>
        BusiestThread = ValueSome 0.0<percent>
        Blocked = ValueSome 0.0<percent>
        Read = ValueSome 0.0<B / s>
        Written = ValueSome 0.0<B / s>
        NetworkReceived = ValueSome 0.0<B / s>
        IoStall = ValueSome 0.0<percent>
    }

let private idleGpu index =
    { waitingGpu 0.0<percent> index with
        PcieReceived = ValueSome 0.0<B / s>
        PcieSent = ValueSome 0.0<B / s>
    }

/// Collectives that never end: all GPUs at 100, nothing else.
let stuck gpus =
    let gpu index =
        { idleGpu index with
            Busy = ValueSome 100.0<percent>
            Power = ValueSome 120.0<W>
        }

    second quietHost gpu (still (healthyJob gpus))

/// Loaders and main threads that wait for each other.
let deadlocked gpus =
    second quietHost idleGpu (still (healthyJob gpus))

/// A notebook that somebody left open.
let forgotten gpus =
    second
        quietHost
        idleGpu
        { still (healthyJob gpus) with
            Loaders = 0
            LoadersBusy = ValueNone
            Processes = 1
            CpuCores = ValueSome 0.01
        }

/// Somebody else on the same machine: a disk at its limit, half of the CPUs, most of the network, and stalls of all kinds.
let beside (look: Evidence) : Evidence =
    let disk =
        {
            Device = "sdb"
            Busy = ValueSome 100.0<percent>
            Queue = ValueSome 30.0
            ReadLatency = ValueSome 40.0<ms>
            WriteLatency = ValueSome 60.0<ms>
            Read = 150e6<B / s>
            Written = 90e6<B / s>
        }

    { look with
        Host =
            { look.Host with
                Disks = Array.append look.Host.Disks [| disk |]
                CpuBusy = look.Host.CpuBusy |> ValueOption.map (fun busy -> max busy 60.0<percent>)
                BusiestCpu = ValueSome 100.0<percent>
                CpuStall = look.Host.CpuStall |> ValueOption.map (fun stall -> max stall 15.0<percent>)
                IoStall = look.Host.IoStall |> ValueOption.map (fun stall -> max stall 70.0<percent>)
                Iowait = ValueSome 20.0<percent>
                Links =
                    look.Host.Links
                    |> Array.map (fun link ->
                        { link with
                            Received = link.Received + 600e6<B / s>
                        })
            }
    }
