/// Laws of verdicts: total over any evidence, independent of order, monotone in what limits, never without evidence, and never restless.
module Agent.PropertyTests.VerdictLaws

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private start = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

// ---- Evidence -------------------------------------------------------------------------------------------------------

/// A number of a machine that is well: mostly within what is seen, often on or beside a limit.
let private usual: Gen<float> =
    Gen.frequency
        [
            4, Gen.choose (0, 1000) |> Gen.map (fun n -> float n / 10.0)
            3,
            Gen.elements
                [
                    0.0
                    1.0
                    2.0
                    5.0
                    8.0
                    10.0
                    15.0
                    20.0
                    25.0
                    30.0
                    35.0
                    50.0
                    60.0
                    80.0
                    85.0
                    90.0
                    95.0
                    98.0
                    100.0
                ]
        ]

/// The same, and everything that a reader should never say.
let private anything: Gen<float> =
    Gen.frequency
        [
            12, usual
            1,
            Gen.elements
                [
                    nan
                    infinity
                    -infinity
                    -1.0
                    1e300
                    Double.MaxValue
                    Double.Epsilon
                    250.0
                    4294967295.0
                ]
        ]

let private share (number: Gen<float>) : Gen<float<percent> voption> =
    number |> Gen.map LanguagePrimitives.FloatWithMeasure |> maybe

let private rate (number: Gen<float>) : Gen<float<B / s>> =
    Gen.map2 (fun value scale -> LanguagePrimitives.FloatWithMeasure(value * scale)) number (Gen.elements [ 1.0; 1e3; 1e5; 1e6; 1e7 ])

let private diskOf (number: Gen<float>) (name: string) : Gen<DiskEvidence> =
    gen {
        let! busy = share number
        let! queue = maybe number
        let! latency = maybe (number |> Gen.map LanguagePrimitives.FloatWithMeasure)
        let! read = rate number
        let! written = rate number

        return
            {
                Device = name
                Busy = busy
                Queue = queue
                ReadLatency = latency
                WriteLatency = latency
                Read = read
                Written = written
            }
    }

let private linkOf (number: Gen<float>) (name: string) : Gen<LinkEvidence> =
    gen {
        let! received = rate number
        let! sent = rate number
        let! speed = maybe (Gen.elements [ 125e6<B / s>; 1.25e9<B / s>; 0.0<B / s> ])
        let! isFabric = Gen.frequency [ 4, Gen.constant false; 1, Gen.constant true ]

        return
            {
                Name = name
                Received = received
                Sent = sent
                Speed = speed
                IsFabric = isFabric
            }
    }

let private mountOf (number: Gen<float>) (name: string) : Gen<NetworkMountEvidence> =
    gen {
        let! operations = number
        let! trip = maybe number
        let! execution = maybe number
        let! outstanding = maybe (number |> Gen.map (fun value -> value / 10.0))
        let! read = rate number

        return
            {
                MountPoint = name
                Kind = "nfs4"
                Operations = LanguagePrimitives.FloatWithMeasure operations
                RoundTrip = trip |> ValueOption.map LanguagePrimitives.FloatWithMeasure
                Execution = execution |> ValueOption.map LanguagePrimitives.FloatWithMeasure
                Outstanding = outstanding
                Read = read
                Written = 0.0<B / s>
            }
    }

let private reasons =
    [
        "gpu_idle"
        "sw_power_cap"
        "hw_thermal_slowdown"
        "hw_power_brake_slowdown"
        "applications_clocks_setting"
        "bit_12"
    ]

