/// GPUs as a running agent reads them: from the stub of libnvidia-ml and the fake nvidia-smi, in good order and in trouble.
module Agent.EndToEnd.Tests.GpuTests

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text.Json
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.TestSupport.Gpu
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// Every duration of the agent is divided by this: samples come 0.5 s apart, and what is 15 s old is too old after 1.5 s.
let private scale = "AI_DASHBOARD_TEST_TIME_SCALE", "10"

let private words =
    [
        "--interval=5"
        "--timeout=100"
        "--cpu-sample-interval=0"
        "--log-level=debug"
    ]

/// One GPU of a sample: index, name, use in per cent; null where it is not known.
type private Seen =
    {
        Index: int
        Name: string
        Use: float option
    }

/// One sample that arrived: when it was taken, its GPUs, and whether CPU, memory and disks are in it.
type private Taken =
    {
        At: DateTimeOffset
        Gpus: Seen list
        HasTheRest: bool
    }

let private isKnown (sample: JsonElement) (name: string) =
    (sample.GetProperty name).ValueKind <> JsonValueKind.Null

let private takenOf (request: Request) : Taken =
    use document = JsonDocument.Parse(ReadOnlyMemory request.Body)
    let sample = document.RootElement.GetProperty "sample"

    {
        At = DateTimeOffset.Parse(request.CollectedAt, CultureInfo.InvariantCulture)
        Gpus =
            [
                for gpu in (sample.GetProperty "gpus").EnumerateArray() ->
                    {
                        Index = (gpu.GetProperty "gpu_index").GetInt32()
                        Name = (gpu.GetProperty "name").GetString() |> string
                        Use =
                            if isKnown gpu "utilization_gpu_percent" then
                                Some((gpu.GetProperty "utilization_gpu_percent").GetDouble())
                            else
                                None
                    }
            ]
        HasTheRest =
            isKnown sample "cpu_usage_percent"
            && isKnown sample "memory_used_bytes"
            && (sample.GetProperty "disks").ValueKind = JsonValueKind.Array
            && isKnown sample "network_rx_bytes_total"
    }

let private uses (taken: Taken) : float option list = taken.Gpus |> List.map _.Use

// ---- The table -------------------------------------------------------------------------------------------------------

let private table =
    lazy
        (let directory = Path.Combine(Fixtures.root, "artifacts", "test-results")
         Directory.CreateDirectory directory |> ignore
         let path = Path.Combine(directory, "gpu-faults.md")

         File.WriteAllText(
             path,
             "| fault | what the samples held | what was printed | samples | largest gap, of 500 ms |\n"
             + "|---|---|---|---|---|\n"
         )

         path)

/// What a run has shown goes into a table beside the other results.
let private note (fault: string) (held: string) (printed: string list) (samples: Taken list) =
    lock table (fun () ->
        let gap =
            samples
            |> List.pairwise
            |> List.map (fun (one, next) -> (next.At - one.At).TotalMilliseconds)
            |> List.max

        let lines = printed |> List.map (fun line -> $"`{line}`") |> String.concat "<br>"
        let gap = gap.ToString("0", CultureInfo.InvariantCulture)
        File.AppendAllText(table.Value, $"| {fault} | {held} | {lines} | {samples.Length} | {gap} ms |\n"))

/// What a line says, without its time.
let private sayings (agent: AgentProcess) : string list =
    agent.AllErrors
    |> List.map (fun line -> line.Substring(line.IndexOf ' ' + 1))
    |> List.filter (fun line ->
        line.Contains "GPU"
        || line.Contains "nvml"
        || line.Contains "libnvidia"
        || line.Contains "nvidia-smi")

// ---- A run -----------------------------------------------------------------------------------------------------------

