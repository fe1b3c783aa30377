/// The source of GPUs that runs nvidia-smi, with a fake one that plays scripted machines.
module Agent.Host.Tests.NvidiaSmiSourceTests

open System
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.Host
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport
open Agent.TestSupport.Gpu
open Agent.TestSupport.Gpu.NvmlStub
open Agent.TestSupport.ProgramProcess
open Expecto

[<DllImport("libc", EntryPoint = "kill", SetLastError = true)>]
extern int private sendSignal(int pid, int signal)

/// The clock runs five times as fast as time: a loop of one second prints every 200 ms, and one that is silent for
/// ten seconds is so for two.
[<Literal>]
let private Scale = 5

let private seconds (value: float) = TimeSpan.FromSeconds value

let private hasEnded (pid: int) =
    try
        (File.ReadAllText $"/proc/{pid}/stat").Contains ") Z "
    with :? IOException ->
        true

let private eventually (what: string) (condition: unit -> bool) =
    let watch = Diagnostics.Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > seconds 20.0 then
            failtest $"not within 20 s: {what}"

        Thread.Sleep 5

/// Runs a test with a source that is started on a machine of this text.
let private withSourceOf isLooping (text: string) (test: Machine -> NvidiaSmiSource -> unit) : unit =
    withMachine text (fun machine ->
        let program = FakeNvidiaSmi.install machine
        let clock = AgentClock Scale

        let source =
            NvidiaSmiSource(seconds 1.0, seconds 10.0, isLooping, machine.Directory, NvidiaSmiProcess.NewProgram(clock, program), clock)

        source.Start()

        try
            test machine source
        finally
            source.Stop()

            // The directory goes away with the test.
            for pid, _ in FakeNvidiaSmi.starts machine do
                eventually $"the end of {pid}" (fun () -> hasEnded pid))

let private withSource text test = withSourceOf true text test

let private machine lines count = machineOf ("smi_log 1\n" + lines) count

let private gpusOf (source: NvidiaSmiSource) : Gpu[] =
    match source.Newest with
    | null -> [||]
    | reading -> reading.Gpus

let private indexes source =
    gpusOf source |> Array.map (fun gpu -> gpu.Index)

let private errorOf (source: NvidiaSmiSource) : string = $"{source.Error}"

let private watched (source: NvidiaSmiSource) (condition: unit -> bool) (check: unit -> unit) =
    let watch = Diagnostics.Stopwatch.StartNew()

    while not (condition ()) && watch.Elapsed < seconds 20.0 do
        check ()
        Thread.Sleep 2

    Expect.isTrue (condition ()) $"within 20 s; {errorOf source}"

