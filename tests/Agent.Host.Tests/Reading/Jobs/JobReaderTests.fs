/// The jobs of a machine: a scripted tree of files, and real processes.
module Agent.Host.Tests.JobReaderTests

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.Shell
open Agent.Host.Reading.Jobs
open Agent.TestSupport
open Agent.Host.Tests.VirtualClock
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// Files of /proc and /sys below a directory.
type private Machine(top: string) =
    let write (path: string) (content: string) =
        let path = Path.Join(top, path)
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
        File.WriteAllText(path, content)

    let stat (pid: int) (parent: int) (name: string) (state: char) (cpu: int) (threads: int) =
        $"{pid} ({name}) {state} {parent} {pid} 1 0 -1 0 0 0 3 0 {cpu} 0 0 0 20 0 {threads} 0 {100 + pid % 1000} 1000 50 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"

    member _.Write(path: string, content: string) = write path content

    /// One thread: its state, its CPU time in ticks and the nanoseconds that it waited for a CPU.
    member _.Thread(pid: int, tid: int, parent: int, name: string, state: char, cpu: int, waited: int64) =
        write $"proc/{pid}/task/{tid}/stat" (stat tid parent name state cpu 1)
        write $"proc/{pid}/task/{tid}/schedstat" $"{int64 cpu * 10_000_000L} {waited} 5\n"

    /// A process with its main thread.
    member this.Process
        (
            pid: int,
            parent: int,
            uid: int,
            name: string,
            state: char,
            cpu: int,
            waited: int64,
            cgroup: string,
            arguments: string list,
            ?threads: int
        ) =
        write $"proc/{pid}/stat" (stat pid parent name state cpu (defaultArg threads 1))
        this.Thread(pid, pid, parent, name, state, cpu, waited)
        write $"proc/{pid}/status" $"Name:\t{name}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
        write $"proc/{pid}/cgroup" $"0::{cgroup}\n"
        write $"proc/{pid}/cmdline" (arguments |> List.map (fun one -> one + "\000") |> String.concat "")

    member _.Settings =
        CommandLine.settingsWith [ "--procfs"; $"{top}/proc"; "--sysfs"; $"{top}/sys"; "--rootfs"; top ]

let private withMachine (test: Machine -> unit) =
    World.withDirectory (fun top -> test (Machine top))

/// GPUs, each held by these processes.
let private gpus (holders: int list list) : GpuReading =
    {
        Gpus =
            holders
            |> List.mapi (fun index pids ->
                { Gpu.OfIndex index with
                    Uuid = $"GPU-{index}"
                    Utilization = ValueSome 20.0<percent>
                    ComputeProcesses =
                        ValueSome
                            [|
                                for pid in pids do
                                    {
                                        Pid = pid
                                        MemoryUsed = ValueSome 1000UL<B>
                                        Name = ""
                                    }
                            |]
                })
            |> Array.ofList
        Faults = [||]
    }

let private watchOf settings (clock: AgentClock) (told: unit -> GpuReading | null) watchesHost (cost: (unit -> TimeSpan) option) =
    new JobWatch(
        settings,
        clock,
        Func<_>(fun () -> JobInputs(told (), "", Devices.unknown)),
        (fun () -> watchesHost),
        (match cost with
         | Some cost -> Func<_> cost
         | None -> Func<_>(fun () -> TimeSpan.Zero))
    )

let private evidenceOf (reading: JobReading) : Evidence =
    match reading.Evidence with
    | null -> failtest "no evidence"
    | evidence -> evidence

let private slurm = "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0"

/// A trainer of user 1000 in a job of Slurm's, its loader, and a process of somebody else.
let private trainer (machine: Machine) (mainCpu: int) (loaderCpu: int) (loaderState: char) =
    machine.Process(30, 1, 1000, "slurm_script", 'S', 5, 0L, slurm, [ "bash"; "job.sh" ])
    machine.Process(40, 30, 1000, "python", 'S', mainCpu, 0L, slurm, [ "/usr/bin/python"; "train.py"; "--token"; "abc" ])
    machine.Process(50, 40, 1000, "python", loaderState, loaderCpu, 0L, slurm, [ "python"; "train.py" ])
    machine.Process(60, 1, 1001, "python", 'R', 999, 0L, "/user.slice/session-1.scope", [ "python" ])

