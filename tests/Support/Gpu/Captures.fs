/// What real boards printed, captured by others, and what it says. The texts lie beside some clones only.
module Agent.TestSupport.Gpu.Captures

open System.IO
open System.Text
open System.Text.RegularExpressions
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.TestSupport

let private directory = Path.Combine(Fixtures.root, "..", "shared", "fixtures", "nvidia-smi")

/// Runs the test, or skips it where there are no captures.
let ifThere (test: unit -> unit) : unit =
    if Directory.Exists directory then
        test ()
    else
        Skip.always "no captures of nvidia-smi beside this clone"

/// Where a capture lies.
let pathOf (file: string) : string =
    Path.GetFullPath(Path.Combine(directory, file))

/// A capture as it is, with units in its cells.
let text (file: string) : byte[] = File.ReadAllBytes(pathOf file)

/// The same as `--format=csv,nounits` prints it: the units stay in the header.
let withoutUnits (capture: byte[]) : byte[] =
    let lines = (Encoding.UTF8.GetString capture).Split('\n', 2)

    Encoding.UTF8.GetBytes(
        lines[0]
        + "\n"
        + Regex.Replace(lines[1], @"(?<=\d) (MiB|%|W|MHz|us)(?=[,\n])", "")
    )

/// Masked in all of them.
[<Literal>]
let Uuid = "GPU-00000000-0000-0000-0000-000000000000"

let private geforce =
    { Gpu.OfIndex 0 with
        Name = "NVIDIA GeForce RTX 2080 SUPER"
        Uuid = Uuid
        PciBusId = "00000000:0C:00.0"
        MemoryTotal = ValueSome 8589934592UL<B>
        // 400 MiB.
        MemoryReserved = ValueSome 419430400UL<B>
        FanSpeed = ValueSome 38.0<percent>
        PowerLimit = ValueSome 250.0<W>
        ClockSmMax = ValueSome 2145.0<MHz>
        PcieLinkWidth = ValueSome 16
        Decoder = ValueSome 0.0<percent>
    }

let private h100 =
    { Gpu.OfIndex 0 with
        Name = "NVIDIA H100 80GB HBM3"
        Uuid = Uuid
        PciBusId = "00000000:00:09.0"
        MemoryTotal = ValueSome 85520809984UL<B>
        // 479 MiB.
        MemoryReserved = ValueSome 502267904UL<B>
        PowerLimit = ValueSome 700.0<W>
        ClockSmMax = ValueSome 1980.0<MHz>
        ClockMemory = ValueSome 2619.0<MHz>
        PcieLinkGeneration = ValueSome 5
        PcieLinkWidth = ValueSome 16
        EccUncorrected = ValueSome 0UL
        EccCorrected = ValueSome 0UL
    }

let private wholeH100 =
    { h100 with
        RemappedRowsPending = ValueSome false
        Encoder = ValueSome 0.0<percent>
        Decoder = ValueSome 0.0<percent>
        MigMode = ValueSome MigMode.Disabled
    }

let private dividedH100 =
    { h100 with
        MigMode = ValueSome MigMode.Enabled
    }

