/// What is read of a generated machine, and the sample and the body that follow from it.
module Agent.Bench.Readings

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys

/// The files of /sys whose path below it begins and ends as told.
let sysTexts (size: Machine.Size) (beginning: string) (ending: string) : SysText[] =
    [|
        for path, content in Machine.sysFiles size do
            if
                path.StartsWith(beginning, StringComparison.Ordinal)
                && path.EndsWith(ending, StringComparison.Ordinal)
            then
                {
                    Path = $"/sys/{path}"
                    Content = Ok(ReadOnlyMemory content)
                }
    |]

/// The value of a result; a text that a parser refuses would make its benchmark measure the refusal.
let good (result: Result<'value, 'error>) : 'value =
    match result with
    | Ok value -> value
    | Error error -> failwith $"a generated text is refused: {error}"

/// Everything that is read of the machine at one instant.
let snapshot (size: Machine.Size) (at: DateTimeOffset) : Snapshot =
    let sensors = Hwmon.parse (sysTexts size "class/hwmon" "")

    let texts = dict (Machine.procFiles size)

    let file path : byte[] | null =
        match texts.TryGetValue path with
        | true, text -> text
        | _ -> null

    { Snapshot.ofFiles at file with
        Processes = Ok size.Processes
        Infiniband = Infiniband.parse (sysTexts size "class/infiniband" "")
        Slow =
            { SlowReadings.None with
                CpuTemperature = CpuTemperature.from sensors.Temperatures [||]
                CpuFrequency = CpuFreq.meanClock (sysTexts size "devices/system/cpu" "scaling_cur_freq")
                PhysicalCores = Topology.physicalCores (sysTexts size "devices/system/cpu" "core_cpus_list")
                Fans = sensors.Fans
                Gpus = (good (NvidiaSmi.parse (ReadOnlySpan(Machine.nvidiaSmi size)))).Gpus
            }
    }

/// As the agent samples by default, but for the CPU window.
let options: SampleOptions =
    {
        Disks = [||]
        Interfaces = [||]
        CpuWindow = TimeSpan.Zero
    }

/// What goes along with every sample.
let agent: AgentInfo =
    {
        Version = "1.0"
        Hostname = "gpu-box-01"
        Pid = 4711
        Labels = [| struct ("rack", "b7") |]
        DiskFilters = [||]
        Runtime = ".NET 10"
        System = SystemInfo.unknown
    }
