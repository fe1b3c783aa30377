/// Shares and rates between two looks, worked out by hand.
module Agent.Core.Tests.Jobs.LooksTests

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.Core.Tests.Jobs.GroupingTests
open Expecto

let private pressure total full : Pressure.Pressure voption =
    ValueSome
        {
            Some = { Avg10 = 0.0<percent>; Total = total }
            Full = ValueSome { Avg10 = 0.0<percent>; Total = full }
        }

let private cpu busy idle : Stat.CpuTimes =
    { CpuUsage.sinceBoot with
        User = busy
        Idle = idle
    }

/// Counters of a disk that only reads.
let private disk reads bytes busy reading weighted inFlight : DiskStats.DiskCounters =
    {
        Device = "nvme0n1"
        Reads = ValueSome reads
        ReadBytes = ValueSome bytes
        Writes = ValueSome 0UL
        WrittenBytes = ValueSome 0UL<B>
        BusyTime = ValueSome busy
        Detail =
            ValueSome
                {
                    ReadsMerged = 0UL
                    ReadTime = reading
                    WritesMerged = 0UL
                    WriteTime = 0UL<ms>
                    InFlight = inFlight
                    WeightedTime = weighted
                    Discards = ValueNone
                    Flushes = ValueNone
                }
    }

let private host: HostCounters =
    {
        Stat =
            ValueSome
                {
                    Total = ValueSome(cpu 0UL<tick> 0UL<tick>)
                    Cpus =
                        [|
                            {
                                Id = 0
                                Times = ValueSome(cpu 0UL<tick> 0UL<tick>)
                            }
                            {
                                Id = 1
                                Times = ValueSome(cpu 0UL<tick> 0UL<tick>)
                            }
                        |]
                    Online = ValueSome 2
                    BootTime = ValueSome 1700000000L<s>
                    ContextSwitches = ValueNone
                    Forks = ValueNone
                    Interrupts = ValueNone
                    Running = ValueNone
                    Blocked = ValueNone
                }
        Runnable = ValueSome 3
        CpuPressure = pressure 0UL<us> 0UL<us>
        IoPressure = pressure 0UL<us> 0UL<us>
        MemoryPressure = ValueNone
        Memory = ValueNone
        Arc = ValueNone
        Vm =
            ValueSome
                {
                    SwappedIn = ValueSome 0UL<page>
                    SwappedOut = ValueSome 5UL<page>
                }
        Disks = [||]
        Interfaces = [||]
        Speeds = [||]
        Ports = [||]
        PortSpeeds = [||]
        NetworkMounts = [||]
    }

let private look (seconds: float) : Look =
    {
        At = DateTimeOffset.UnixEpoch + TimeSpan.FromSeconds seconds
        Clock = TimeSpan.FromSeconds seconds
        PageSize = 4096UL<B / page>
        Host = host
        Devices = Devices.unknown
        Gpus = [||]
        DiskNames = [||]
        InterfaceNames = [||]
        Work = [||]
        LostGpus = [||]
        DriverProblem = ""
        Detail = JobDetail.Names
        Jobs = [||]
    }

let private thread tid (cpu: uint64<tick>) (times: (uint64<ns> * uint64<ns>) option) looks blocked : ThreadCounters =
    {
        Tid = tid
        Name = "python"
        StartedAt = 1UL<tick>
        CpuTime = cpu
        Times =
            match times with
            | Some(run, wait) ->
                ValueSome
                    {
                        RunTime = run
                        WaitTime = wait
                        Slices = 1UL
                    }
            | None -> ValueNone
        Looks = looks
        Blocked = blocked
    }

let private counters pid (cpu: uint64<tick>) main : ProcessCounters =
    {
        Pid = pid
        StartedAt = 1UL<tick>
        State = 'S'
        Threads = 4
        CpuTime = cpu
        ChildTime = 0UL<tick>
        MajorFaults = 0UL
        Resident = 1000UL<B>
        Io = ValueNone
        Main = main
        Watched = [||]
    }

let private group: JobGroup =
    (Grouping.group [| one 40 1 40 "python"; one 50 40 40 "python"; one 51 40 40 "python" |] [| holds 0 40 |])[0]

let private job processes : JobCounters =
    {
        Group = group
        User = "ana"
        Processes = processes
        Cgroup = CgroupCounters.Unknown
        Received = ValueNone
    }