let private inOrder =
    testList
        "in good order"
        [
            testCase "one program loops, and each of its rounds is the newest reading as it comes"
            <| fun () ->
                withSource (machine "" 2) (fun scripted source ->
                    eventually "two GPUs" (fun () -> indexes source = [| 0; 1 |])

                    Expect.equal
                        { (gpusOf source)[1] with
                            ComputeProcesses = ValueNone
                        }
                        { Gpu.OfIndex 1 with
                            Name = "NVIDIA H100 80GB HBM3"
                            Uuid = "GPU-14444444-0000-4000-8000-000000000000"
                            PciBusId = "00000000:1A:00.0"
                            Utilization = ValueSome 91.0<percent>
                            MemoryUtilization = ValueSome 42.0<percent>
                            MemoryTotal = ValueSome 85520809984UL<B>
                            MemoryUsed = ValueSome 16452157440UL<B>
                            MemoryFree = ValueSome 68566384640UL<B>
                            MemoryReserved = ValueSome 502267904UL<B>
                            Temperature = ValueSome 51.0<degC>
                            MemoryTemperature = ValueSome 61.0<degC>
                            Power = ValueSome 433.78<W>
                            PowerLimit = ValueSome 700.0<W>
                            ThrottleReasons = ValueSome [| "sw_power_cap" |]
                            ClockSm = ValueSome 1980.0<MHz>
                            ClockSmMax = ValueSome 1980.0<MHz>
                            ClockMemory = ValueSome 2619.0<MHz>
                            PcieLinkGeneration = ValueSome 5
                            PcieLinkWidth = ValueSome 16
                            EccCorrected = ValueSome 17UL
                            EccUncorrected = ValueSome 2UL
                            RemappedRowsPending = ValueSome true
                            Encoder = ValueSome 3.0<percent>
                            Decoder = ValueSome 4.0<percent>
                            MigMode = ValueSome MigMode.Disabled
                        }
                        "what the machine says"

                    scripted.Play(machine "" 2 |> _.Replace("power_mw 433780", "power_mw 100250"))

                    eventually "another power draw" (fun () -> gpusOf source |> Array.forall (fun gpu -> gpu.Power = ValueSome 100.25<W>))

                    Expect.hasLength (FakeNvidiaSmi.loops scripted) 1 "one start"
                    Expect.equal (source.Error, source.Failure) (null, null) "nothing to complain"
                    Expect.equal source.Faults [||] "no faults")

            testCase "who computes is asked beside, and named as the kernel names them"
            <| fun () ->
                withSource (machine "" 1) (fun scripted source ->
                    let proc = Directory.CreateDirectory(Path.Combine(scripted.Directory, "4711"))
                    File.WriteAllText(Path.Combine(proc.FullName, "comm"), "trainer\n")

                    eventually "processes" (fun () ->
                        gpusOf source
                        |> Array.exists (fun gpu ->
                            gpu.ComputeProcesses =
                                ValueSome
                                    [|
                                        {
                                            Pid = 4711
                                            MemoryUsed = ValueSome 16452157440UL<B>
                                            Name = "trainer"
                                        }
                                    |]))

                    // Each round carries the newest answer.
                    for _ in 1..20 do
                        Expect.isTrue (gpusOf source |> Array.forall _.ComputeProcesses.IsSome) "they stay"
                        Thread.Sleep 20)

            testCase "for one sample one start is enough"
            <| fun () ->
                withSourceOf false (machine "" 2) (fun scripted source ->
                    eventually "two GPUs" (fun () -> indexes source = [| 0; 1 |])
                    Expect.hasLength (FakeNvidiaSmi.loops scripted) 0 "nothing that goes on"
                    Expect.stringStarts (snd (List.head (FakeNvidiaSmi.starts scripted))) "--query-gpu=index,name,uuid," "the query")

            testCase "lines of another system, headers in every round or none, warnings and bytes that are no text"
            <| fun () ->
                for lines in
                    [
                        "smi_line_end crlf"
                        "smi_header every"
                        "smi_header never"
                        "smi_say WARNING: infoROM is corrupted at gpu 0000:19:00.0"
                        "smi_say_after \\xff\\xfe\\x00\\x80, 7\nsmi_header every"
                    ] do
                    withSource (machine lines 3) (fun _ source ->
                        eventually lines (fun () -> indexes source = [| 0; 1; 2 |])
                        Expect.equal ((gpusOf source)[2]).Power (ValueSome 433.78<W>) lines
                        Expect.equal (source.Faults.Length > 0) (lines.StartsWith "smi_say") $"told if said: {lines}")

            testCase "an older driver is asked for less and less until it answers, and then by one program"
            <| fun () ->
                withSource (machine "driver 470.256.02" 1) (fun scripted source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])
                    let gpu = (gpusOf source)[0]
                    Expect.equal gpu.ThrottleReasons (ValueSome [| "sw_power_cap" |]) "by the former name"
                    Expect.equal (gpu.Encoder, gpu.Decoder) (ValueNone, ValueNone) "what it does not know"
                    Expect.equal gpu.ClockSm (ValueSome 1980.0<MHz>) "the rest"
                    let loops = FakeNvidiaSmi.loops scripted
                    Expect.hasLength loops 5 "one for each field that it complained about, and the one that runs"
                    Thread.Sleep 500
                    Expect.equal (FakeNvidiaSmi.loops scripted) loops "it stays"
                    Expect.isNull source.Error "no complaint of ours")

            testCase "captures of real boards, played back with their units and without"
            <| fun () ->
                Captures.ifThere (fun () ->
                    for file, expected in Captures.gpus do
                        withMachine "" (fun scripted ->
                            let plain = Path.Combine(scripted.Directory, "plain.csv")
                            File.WriteAllBytes(plain, Captures.withoutUnits (Captures.text file))

                            for played in [ Captures.pathOf file; plain ] do
                                withSource $"smi_replay {played}\n" (fun _ source ->
                                    eventually file (fun () -> indexes source = [| 0 |])

                                    Expect.equal
                                        { (gpusOf source)[0] with
                                            ComputeProcesses = ValueNone
                                        }
                                        expected
                                        file)))

            testCase "the end of the source is the end of the program"
            <| fun () ->
                withSource (machine "" 1) (fun scripted source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])
                    let pid = (FakeNvidiaSmi.loops scripted)[0]
                    Expect.isFalse (hasEnded pid) "it runs"
                    source.Stop()
                    eventually "its end" (fun () -> hasEnded pid))
        ]