/// A GPU without faults.
let private gpuOf (number: Gen<float>) (index: int) : Gen<GpuEvidence> =
    gen {
        let! busy = share number
        let! sm = Gen.frequency [ 2, Gen.constant ValueNone; 1, share number ]

        let! power =
            maybe (
                number
                |> Gen.map (fun value -> LanguagePrimitives.FloatWithMeasure(value * 7.0))
            )

        let! limit = maybe (Gen.elements [ 700.0<W>; 0.0<W> ])

        let! clock =
            maybe (
                number
                |> Gen.map (fun value -> LanguagePrimitives.FloatWithMeasure(value * 19.8))
            )

        let! throttled = Gen.frequency [ 4, Gen.constant []; 1, Gen.subListOf reasons ]
        let! nvlink = maybe (rate number)
        let! pcie = maybe (rate number)
        let! isHeld = Gen.elements [ true; false ]

        return
            {
                Index = index
                Uuid = $"GPU-{index}"
                IsLost = false
                IsSuspended = false
                Busy = busy
                MemoryBusy = busy
                SmActivity = sm
                TensorActivity = ValueNone
                DramActivity = sm
                Power = power
                PowerLimit = limit
                ClockSm = clock
                ClockSmMax = ValueSome 1980.0<MHz>
                Temperature = ValueNone
                ThrottleReasons = List.toArray throttled
                PowerViolation = ValueNone
                ThermalViolation = ValueNone
                PcieReceived = pcie
                PcieSent = pcie
                Nvlink = nvlink
                MemoryUsed = ValueNone
                MemoryTotal = ValueNone
                Xid = ValueNone
                EccUncorrected = 0UL
                IsRemapPending = false
                IsHeld = isHeld
            }
    }

let private jobOf (number: Gen<float>) (id: string) (gpus: int list) : Gen<Job> =
    gen {
        let! cores = maybe (number |> Gen.map (fun value -> value / 10.0))
        let! allowed = maybe (Gen.elements [ 0.0; 1.0; 2.0; 8.0; 32.0 ])
        let! busiest = share number
        let! role = maybe (Gen.elements [ ThreadRole.Main; ThreadRole.Loader; ThreadRole.Other ])
        let! main = share number
        let! loaders = Gen.elements [ 0; 0; 1; 4; 16 ]
        let! busy = share number
        let! wait = share number
        let! throttled = share number
        let! blocked = share number
        let! mainBlocked = share number
        let! on = maybe (Gen.elements [ BlockedOn.DiskRead; BlockedOn.DiskWrite; BlockedOn.NetworkStorage ])
        let! read = maybe (rate number)
        let! written = maybe (rate number)
        let! received = maybe (rate number)
        let! stall = share number
        let! faults = maybe number

        let! kind =
            Gen.elements
                [
                    OwnerKind.Slurm
                    OwnerKind.Pod
                    OwnerKind.Container
                    OwnerKind.Unit
                    OwnerKind.Session
                ]

        let! gpuBusy = Gen.frequency [ 3, Gen.constant ValueNone; 1, share number ]

        let! started =
            maybe (
                Gen.choose (-7200, 0)
                |> Gen.map (fun seconds -> start.AddSeconds(float seconds))
            )

        return
            {
                Id = id
                Owner =
                    {
                        Kind = kind
                        Value = id
                        Namespace = ""
                        Name = ""
                    }
                User = "alice"
                Uid = 1001
                Name = id
                Command = ""
                RootPid = 4242
                DriverPid = 0
                ProcessGroup = 0
                IsStopped = false
                StartedAt = started
                Gpus =
                    [|
                        for index in gpus ->
                            {
                                Index = index
                                Uuid = $"GPU-{index}"
                                Memory = ValueNone
                                SmShare = ValueNone
                            }
                    |]
                Processes = 5
                Threads = 50
                Loaders = loaders
                CpuCores = cores
                CpuCoresAllowed = allowed
                BusiestThread = busiest
                BusiestThreadRole = role
                MainThread = main
                LoadersBusy = if loaders = 0 then ValueNone else busy
                CpuWait = wait
                CpuThrottled = throttled
                Blocked = blocked
                MainBlocked = mainBlocked
                BlockedOn = on
                Read = read
                Written = written
                NetworkReceived = received
                Memory = ValueSome 1_000_000UL<B>
                MemoryLimit = ValueNone
                MemoryStall = stall
                IoStall = stall
                MajorFaults = faults |> ValueOption.map LanguagePrimitives.FloatWithMeasure
                Refaults = read
                OutOfMemoryKills = 0UL
                GpuBusy = gpuBusy
                GpuLeastBusy = ValueNone
                GpuPower = ValueNone
            }
    }