let private between before after =
    (Looks.between { look 0.0 with Jobs = before } { look 2.0 with Jobs = after }).Jobs[0]

[<Tests>]
let tests =
    testList
        "Jobs.Looks"
        [
            testCase "one loader that is busy all the time, one that sleeps, and a main thread that waits"
            <| fun () ->
                let before =
                    job
                        [|
                            counters 40 100UL<tick> (thread 40 90UL<tick> (Some(900000000UL<ns>, 0UL<ns>)) 0 0)
                            counters 50 500UL<tick> (thread 50 500UL<tick> (Some(5000000000UL<ns>, 10UL<ns>)) 0 0)
                            counters 51 10UL<tick> (thread 51 10UL<tick> (Some(100000000UL<ns>, 0UL<ns>)) 0 0)
                        |]

                let after =
                    job
                        [|
                            // 0.5 s of 2 s in the main thread.
                            counters 40 160UL<tick> (thread 40 140UL<tick> (Some(1400000000UL<ns>, 0UL<ns>)) 4 1)
                            // 1.9 s, and 0.1 s waited for a CPU.
                            counters 50 690UL<tick> (thread 50 690UL<tick> (Some(6900000000UL<ns>, 100000010UL<ns>)) 4 0)
                            counters 51 10UL<tick> (thread 51 10UL<tick> (Some(100000000UL<ns>, 0UL<ns>)) 4 0)
                        |]

                let job = between [| before |] [| after |]
                Expect.equal job.MainThread (ValueSome 25.0<percent>) "main"
                Expect.equal job.BusiestThread (ValueSome 95.0<percent>) "busiest"
                Expect.equal job.BusiestThreadRole (ValueSome ThreadRole.Loader) "which is a loader"
                Expect.equal job.LoadersBusy (ValueSome 47.5<percent>) "the mean of 95 and 0"
                Expect.equal (job.Loaders, job.Processes, job.Threads) (2, 3, 12) "counts"
                // 60 + 190 + 0 ticks in 2 s
                Expect.equal job.CpuCores (ValueSome 1.25) "cores"
                // 0.1 s of 0.5 + 1.9 + 0.1 s
                Expect.floatClose Accuracy.high (float job.CpuWait.Value) 4.0 "wait"
                // 1 of 12 looks; 1 of 4
                Expect.floatClose Accuracy.high (float job.Blocked.Value) (100.0 / 12.0) "blocked"
                Expect.equal job.MainBlocked (ValueSome 25.0<percent>) "main blocked"
                Expect.equal job.Memory (ValueSome 3000UL<B>) "resident sets"
                Expect.equal job.CpuCoresAllowed (ValueSome 2.0) "the machine's"
                Expect.equal (job.User, job.Uid, job.Name) ("ana", 1000, "python script40.py") "who"
                // 140 ticks after boot
                Expect.equal job.StartedAt (ValueSome(DateTimeOffset.FromUnixTimeMilliseconds 1700000001400L)) "start"

            testCase "a process that is new and a counter that fell give no share"
            <| fun () ->
                let before = job [| counters 40 100UL<tick> (thread 40 90UL<tick> None 0 0) |]

                let after =
                    job
                        [|
                            counters 40 50UL<tick> (thread 40 50UL<tick> None 0 0)
                            counters 50 70UL<tick> (thread 50 70UL<tick> None 0 0)
                        |]

                let job = between [| before |] [| after |]
                Expect.equal job.MainThread ValueNone "fell"
                Expect.equal job.LoadersBusy ValueNone "new"
                Expect.equal job.CpuCores ValueNone "neither"
                Expect.equal job.Blocked ValueNone "never looked at"

            testCase "programs that a loader starts for each sample are its work, once"
            <| fun () ->
                let child pid cpu (children: uint64<tick>) =
                    { counters pid cpu (thread pid cpu None 0 0) with
                        ChildTime = children
                    }

                // 51 ends after 40 ticks more, with which its parent, the trainer, has 10 + 40. 50 started a program that took 150.
                let before =
                    job
                        [|
                            child 40 100UL<tick> 5UL<tick>
                            child 50 20UL<tick> 30UL<tick>
                            child 51 10UL<tick> 0UL<tick>
                        |]

                let after = job [| child 40 100UL<tick> 55UL<tick>; child 50 20UL<tick> 180UL<tick> |]
                let seen = between [| before |] [| after |]
                Expect.equal seen.CpuCores (ValueSome 0.95) "40 + 150 ticks in 2 s"
                Expect.equal seen.LoadersBusy (ValueSome 75.0<percent>) "150 ticks"

                // A trainer that starts them itself.
                let alone = job [| child 40 100UL<tick> 5UL<tick> |]
                let later = job [| child 40 100UL<tick> 105UL<tick> |]
                Expect.equal (between [| alone |] [| later |]).LoadersBusy (ValueSome 50.0<percent>) "100 ticks"

            testCase "a number that another process took over is new"
            <| fun () ->
                let before = job [| counters 40 100UL<tick> (thread 40 90UL<tick> None 0 0) |]

                let after =
                    job
                        [|
                            { counters 40 200UL<tick> (thread 40 200UL<tick> None 0 0) with
                                StartedAt = 2UL<tick>
                            }
                        |]

                Expect.equal (between [| before |] [| after |]).CpuCores ValueNone "another"

            testCase "a job that is new has no shares, and is told"
            <| fun () ->
                let job = between [||] [| job [| counters 40 1UL<tick> (thread 40 1UL<tick> None 4 0) |] |]
                Expect.equal job.CpuCores ValueNone "no share"
                Expect.equal job.Blocked (ValueSome 0.0<percent>) "looks count at once"

            testCase "of a driver's threads those that work are loaders, but for the driver's own and the backward pass"
            <| fun () ->
                let named name tid (cpu: uint64<tick>) =
                    { thread tid cpu None 4 0 with
                        Name = name
                    }

                let look (cpu: uint64<tick>) =
                    job
                        [|
                            { counters 40 cpu (thread 40 0UL<tick> None 4 0) with
                                Watched =
                                    [|
                                        named "pt_data_pin" 41 cpu
                                        named "cuda-EvtHandlr" 42 cpu
                                        named "pt_autograd_0" 43 (cpu / 2UL)
                                        named "python" 44 0UL<tick>
                                    |]
                            }
                        |]

                let job = between [| look 0UL<tick> |] [| look 160UL<tick> |]
                Expect.equal job.Loaders 1 "pin"
                Expect.equal job.LoadersBusy (ValueSome 80.0<percent>) "its share"
                Expect.equal job.MainThread (ValueSome 40.0<percent>) "the backward pass"

            testCase "the cgroup's figures beat the processes'"
            <| fun () ->
                let device name read : CgroupIo.DeviceBytes =
                    {
                        Device = name
                        Read = read
                        Written = 0UL<B>
                    }

                let cgroup periods throttled read stall kills =
                    { CgroupCounters.Unknown with
                        CpuLimit = ValueSome 1.5
                        Cpu =
                            ValueSome
                                {
                                    Usage = ValueNone
                                    Periods = ValueSome periods
                                    ThrottledPeriods = ValueSome throttled
                                    ThrottledTime = ValueNone
                                }
                        Memory = ValueSome 5000UL<B>
                        MemoryLimit = ValueSome 9000UL<B>
                        Kills = ValueSome kills
                        Refaulted = ValueSome(kills * 8192UL<B>)
                        // A volume over a disk: the same bytes twice.
                        Io = ValueSome [| device "253:0" read; device "8:0" read |]
                        MemoryPressure = pressure stall 0UL<us>
                    }

                let look counters = { job [||] with Cgroup = counters }

                let job =
                    between [| look (cgroup 100UL 10UL 0UL<B> 0UL<us> 1UL) |] [| look (cgroup 120UL 25UL 4000UL<B> 500000UL<us> 2UL) |]

                Expect.equal job.CpuThrottled (ValueSome 75.0<percent>) "15 of 20 periods"
                Expect.equal job.CpuCoresAllowed (ValueSome 1.5) "quota"
                Expect.equal job.Read (ValueSome 2000.0<B / s>) "each byte once"
                Expect.equal job.MemoryStall (ValueSome 25.0<percent>) "half a second of two"
                Expect.equal job.Refaults (ValueSome 4096.0<B / s>) "8192 bytes in 2 s"
                Expect.equal (job.Memory, job.MemoryLimit) (ValueSome 5000UL<B>, ValueSome 9000UL<B>) "memory"
                Expect.equal job.OutOfMemoryKills 1UL "one killed"

            testCase "the machine: CPUs, stalls, swap"
            <| fun () ->
                let later =
                    { host with
                        Stat =
                            ValueSome
                                { host.Stat.Value with
                                    Total = ValueSome(cpu 250UL<tick> 150UL<tick>)
                                    Cpus =
                                        [|
                                            {
                                                Id = 0
                                                Times = ValueSome(cpu 200UL<tick> 0UL<tick>)
                                            }
                                            {
                                                Id = 1
                                                Times = ValueSome(cpu 50UL<tick> 150UL<tick>)
                                            }
                                        |]
                                }
                        IoPressure = pressure 1000000UL<us> 200000UL<us>
                        Vm =
                            ValueSome
                                {
                                    SwappedIn = ValueSome 10UL<page>
                                    SwappedOut = ValueSome 5UL<page>
                                }
                    }

                let evidence = Looks.between (look 0.0) { look 2.0 with Host = later }
                Expect.equal evidence.Length 2.0<s> "length"
                Expect.equal evidence.Host.CpuBusy (ValueSome 62.5<percent>) "250 of 400 ticks"
                Expect.equal evidence.Host.BusiestCpu (ValueSome 100.0<percent>) "CPU 0"
                Expect.equal (evidence.Host.IoStall, evidence.Host.IoFullStall) (ValueSome 50.0<percent>, ValueSome 10.0<percent>) "I/O"
                Expect.equal evidence.Host.MemoryStall ValueNone "not known"
                Expect.equal evidence.Host.SwapIn (ValueSome 20480.0<B / s>) "ten pages in two seconds"
                Expect.equal evidence.Host.SwapOut (ValueSome 0.0<B / s>) "none out"
                Expect.equal (evidence.Host.Cpus, evidence.Host.Runnable) (2, ValueSome 3) "counts"

            testCase "a disk is busy no longer than its requests took together, once none of them is in flight"
            <| fun () ->
                // 20 reads of 2 ms each in 2 s, each of which the kernel counts as longer.
                let busyOf weighted inFlight =
                    let at second disk =
                        { look second with
                            Host = { host with Disks = [| disk |] }
                        }

                    (Looks.between
                        (at 0.0 (disk 0UL 0UL<B> 0UL<ms> 0UL<ms> 0UL<ms> 0UL))
                        (at 2.0 (disk 20UL 0UL<B> 2000UL<ms> weighted weighted inFlight)))
                        .Host.Disks[0].Busy

                Expect.equal (busyOf 40UL<ms> 0UL) (ValueSome 2.0<percent>) "40 ms of 2 s"
                Expect.equal (busyOf 2001UL<ms> 0UL) (ValueSome 100.0<percent>) "as long as the kernel says"
                Expect.equal (busyOf 40UL<ms> 1UL) (ValueSome 100.0<percent>) "one may have been in flight all the time"
                Expect.equal (busyOf 0UL<ms> 0UL) (ValueSome 100.0<percent>) "a kernel that does not count it"

            testCase "disks, links and mounts"
            <| fun () ->
                let traffic bytes : NetDev.Traffic =
                    {
                        Bytes = bytes
                        Packets = 0UL
                        Errors = 0UL
                        Dropped = 0UL
                    }

                let counted disk received operations execution =
                    { host with
                        Disks = [| disk |]
                        Interfaces =
                            [|
                                {
                                    Name = "eth0"
                                    Received = traffic received
                                    Sent = traffic 0UL<B>
                                    Detail = ValueNone
                                }
                            |]
                        Speeds = [| struct ("eth0", 1.25e8<B / s>) |]
                        NetworkMounts =
                            [|
                                {
                                    MountPoint = "/mnt/data"
                                    Device = "nas:/data"
                                    Kind = "nfs4"
                                    Operations = operations
                                    RoundTrip = ValueNone
                                    Execution = ValueSome execution
                                    Read = 0UL<B>
                                    Written = 0UL<B>
                                }
                            |]
                    }

                let before =
                    { look 0.0 with
                        Host = counted (disk 0UL 0UL<B> 0UL<ms> 0UL<ms> 0UL<ms> 0UL) 0UL<B> 0UL 0UL<us>
                    }

                let after =
                    { look 2.0 with
                        Host = counted (disk 100UL 2000UL<B> 1000UL<ms> 500UL<ms> 3000UL<ms> 0UL) 8000UL<B> 50UL 4000000UL<us>
                    }

                let seen = (Looks.between before after).Host

                Expect.equal
                    seen.Disks
                    [|
                        {
                            Device = "nvme0n1"
                            Busy = ValueSome 50.0<percent>
                            Queue = ValueSome 1.5
                            ReadLatency = ValueSome 5.0<ms>
                            WriteLatency = ValueNone
                            Read = 1000.0<B / s>
                            Written = 0.0<B / s>
                        }
                    |]
                    "disk"

                Expect.equal
                    seen.Links
                    [|
                        {
                            Name = "eth0"
                            Received = 4000.0<B / s>
                            Sent = 0.0<B / s>
                            Speed = ValueSome 1.25e8<B / s>
                            IsFabric = false
                        }
                    |]
                    "link"

                Expect.equal
                    seen.NetworkMounts
                    [|
                        {
                            MountPoint = "/mnt/data"
                            Kind = "nfs4"
                            Operations = 25.0< / s>
                            RoundTrip = ValueNone
                            Execution = ValueSome 80.0<ms>
                            Outstanding = ValueSome 2.0
                            Read = 0.0<B / s>
                            Written = 0.0<B / s>
                        }
                    |]
                    "mount"

            testCase "a mount continues the one of the same device on its directory; of several there the last is seen"
            <| fun () ->
                let mount device operations : NetworkMountCounters =
                    {
                        MountPoint = "/data"
                        Device = device
                        Kind = "nfs4"
                        Operations = operations
                        RoundTrip = ValueNone
                        Execution = ValueNone
                        Read = 0UL<B>
                        Written = 0UL<B>
                    }

                let ratesOf before after =
                    let at seconds mounts =
                        { look seconds with
                            Host = { host with NetworkMounts = mounts }
                        }

                    (Looks.between (at 0.0 before) (at 2.0 after)).Host.NetworkMounts
                    |> Array.map (fun mount -> float mount.Operations)

                Expect.equal (ratesOf [| mount "a:/" 10UL |] [| mount "a:/" 30UL |]) [| 10.0 |] "the same"
                Expect.equal (ratesOf [| mount "a:/" 10UL |] [| mount "b:/" 5000000UL |]) [||] "another took its place"

                Expect.equal
                    (ratesOf [| mount "a:/" 10UL; mount "b:/" 5000000UL |] [| mount "a:/" 10UL; mount "b:/" 5000000UL |])
                    [| 0.0 |]
                    "the second is not compared with the first"

            testCase "only the interfaces and disks that the user named, and these whatever they are"
            <| fun () ->
                let traffic bytes : NetDev.Traffic =
                    {
                        Bytes = bytes
                        Packets = 0UL
                        Errors = 0UL
                        Dropped = 0UL
                    }

                let interfaceNamed name bytes : NetDev.InterfaceCounters =
                    {
                        Name = name
                        Received = traffic bytes
                        Sent = traffic 0UL<B>
                        Detail = ValueNone
                    }

                let disk device : DiskStats.DiskCounters =
                    {
                        Device = device
                        Reads = ValueSome 0UL
                        ReadBytes = ValueSome 0UL<B>
                        Writes = ValueSome 0UL
                        WrittenBytes = ValueSome 0UL<B>
                        BusyTime = ValueNone
                        Detail = ValueNone
                    }

                let seen seconds bytes =
                    { look seconds with
                        InterfaceNames = [| "veth0" |]
                        DiskNames = [| "loop0" |]
                        Host =
                            { host with
                                Interfaces = [| interfaceNamed "eth0" bytes; interfaceNamed "veth0" (2UL * bytes) |]
                                Disks = [| disk "loop0"; disk "nvme0n1" |]
                            }
                    }

                let evidence = (Looks.between (seen 0.0 0UL<B>) (seen 1.0 500UL<B>)).Host

                Expect.equal (evidence.Links |> Array.map (fun link -> link.Name, link.Received)) [| "veth0", 1000.0<B / s> |] "links"
                Expect.equal (evidence.Disks |> Array.map _.Device) [| "loop0" |] "disks"

            testCase "GPUs: new events count, and one that went away is lost"
            <| fun () ->
                let gpu index count ecc =
                    { Gpu.OfIndex index with
                        Uuid = $"GPU-{index}"
                        Utilization = ValueSome 40.0<percent>
                        Power = ValueSome 100.0<W>
                        PowerLimit = ValueSome 400.0<W>
                        XidLast = ValueSome 79
                        XidCount = ValueSome count
                        EccUncorrected = ValueSome ecc
                    }

                let before =
                    { look 0.0 with
                        Gpus = [| gpu 0 1UL 5UL; gpu 1 1UL 5UL |]
                        Jobs = [| job [||] |]
                    }

                let after =
                    { look 2.0 with
                        Gpus = [| gpu 0 2UL 7UL |]
                        LostGpus = GpuLooks.missing before.Gpus [| gpu 0 2UL 7UL |]
                        Jobs = [| job [||] |]
                    }

                let evidence = Looks.between before after
                Expect.equal (evidence.Gpus |> Array.map (fun gpu -> gpu.Uuid, gpu.IsLost)) [| "GPU-0", false; "GPU-1", true |] "GPUs"
                Expect.equal (evidence.Gpus[0].Xid, evidence.Gpus[0].EccUncorrected) (ValueSome 79, 2UL) "events"
                Expect.equal evidence.Gpus[1].Busy ValueNone "a lost one has no values"
                Expect.equal evidence.Jobs[0].GpuBusy (ValueSome 40.0<percent>) "the job's"
                Expect.equal evidence.Jobs[0].GpuPower (ValueSome 25.0<percent>) "power"

                Expect.equal
                    (Looks.between
                        after
                        { after with
                            Clock = TimeSpan.FromSeconds 4.0
                        })
                        .Gpus[0].Xid
                    ValueNone
                    "nothing new"

            testCase "what the driver tells of a GPU's work is its evidence, and the shares of its processes are the job's"
            <| fun () ->
                let gpu =
                    { Gpu.OfIndex 0 with
                        Uuid = "GPU-0"
                        ClockSmMax = ValueSome 1980.0<MHz>
                        PcieReceived = ValueSome 7.0<B / s>
                        ComputeProcesses =
                            ValueSome
                                [|
                                    for pid in [ 40; 60 ] ->
                                        {
                                            Pid = pid
                                            MemoryUsed = ValueNone
                                            Name = ""
                                        }
                                |]
                    }

                let work: GpuWork =
                    {
                        GpuIndex = 0
                        GpuUuid = "GPU-0"
                        SmActivity = ValueSome 88.0<percent>
                        TensorActivity = ValueSome 45.0<percent>
                        DramActivity = ValueSome 30.0<percent>
                        PcieIn = ValueSome 1.0<B / s>
                        PcieOut = ValueSome 2.0<B / s>
                        NvlinkBoth = ValueSome 3.0<B / s>
                        Gpm = GpmWork.None
                        PowerViolation = ValueSome 12.0<percent>
                        ThermalViolation = ValueSome 5.0<percent>
                        Shares = ValueSome [| { Process = 40; Share = 61.0<percent> } |]
                        Instances = [||]
                    }

                let seen (gpus: Gpu[]) (all: GpuWork[]) =
                    Looks.between
                        { look 0.0 with Gpus = gpus }
                        { look 2.0 with
                            Gpus = gpus
                            Work = all
                            Jobs = [| job [||] |]
                        }

                let evidence = seen [| gpu |] [| work |]
                let known = evidence.Gpus[0]
                Expect.equal known.SmActivity (ValueSome 88.0<percent>) "multiprocessors"
                Expect.equal known.TensorActivity (ValueSome 45.0<percent>) "tensor cores"
                Expect.equal known.DramActivity (ValueSome 30.0<percent>) "memory"
                Expect.equal (known.PowerViolation, known.ThermalViolation) (ValueSome 12.0<percent>, ValueSome 5.0<percent>) "slowed"
                Expect.equal known.ClockSmMax (ValueSome 1980.0<MHz>) "clock"
                Expect.equal known.PcieReceived (ValueSome 7.0<B / s>) "the driver's own counter comes first"
                Expect.equal (known.PcieSent, known.Nvlink) (ValueSome 2.0<B / s>, ValueSome 3.0<B / s>) "else GPM's"
                Expect.equal evidence.Jobs[0].Gpus[0].SmShare (ValueSome 61.0<percent>) "the job's process 40"

                let share (all: GpuWork[]) =
                    (seen [| gpu |] all).Jobs[0].Gpus[0].SmShare

                Expect.equal (share [||]) ValueNone "nothing told"
                Expect.equal (share [| { work with Shares = ValueNone } |]) ValueNone "no shares told"

                Expect.equal
                    (share
                        [|
                            { work with
                                Shares = ValueSome [| { Process = 60; Share = 90.0<percent> } |]
                            }
                        |])
                    (ValueSome 0.0<percent>)
                    "the other process did it all"

                Expect.equal
                    (share
                        [|
                            { work with
                                Shares = ValueSome [| { Process = 99; Share = 90.0<percent> } |]
                            }
                        |])
                    ValueNone
                    "one that is not on the list may stand for it"

                let other = seen [| { gpu with Uuid = "GPU-1" } |] [| work |]
                Expect.equal other.Gpus[0].SmActivity ValueNone "another GPU at its place"

            testCase "a MIG instance's activity is its job's, where that is alone on its GPU instance"
            <| fun () ->
                let device index uuid gpuInstance pids : MigDevice =
                    {
                        Index = index
                        Name = ""
                        Uuid = uuid
                        GpuInstance = ValueSome gpuInstance
                        ComputeInstance = ValueSome index
                        MemoryTotal = ValueNone
                        MemoryUsed = ValueNone
                        MemoryFree = ValueNone
                        ComputeProcesses =
                            ValueSome
                                [|
                                    for pid in pids ->
                                        {
                                            Pid = pid
                                            MemoryUsed = ValueNone
                                            Name = ""
                                        }
                                |]
                        XidLast = ValueNone
                        XidCount = ValueNone
                    }

                let seen (others: MigDevice list) =
                    let gpu =
                        { Gpu.OfIndex 0 with
                            Uuid = "GPU-whole"
                            MigDevices = ValueSome [| device 0 "GPU-0" 1 [ 40 ]; yield! others |]
                        }

                    let work: GpuWork =
                        {
                            GpuIndex = 0
                            GpuUuid = "GPU-whole"
                            SmActivity = ValueSome 88.0<percent>
                            TensorActivity = ValueNone
                            DramActivity = ValueNone
                            PcieIn = ValueNone
                            PcieOut = ValueNone
                            NvlinkBoth = ValueNone
                            Gpm = GpmWork.None
                            PowerViolation = ValueNone
                            ThermalViolation = ValueNone
                            Shares = ValueNone
                            Instances =
                                [|
                                    {
                                        Instance = "GPU-0"
                                        Activity = ValueSome 70.0<percent>
                                        Gpm = GpmWork.None
                                    }
                                |]
                        }

                    (Looks.between
                        (look 0.0)
                        { look 2.0 with
                            Gpus = [| gpu |]
                            Work = [| work |]
                            Jobs =
                                [|
                                    { job [||] with
                                        Group =
                                            { group with
                                                Gpus = [| { group.Gpus[0] with Uuid = "GPU-0" } |]
                                            }
                                    }
                                |]
                        })
                        .Jobs[0]

                let share others = (seen others).Gpus[0].SmShare
                Expect.equal (seen [ device 1 "MIG-b" 1 [ 60 ] ]).GpuBusy (ValueSome 70.0<percent>) "its own, and not the board's 88"
                Expect.equal (share []) (ValueSome 70.0<percent>) "alone"
                Expect.equal (share [ device 1 "MIG-b" 2 [ 60 ] ]) (ValueSome 70.0<percent>) "somebody on another GPU instance"
                Expect.equal (share [ device 1 "MIG-b" 1 [ 60 ] ]) ValueNone "somebody on a compute instance beside it"

            testCase "the threads worth watching are those that work and those that are blocked"
            <| fun () ->
                let cpu tid cpu isBlocked : Looks.ThreadCpu =
                    {
                        Tid = tid
                        StartedAt = 1UL<tick>
                        CpuTime = cpu
                        IsBlocked = isBlocked
                    }

                let before =
                    [|
                        cpu 1 0UL<tick> false
                        cpu 2 0UL<tick> false
                        cpu 3 0UL<tick> false
                        cpu 4 0UL<tick> false
                    |]

                let after =
                    [|
                        cpu 1 900UL<tick> false
                        cpu 2 400UL<tick> false
                        cpu 3 500UL<tick> false
                        cpu 4 10UL<tick> false
                        cpu 5 0UL<tick> true
                    |]

                Expect.equal (Looks.worthWatching 8 1 10.0<s> before after) [| 3; 2; 5 |] "the busiest first"
                Expect.equal (Looks.worthWatching 1 1 10.0<s> before after) [| 3 |] "at most one"
                Expect.equal (Looks.worthWatching 8 1 10.0<s> [||] after) [| 5 |] "a first scan knows no shares"
        ]