/// Each table, and the one GPU in it.
let gpus: (string * Gpu) list =
    [
        "geforce-rtx-2080-super__610.57.04/query-gpu.idle.csv",
        { geforce with
            Utilization = ValueSome 0.0<percent>
            MemoryUtilization = ValueSome 0.0<percent>
            MemoryUsed = ValueSome 221249536UL<B>
            MemoryFree = ValueSome 7950303232UL<B>
            Temperature = ValueSome 33.0<degC>
            Power = ValueSome 39.17<W>
            ThrottleReasons = ValueSome [| "gpu_idle" |]
            ClockSm = ValueSome 765.0<MHz>
            ClockMemory = ValueSome 810.0<MHz>
            PcieLinkGeneration = ValueSome 1
            Encoder = ValueSome 0.0<percent>
        }
        "geforce-rtx-2080-super__610.57.04/query-gpu.load.csv",
        { geforce with
            Utilization = ValueSome 8.0<percent>
            MemoryUtilization = ValueSome 3.0<percent>
            MemoryUsed = ValueSome 854589440UL<B>
            MemoryFree = ValueSome 7316963328UL<B>
            Temperature = ValueSome 38.0<degC>
            Power = ValueSome 98.14<W>
            ThrottleReasons = ValueSome [||]
            ClockSm = ValueSome 2070.0<MHz>
            ClockMemory = ValueSome 7500.0<MHz>
            PcieLinkGeneration = ValueSome 3
            Encoder = ValueSome 100.0<percent>
        }
        "h100-80gb-hbm3__590.48.01/query-gpu.idle.csv",
        { wholeH100 with
            Utilization = ValueSome 0.0<percent>
            MemoryUtilization = ValueSome 0.0<percent>
            MemoryUsed = ValueSome 0UL<B>
            MemoryFree = ValueSome 85019590656UL<B>
            Temperature = ValueSome 41.0<degC>
            MemoryTemperature = ValueSome 48.0<degC>
            Power = ValueSome 69.85<W>
            ThrottleReasons = ValueSome [| "gpu_idle" |]
            ClockSm = ValueSome 345.0<MHz>
        }
        "h100-80gb-hbm3__590.48.01/query-gpu.load.csv",
        { wholeH100 with
            Utilization = ValueSome 100.0<percent>
            MemoryUtilization = ValueSome 11.0<percent>
            MemoryUsed = ValueSome 20780679168UL<B>
            MemoryFree = ValueSome 64238911488UL<B>
            Temperature = ValueSome 59.0<degC>
            MemoryTemperature = ValueSome 54.0<degC>
            Power = ValueSome 631.95<W>
            ThrottleReasons = ValueSome [||]
            ClockSm = ValueSome 1980.0<MHz>
        }
        "h100-mig__590.48.01/query-gpu.idle.csv",
        { dividedH100 with
            MemoryUsed = ValueSome 61865984UL<B>
            MemoryFree = ValueSome 84957724672UL<B>
            Temperature = ValueSome 42.0<degC>
            MemoryTemperature = ValueSome 48.0<degC>
            Power = ValueSome 71.15<W>
            ThrottleReasons = ValueSome [| "gpu_idle" |]
            ClockSm = ValueSome 345.0<MHz>
        }
        "h100-mig__590.48.01/query-gpu.load.csv",
        { dividedH100 with
            MemoryUsed = ValueSome 11665408000UL<B>
            MemoryFree = ValueSome 73354182656UL<B>
            Temperature = ValueSome 53.0<degC>
            MemoryTemperature = ValueSome 59.0<degC>
            Power = ValueSome 433.78<W>
            ThrottleReasons = ValueSome [||]
            ClockSm = ValueSome 1980.0<MHz>
        }
    ]

let private computing pid name (memory: uint64<B>) : ComputeProcess =
    {
        Pid = pid
        MemoryUsed = ValueSome memory
        Name = name
    }

/// Each table of processes, and who is in it; MiB of the table times 1048576.
let processes: (string * ComputeProcess[]) list =
    [
        "geforce-rtx-2080-super__610.57.04/query-compute-apps.idle.csv", [||]
        "geforce-rtx-2080-super__610.57.04/query-compute-apps.load.csv",
        [|
            computing 28512 "ffmpeg" 387973120UL<B>
            computing 28511 "ffmpeg" 241172480UL<B>
        |]
        "h100-80gb-hbm3__590.48.01/query-compute-apps.idle.csv", [||]
        "h100-80gb-hbm3__590.48.01/query-compute-apps.load.csv",
        [|
            computing 11345 "gpu_burn" 16452157440UL<B>
            computing 11327 "memhog" 2690646016UL<B>
            computing 11328 "memhog" 1616904192UL<B>
        |]
        "h100-mig__590.48.01/query-compute-apps.idle.csv", [||]
        "h100-mig__590.48.01/query-compute-apps.load.csv",
        [|
            computing 21198 "gpu_burn" 7847542784UL<B>
            computing 21180 "memhog" 2407530496UL<B>
            computing 21181 "memhog" 1333788672UL<B>
        |]
    ]