let private hostOf (number: Gen<float>) : Gen<HostEvidence> =
    gen {
        let! cpus = Gen.elements [ 0; 1; 2; 32; 256 ]
        let! busy = share number
        let! busiest = share number
        let! iowait = share number
        let! steal = Gen.frequency [ 3, Gen.constant (ValueSome 0.0<percent>); 1, share number ]
        let! cpuStall = share number
        let! ioStall = share number
        let! memoryStall = Gen.frequency [ 3, Gen.constant (ValueSome 0.0<percent>); 1, share number ]
        let! available = share number
        let! swapIn = Gen.frequency [ 3, Gen.constant (ValueSome 0.0<B / s>); 1, maybe (rate number) ]
        let! disks = Gen.choose (0, 3)
        let! disks = Gen.collectToList (diskOf number) [ for i in 1..disks -> $"nvme{i}n1" ]
        let! links = Gen.choose (0, 2)
        let! links = Gen.collectToList (linkOf number) [ for i in 1..links -> $"eth{i}" ]
        let! mounts = Gen.frequency [ 3, Gen.constant 0; 1, Gen.choose (1, 2) ]
        let! mounts = Gen.collectToList (mountOf number) [ for i in 1..mounts -> $"/data{i}" ]

        return
            {
                Cpus = cpus
                CpuBusy = busy
                BusiestCpu = busiest
                Iowait = iowait
                Steal = steal
                Runnable = ValueNone
                CpuStall = cpuStall
                IoStall = ioStall
                IoFullStall = ioStall
                MemoryStall = memoryStall
                MemoryFullStall = memoryStall
                MemoryAvailable = available
                SwapIn = swapIn
                SwapOut = swapIn
                Disks = List.toArray disks
                Links = List.toArray links
                NetworkMounts = List.toArray mounts
                DriverProblem = ""
            }
    }

/// Evidence of a machine with up to three jobs, which share out its GPUs.
let private evidenceOf (number: Gen<float>) : Gen<Evidence> =
    gen {
        let! host = hostOf number

        let! sizes =
            Gen.choose (0, 3)
            |> Gen.bind (fun jobs -> Gen.listOfLength jobs (Gen.elements [ 0; 1; 1; 2; 4 ]))

        let total = List.sum sizes
        let! spare = Gen.choose (0, 1)
        let! gpus = Gen.collectToList (gpuOf number) [ 0 .. total + spare - 1 ]
        let firsts = sizes |> List.scan (+) 0

        let shares =
            [
                for i, size in List.indexed sizes -> $"job-{i}", [ firsts[i] .. firsts[i] + size - 1 ]
            ]

        let! jobs = Gen.collectToList (fun (id, mine) -> jobOf number id mine) shares
        let! length = Gen.elements [ 0.5<s>; 1.0<s>; 2.0<s>; 10.0<s> ]

        return
            {
                At = start
                Length = length
                Host = host
                Gpus = List.toArray gpus
                Jobs = List.toArray jobs
            }
    }

let private well = evidenceOf usual

/// What is said of such a machine.
let report: Gen<JobReport> =
    well
    |> Gen.map (fun evidence -> snd (Verdict.report VerdictState.Empty evidence))

/// The same with faults, lengths and instants that cannot be.
let private wild: Gen<Evidence> =
    gen {
        let! evidence = evidenceOf anything
        let! length = Gen.elements [ 1.0; 0.0; -5.0; nan; infinity; 1e300; 3600.0 ]

        let! at =
            Gen.elements
                [
                    start
                    start.AddSeconds 1.0
                    start.AddYears 50
                    DateTimeOffset.MinValue
                    DateTimeOffset.MaxValue
                ]

        let! isLost = Gen.frequency [ 4, Gen.constant false; 1, Gen.constant true ]

        let! xid =
            Gen.frequency
                [
                    4, Gen.constant ValueNone
                    1, Gen.map ValueSome (Gen.elements [ 13; 45; 79; -1; 9999 ])
                ]

        let! loaders = Gen.elements [ 4; 0; -3; Int32.MaxValue; Int32.MinValue ]
        let! cpus = Gen.elements [ 4; 0; -1; Int32.MaxValue ]

        return
            { evidence with
                At = at
                Length = LanguagePrimitives.FloatWithMeasure length
                Host = { evidence.Host with Cpus = cpus }
                Gpus = evidence.Gpus |> Array.map (fun gpu -> { gpu with IsLost = isLost; Xid = xid })
                Jobs = evidence.Jobs |> Array.map (fun job -> { job with Loaders = loaders })
            }
    }