/// An agent that reads a machine, and what it has sent.
type private Run(machine: Machine, server: IngestServer, agent: AgentProcess) =
    /// What it reads.
    member _.Machine = machine

    /// The agent.
    member _.Agent = agent

    /// All samples so far.
    member _.Samples: Taken list = server.Requests |> List.map takenOf

    /// Waits until the newest sample is as it should be.
    member this.Until (what: string) (isSo: Taken -> bool) : unit =
        eventually patience $"{what}; {agent.Said}; %A{List.tryLast this.Samples}" (fun () ->
            match List.tryLast this.Samples with
            | Some newest -> isSo newest
            | None -> false)

    /// The samples that are taken meanwhile.
    member this.Watch(time: TimeSpan) : Taken list =
        let before = this.Samples.Length
        Thread.Sleep time
        List.skip before this.Samples

    /// Waits for a line on standard output.
    member _.WaitForLine(line: string) : unit =
        eventually patience $"\"{line}\"; {agent.Said}" (fun () -> agent.Output |> List.contains line)

    /// Waits for a line on standard error, advice included.
    member _.WaitFor(part: string) : unit =
        eventually patience $"a line with \"{part}\"; {agent.Said}" (fun () -> agent.AllErrors |> List.exists _.Contains(part))

    /// Ends the agent, which takes no longer than ever, whatever hangs, and looks at the samples: every one is on the grid
    /// of the first and has what is not about GPUs.
    member this.End() : Taken list =
        let watch = Stopwatch.StartNew()
        agent.Signal SigTerm
        Expect.equal (agent.WaitForEnd patience) 0 "exit code"
        // What hangs does so for ever, and what is waited for at the end is so for ten seconds; the machine may be busy with other tests.
        Expect.isLessThan watch.Elapsed.TotalSeconds 5.0 "it ends at once"
        let samples = this.Samples
        Expect.all samples _.HasTheRest "CPU, memory, disks and network in every sample"
        samples

/// The samples keep their grid.
let private keepsGrid (agent: AgentProcess) (samples: Taken list) =
    samples |> List.map _.At |> Grid.isKept (TimeSpan.FromSeconds 0.5) agent

let private runWith (variables: (string * string) list) (machine: Machine) (more: string list) (test: Run -> unit) =
    use server = new IngestServer(stored)
    use agent = startWith (scale :: variables) (targetOf server.Url @ words @ more)
    test (Run(machine, server, agent))

/// Runs an agent that reads the library of a machine.
let private reading (text: string) (test: Run -> unit) : unit =
    withMachine text (fun machine -> runWith [] machine [ "--gpu-source=nvml"; "--nvml-library"; machine.Library ] test)

let private healthy = [ Some 90.0; Some 91.0 ]

let private second = TimeSpan.FromSeconds 1.0