let private faults =
    testList
        "faults"
        [
            testCase "a GPU that is lost costs nothing of its neighbours, and comes back"
            <| fun () ->
                let text = (machine "" 3).Replace("uuid GPU-1", "lost_after 4\nback_after 12\nuuid GPU-1")

                withSource text (fun scripted source ->
                    eventually "three GPUs" (fun () -> indexes source = [| 0; 1; 2 |])

                    let neighbours () =
                        Expect.isTrue (Array.contains 0 (indexes source) && Array.contains 2 (indexes source)) "both, throughout"

                    watched source (fun () -> indexes source = [| 0; 2 |]) neighbours

                    eventually "the message is told" (fun () ->
                        source.Faults
                        |> Array.exists (fun fault -> (string fault).Contains "cannot be read: GPU_IS_LOST"))

                    watched source (fun () -> indexes source = [| 0; 1; 2 |]) neighbours
                    eventually "nothing to complain any more" (fun () -> source.Faults = [||])
                    Expect.hasLength (FakeNvidiaSmi.loops scripted) 1 "one start")

            testCase "a program that dies is started again, each time later; its last round stays until it is too old"
            <| fun () ->
                withSource (machine "smi_die_after 2 15" 2) (fun scripted source ->
                    eventually "two GPUs" (fun () -> indexes source = [| 0; 1 |])
                    eventually "its death is told" (fun () -> (errorOf source).EndsWith "it ended with exit code 15; it is started again")
                    Expect.equal (indexes source) [| 0; 1 |] "the last round"
                    eventually "a second start" (fun () -> (FakeNvidiaSmi.loops scripted).Length = 2)
                    eventually "good again" (fun () -> isNull source.Error)
                    // 2, 4, 8 … seconds between the starts, at five times the speed.
                    Thread.Sleep 2000
                    Expect.isLessThan (FakeNvidiaSmi.loops scripted).Length 5 "not all the time")

            testCase "what a dead program said is not told as the present for ever"
            <| fun () ->
                withSource (machine "" 1) (fun scripted source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])
                    scripted.Play(machine "smi_die_after 0 255\ninit 999" 1)
                    eventually "none" (fun () -> isNull source.Newest)
                    Expect.equal source.Failure NvidiaSmiFailure.UnknownError "the cause"

                    Expect.stringEnds
                        (errorOf source)
                        "nvidia-smi cannot be read: exit code 255: Failed to initialize NVML: Unknown Error"
                        "its words")

            testCase "a program that falls silent is killed and told, and single starts take over"
            <| fun () ->
                for lines in [ "smi_hang_after 3"; "smi_hang_after 3\nsmi_hang_deaf 1" ] do
                    withSource (machine lines 2) (fun scripted source ->
                        eventually "two GPUs" (fun () -> indexes source = [| 0; 1 |])
                        let pid = (FakeNvidiaSmi.loops scripted)[0]

                        eventually "it is told" (fun () ->
                            source.Faults
                            |> Array.exists (fun fault -> (string fault).Contains "it printed nothing for 10 s and was killed"))

                        eventually "its end" (fun () -> hasEnded pid)
                        eventually "GPUs by single starts" (fun () -> isNull source.Error && indexes source = [| 0; 1 |])
                        let before = (FakeNvidiaSmi.starts scripted).Length
                        // At most one every two seconds, at five times the speed; and who computes.
                        Thread.Sleep 2000
                        Expect.isLessThan ((FakeNvidiaSmi.starts scripted).Length - before) 9 "not all the time"
                        Expect.hasLength (FakeNvidiaSmi.loops scripted) 1 "no other loop"
                        Expect.equal (indexes source) [| 0; 1 |] "still there")

            testCase "a program that keeps its rounds to itself is as good as silent"
            <| fun () ->
                withSource (machine "smi_hold 60000" 1) (fun scripted source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])
                    Expect.hasLength (FakeNvidiaSmi.loops scripted) 1 "one loop was tried"
                    Expect.isNull source.Error "single starts work")

            testCase "after a hang that single starts had too the loop comes back"
            <| fun () ->
                withSource (machine "" 1) (fun scripted source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])
                    scripted.Play(machine "smi_hang_after 0" 1)
                    eventually "single starts hang too" (fun () -> (errorOf source).Contains "not finished within 2 s; it was killed")
                    scripted.Play(machine "" 1)
                    eventually "a GPU again" (fun () -> indexes source = [| 0 |])
                    eventually "another loop" (fun () -> (FakeNvidiaSmi.loops scripted).Length = 2)
                    eventually "it answers" (fun () -> isNull source.Error))

            testCase "each reason for having no GPUs is told from the others"
            <| fun () ->
                for code, cause in
                    [
                        9, NvidiaSmiFailure.DriverNotLoaded
                        18, NvidiaSmiFailure.VersionMismatch
                        4, NvidiaSmiFailure.NoPermission
                        12, NvidiaSmiFailure.LibraryMissing
                        999, NvidiaSmiFailure.UnknownError
                    ] do
                    for isLooping in [ true; false ] do
                        withSourceOf isLooping (machine $"driver 535.183.01\ninit {code}" 1) (fun scripted source ->
                            eventually $"{cause}" (fun () -> source.Failure = cause)
                            Expect.stringContains (errorOf source) "nvidia-smi cannot be read: exit code" "told"
                            Expect.hasLength source.Faults 1 "once"
                            Thread.Sleep 300
                            Expect.isLessThan (FakeNvidiaSmi.starts scripted).Length 3 "with a pause between the starts"
                            scripted.Play(machine "" 1)
                            eventually "it is noticed when that is over" (fun () -> indexes source = [| 0 |])
                            Expect.isNull source.Failure "no cause any more")

            testCase "a driver without a GPU is no fault"
            <| fun () ->
                withSource (machine "smi_exit 6" 0) (fun _ source ->
                    eventually "the cause" (fun () -> source.Failure = NvidiaSmiFailure.NoDevices)
                    Expect.equal (indexes source) [||] "none"
                    Expect.equal (source.Error, source.Faults) (null, [||]) "nothing to complain")

            testCase "a machine without nvidia-smi is one without NVIDIA GPUs, and no fault"
            <| fun () ->
                let clock = AgentClock Scale
                let program = NvidiaSmiProcess.NewProgram(clock, "/nowhere/nvidia-smi")
                let source = NvidiaSmiSource(seconds 1.0, seconds 10.0, true, "/proc", program, clock)
                source.Start()
                source.WaitForFirst(clock.Elapsed + seconds 60.0)
                Expect.equal source.Error (SourceError.Absent "/nowhere/nvidia-smi") "absent"
                Expect.equal (source.Newest, source.Faults) (null, [||]) "nothing, and nothing to complain"
                source.Stop()

            testCase "a query of processes that fails costs the processes alone"
            <| fun () ->
                withSource (machine "smi_apps_exit 4" 1) (fun _ source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])

                    eventually "it is told" (fun () ->
                        source.Faults
                        |> Array.exists (fun fault -> (string fault).EndsWith "exit code 4: Insufficient Permissions"))

                    let gpu = (gpusOf source)[0]
                    Expect.equal (gpu.Power, gpu.ComputeProcesses) (ValueSome 433.78<W>, ValueNone) "the GPU with its figures"
                    Expect.isNull source.Error "nvidia-smi works")

            testCase "a wrapper that prints one table and ends well is started for each reading"
            <| fun () ->
                withMachine "" (fun scripted ->
                    let script =
                        writeProgram
                            scripted.Directory
                            "wrapper"
                            "case $1 in --query-gpu=*) printf 'index, name\\n0, A\\n1, B\\n' ;; *) echo pid ;; esac"

                    let clock = AgentClock Scale
                    let program = NvidiaSmiProcess.NewProgram(clock, script)
                    let source = NvidiaSmiSource(seconds 1.0, seconds 60.0, true, "/proc", program, clock)
                    source.Start()

                    try
                        eventually "two GPUs" (fun () -> indexes source = [| 0; 1 |])
                        Expect.isNull source.Error "no fault"
                    finally
                        source.Stop())

            testCase "a loop that is refused what it told is started anew, each time later, and that is told"
            <| fun () ->
                withMachine "" (fun scripted ->
                    let starts = Path.Combine(scripted.Directory, "loops")

                    // Its session is dead after three rounds, as after a suspend; that of a new start is not.
                    let script =
                        writeProgram
                            scripted.Directory
                            "resumed"
                            ("case \"$*\" in *--query-compute*) echo pid; exit;; esac\necho x >> "
                             + starts
                             + "\necho 'index, name, temperature.gpu, power.draw'\nn=0\n"
                             + "while :; do n=$((n+1)); if [ $n -gt 3 ]; then echo '0, A, [Unknown Error], [Unknown Error]'; else echo '0, A, 40, 7'; fi; sleep 0.1; done")

                    let clock = AgentClock Scale
                    let program = NvidiaSmiProcess.NewProgram(clock, script)
                    let source = NvidiaSmiSource(seconds 1.0, seconds 10.0, true, "/proc", program, clock)
                    source.Start()

                    let isCold () =
                        gpusOf source |> Array.exists (fun gpu -> gpu.Temperature.IsNone)

                    let isWarm () =
                        gpusOf source
                        |> Array.exists (fun gpu -> gpu.Temperature = ValueSome 40.0<degC>)

                    try
                        eventually "a temperature" isWarm
                        eventually "none any more" isCold
                        eventually "it is told" (fun () -> (errorOf source).Contains "it cannot read any more what it read before")
                        eventually "a temperature again" isWarm
                        Thread.Sleep 2000
                        // 2, 4, 8 … seconds between the starts, at five times the speed.
                        Expect.isLessThan (File.ReadAllLines starts).Length 6 "not all the time"
                    finally
                        source.Stop())

            testCase "while the kernel has suspended every board nothing is started that would wake one"
            <| fun () ->
                withMachine (machine "" 1) (fun scripted ->
                    let device = Path.Combine(scripted.Directory, "sys/bus/pci/devices/0000:19:00.0")
                    Directory.CreateDirectory(Path.Combine(device, "power")) |> ignore

                    let write name (text: string) =
                        File.WriteAllText(Path.Combine(device, name), text + "\n")

                    write "vendor" "0x10de"
                    write "class" "0x030000"
                    write "power/control" "auto"
                    write "power/runtime_status" "suspended"
                    let sysFs = Path.Combine(scripted.Directory, "sys")
                    let clock = AgentClock Scale
                    let program = NvidiaSmiProcess.NewProgram(clock, FakeNvidiaSmi.install scripted)

                    let source =
                        NvidiaSmiSource(
                            seconds 1.0,
                            seconds 10.0,
                            true,
                            scripted.Directory,
                            program,
                            clock,
                            null,
                            (fun () -> GpuPlaces.Asleep sysFs)
                        )

                    source.Start()

                    try
                        eventually "a board that sleeps" (fun () -> gpusOf source |> Array.exists _.IsSuspended)
                        Thread.Sleep 1000
                        Expect.equal (gpusOf source) [| Gpu.Asleep(0, "0000:19:00.0") |] "its place"
                        Expect.equal (FakeNvidiaSmi.starts scripted, source.Faults) ([], [||]) "no start, and no fault"
                        write "power/runtime_status" "active"
                        eventually "its values" (fun () -> gpusOf source |> Array.exists _.Power.IsSome)
                    finally
                        source.Stop()

                        for pid, _ in FakeNvidiaSmi.starts scripted do
                            eventually $"the end of {pid}" (fun () -> hasEnded pid))

            testCase "a wrapper that knows no loop is started for each reading"
            <| fun () ->
                withMachine "" (fun scripted ->
                    let script =
                        writeProgram
                            scripted.Directory
                            "wrapper"
                            ("case \"$*\" in *--loop-ms=*) echo 'Option \"--loop-ms=1000\" is not recognized.'; exit 2;; "
                             + "--query-gpu=*) printf 'index, name\\n0, A\\n' ;; *) echo pid ;; esac")

                    let clock = AgentClock Scale
                    let program = NvidiaSmiProcess.NewProgram(clock, script)
                    let source = NvidiaSmiSource(seconds 1.0, seconds 60.0, true, "/proc", program, clock)
                    source.Start()

                    try
                        eventually "a GPU" (fun () -> indexes source = [| 0 |])
                        Expect.equal (source.Error, source.Faults) (null, [||]) "no fault"
                    finally
                        source.Stop())

            testCase "a program that is killed from outside is started again"
            <| fun () ->
                withSource (machine "" 1) (fun scripted source ->
                    eventually "a GPU" (fun () -> indexes source = [| 0 |])
                    Expect.equal (sendSignal ((FakeNvidiaSmi.loops scripted)[0], 9)) 0 "killed"
                    eventually "told" (fun () -> (errorOf source).Contains "it ended with exit code 137")
                    eventually "another one" (fun () -> (FakeNvidiaSmi.loops scripted).Length = 2 && isNull source.Error))
        ]

[<Tests>]
let tests = testList "Host.NvidiaSmiSource" [ inOrder; faults ]