// ---- Running it -----------------------------------------------------------------------------------------------------

/// Looks that follow each other in time.
let private timed (looks: Evidence list) : Evidence list =
    (start, looks)
    ||> List.mapFold (fun now look ->
        let at = now.AddSeconds(float look.Length)
        { look with At = at }, at)
    |> fst

let private run (looks: Evidence list) : Verdicts list =
    (VerdictState.Empty, looks)
    ||> List.mapFold (fun state look ->
        let next, verdicts = Verdict.decide state look
        verdicts, next)
    |> fst

let private last (looks: Evidence list) : Verdicts = List.last (run (timed looks))

/// So much of the same as a verdict needs, and no more than that.
let private steady (look: Evidence) : Evidence list =
    List.replicate (int (Math.Ceiling(12.0 / float look.Length))) look

let private verdictsOf (verdicts: Verdicts) : Verdict list =
    verdicts.Machine :: [ for struct (_, verdict) in verdicts.Jobs -> verdict ]

let private isSound (verdict: Verdict) : bool =
    verdict.Confidence >= 0.0
    && verdict.Confidence <= 1.0
    && verdict.Reason <> ""
    && not (verdict.Reason.Contains "NaN")
    && not (verdict.Reason.Contains "∞")
    && Array.forall
        (fun (witness: Witness) ->
            Double.IsFinite witness.Value
            && (match witness.Limit with
                | ValueSome limit -> Double.IsFinite limit
                | ValueNone -> true))
        (Array.append verdict.Evidence verdict.RuledOut)

/// What a verdict says, but for rounding.
let private said (verdict: Verdict) =
    verdict.Label.Name, verdict.Second |> ValueOption.map _.Name, Math.Round(verdict.Confidence, 9), verdict.Reason, verdict.Fix

let private shuffled (evidence: Evidence) : Gen<Evidence> =
    gen {
        let! gpus = Gen.shuffle evidence.Gpus
        let! disks = Gen.shuffle evidence.Host.Disks
        let! links = Gen.shuffle evidence.Host.Links
        let! mounts = Gen.shuffle evidence.Host.NetworkMounts
        let! jobs = Gen.shuffle evidence.Jobs

        let! jobs =
            jobs
            |> List.ofArray
            |> Gen.collectToList (fun job -> Gen.shuffle job.Gpus |> Gen.map (fun gpus -> { job with Gpus = gpus }))

        return
            { evidence with
                Gpus = gpus
                Jobs = List.toArray jobs
                Host =
                    { evidence.Host with
                        Disks = disks
                        Links = links
                        NetworkMounts = mounts
                    }
            }
    }

let private find (id: string) (verdicts: Verdicts) : Verdict =
    verdicts.Jobs
    |> Array.pick (fun struct (other, verdict) -> if other = id then Some verdict else None)

// ---- Slack ----------------------------------------------------------------------------------------------------------