let private libraryFaults =
    testList
        "library"
        [
            testCase "GPU lost and back"
            <| fun () ->
                reading (machineOf "" 2) (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    run.Machine.Play((machineOf "" 2).Replace("utilization_gpu 90", "utilization_gpu 90\nlost 1"))
                    run.Until "the loss" (fun taken -> uses taken = [ None; Some 91.0 ])
                    let meanwhile = run.Watch(2.0 * second)
                    Expect.isGreaterThan meanwhile.Length 2 "samples"
                    Expect.all meanwhile (fun taken -> uses taken = [ None; Some 91.0 ]) "its neighbour, throughout"

                    Expect.all
                        meanwhile
                        (fun taken -> taken.Gpus[0].Name = "NVIDIA H100 80GB HBM3" && taken.Gpus[0].Index = 0)
                        "the lost one is there by its name"

                    run.Machine.Play(machineOf "" 2)
                    run.Until "it is back" (fun taken -> uses taken = healthy)
                    run.WaitFor "libnvidia-ml GPU 0: can be read again"
                    let samples = run.End()

                    Expect.all
                        samples
                        (fun taken -> taken.Gpus.Length = 2 && uses taken |> List.last = Some 91.0)
                        "never without the other"

                    let told = sayings run.Agent
                    Expect.contains told "WARNING libnvidia-ml GPU 0 cannot be read: GPU_IS_LOST" "told"

                    Expect.equal
                        (told |> List.filter _.Contains("GPU_IS_LOST") |> List.length)
                        2
                        "once as it is, once with advice, however often the library is opened again"

                    keepsGrid run.Agent samples
                    note "GPU lost and back" "the lost one by index and name, its values null; the other one throughout" told samples)

            testCase "driver reload"
            <| fun () ->
                reading (machineOf "generation 1" 2) (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    run.Machine.Play(machineOf "generation 2\ninit 9" 2)
                    run.Until "the driver is gone" (fun taken -> taken.Gpus.IsEmpty)
                    run.WaitFor "WARNING libnvidia-ml cannot be read: DRIVER_NOT_LOADED"
                    let meanwhile = run.Watch second
                    Expect.all meanwhile (fun taken -> taken.Gpus.IsEmpty) "no stale value"
                    run.Machine.Play(machineOf "generation 2" 2)
                    run.Until "the new driver" (fun taken -> uses taken = healthy)
                    run.WaitFor "libnvidia-ml: can be read again"
                    let samples = run.End()
                    keepsGrid run.Agent samples

                    note "driver unloaded, and loaded again" "no GPUs while it was unloaded, then both" (sayings run.Agent) samples)

            testCase "driver replaced between two readings"
            <| fun () ->
                reading (machineOf "generation 1" 2) (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    run.Machine.Play((machineOf "generation 2" 2).Replace("utilization_gpu 91", "utilization_gpu 17"))
                    run.Until "the new driver" (fun taken -> uses taken = [ Some 90.0; Some 17.0 ])
                    let samples = run.End()
                    keepsGrid run.Agent samples
                    note "driver reload" "both, before and after; null for at most a second between" (sayings run.Agent) samples)

            testCase "hung NVML call"
            <| fun () ->
                reading (machineOf "nvml_lock 1" 2) (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    run.Machine.Play(machineOf "nvml_lock 1\nnvml_hang nvmlDeviceGetUtilizationRates" 2)
                    run.Until "the last reading is too old" (fun taken -> taken.Gpus.IsEmpty)
                    run.WaitFor "WARNING libnvidia-ml cannot be read: a call has not returned for 15 s"
                    run.WaitFor "advice: A call to NVIDIA's library libnvidia-ml does not return."
                    let meanwhile = run.Watch(2.0 * second)
                    Expect.isGreaterThan meanwhile.Length 2 "samples go on"
                    Expect.all meanwhile (fun taken -> taken.Gpus.IsEmpty) "no stale value"
                    run.Machine.Play(machineOf "nvml_lock 1" 2)
                    run.Until "the call has returned" (fun taken -> uses taken = healthy)
                    run.WaitFor "libnvidia-ml: can be read again"
                    let samples = run.End()
                    keepsGrid run.Agent samples

                    note
                        "hung NVML call"
                        "the last values for 15 s at most (here a tenth), then no GPUs until it returned"
                        (sayings run.Agent)
                        samples)

            testCase "the agent ends at once while a call hangs"
            <| fun () ->
                reading (machineOf "nvml_lock 1\nnvml_hang nvmlDeviceGetName" 2) (fun run ->
                    run.Until "a sample" (fun taken -> taken.Gpus.IsEmpty)
                    Thread.Sleep second
                    run.End() |> ignore)

            testCase "a costly call that hangs leaves the rest"
            <| fun () ->
                reading (machineOf "nvml_hang nvmlDeviceGetTotalEccErrors" 2) (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)

                    run.WaitFor "WARNING libnvidia-ml (PCIe, NVLink, ECC, processes) cannot be read: no answer for 15 s"

                    Expect.all (run.Watch second) (fun taken -> uses taken = healthy) "both go on"
                    let samples = run.End()
                    keepsGrid run.Agent samples

                    note "hung costly NVML call" "both GPUs; PCIe, NVLink, ECC and processes null" (sayings run.Agent) samples)

            testCase "version mismatch, and a restart later none"
            <| fun () ->
                reading (machineOf "init 18" 2) (fun run ->
                    run.Until "no GPUs" (fun taken -> taken.Gpus.IsEmpty)
                    run.WaitFor "WARNING libnvidia-ml cannot be read: LIB_RM_VERSION_MISMATCH"
                    run.WaitFor "advice: The NVIDIA driver in the kernel and its library have different versions."
                    Expect.all (run.Watch second) (fun taken -> taken.Gpus.IsEmpty) "samples go on"
                    run.Machine.Play(machineOf "" 2)
                    run.Until "the versions match" (fun taken -> uses taken = healthy)
                    run.WaitFor "libnvidia-ml: can be read again"
                    let samples = run.End()
                    keepsGrid run.Agent samples
                    note "version mismatch" "no GPUs until the versions matched" (sayings run.Agent) samples)
        ]

/// Runs an agent that may ask both: the library of the machine, and the fake nvidia-smi beside it.
let private askingBoth (text: string) (more: string list) (test: Run -> unit) : unit =
    withMachine text (fun machine ->
        FakeNvidiaSmi.install machine |> ignore
        let path = pathWith machine.Directory
        runWith [ path ] machine more test)