let private usingJob7 (machine: Machine) (periods: int) (throttled: int) =
    machine.Write("etc/passwd", "ana:x:1000:1000::/home/ana:/bin/sh\n")
    machine.Write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n")
    let group = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    machine.Write($"{group}/cpu.max", "200000 100000\n")
    machine.Write($"{group}/cpu.stat", $"usage_usec 1\nnr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec 1\n")
    machine.Write($"{group}/memory.current", "4096\n")
    machine.Write($"{group}/memory.max", "1048576\n")
    machine.Write($"{group}/memory.events", "oom_kill 0\n")
    machine.Write($"{group}/io.stat", $"8:0 rbytes={periods * 1000} wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n")
    // The task's own group has no limit.
    machine.Write($"{group}/step_0/user/task_0/cpu.max", "max 100000\n")

/// A job of Slurm at two looks that are two seconds apart, with three looks at states between.
let private twoLooks (machine: Machine) (clock: ManualClock) (watch: JobWatch) =
    trainer machine 100 1000 'D'
    usingJob7 machine 10 0
    watch.Read() |> ignore

    for _ in 1..3 do
        clock.Advance(seconds 0.5)
        watch.Read() |> ignore

    trainer machine 140 1190 'S'
    usingJob7 machine 30 5
    clock.Advance(seconds 0.5)
    evidenceOf (watch.Read().Value)

/// What a program wrote before it went to sleep: the PIDs that it told of.
let private started (uid: int) (script: string) (test: int -> int list -> unit) =
    let start = ProcessStartInfo("setpriv", RedirectStandardOutput = true, RedirectStandardError = true)

    for word in [ "--reuid"; string uid; "--clear-groups"; "sh"; "-c"; script ] do
        start.ArgumentList.Add word

    use shell =
        match Process.Start start with
        | null -> failtest "setpriv does not start"
        | shell -> shell

    try
        match shell.StandardOutput.ReadLine() with
        | null -> Skip.because $"setpriv needs root: {shell.StandardError.ReadToEnd()}"
        | line -> test shell.Id (line.Split ' ' |> Array.map int |> List.ofArray)
    finally
        if not shell.HasExited then
            shell.Kill true

        shell.WaitForExit()

/// One child burns a CPU, the other sleeps.
[<Literal>]
let private family = "(while :; do :; done) & burner=$!; sleep 100 & echo $burner $!; wait"

/// Real time, and a look as soon as it is due, until the evidence has what is wanted.
let private watched (holder: int) (wanted: Job -> bool) : JobReading * Job =
    let clock = AgentClock()
    use watch = watchOf (CommandLine.settingsWith []) clock (fun () -> gpus [ [ holder ] ]) false None
    let limit = Stopwatch.StartNew()
    let mutable found = ValueNone

    while found.IsNone do
        let reading = watch.Read()
        Thread.Sleep(min reading.Next (seconds 0.1))

        match reading.Value.Evidence with
        | null -> ()
        | evidence ->
            match evidence.Jobs |> Array.tryHead with
            | Some job when wanted job -> found <- ValueSome(reading.Value, job)
            | Some job when limit.Elapsed > seconds 30.0 -> failtest $"not within 30 s: {job}"
            | _ -> ()

        if limit.Elapsed > seconds 40.0 then
            failtest "no job within 40 s"

    found.Value

[<DllImport("libc", EntryPoint = "capset", SetLastError = true)>]
extern int private setCapabilities(nativeint header, nativeint data)

