/// The library and nvidia-smi tell the same of the same machine. The stub and the fake read one text.
module Agent.PropertyTests.Gpu.BothReadersLaws

open System
open System.Threading
open Agent.Core.Gpu
open Agent.Host
open Agent.Host.Reading
open Agent.Shell
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.TestSupport.Gpu
open Agent.TestSupport.Gpu.NvmlStub
open Expecto
open FsCheck
open FsCheck.FSharp

/// A number in these steps, because nvidia-smi prints no finer, or one of the codes that a call may return.
let private scripted (step: uint64) (most: int) : Gen<string> =
    Gen.frequency
        [
            6, Gen.choose (0, most) |> Gen.map (fun n -> string (uint64 n * step))
            1, Gen.elements [ "!3"; "!4"; "!13"; "!999" ]
        ]

let private mebibyte = 1048576UL

/// Key, step and largest multiple of what one call and one field tell.
let private numbers =
    [
        "temperature", 1UL, 120
        "memory_temperature", 1UL, 120
        "fan", 1UL, 100
        "power_mw", 10UL, 100_000
        "enforced_limit_mw", 10UL, 100_000
        "management_limit_mw", 10UL, 100_000
        "throttle", 1UL, 511
        "clock_sm", 1UL, 3000
        "clock_sm_max", 1UL, 3000
        "clock_memory", 1UL, 3000
        "pcie_link_gen", 1UL, 6
        "pcie_link_width", 1UL, 16
        "ecc_corrected", 1UL, 1_000_000
        "ecc_uncorrected", 1UL, 1000
        "remapped_pending", 1UL, 1
        "encoder", 1UL, 100
        "decoder", 1UL, 100
        "mig_mode", 1UL, 1
    ]

/// A key that may be missing, which counts as NOT_SUPPORTED.
let private line (key: string) (value: Gen<string>) : Gen<string> =
    Gen.frequency [ 1, Gen.constant ""; 9, value |> Gen.map (fun value -> $"{key} {value}\n") ]

/// Two keys that one call of the library tells together, so that both are there or neither.
let private pair (one: string) (other: string) (step: uint64) (most: int) : Gen<string> =
    Gen.frequency
        [
            1, Gen.constant ""
            1, Gen.constant $"{one} !999\n{other} !999\n"
            6,
            Gen.zip (Gen.choose (0, most)) (Gen.choose (0, most))
            |> Gen.map (fun (n, m) -> $"{one} {uint64 (max n m) * step}\n{other} {uint64 (min n m) * step}\n")
        ]

let private gpuLines (index: int) : Gen<string> =
    gen {
        let! name =
            Gen.elements
                [
                    "NVIDIA H100 80GB HBM3"
                    "Tesla V100-SXM2-32GB"
                    "NVIDIA RTX 6000, Ada \"Generation\""
                    "GRID A100-10C"
                    "NVIDIA GeForce RTX 2080 SUPER,"
                ]

        let! utilization = pair "utilization_gpu" "utilization_memory" 1UL 100
        let! memory = pair "memory_total" "memory_used" mebibyte 200_000

        let! rest =
            numbers
            |> List.map (fun (key, step, most) -> line key (scripted step most))
            |> Gen.sequenceToList

        let! processes = upTo 4 (Gen.zip (Gen.choose (1, 4_000_000)) (scripted mebibyte 80_000))

        let processes =
            processes
            |> Array.map (fun (pid, memory) -> $"process {pid} {memory} /usr/bin/python3\n")
            |> String.concat ""

        let uuid = $"GPU-{index}4444444-0000-4000-8000-000000000000"

        return
            $"gpu 00000000:{0x19 + index}:00.0\nname {name}\nuuid {uuid}\n{utilization}{memory}{String.concat String.Empty rest}{processes}"
    }

/// A machine of up to four GPUs with an older or a newer driver.
let private machines: Gen<string> =
    gen {
        let! driver = Gen.elements [ "470.256.02"; "525.147.05"; "535.183.01"; "570.86.15" ]
        let! count = Gen.choose (1, 4)
        let! gpus = Gen.collectToList gpuLines [ 0 .. count - 1 ]
        return $"driver {driver}\nnvml_pcie_ms 0\n{String.concat String.Empty gpus}"
    }

/// What both readers can tell. Names of processes come from /proc, or from nvidia-smi where that has none.
let private common (driver: string) (gpu: Gpu) : Gpu =
    { gpu with
        DriverVersion = ""
        Counters = GpuCounters.None
        PcieReceived = ValueNone
        PcieSent = ValueNone
        XidLast = ValueNone
        XidCount = ValueNone
        Energy = ValueNone
        NvlinkReceived = ValueNone
        NvlinkSent = ValueNone
        GraphicsProcesses = ValueNone
        MigDevices = ValueNone
        // From driver 510 on.
        MemoryReserved =
            if driver.StartsWith '4' then
                ValueNone
            else
                gpu.MemoryReserved
        // From driver 535 on.
        Encoder =
            if driver.StartsWith '4' || driver.StartsWith "52" then
                ValueNone
            else
                gpu.Encoder
        Decoder =
            if driver.StartsWith '4' || driver.StartsWith "52" then
                ValueNone
            else
                gpu.Decoder
        ComputeProcesses =
            gpu.ComputeProcesses
            |> ValueOption.map (Array.map (fun found -> { found with Name = "" }))
    }

let private byLibrary (machine: Machine) : Gpu[] =
    let source =
        NvmlSource(
            machine.Library,
            machine.Directory,
            machine.Directory,
            TimeSpan.FromSeconds 60.0,
            TimeSpan.FromSeconds 60.0,
            AgentClock()
        )

    // On a busy machine the costly calls may be late.
    let rec read attempts =
        match source.Read() with
        | null -> failtest $"{source.State}"
        | reading when attempts = 1 || reading.Gpus |> Array.forall _.ComputeProcesses.IsSome -> reading.Gpus
        | _ ->
            Thread.Sleep 10
            read (attempts - 1)

    try
        read 1000
    finally
        source.Stop()

let private byProgram (machine: Machine) : Gpu[] =
    let program = NvidiaSmiProcess.NewProgram(AgentClock(), FakeNvidiaSmi.install machine)
    let reader = NvidiaSmiProcess program

    match reader.Read(), reader.ReadProcesses() with
    | Ok reading, Ok processes -> (NvidiaSmi.withProcesses processes reading).Gpus
    | Error error, _
    | _, Error error -> failtest $"{error}"

let tests =
    testList
        "Gpu.BothReaders"
        [
            // Each case starts programs.
            lawOf (cases / 25) "the library and nvidia-smi tell the same of the same machine" machines (fun text ->
                let holds = ref false

                withMachine text (fun machine ->
                    let firstLine = text.Split '\n' |> Array.head

                    let told read =
                        read machine |> Array.map (common (firstLine.Replace("driver ", "")))

                    holds.Value <- same (told byProgram) (told byLibrary))

                holds.Value)
        ]
