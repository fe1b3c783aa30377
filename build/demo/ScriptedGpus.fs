/// Scripted GPUs for the demo: the stub of libnvidia-ml that the tests use (tests/nvml-stub), playing a machine whose text
/// (tests/scripted-machine) is written anew every second.
module Demo.ScriptedGpus

open System
open System.Diagnostics
open System.IO
open System.Threading

/// Compiles the stub into a directory: the library's path, or why there is none.
let compile (root: string) (directory: string) : Result<string, string> =
    let library = Path.Combine(directory, "libnvidia-ml.so.1")
    let source = Path.Combine(root, "tests", "nvml-stub", "nvml.c")

    let options =
        [
            "-std=gnu11"
            "-O1"
            "-shared"
            "-fPIC"
            "-pthread"
            "-Wl,-z,nodelete"
            "-o"
            library
            source
        ]

    try
        use compiler = Process.Start(ProcessStartInfo("cc", options, UseShellExecute = false))
        compiler.WaitForExit()

        if compiler.ExitCode = 0 then
            Ok library
        else
            Error "The scripted GPUs' library does not compile; cc says why above."
    with :? ComponentModel.Win32Exception ->
        Error "--gpus needs a C compiler (cc); on Debian and Ubuntu: apt-get install gcc libc6-dev"

/// The GPUs of a training run at a second: steps of computing, a pause for a checkpoint once a minute.
let private text (count: int) (second: float) =
    let saves = second % 60.0 < 6.0

    String.concat
        "\n"
        [
            "driver 570.86.15"
            for index in 0 .. count - 1 do
                let swing = Math.Sin(second / (3.0 + float index)) * 3.0

                let used =
                    if saves then
                        22.0 + swing * 3.0
                    else
                        95.0 + swing - float (index % 3)

                let watts = 120.0 + used * 5.7
                $"gpu 00000000:%02X{0x19 + index}:00.0"
                "name NVIDIA H100 80GB HBM3"
                $"uuid GPU-%08x{index + 1}-0000-4000-8000-000000000000"
                $"utilization_gpu %d{int (min 100.0 used)}"
                $"utilization_memory %d{int (used * 0.6)}"
                "memory_total 85520809984"
                $"memory_used %d{58000000000L + int64 index * 900000000L}"
                "memory_reserved 502267904"
                $"temperature %d{34 + int (used * 0.38) + index % 3}"
                $"power_mw %d{int (watts * 1000.0)}"
                "enforced_limit_mw 700000"
                "management_limit_mw 700000"
                $"""throttle %s{if watts > 668.0 then "0x4" else "0x0"}"""
                "clock_sm 1980"
                "clock_memory 2619"
                "pcie_link_gen 5"
                "pcie_link_width 16"
                "mig_mode 0"
        ]
    + "\n"

/// Plays the GPUs until it is disposed of; the library looks for its machine beside itself.
type Player(directory: string, count: int) =
    let write () =
        let path = Path.Combine(directory, "machine.txt")
        File.WriteAllText(path + ".new", text count (float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) / 1000.0))
        File.Move(path + ".new", path, true)

    do write ()
    let timer = new Timer((fun _ -> write ()), null, 1000, 1000)

    interface IDisposable with
        member _.Dispose() = timer.Dispose()