let private programFaults =
    testList
        "nvidia-smi"
        [
            testCase "hung nvidia-smi"
            <| fun () ->
                askingBoth (machineOf "driver 570.86.15\nsmi_log 1" 2) [ "--gpu-source=nvidia-smi" ] (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    run.Machine.Play(machineOf "driver 570.86.15\nsmi_log 1\nsmi_hang_after 0" 2)
                    run.Until "the last round is too old" (fun taken -> taken.Gpus.IsEmpty)
                    run.WaitFor "WARNING nvidia-smi cannot be read: "
                    Expect.all (run.Watch second) (fun taken -> taken.Gpus.IsEmpty) "no stale value"
                    run.Machine.Play(machineOf "driver 570.86.15\nsmi_log 1" 2)
                    run.Until "it answers again" (fun taken -> uses taken = healthy)
                    run.WaitFor "nvidia-smi: can be read again"
                    let samples = run.End()

                    eventually patience "no child is left" (fun () ->
                        FakeNvidiaSmi.starts run.Machine
                        |> List.forall (fun (pid, _) -> not (isAlive pid)))

                    keepsGrid run.Agent samples

                    note
                        "hung nvidia-smi"
                        "the last round for 15 s at most (here a tenth), then no GPUs until it answered"
                        (sayings run.Agent)
                        samples)

            testCase "dying nvidia-smi"
            <| fun () ->
                askingBoth (machineOf "driver 570.86.15\nsmi_die_after 3 15" 2) [ "--gpu-source=nvidia-smi" ] (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    run.WaitFor "WARNING nvidia-smi cannot be read: "
                    run.Machine.Play(machineOf "driver 570.86.15" 2)
                    run.WaitFor "nvidia-smi: can be read again"
                    run.Until "both" (fun taken -> uses taken = healthy)
                    let samples = run.End()
                    keepsGrid run.Agent samples
                    note "dying nvidia-smi" "the last round until it is too old, then those of the next start" (sayings run.Agent) samples)
        ]

let private switching =
    testList
        "who is asked"
        [
            testCase "auto asks the library alone where it works"
            <| fun () ->
                withMachine (machineOf "driver 570.86.15\nsmi_log 1" 2) (fun machine ->
                    FakeNvidiaSmi.install machine |> ignore
                    let path = pathWith machine.Directory

                    runWith [ path ] machine [ "--nvml-library"; machine.Library ] (fun run ->
                        run.Until "both" (fun taken -> uses taken = healthy)
                        run.WaitForLine "GPUs: 2 x NVIDIA H100 80GB HBM3 (libnvidia-ml)"
                        run.End() |> ignore
                        Expect.equal (FakeNvidiaSmi.starts machine) [] "nvidia-smi is not started"))

            testCase "auto asks nvidia-smi while the library does not initialise, and the library once it does"
            <| fun () ->
                withMachine (machineOf "driver 570.86.15\nsmi_log 1\ninit 999" 2) (fun machine ->
                    // The program has a machine of its own, whose driver works.
                    let other = Directory.CreateDirectory(Path.Combine(machine.Directory, "smi")).FullName

                    let play: Machine =
                        {
                            Directory = other
                            Library = machine.Library
                        }

                    play.Play((machineOf "driver 570.86.15\nsmi_log 1" 2).Replace("utilization_gpu 90", "utilization_gpu 10"))
                    FakeNvidiaSmi.install play |> ignore
                    let path = pathWith other

                    runWith [ path ] machine [ "--nvml-library"; machine.Library ] (fun run ->
                        run.Until "by nvidia-smi" (fun taken -> uses taken = [ Some 10.0; Some 91.0 ])
                        run.WaitForLine "GPUs: 2 x NVIDIA H100 80GB HBM3 (nvidia-smi)"
                        machine.Play(machineOf "" 2)
                        run.Until "by the library" (fun taken -> uses taken = healthy)

                        eventually patience "nvidia-smi is ended" (fun () ->
                            FakeNvidiaSmi.starts play |> List.forall (fun (pid, _) -> not (isAlive pid)))

                        run.WaitForLine "GPUs: 2 x NVIDIA H100 80GB HBM3 (libnvidia-ml)"
                        // The driver goes, and stays away: then nvidia-smi is asked again.
                        machine.Play(machineOf "generation 2\ninit 9" 2)
                        run.Until "by nvidia-smi again" (fun taken -> uses taken = [ Some 10.0; Some 91.0 ])
                        let samples = run.End()
                        keepsGrid run.Agent samples))

            testCase "none asks nobody"
            <| fun () ->
                withMachine (machineOf "smi_log 1" 2) (fun machine ->
                    FakeNvidiaSmi.install machine |> ignore
                    let path = pathWith machine.Directory

                    runWith [ path ] machine [ "--gpu-source=none" ] (fun run ->
                        run.Until "a sample" (fun taken -> taken.Gpus.IsEmpty)
                        run.End() |> ignore
                        Expect.equal (FakeNvidiaSmi.starts machine) [] "nvidia-smi is not started"))

            testCase "kill -9 leaves no child behind"
            <| fun () ->
                askingBoth (machineOf "driver 570.86.15\nsmi_log 1" 2) [ "--gpu-source=nvidia-smi" ] (fun run ->
                    run.Until "both" (fun taken -> uses taken = healthy)
                    let children = FakeNvidiaSmi.loops run.Machine
                    Expect.isTrue (List.exists isAlive children) "one is looping"
                    run.Agent.Signal 9

                    eventually (TimeSpan.FromSeconds 3.0) "the end of nvidia-smi" (fun () ->
                        not (List.exists isAlive (FakeNvidiaSmi.starts run.Machine |> List.map fst))))
        ]