/// On a thread that has lost all capabilities, as the kernel lets each thread have its own.
let private withoutPrivilege (work: unit -> 'result) : 'result =
    let mutable result = Error(InvalidOperationException "it did not run" :> exn)

    let thread =
        Thread(fun () ->
            let memory = Marshal.AllocHGlobal 64

            try
                try
                    for i in 0..15 do
                        Marshal.WriteInt32(memory, i * 4, 0)

                    // _LINUX_CAPABILITY_VERSION_3, then this thread's number, 0 for itself, and behind it two empty sets of each kind.
                    Marshal.WriteInt32(memory, 0x20080522)

                    if setCapabilities (memory, memory + 8n) <> 0 then
                        failtest $"capset: {Marshal.GetLastPInvokeError()}"

                    result <- Ok(work ())
                with error ->
                    result <- Error error
            finally
                Marshal.FreeHGlobal memory)

    thread.Start()
    thread.Join()

    match result with
    | Ok result -> result
    | Error error -> raise error

[<Tests>]
let tests =
    testList
        "Host.JobReader"
        [
            testCase "a scripted job of Slurm: who, what, and what it did between two looks"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 40 ] ]) false None
                    let evidence = twoLooks machine clock watch
                    Expect.equal evidence.Length 2.0<s> "length"
                    let job = Array.exactlyOne evidence.Jobs
                    Expect.equal (job.Id, job.Owner.Kind, job.Owner.Value) ("slurm-7-1000", OwnerKind.Slurm, "7") "owner"
                    Expect.equal (job.User, job.Uid, job.Name) ("ana", 1000, "python train.py") "user"
                    Expect.equal job.Command "python train.py" "no arguments"
                    Expect.equal (job.Processes, job.Loaders, job.RootPid) (3, 1, 30) "processes"
                    // 40 of 200 ticks, 190 of 200
                    Expect.equal job.MainThread (ValueSome 20.0<percent>) "main"
                    Expect.equal job.LoadersBusy (ValueSome 95.0<percent>) "loader"
                    Expect.equal job.BusiestThreadRole (ValueSome ThreadRole.Loader) "busiest"
                    Expect.equal job.CpuCores (ValueSome 1.15) "cores"
                    Expect.equal job.CpuCoresAllowed (ValueSome 2.0) "quota"
                    Expect.equal job.CpuThrottled (ValueSome 25.0<percent>) "5 of 20 periods"
                    Expect.equal job.Read (ValueSome 10000.0<B / s>) "20,000 bytes in 2 s"
                    // The loader was blocked at three looks of four, the main thread never.
                    Expect.equal (job.Blocked, job.MainBlocked) (ValueSome 37.5<percent>, ValueSome 0.0<percent>) "blocked"
                    Expect.equal (job.Memory, job.MemoryLimit) (ValueSome 4096UL<B>, ValueSome 1048576UL<B>) "memory"
                    Expect.equal job.GpuBusy (ValueSome 20.0<percent>) "GPU")

            testCase "the full command line is masked, and none is none"
            <| fun () ->
                withMachine (fun machine ->
                    for detail, expected in [ JobDetail.Full, "/usr/bin/python train.py --token ***"; JobDetail.None, "" ] do
                        let clock = ManualClock()

                        let settings =
                            { machine.Settings with
                                JobDetail = detail
                            }

                        use watch = watchOf settings clock (fun () -> gpus [ [ 40 ] ]) false None
                        Expect.equal (twoLooks machine clock watch).Jobs[0].Command expected $"{detail}")

            testCase "cgroups of version 1"
            <| fun () ->
                withMachine (fun machine ->
                    let container = String.replicate 64 "a"
                    let path = $"/docker/{container}"

                    let look cpu periods throttled read =
                        machine.Process(40, 1, 0, "python", 'S', cpu, 0L, path, [ "python"; "train.py" ])

                        machine.Write(
                            "proc/40/cgroup",
                            $"5:memory:{path}\n4:cpuset:{path}\n3:blkio:{path}\n2:cpu,cpuacct:{path}\n1:name=systemd:{path}\n"
                        )

                        let group hierarchy = $"sys/fs/cgroup/{hierarchy}{path}"
                        let cpu = group "cpu,cpuacct"
                        machine.Write($"{cpu}/cpu.cfs_quota_us", "300000\n")
                        machine.Write($"{cpu}/cpu.cfs_period_us", "100000\n")
                        machine.Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
                        machine.Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
                        machine.Write($"{cpu}/cpu.stat", $"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_time 5\n")
                        let cpuset = group "cpuset"
                        machine.Write($"{cpuset}/cpuset.effective_cpus", "0-1\n")
                        let memory = group "memory"
                        machine.Write($"{memory}/memory.usage_in_bytes", "777\n")
                        machine.Write($"{memory}/memory.limit_in_bytes", "9223372036854771712\n")
                        machine.Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "8000\n")
                        let blocks = group "blkio"
                        machine.Write($"{blocks}/blkio.throttle.io_service_bytes", $"8:0 Read {read}\n8:0 Write 0\nTotal {read}\n")

                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 40 ] ]) false None
                    look 0 0 0 0
                    watch.Read() |> ignore
                    look 100 20 10 8000
                    clock.Advance(seconds 2.0)
                    let reading = watch.Read().Value
                    let job = Array.exactlyOne (evidenceOf reading).Jobs
                    Expect.equal job.Id "container-aaaaaaaaaaaa-0" "id"
                    Expect.equal job.CpuCoresAllowed (ValueSome 2.0) "the set is smaller than the quota"
                    Expect.equal job.CpuThrottled (ValueSome 50.0<percent>) "throttled"
                    Expect.equal (job.Memory, job.MemoryLimit) (ValueSome 777UL<B>, ValueSome 8000UL<B>) "memory"
                    Expect.equal job.Read (ValueSome 4000.0<B / s>) "read"
                    Expect.equal reading.Access.Cgroups "1" "version")

            testCase "of a driver's threads the one that works is watched after two scans"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 40 ] ]) false None
                    let mutable reading = JobReading.None

                    for step in 0..12 do
                        machine.Process(40, 1, 0, "python", 'S', 200 * step, 0L, "/", [ "python" ], threads = 3)
                        machine.Thread(40, 40, 1, "python", 'S', 0, 0L)
                        machine.Thread(40, 41, 1, "pt_data_pin", 'S', 180 * step, 0L)
                        machine.Thread(40, 42, 1, "idle", 'S', 3, 0L)
                        reading <- watch.Read().Value
                        clock.Advance(seconds 2.0)

                    let job = Array.exactlyOne (evidenceOf reading).Jobs
                    Expect.equal job.Loaders 1 "one thread"
                    Expect.equal job.LoadersBusy (ValueSome 90.0<percent>) "180 ticks in 2 s"
                    Expect.equal job.Threads 3 "of three")

            testCase "where nobody uses a GPU nothing is read"
            <| fun () ->
                let settings = CommandLine.settingsWith [ "--procfs"; "/nowhere"; "--sysfs"; "/nowhere" ]
                let clock = ManualClock()
                use watch = watchOf settings clock (fun () -> gpus [ [] ]) false None

                for _ in 1..3 do
                    let reading = watch.Read()
                    Expect.isNull reading.Value.Evidence "no evidence"
                    Expect.equal reading.Value.Faults [||] "no faults"
                    Expect.equal reading.Value.Cost.Share 0.0 "no cost"
                    clock.Advance(seconds 2.0)

            testCase "a machine that is to be judged itself has evidence without jobs"
            <| fun () ->
                withMachine (fun machine ->
                    machine.Write("proc/loadavg", "0.00 0.00 0.00 3/10 99\n")
                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> null) true None
                    watch.Read() |> ignore
                    clock.Advance(seconds 2.0)
                    let evidence = evidenceOf (watch.Read().Value)
                    Expect.equal (evidence.Host.Runnable, evidence.Jobs) (ValueSome 3, [||]) "host")

            testCase "jobs go on while nobody tells of GPUs, and end when the GPUs are free"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    let mutable told: GpuReading | null = gpus [ [ 40 ] ]
                    use watch = watchOf machine.Settings clock (fun () -> told) false None
                    twoLooks machine clock watch |> ignore
                    told <- null
                    clock.Advance(seconds 2.0)
                    Expect.equal (evidenceOf (watch.Read().Value)).Jobs.Length 1 "still there"
                    told <- gpus [ [] ]
                    clock.Advance(seconds 2.0)
                    Expect.equal (evidenceOf (watch.Read().Value)).Jobs [||] "gone, and the GPU is looked at once more"
                    clock.Advance(seconds 2.0)
                    Expect.isNull (watch.Read().Value).Evidence "nothing is left to look at")

            testCase "a GPU that fails takes its users with it, and is seen all the same, for as long as the watch goes on"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    let mutable told: GpuReading | null = gpus [ [ 40 ] ]
                    let mutable isWatching = false

                    use watch =
                        new JobWatch(
                            machine.Settings,
                            clock,
                            Func<_>(fun () -> JobInputs(told, "", Devices.unknown)),
                            (fun () -> isWatching),
                            Func<_>(fun () -> TimeSpan.Zero)
                        )

                    twoLooks machine clock watch |> ignore
                    let healthy = gpus [ [] ]

                    told <-
                        { healthy with
                            Gpus = healthy.Gpus |> Array.map _.WithoutValues
                        }

                    for _ in 1..3 do
                        clock.Advance(seconds 2.0)
                        let evidence = evidenceOf (watch.Read().Value)
                        Expect.equal (evidence.Jobs.Length, evidence.Gpus[0].IsLost) (0, true) "lost"
                        isWatching <- true

                    isWatching <- false
                    clock.Advance(seconds 2.0)
                    Expect.isNull (watch.Read().Value).Evidence "over")

            testCase "a trainer may run on fewer CPUs than the machine has"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 60 ] ]) false None
                    trainer machine 1 1 'S'
                    machine.Write("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\ncpu2 1 1 1 1\ncpu3 1 1 1 1\nctxt 1\n")
                    machine.Write("proc/60/status", "Name:\tpython\nUid:\t1001\t0\t0\t0\nCpus_allowed_list:\t0,2-3\n")
                    watch.Read() |> ignore
                    clock.Advance(seconds 2.0)
                    let job = Array.exactlyOne (evidenceOf (watch.Read().Value)).Jobs
                    Expect.equal job.CpuCoresAllowed (ValueSome 3.0) "by its affinity")

            testCase "two users are two jobs, and a PID that is not in this /proc is told of"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 40 ]; [ 60 ]; [ 12345 ] ]) false None
                    let evidence = twoLooks machine clock watch
                    Expect.equal (evidence.Jobs |> Array.map _.Uid) [| 1000; 1001 |] "users"
                    clock.Advance(seconds 2.0)
                    Expect.equal (watch.Read().Value).LeftOut.Unseen 0 "it may just have ended"
                    clock.Advance(seconds 10.0)
                    let reading = watch.Read().Value
                    Expect.equal reading.LeftOut.Unseen 1 "unseen"
                    Expect.exists reading.Faults (fun fault -> (string fault).Contains "--pid=host") "what to do")

            testCase "at most 64 jobs and 512 processes are looked at, and the others are counted"
            <| fun () ->
                withMachine (fun machine ->
                    for job in 1..70 do
                        for number in 0..9 do
                            let pid = job * 100 + number
                            let parent = if number = 0 then 1 else job * 100
                            machine.Process(pid, parent, 1000, "python", 'S', 1, 0L, $"/system.slice/job{job}.service", [ "python" ])

                    let clock = ManualClock()

                    use watch =
                        watchOf machine.Settings clock (fun () -> gpus [ [ for job in 1..70 -> job * 100 ] ]) false None

                    watch.Read() |> ignore
                    clock.Advance(seconds 2.0)
                    let reading = watch.Read().Value
                    Expect.equal (evidenceOf reading).Jobs.Length 64 "jobs"
                    Expect.equal reading.LeftOut.Jobs 6 "jobs left out"
                    Expect.equal reading.LeftOut.Processes (700 - 512) "processes left out")

            testCase "what costs much is done rarely, so that all of it takes no more than 2 ms a second"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    let mutable spent = TimeSpan.Zero

                    // Each piece of work takes 1.2 ms, by a clock that is read before and after it.
                    let cost () =
                        spent <- spent + TimeSpan.FromMilliseconds 1.2
                        spent

                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 40 ] ]) false (Some cost)
                    trainer machine 1 1 'S'
                    let mutable work = TimeSpan.Zero

                    while clock.Elapsed < seconds 600.0 do
                        let reading = watch.Read()
                        work <- spent
                        clock.Advance reading.Next

                    Expect.isLessThan (work / clock.Elapsed / 2.0) 0.002 "the work done"
                    let told = watch.Read().Value.Cost
                    Expect.isLessThanOrEqual told.Share 0.002 "what it says of itself"
                    Expect.equal told.LookPeriod (seconds 2.0) "often enough: 0.6 of 0.9 ms a second"
                    Expect.isGreaterThan told.StatePeriod (seconds 2.0) "rarer than every 0.5 s")

            testCase "a worker that takes another's place is found at once, and not only at the next search"
            <| fun () ->
                withMachine (fun machine ->
                    let clock = ManualClock()
                    use watch = watchOf machine.Settings clock (fun () -> gpus [ [ 40 ] ]) false None

                    let look step worker =
                        machine.Process(40, 1, 0, "python", 'S', step, 0L, "/", [ "python" ])
                        machine.Process(worker, 40, 0, "python", 'S', step * 100, 0L, "/", [ "python" ])
                        machine.Write("proc/40/task/40/children", $"{worker} ")
                        machine.Write($"proc/{worker}/task/{worker}/children", "")
                        let reading = watch.Read().Value
                        clock.Advance(seconds 2.0)
                        reading

                    for step in 0..3 do
                        look step 50 |> ignore

                    look 4 51 |> ignore
                    look 5 51 |> ignore
                    let reading = look 6 51
                    let job = Array.exactlyOne (evidenceOf reading).Jobs
                    Expect.equal job.LoadersBusy (ValueSome 50.0<percent>) "the new worker's"
                    Expect.equal reading.Access.Children (Nullable true) "by the kernel's file")

            testCase "GPUs that went away are lost, unless the kernel no longer lists them"
            <| fun () ->
                withMachine (fun machine ->
                    let gpu index place =
                        { Gpu.OfIndex index with
                            Uuid = $"GPU-{index}"
                            PciBusId = place
                        }

                    machine.Write("sys/bus/pci/devices/0000:65:00.0/vendor", "0x10de\n")
                    let lost = LostGpus(machine.Settings.SysFs)
                    let reading gpus : GpuReading = { Gpus = gpus; Faults = [||] }
                    let one, other, third = gpu 0 "00000000:65:00.0", gpu 1 "00000000:B1:00.0", gpu 2 ""
                    Expect.equal (lost.Find(reading [| one; other; third |])) [||] "all there"
                    Expect.equal (lost.Find(reading [||]) |> Array.map _.Index) [| 0; 2 |] "listed, and of unknown place"
                    Expect.equal (lost.Find null |> Array.map _.Index) [| 0; 2 |] "while nobody tells"
                    Expect.equal (lost.Find(reading [| one |]) |> Array.map _.Index) [| 2 |] "one came back")

            testCase "names of users that only the system's name services know"
            <| fun () ->
                let names = UserNames("/", AgentClock(), SmallFiles())
                Expect.equal (names.Of 0) "root" "of the file"
                Expect.equal (names.Of 1234567) "" "of nobody"

            testCase "real processes: the child that burns a CPU is found out"
            <| fun () ->
                started 0 family (fun holder children ->
                    let reading, job =
                        watched holder (fun job ->
                            job.Loaders = 2
                            && job.BusiestThread.IsSome
                            && job.BusiestThread.Value > 2.0<percent>)

                    Expect.equal children.Length 2 "two children"
                    Expect.equal job.BusiestThreadRole (ValueSome ThreadRole.Loader) "a loader"
                    Expect.isTrue (job.MainThread.IsSome && job.MainThread.Value <= job.BusiestThread.Value) "not the main thread"
                    Expect.isTrue (job.CpuCores.IsSome && job.CpuCores.Value > 0.0) "cores"
                    Expect.equal (job.Uid, job.User, job.Name) (0, "root", "sh") "who"
                    Expect.isTrue job.StartedAt.IsSome "started"
                    Expect.equal (reading.Access.Io, reading.Access.Environment) (Nullable true, Nullable true) "everything may be read")

            testCase "the same of another user's processes without any privilege"
            <| fun () ->
                started 65534 family (fun holder _ ->
                    let reading, job =
                        withoutPrivilege (fun () ->
                            watched holder (fun job ->
                                job.Loaders = 2
                                && job.BusiestThread.IsSome
                                && job.BusiestThread.Value > 2.0<percent>))

                    Expect.equal job.BusiestThreadRole (ValueSome ThreadRole.Loader) "a loader"
                    Expect.equal (job.Uid, job.User) (65534, "nobody") "who"
                    Expect.equal job.Read ValueNone "what it read may not be known"
                    Expect.equal (reading.Access.Io, reading.Access.Environment) (Nullable false, Nullable false) "less may be read"
                    Expect.equal reading.Faults [||] "and that is no fault")

            testCase "a control group that was removed while its file was open is absent"
            <| fun () ->
                // ENODEV: kernfs has taken the file away.
                Expect.equal (SmallFiles.ErrorOf("memory.current", 19)) (SourceError.Absent "memory.current") "no fault"
                Expect.isTrue (SmallFiles.ErrorOf("memory.current", 5)).IsUnreadable "an I/O error is one"

            testCase "a pod's memory is told beside a limit of its own, else that of the container which has the limit"
            <| fun () ->
                World.withDirectory (fun top ->
                    let pod = "kubepods/podaaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
                    let container = $"{pod}/{String('c', 64)}"

                    let memory version group current limit =
                        let directory = Path.Join(top, "fs/cgroup", version, group)
                        Directory.CreateDirectory directory |> ignore

                        let write (name: string) (text: string) =
                            File.WriteAllText(Path.Join(directory, name), text + "\n")

                        if version = "" then
                            write "memory.current" current
                            write "memory.max" limit
                        else
                            write "memory.usage_in_bytes" current
                            write "memory.limit_in_bytes" limit

                    let told controllers =
                        let hierarchy = if controllers = "" then 0 else 4
                        let line = $"{hierarchy}:{controllers}:/{container}\n"

                        let memberships =
                            (Fixtures.want (Proc.ProcessCgroup.parse (ReadOnlySpan(Text.Encoding.ASCII.GetBytes line)))).Value

                        let files = SmallFiles()
                        use found = CgroupFiles(top, files).Find(Belonging.ofCgroups memberships 1, memberships, Nullable())
                        let read = found.Read(Collections.Generic.List())
                        read.Memory, read.MemoryLimit

                    let both (version: string) controllers =
                        memory version pod "200" (if version = "" then "max" else "9223372036854771712")
                        memory version container "60" "64"
                        Expect.equal (told controllers) (ValueSome 60UL<B>, ValueSome 64UL<B>) "the container's"
                        memory version pod "63" "64"
                        Expect.equal (told controllers) (ValueSome 63UL<B>, ValueSome 64UL<B>) "the pod's is as small, and has more in use"
                        memory version container "60" (if version = "" then "max" else "9223372036854771712")
                        Expect.equal (told controllers) (ValueSome 63UL<B>, ValueSome 64UL<B>) "the pod's alone"

                    both "memory" "memory"
                    Directory.Delete(Path.Join(top, "fs/cgroup/memory"), true)
                    File.WriteAllText(Path.Join(top, "fs/cgroup/cgroup.controllers"), "memory\n")
                    both "" "")

            testCase "a job that ended leaves no file open"
            <| fun () ->
                let files = SmallFiles()

                World.withDirectory (fun top ->
                    let path = Path.Join(top, "a")
                    File.WriteAllText(path, "1 2 3\n")
                    let kept = new KeptFile(path, files)

                    let read () =
                        kept.Read(fun text -> Proc.SchedStat.parse text)

                    Expect.isOk (read ()) "read"
                    Expect.equal files.Kept 1 "kept"
                    (kept :> IDisposable).Dispose()
                    Expect.equal files.Kept 0 "closed"
                    Expect.isOk (read ()) "read without keeping"
                    Expect.equal files.Kept 0 "closed")
        ]
