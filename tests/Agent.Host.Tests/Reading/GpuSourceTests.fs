/// The source of GPUs as a single sample needs it: it has no later one that could tell what the first does not know yet.
module Agent.Host.Tests.GpuSourceTests

open System
open System.IO
open System.Threading
open Agent.Core
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport
open Agent.TestSupport.Gpu
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// The clock runs ten times as fast as time.
[<Literal>]
let private Scale = 10

let private seconds (value: float) = TimeSpan.FromSeconds value

/// A source that is started on a machine whose library hangs in its initialisation, and its clock.
let private withSource (words: string list) (test: Machine -> GpuSource -> AgentClock -> unit) : unit =
    withMachine (machineOf "nvml_hang nvmlInit_v2" 2) (fun machine ->
        let clock = AgentClock Scale
        let under name = Path.Combine(machine.Directory, name)

        for name in [ "proc"; "sys" ] do
            Directory.CreateDirectory(under name) |> ignore

        let words =
            words
            @ [
                "--gpu-source=nvml"
                "--nvml-library=" + machine.Library
                "--procfs=" + under "proc"
                "--sysfs=" + under "sys"
            ]

        let source = GpuSource(CommandLine.settingsWith words, seconds 10.0, clock)
        source.Start()

        try
            test machine source clock
        finally
            machine.Play(machineOf "" 2)
            source.Stop())

let private gpusOf (source: GpuSource) =
    match source.Newest with
    | null -> 0
    | reading -> reading.Gpus.Length

[<Tests>]
let tests =
    testList
        "Host.GpuSource"
        [
            testCase "a single sample waits for a library that takes its time"
            <| fun () ->
                withSource [ "--once" ] (fun machine source clock ->
                    use timer =
                        new Timer((fun _ -> machine.Play(machineOf "" 2)), null, seconds 0.8, Timeout.InfiniteTimeSpan)

                    source.WaitForFirst(clock.Elapsed + seconds 3.0)
                    Expect.equal (gpusOf source) 2 "after eight seconds"
                    Expect.equal source.Faults [||] "and nothing is wrong")

            testCase "one that has none after half a minute goes without, and says so"
            <| fun () ->
                withSource [ "--once" ] (fun _ source clock ->
                    let begun = clock.Elapsed
                    source.WaitForFirst(clock.Elapsed + seconds 3.0)
                    Expect.isGreaterThan (clock.Elapsed - begun) (seconds 29.0) "half a minute"
                    Expect.equal (gpusOf source) 0 "none"

                    match source.Faults with
                    | [| SourceError.Unreadable("libnvidia-ml", reason) |] -> Expect.stringContains reason "a call has not returned" "why"
                    | other -> failtest $"one fault expected, got %A{other}")

            testCase "a board that the driver has and does not list counts where its node is here"
            <| fun () ->
                let root = Directory.CreateTempSubdirectory("agent-bound-").FullName

                try
                    let devices = Path.Combine(root, "dev")
                    Directory.CreateDirectory devices |> ignore

                    for minor, address in [ 0, "0000:3a:00.0"; 1, "0000:46:00.0"; 2, "0000:56:00.0" ] do
                        let board = Path.Combine(root, "driver/nvidia/gpus", address)
                        Directory.CreateDirectory board |> ignore
                        File.WriteAllText(Path.Combine(board, "information"), $"Device Minor: \t {minor}\n")

                    // The third is another container's.
                    for minor in 0..1 do
                        File.WriteAllText(Path.Combine(devices, $"nvidia{minor}"), "")

                    let listed =
                        [|
                            { Agent.Core.Gpu.Gpu.OfIndex 0 with
                                PciBusId = "00000000:3A:00.0"
                            }
                        |]

                    Expect.equal
                        (GpuPlaces.Unlisted(root, listed, devices))
                        [|
                            SourceError.Unreadable("NVIDIA GPU 0000:46:00.0", "the driver has it in the kernel, and does not list it")
                        |]
                        "the second"

                    Expect.equal (GpuPlaces.Unlisted(root, [||], devices)) [||] "where none is listed it is not about one board"
                    Expect.equal (GpuPlaces.Unlisted(Path.Combine(root, "none"), listed, devices)) [||] "without a driver"
                finally
                    Directory.Delete(root, true)

            testCase "boards that are handed to virtual machines are not this machine's"
            <| fun () ->
                let root = Directory.CreateTempSubdirectory("agent-bus-").FullName

                try
                    for address, driver in
                        [
                            "0000:3a:00.0", "nvidia"
                            "0000:46:00.0", "vfio-pci"
                            "0000:56:00.0", "nvgrace_gpu_vfio_pci"
                            "0000:66:00.0", ""
                        ] do
                        let device = Path.Combine(root, "bus/pci/devices", address)
                        Directory.CreateDirectory device |> ignore
                        File.WriteAllText(Path.Combine(device, "vendor"), "0x10de\n")
                        File.WriteAllText(Path.Combine(device, "class"), "0x030200\n")

                        if driver <> "" then
                            File.CreateSymbolicLink(Path.Combine(device, "driver"), $"../../../../bus/pci/drivers/{driver}")
                            |> ignore

                    Expect.equal (GpuPlaces.Look(root, root, root)).Devices (ValueSome 2) "NVIDIA's driver's, and nobody's"
                finally
                    Directory.Delete(root, true)

            testCase "an agent that goes on waits no longer than it is told"
            <| fun () ->
                withSource [] (fun _ source clock ->
                    let begun = clock.Elapsed
                    source.WaitForFirst(clock.Elapsed + seconds 3.0)
                    Expect.isLessThan (clock.Elapsed - begun) (seconds 20.0) "three seconds"
                    Expect.equal (gpusOf source) 0 "the next samples have them")

            testCase "the GPUs are free once no call is under way any more, and not before"
            <| fun () ->
                let eventually what isSo =
                    Expect.isTrue (SpinWait.SpinUntil((fun () -> isSo ()), seconds 10.0)) what

                withSource [] (fun machine source _ ->
                    machine.Play(machineOf "nvml_hang nvmlDeviceGetPcieThroughput\nnvml_trace 1" 2)
                    eventually "both are read" (fun () -> gpusOf source = 2)

                    eventually "the call hangs" (fun () ->
                        machine.Calls
                        |> List.exists (fun (_, name, _) -> name = "nvmlDeviceGetPcieThroughput"))

                    Expect.isFalse source.IsFree "nobody asked for it"
                    source.IsReleased <- true
                    Thread.Sleep 500
                    Expect.isFalse source.IsFree "five seconds later"
                    machine.Play(machineOf "" 2)
                    eventually "it has returned" (fun () -> source.IsFree)
                    source.IsReleased <- false
                    Expect.isFalse source.IsFree "at once"
                    eventually "they are read again" (fun () -> gpusOf source = 2))
        ]