/// The cause that the doctor finds for a machine of this sysfs, and the exit code.
let private diagnosed (variables: (string * string) list) (sysfs: string) (more: string list) : string * string =
    let _, output, _ =
        AgentProcess.runWith variables ([ "--doctor"; "--json"; "--dry-run"; "--sysfs"; sysfs ] @ more)

    use document = JsonDocument.Parse(String.concat "\n" output)

    let row =
        document.RootElement.GetProperty("checks").EnumerateArray()
        |> Seq.find (fun row -> (row.GetProperty "check").GetString() = "GPUs")

    string ((row.GetProperty "cause").GetString()), string ((row.GetProperty "finding").GetString())

/// A sysfs with so many GPUs on its bus, and a driver of this version; empty for none.
let private sysfsWith (directory: string) (gpus: int) (driver: string) : string =
    let sysfs = Path.Combine(directory, $"sys-{gpus}-{driver}")
    Directory.CreateDirectory(Path.Combine(sysfs, "bus/pci/devices")) |> ignore

    for i in 1..gpus do
        let device = Path.Combine(sysfs, $"bus/pci/devices/0000:0{i}:00.0")
        Directory.CreateDirectory device |> ignore
        File.WriteAllText(Path.Combine(device, "vendor"), "0x10de\n")
        File.WriteAllText(Path.Combine(device, "class"), "0x030200\n")

    if driver <> "" then
        Directory.CreateDirectory(Path.Combine(sysfs, "module/nvidia")) |> ignore
        File.WriteAllText(Path.Combine(sysfs, "module/nvidia/version"), driver + "\n")

    sysfs

let private doctor =
    testList
        "doctor"
        [
            testCase "why there are no GPUs"
            <| fun () ->
                if File.Exists "/dev/nvidiactl" then
                    Skip.always "this machine has the device nodes of a GPU, which these cases are about"

                withMachine (machineOf "" 1) (fun machine ->
                    let bare = sysfsWith machine.Directory 0 ""
                    let undriven = sysfsWith machine.Directory 2 ""
                    let driven = sysfsWith machine.Directory 2 "570.86.15"
                    let library = [ "--nvml-library"; machine.Library ]
                    let missing = [ "--nvml-library"; Path.Combine(machine.Directory, "nothing.so") ]

                    Expect.equal
                        (diagnosed [] bare library)
                        ("", "1 x NVIDIA H100 80GB HBM3 (libnvidia-ml)")
                        "a library that works, whatever the bus shows"

                    Expect.equal (fst (diagnosed [] bare missing)) "no-gpu" "nothing on the bus"
                    Expect.equal (fst (diagnosed [] undriven missing)) "gpu-driver-missing" "no driver"

                    let cause, finding = diagnosed [] driven missing
                    Expect.equal cause "gpu-nodes-missing" "no device nodes"

                    Expect.stringContains
                        finding
                        "2 NVIDIA devices on the PCI bus, driver 570.86.15, no /dev/nvidiactl, libnvidia-ml: "
                        "detail"

                    for code, expected in [ 18, "gpu-version-mismatch"; 9, "gpu-nodes-missing" ] do
                        machine.Play(machineOf $"init {code}" 1)
                        let cause, finding = diagnosed [] driven library
                        Expect.equal cause expected $"init {code}"
                        Expect.stringContains finding $"libnvidia-ml: {Agent.Core.Gpu.Nvml.nameOf code}" "detail"

                    machine.Play(machineOf "nvml_hang nvmlInit_v2" 1)
                    Expect.equal (fst (diagnosed [] driven library)) "gpu-library-hanging" "hanging"
                    machine.Play(machineOf "" 1 + "lost 1\n")
                    Expect.equal (fst (diagnosed [] driven library)) "gpu-lost" "lost")
        ]

let tests =
    testSequencedGroup "GPUs"
    <| testList "GPUs" [ libraryFaults; programFaults; switching; doctor ]