let private less (part: float) (value: float<'u> voption) : float<'u> voption =
    value |> ValueOption.map (fun value -> value * part)

/// The same evidence with more slack in what a label says is the limit; none for labels that no single figure decides.
let private slacker (part: float) (label: VerdictLabel) (look: Evidence) : Evidence option =
    let jobs change =
        Some
            { look with
                Jobs = look.Jobs |> Array.map change
            }

    match label with
    | VerdictLabel.LoaderCpu ->
        jobs (fun job ->
            { job with
                LoadersBusy = less part job.LoadersBusy
                BusiestThread = less part job.BusiestThread
            })
    | VerdictLabel.MainThread ->
        jobs (fun job ->
            { job with
                MainThread = less part job.MainThread
                BusiestThread = less part job.BusiestThread
            })
    | VerdictLabel.CpuQuota ->
        jobs (fun job ->
            { job with
                CpuThrottled = less part job.CpuThrottled
                CpuCores = less part job.CpuCores
            })
    | VerdictLabel.DiskRead
    | VerdictLabel.DiskWrite
    | VerdictLabel.NetworkStorage ->
        jobs (fun job ->
            { job with
                Blocked = less part job.Blocked
                MainBlocked = less part job.MainBlocked
            })
    | VerdictLabel.Compute ->
        Some
            { look with
                Gpus =
                    look.Gpus
                    |> Array.map (fun gpu ->
                        { gpu with
                            Busy = less part gpu.Busy
                            SmActivity = less part gpu.SmActivity
                        })
                Jobs =
                    look.Jobs
                    |> Array.map (fun job ->
                        { job with
                            GpuBusy = less part job.GpuBusy
                        })
            }
    | _ -> None

// ---- No label without its evidence ----------------------------------------------------------------------------------

let private over (limit: float) (value: float<'u> voption) =
    match value with
    | ValueSome value -> float value >= limit
    | ValueNone -> false

/// Whether anything in the evidence can be meant by a label: written down by hand from the table of docs/verdict.md, with the loosest
/// figures at which it may be told at all.
let private hasEvidence (look: Evidence) (job: Job) (label: VerdictLabel) : bool =
    let gpus =
        look.Gpus
        |> Array.filter (fun gpu -> job.Gpus |> Array.exists (fun mine -> mine.Index = gpu.Index))

    let isAnyBusy =
        over 0.1 job.GpuBusy
        || gpus |> Array.exists (fun gpu -> over 0.1 gpu.Busy || over 0.1 gpu.SmActivity)

    let isBlocked = over 8.0 job.Blocked || over 8.0 job.MainBlocked
    let host = look.Host

    match label with
    | VerdictLabel.Compute -> isAnyBusy
    | VerdictLabel.Throttled ->
        gpus
        |> Array.exists (fun gpu -> gpu.ThrottleReasons.Length > 0 || gpu.ClockSm.IsSome)
    | VerdictLabel.Communication ->
        job.Gpus.Length >= 2
        || gpus |> Array.exists (fun gpu -> over 100e6 gpu.Nvlink)
        || host.Links
           |> Array.exists (fun link -> link.Received > 0.0<B / s> && link.Sent > 0.0<B / s>)
    | VerdictLabel.Imbalance -> gpus.Length >= 2
    | VerdictLabel.LoaderCpu ->
        over 1.0 job.LoadersBusy
        || over 1.0 job.BusiestThread
        || over 90.0 host.BusiestCpu
    | VerdictLabel.MainThread ->
        over 1.0 job.MainThread
        || over 1.0 job.BusiestThread
        || over 90.0 host.BusiestCpu
    | VerdictLabel.CpuContended -> over 10.0 job.CpuWait || over 90.0 host.CpuBusy
    | VerdictLabel.CpuQuota ->
        over 20.0 job.CpuThrottled
        || (job.CpuCores.IsSome && job.CpuCoresAllowed.IsSome)
    | VerdictLabel.DiskRead
    | VerdictLabel.DiskWrite -> isBlocked || host.Disks |> Array.exists (fun disk -> over 80.0 disk.Busy)
    | VerdictLabel.NetworkStorage ->
        isBlocked
        || host.NetworkMounts |> Array.exists (fun mount -> over 0.5 mount.Outstanding)
    | VerdictLabel.Network -> over 1e6 job.NetworkReceived || host.Links.Length > 0
    | VerdictLabel.Memory ->
        over 10.0 job.MemoryStall
        || over 10.0 host.MemoryStall
        || over 10e6 host.SwapIn
        || over 500.0 job.MajorFaults
    | VerdictLabel.Starting
    | VerdictLabel.Unknown -> true
    // Nothing that lasts for twelve seconds is one of these.
    | VerdictLabel.Hang
    | VerdictLabel.HeldIdle
    | VerdictLabel.GpuFault
    | VerdictLabel.Idle -> false

let private agreeing (verdict: Verdict) : int =
    verdict.Evidence
    |> Array.filter (fun witness -> witness.Limit.IsSome)
    |> Array.length

/// When a label changed, without leaving `starting` and without faults.
let private changesOf (labels: (DateTimeOffset * VerdictLabel) list) : DateTimeOffset list =
    labels
    |> List.pairwise
    |> List.filter (fun ((_, before), (_, after)) -> before <> after && not before.IsStarting && not after.IsGpuFault)
    |> List.map (fun (_, (at, _)) -> at)

let private isCalm (labels: (DateTimeOffset * VerdictLabel) list) : bool =
    changesOf labels
    |> List.pairwise
    |> List.forall (fun (earlier, later) -> (later - earlier).TotalSeconds >= 60.0)

/// Two looks by turns, each for some seconds, for some minutes.
let private alternating: Gen<Evidence list> =
    gen {
        let! one = well
        let! other = well
        // The same jobs in both, or what alternates is who is there.
        let other =
            { other with
                Jobs =
                    one.Jobs
                    |> Array.map (fun job ->
                        match other.Jobs with
                        | [||] -> job
                        | jobs ->
                            { jobs[0] with
                                Id = job.Id
                                Gpus = job.Gpus
                                StartedAt = job.StartedAt
                            })
            }

        let! first = Gen.choose (1, 45)
        let! second = Gen.choose (1, 45)

        let of' (seconds: int) (look: Evidence) =
            List.replicate seconds { look with Length = 1.0<s> }

        let turn = of' first one @ of' second other
        return List.concat (List.replicate (1 + 240 / turn.Length) turn)
    }

let private jobsAlternating = alternating |> Gen.filter (fun looks -> looks.Head.Jobs.Length > 0)

let tests =
    testList
        "Verdict"
        [
            law
                "any evidence at all: no exception, no NaN, a confidence within 0 and 1, one verdict for each job"
                (Gen.nonEmptyListOf wild)
                (fun looks ->
                    (run looks, looks)
                    ||> List.forall2 (fun verdicts look ->
                        verdicts.Jobs.Length = look.Jobs.Length
                        && Array.forall2 (fun struct (id, _) (job: Job) -> id = job.Id) verdicts.Jobs look.Jobs
                        && List.forall isSound (verdictsOf verdicts)))

            law
                "the order of GPUs, disks, links, mounts and jobs changes nothing"
                (gen {
                    let! look = well
                    let! other = shuffled look
                    return look, other
                })
                (fun (look, other) ->
                    let one, two = last (steady look), last (steady other)

                    said one.Machine = said two.Machine
                    && look.Jobs
                       |> Array.forall (fun job -> said (find job.Id one) = said (find job.Id two)))

            law
                "a fault outranks everything, at once"
                (gen {
                    let! look = well |> Gen.filter (fun look -> look.Gpus.Length > 0)
                    let! at = Gen.choose (0, look.Gpus.Length - 1)
                    return look, at
                })
                (fun (look, at) ->
                    let broken =
                        { look with
                            Gpus =
                                look.Gpus
                                |> Array.mapi (fun i gpu -> if i = at then { gpu with IsLost = true } else gpu)
                        }

                    let verdicts = last (steady look @ [ broken ])

                    verdicts.Machine.Label.IsGpuFault
                    && broken.Jobs
                       |> Array.forall (fun job ->
                           (find job.Id verdicts).Label.IsGpuFault =
                               (job.Gpus |> Array.exists (fun mine -> mine.Index = look.Gpus[at].Index))))

            law "no label without something in the evidence that can be meant by it" well (fun look ->
                let verdicts = last (steady look)

                look.Jobs
                |> Array.forall (fun job ->
                    let verdict = find job.Id verdicts

                    hasEvidence look job verdict.Label
                    && (verdict.Label.IsUnknown
                        || verdict.Label.IsStarting
                        || verdict.Evidence.Length > 0)))

            law "nothing is known: nothing is claimed" (Gen.choose (1, 8)) (fun gpus ->
                let blank (gpu: GpuEvidence) =
                    { gpu with
                        Busy = ValueNone
                        SmActivity = ValueNone
                        DramActivity = ValueNone
                        Power = ValueNone
                        ClockSm = ValueNone
                        ThrottleReasons = [||]
                        Nvlink = ValueNone
                        PcieReceived = ValueNone
                        PcieSent = ValueNone
                    }

                let none = Gen.constant 0.0
                let one = (evidenceOf none |> Gen.filter (fun look -> look.Jobs.Length > 0) |> Gen.sample 1)[0]

                let look =
                    { one with
                        Gpus = Array.map blank one.Gpus
                        Jobs =
                            one.Jobs
                            |> Array.map (fun job ->
                                { job with
                                    StartedAt = ValueNone
                                    Gpus = Array.truncate gpus job.Gpus
                                    CpuCores = ValueNone
                                    BusiestThread = ValueNone
                                    MainThread = ValueNone
                                    LoadersBusy = ValueNone
                                    CpuWait = ValueNone
                                    CpuThrottled = ValueNone
                                    Blocked = ValueNone
                                    MainBlocked = ValueNone
                                    GpuBusy = ValueNone
                                })
                    }

                (last (steady look)).Jobs
                |> Array.forall (fun struct (_, verdict) -> verdict.Label.IsUnknown && verdict.Confidence < 0.5))

            law
                "more slack in what limits never makes its label more certain"
                (gen {
                    let! look = well |> Gen.filter (fun look -> look.Jobs.Length > 0)
                    let! part = Gen.choose (0, 99)

                    return
                        { look with
                            Jobs = look.Jobs[..0]
                            Length = 1.0<s>
                        },
                        float part / 100.0
                })
                (fun (look, part) ->
                    let id = look.Jobs[0].Id
                    let before = find id (last (steady look))

                    match slacker part before.Label look with
                    | None -> true
                    | Some slack ->
                        let after = find id (last (steady slack))
                        after.Label <> before.Label || after.Confidence <= before.Confidence + 1e-9)

            law "above 0.7 only when two witnesses speak" well (fun look ->
                let verdicts = last (steady look)

                verdictsOf verdicts
                |> List.forall (fun verdict -> verdict.Confidence <= 0.7 || verdict.Label.IsGpuFault || agreeing verdict >= 2))

            lawOf
                (Laws.cases / 20 + 20)
                "evidence that stays the same changes a job's label never, once it was said"
                (well |> Gen.filter (fun look -> look.Jobs.Length > 0))
                (fun look ->
                    let looks = timed (List.replicate 90 { look with Length = 1.0<s> })

                    let labels =
                        run looks
                        |> List.skip 31
                        |> List.map (fun verdicts -> [ for struct (_, verdict) in verdicts.Jobs -> verdict.Label ])

                    List.forall ((=) labels.Head) labels)

            lawOf
                (Laws.cases / 20 + 20)
                "evidence that alternates: a minute between two changes of a job's label"
                jobsAlternating
                (fun looks ->
                    let looks = timed looks
                    let verdicts = run looks

                    looks.Head.Jobs
                    |> Array.forall (fun job ->
                        List.map2 (fun (look: Evidence) verdicts -> look.At, (find job.Id verdicts).Label) looks verdicts
                        |> isCalm))

            lawOf (Laws.cases / 20 + 20) "a machine without jobs and GPUs: a minute between two changes" alternating (fun looks ->
                let looks = looks |> List.map (fun look -> { look with Jobs = [||]; Gpus = [||] }) |> timed

                List.map2 (fun (look: Evidence) (verdicts: Verdicts) -> look.At, verdicts.Machine.Label) looks (run looks)
                |> isCalm)

            lawOf
                (Laws.cases / 20 + 20)
                "the state is bounded: 64 looks, and no job of more than half a minute ago"
                (Gen.listOfLength 60 well)
                (fun looks ->
                    let looks =
                        looks
                        |> List.mapi (fun i look ->
                            { look with
                                Length = 1.0<s>
                                Jobs = look.Jobs |> Array.map (fun job -> { job with Id = $"{job.Id}-{i}" })
                            })
                        |> timed

                    (VerdictState.Empty, looks)
                    ||> List.fold (fun state look ->
                        let next, _ = Verdict.decide state look
                        next)
                    |> fun state -> state.Looks.Length <= 64 && state.Jobs.Length <= 31 * 3)
        ]
