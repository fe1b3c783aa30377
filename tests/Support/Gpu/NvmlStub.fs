/// The stub of libnvidia-ml (tests/nvml-stub), compiled for the tests, and machines for it to play.
module Agent.TestSupport.Gpu.NvmlStub

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Threading
open Agent.TestSupport
open Expecto

/// A machine that a stub plays.
type Machine =
    {
        /// Where everything lies.
        Directory: string
        /// The stub.
        Library: string
    }

    /// Gives the machine another text, in one step.
    member machine.Play(text: string) : unit =
        let path = Path.Combine(machine.Directory, "machine.txt")
        File.WriteAllText(path + ".new", text)
        File.Move(path + ".new", path, overwrite = true)

    /// The calls so far of a machine with `nvml_trace 1`: milliseconds since boot, function, index of the GPU.
    member machine.Calls: (int64 * string * int) list =
        let path = Path.Combine(machine.Directory, "calls.txt")

        if File.Exists path then
            [
                for line in File.ReadAllLines path do
                    match line.Split ' ' with
                    | [| time; name; index |] -> int64 time, name, int index
                    | _ -> ()
            ]
        else
            []

let private places =
    Environment.GetEnvironmentVariable "PATH"
    |> Option.ofObj
    |> Option.defaultValue "/usr/bin:/bin"

/// True when a program is in PATH.
let private isThere (program: string) =
    places.Split ':'
    |> Array.exists (fun place -> File.Exists(Path.Combine(place, program)))

/// Compiles a C program or library; a warning fails the test, and a machine without a compiler skips it.
let compile (output: string) (source: string) (options: string list) : unit =
    if not (isThere "cc") then
        Skip.because "there is no C compiler (cc) to make a GPU's stub with"

    let start =
        ProcessStartInfo(
            "cc",
            [ "-std=gnu11"; "-O1"; "-Wall"; "-Wextra"; "-Werror" ]
            @ options
            @ [ "-o"; output; source ]
        )

    start.RedirectStandardError <- true
    use compiler = Process.Start start |> nonNull
    let complaints = compiler.StandardError.ReadToEnd()
    compiler.WaitForExit()
    Expect.equal (compiler.ExitCode, complaints) (0, "") $"{source} compiles without a warning"

let private built = ConcurrentDictionary<string, Lazy<string>>()

/// Compiles a stub without some functions; the same one is compiled once.
let private compiled (missing: string list) : string =
    let compile () =
        let directory = Directory.CreateTempSubdirectory("nvml-stub-").FullName
        let library = Path.Combine(directory, "libnvidia-ml.so.1")
        let script = Path.Combine(directory, "symbols")
        let hidden = missing |> List.map (fun name -> $"{name};") |> String.concat " "
        let hidden = if hidden = "" then "" else $"local: {hidden}"
        File.WriteAllText(script, $"{{ global: nvml*; {hidden} }};\n")

        compile
            library
            (Path.Combine(Fixtures.root, "tests", "nvml-stub", "nvml.c"))
            [
                "-shared"
                "-fPIC"
                "-pthread"
                // What it counts outlives a reload.
                "-Wl,-z,nodelete"
                $"-Wl,--version-script={script}"
            ]

        AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(directory, true))
        library

    (built.GetOrAdd(String.concat " " missing, (fun _ -> lazy (compile ())))).Value

/// Runs a test with a machine of its own whose library lacks some functions.
let withOldMachine (missing: string list) (text: string) (test: Machine -> unit) : unit =
    let directory = Directory.CreateTempSubdirectory "agent-gpus-"
    // A copy, because the stub reads the machine beside itself.
    let library = Path.Combine(directory.FullName, "libnvidia-ml.so.1")
    File.Copy(compiled missing, library)

    let machine =
        {
            Directory = directory.FullName
            Library = library
        }

    try
        machine.Play text
        test machine
    finally
        // A thread of a reader may be in its last call, which a trace of calls would write down.
        machine.Play ""

        let rec remove attempts =
            try
                directory.Delete true
            with :? IOException when attempts > 1 ->
                Thread.Sleep 50
                remove (attempts - 1)

        remove 10

/// Runs a test with a machine of its own.
let withMachine (text: string) (test: Machine -> unit) : unit = withOldMachine [] text test

/// The lines of a GPU that tells everything, which differ by its index.
let gpuLines (index: int) : string =
    String.concat
        "\n"
        [
            $"gpu 00000000:%02X{0x19 + index}:00.0"
            "name NVIDIA H100 80GB HBM3"
            $"uuid GPU-{index}4444444-0000-4000-8000-000000000000"
            $"utilization_gpu {90 + index}"
            "utilization_memory 42"
            "memory_total 85520809984"
            "memory_used 16452157440"
            "memory_reserved 502267904"
            $"temperature {50 + index}"
            "memory_temperature 61"
            "power_mw 433780"
            "enforced_limit_mw 700000"
            "management_limit_mw 650000"
            "throttle 0x4"
            "clock_sm 1980"
            "clock_sm_max 1980"
            "clock_memory 2619"
            "pcie_rx_kib 1048576"
            "pcie_tx_kib 2097152"
            "pcie_link_gen 5"
            "pcie_link_width 16"
            "ecc_corrected 17"
            "ecc_uncorrected 2"
            "remapped_pending 1"
            "remapped_correctable 3"
            "remapped_uncorrectable 4"
            "remapped_failure 1"
            "ecc_volatile_corrected 6"
            "ecc_volatile_uncorrected 7"
            "pcie_replays 5"
            "nvlink_flit_errors 11"
            "nvlink_data_errors 12"
            "nvlink_replays 13"
            "nvlink_recoveries 14"
            "energy_mj 123456789012"
            "encoder 3"
            "decoder 4"
            "nvlink_rx_kib 1024"
            "nvlink_tx_kib 2048"
            "mig_mode 0"
            "process 4711 16452157440 python"
            ""
        ]

/// A machine with so many of them; some lines before the first.
let machineOf (lines: string) (count: int) : string =
    lines + "\n" + String.concat "" (List.init count gpuLines)
