/// The library's reader against the stub. What the calls mean is tested in Agent.Core.Tests/Gpu/NvmlTests.fs.
module Agent.Host.Tests.NvmlTests

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Text.RegularExpressions
open System.Threading
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.Host
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// Every duration of a reader is divided by this.
[<Literal>]
let private Scale = 20

/// Runs a test with a reader of the machine's library, whose processes have their names below the machine's directory.
let private withReader (machine: Machine) (test: NvmlSource -> unit) =
    let clock = AgentClock Scale
    let procFs = Path.Combine(machine.Directory, "proc")
    Directory.CreateDirectory(Path.Combine(procFs, "4711")) |> ignore
    File.WriteAllText(Path.Combine(procFs, "4711", "comm"), "pt_main_thread\n")

    let source =
        NvmlSource(machine.Library, procFs, Path.Combine(machine.Directory, "sys"), seconds 1.0, seconds 10.0, clock)

    try
        test source
    finally
        source.Stop()

/// Reads until a reading is as it should be, with the rate over NVLink.
let private untilWithRate (source: NvmlSource) (what: string) (isSo: GpuReading -> bool) : GpuReading =
    let watch = Stopwatch.StartNew()

    let rec attempt () =
        match source.Read() with
        | null when watch.Elapsed < seconds 10.0 ->
            Thread.Sleep 5
            attempt ()
        | null -> failtest $"not within 10 s: {what}; {source.State}"
        | reading when isSo reading -> reading
        | reading when watch.Elapsed < seconds 10.0 ->
            Thread.Sleep 5
            attempt ()
        | reading -> failtest $"not within 10 s: {what}; %A{reading}"

    attempt ()

/// The same without that rate, which there is as soon as the costly queries were made twice.
let private until (source: NvmlSource) (what: string) (isSo: GpuReading -> bool) : GpuReading =
    let withoutRate (reading: GpuReading) =
        { reading with
            Gpus =
                reading.Gpus
                |> Array.map (fun gpu ->
                    { gpu with
                        Counters =
                            { gpu.Counters with
                                NvlinkRate = ValueNone
                            }
                    })
        }

    untilWithRate source what (withoutRate >> isSo) |> withoutRate

let private first (source: NvmlSource) : GpuReading =
    until source "a reading" (fun _ -> true)

let private gpu (index: int) : Gpu =
    {
        Index = index
        Name = "NVIDIA H100 80GB HBM3"
        Uuid = $"GPU-{index}4444444-0000-4000-8000-000000000000"
        PciBusId = $"00000000:%02X{0x19 + index}:00.0"
        DriverVersion = ""
        IsSuspended = false
        Utilization = ValueSome(LanguagePrimitives.FloatWithMeasure(float (90 + index)))
        MemoryUtilization = ValueSome 42.0<percent>
        MemoryTotal = ValueSome 85520809984UL<B>
        MemoryUsed = ValueSome 16452157440UL<B>
        // 85520809984 - 16452157440 - 502267904.
        MemoryFree = ValueSome 68566384640UL<B>
        MemoryReserved = ValueSome 502267904UL<B>
        IsMemoryShared = false
        Temperature = ValueSome(LanguagePrimitives.FloatWithMeasure(float (50 + index)))
        FanSpeed = ValueNone
        Power = ValueSome 433.78<W>
        PowerLimit = ValueSome 700.0<W>
        ThrottleReasons = ValueSome [| "sw_power_cap" |]
        ClockSm = ValueSome 1980.0<MHz>
        ClockSmMax = ValueSome 1980.0<MHz>
        ClockMemory = ValueSome 2619.0<MHz>
        // 1 and 2 GiB.
        PcieReceived = ValueSome 1073741824.0<B / s>
        PcieSent = ValueSome 2147483648.0<B / s>
        PcieLinkGeneration = ValueSome 5
        PcieLinkWidth = ValueSome 16
        EccUncorrected = ValueSome 2UL
        EccCorrected = ValueSome 17UL
        RemappedRowsPending = ValueSome true
        XidLast = ValueNone
        XidCount = ValueSome 0UL
        Energy = ValueSome 123456789012UL<mJ>
        Encoder = ValueSome 3.0<percent>
        Decoder = ValueSome 4.0<percent>
        NvlinkReceived = ValueSome 1048576UL<B>
        NvlinkSent = ValueSome 2097152UL<B>
        MemoryTemperature = ValueSome 61.0<degC>
        MigMode = ValueSome MigMode.Disabled
        ComputeProcesses =
            ValueSome
                [|
                    {
                        Pid = 4711
                        MemoryUsed = ValueSome 16452157440UL<B>
                        Name = "pt_main_thread"
                    }
                |]
        // Nobody watches jobs.
        GraphicsProcesses = ValueNone
        MigDevices = ValueSome [||]
        Counters =
            { GpuCounters.None with
                PcieReplays = ValueSome 5UL
                CorrectableRows = ValueSome 3UL
                UncorrectableRows = ValueSome 4UL
                HasRowFailure = ValueSome true
                VolatileCorrected = ValueSome 6UL
                VolatileUncorrected = ValueSome 7UL
                NvlinkFlitErrors = ValueSome 11UL
                NvlinkDataErrors = ValueSome 12UL
                NvlinkReplays = ValueSome 13UL
                NvlinkRecoveries = ValueSome 14UL
            }
    }

let private withCounters (change: GpuCounters -> GpuCounters) : Gpu =
    { gpu 0 with
        Counters = change (gpu 0).Counters
    }

/// Reads when the threads beside have told something as well.
let private whole (source: NvmlSource) : GpuReading =
    until source "events and costly queries" (fun reading ->
        reading.Gpus
        |> Array.forall (fun gpu -> gpu.XidCount.IsSome && gpu.ComputeProcesses.IsSome))

/// The names of the functions that the reader looks for, by its source.
let private functions: Lazy<string list> =
    lazy
        ([ "NvmlLibrary.cs"; "NvmlWorkCalls.cs" ]
         |> Seq.collect (fun file ->
             Path.Combine(Fixtures.root, "src", "Agent.Host", "Reading", "Nvml", file)
             |> File.ReadAllText
             |> fun text -> Regex.Matches(text, "\"(nvml[A-Za-z0-9_]+)\"")
             |> Seq.map _.Groups[1].Value)
         |> Seq.distinct
         |> List.ofSeq)

let private offset<'t> (field: string) = int (Marshal.OffsetOf<'t> field)

let private layouts =
    testCase "the structures lie in memory as the table in docs/sources.md says"
    <| fun () ->
        Expect.equal (Marshal.SizeOf<NvmlUtilization>()) 8 "nvmlUtilization_t"
        Expect.equal (offset<NvmlUtilization> "Gpu", offset<NvmlUtilization> "Memory") (0, 4) "nvmlUtilization_t"
        Expect.equal (Marshal.SizeOf<NvmlMemory>()) 24 "nvmlMemory_t"

        Expect.equal (offset<NvmlMemory> "Total", offset<NvmlMemory> "Free", offset<NvmlMemory> "Used") (0, 8, 16) "nvmlMemory_t"
        Expect.equal (Marshal.SizeOf<NvmlMemoryV2>()) 40 "nvmlMemory_v2_t"

        Expect.equal
            [
                for field in [ "Version"; "Total"; "Reserved"; "Free"; "Used" ] -> offset<NvmlMemoryV2> field
            ]
            [ 0; 8; 16; 24; 32 ]
            "nvmlMemory_v2_t"

        Expect.equal NvmlMemoryV2.Version2 0x02000028u "its version"
        Expect.equal (Marshal.SizeOf<NvmlEventData>()) 32 "nvmlEventData_t"

        Expect.equal
            [
                for field in [ "Device"; "EventType"; "EventData"; "GpuInstanceId"; "ComputeInstanceId" ] -> offset<NvmlEventData> field
            ]
            [ 0; 8; 16; 24; 28 ]
            "nvmlEventData_t"

        Expect.equal (Marshal.SizeOf<NvmlFieldValue>()) 40 "nvmlFieldValue_t"

        Expect.equal
            [
                for field in
                    [
                        "FieldId"
                        "ScopeId"
                        "Timestamp"
                        "LatencyUsec"
                        "ValueType"
                        "NvmlReturn"
                        "Value"
                    ] -> offset<NvmlFieldValue> field
            ]
            [ 0; 4; 8; 16; 24; 28; 32 ]
            "nvmlFieldValue_t"

        Expect.equal (Marshal.SizeOf<NvmlGpmSupport>(), offset<NvmlGpmSupport> "IsSupportedDevice") (8, 4) "nvmlGpmSupport_t"
        Expect.equal (NvmlGpmSupport.Version1, NvmlGpmMetricsGet.Version1) (1u, 1u) "versions of GPM"
        Expect.equal (Marshal.SizeOf<NvmlGpmMetric>()) 40 "nvmlGpmMetric_t"

        Expect.equal
            [
                for field in [ "MetricId"; "NvmlReturn"; "Value"; "ShortName"; "LongName"; "Unit" ] -> offset<NvmlGpmMetric> field
            ]
            [ 0; 4; 8; 16; 24; 32 ]
            "nvmlGpmMetric_t"

        // Where its metrics begin; 333 of them are 13320 bytes.
        Expect.equal (Marshal.SizeOf<NvmlGpmMetricsGet>(), NvmlGpmMetricsGet.Bytes) (24, 13344) "nvmlGpmMetricsGet_t"

        Expect.equal
            [
                for field in [ "Version"; "NumMetrics"; "Sample1"; "Sample2" ] -> offset<NvmlGpmMetricsGet> field
            ]
            [ 0; 4; 8; 16 ]
            "nvmlGpmMetricsGet_t"

        Expect.equal (Marshal.SizeOf<NvmlViolationTime>(), offset<NvmlViolationTime> "ViolationTime") (16, 8) "nvmlViolationTime_t"

/// What the library of a real machine exports, where the captures lie beside this clone.
let private names =
    testCase "every function that is looked for is one that a real library has"
    <| fun () ->
        let capture =
            Path.Combine(Fixtures.root, "..", "shared", "fixtures", "nvidia-smi", "h100-80gb-hbm3__590.48.01", "nvml-symbols.txt")

        if not (File.Exists capture) then
            Skip.always "the captures of real machines are not there"

        Expect.isEmpty (List.except (File.ReadAllLines capture) functions.Value) "misspelt ones"

let private readings =
    testList
        "readings"
        [
            testCase "two GPUs that tell everything"
            <| fun () ->
                withMachine (machineOf "" 2) (fun machine ->
                    withReader machine (fun source ->
                        Expect.equal
                            (whole source)
                            {
                                Gpus = [| gpu 0; gpu 1 |]
                                Faults = [||]
                            }
                            "both"

                        Expect.equal source.State (Nvml.State.Opened 2) "state"))

            testCase "counters of NVLink that stand still make a rate of none, at the second of their readings"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        let reading = untilWithRate source "both counters" (fun reading -> reading.Gpus[0].NvlinkSent.IsSome)

                        Expect.equal reading.Gpus[0].Counters.NvlinkRate ValueNone "the first"

                        untilWithRate source "a rate" (fun reading -> reading.Gpus[0].Counters.NvlinkRate = ValueSome 0.0<B / s>)
                        |> ignore))

            testCase "a GPU that a program plays is busy, hungry and held while the program works, and idle once it has ended"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    let file = Path.Combine(machine.Directory, "gpu0")
                    // A piece that began long ago and has no end: 500 thousandths of the power, 300 of the memory's activity.
                    let played = Array.zeroCreate<byte>(8 * (32 + 1024 * 32))

                    let put (at: int) (value: uint64) =
                        Array.blit (BitConverter.GetBytes value) 0 played at 8

                    put 0 (uint64 Environment.ProcessId)
                    put 8 1000UL
                    put 16 1UL
                    put 32 1UL
                    Array.blit (BitConverter.GetBytes 500us) 0 played 48 2
                    Array.blit (BitConverter.GetBytes 300us) 0 played 54 2
                    File.WriteAllBytes(file, played)
                    machine.Play(machineOf "" 1 + $"play {file}\n")

                    withReader machine (fun source ->
                        let busy = (whole source).Gpus[0]
                        Expect.equal busy.Utilization (ValueSome 100.0<percent>) "busy"
                        Expect.equal busy.MemoryUtilization (ValueSome 30.0<percent>) "its memory"
                        // Half of 700 W.
                        Expect.equal busy.Power (ValueSome 350.0<W>) "power"
                        Expect.equal busy.MemoryUsed (ValueSome 16452158440UL<B>) "1000 bytes more"

                        Expect.equal
                            (busy.ComputeProcesses |> ValueOption.map (Array.map _.Pid))
                            (ValueSome [| Environment.ProcessId |])
                            "who computes"

                        use stream = File.OpenWrite file
                        stream.Write(ReadOnlySpan(Array.zeroCreate<byte> 8))
                        stream.Flush()

                        let idle =
                            until source "idle" (fun reading ->
                                reading.Gpus[0].ComputeProcesses = ValueSome [||]
                                && reading.Gpus[0].Utilization = ValueSome 0.0<percent>)

                        // 12 % of 700 W.
                        Expect.equal idle.Gpus[0].Power (ValueSome 84.0<W>) "what an idle one draws"
                        Expect.equal idle.Gpus[0].ThrottleReasons (ValueSome [| "gpu_idle" |]) "why it is slow"))

            testCase "a call that fails costs its own field, for every call"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore

                        for key, without in
                            [
                                "utilization_gpu",
                                { gpu 0 with
                                    Utilization = ValueNone
                                    MemoryUtilization = ValueNone
                                }
                                "memory_used",
                                { gpu 0 with
                                    MemoryTotal = ValueNone
                                    MemoryUsed = ValueNone
                                    MemoryFree = ValueNone
                                    MemoryReserved = ValueNone
                                }
                                "temperature", { gpu 0 with Temperature = ValueNone }
                                "memory_temperature",
                                { gpu 0 with
                                    MemoryTemperature = ValueNone
                                }
                                "power_mw", { gpu 0 with Power = ValueNone }
                                "enforced_limit_mw",
                                { gpu 0 with
                                    PowerLimit = ValueSome 650.0<W>
                                }
                                "throttle",
                                { gpu 0 with
                                    ThrottleReasons = ValueNone
                                }
                                "clock_sm", { gpu 0 with ClockSm = ValueNone }
                                "clock_sm_max", { gpu 0 with ClockSmMax = ValueNone }
                                "clock_memory", { gpu 0 with ClockMemory = ValueNone }
                                "pcie_link_gen",
                                { gpu 0 with
                                    PcieLinkGeneration = ValueNone
                                }
                                "pcie_link_width", { gpu 0 with PcieLinkWidth = ValueNone }
                                "energy_mj", { gpu 0 with Energy = ValueNone }
                                "encoder", { gpu 0 with Encoder = ValueNone }
                                "decoder", { gpu 0 with Decoder = ValueNone }
                                "mig_mode",
                                { gpu 0 with
                                    MigMode = ValueNone
                                    MigDevices = ValueNone
                                }
                                "pcie_rx_kib", { gpu 0 with PcieReceived = ValueNone }
                                "pcie_tx_kib", { gpu 0 with PcieSent = ValueNone }
                                "ecc_corrected", { gpu 0 with EccCorrected = ValueNone }
                                "ecc_uncorrected",
                                { gpu 0 with
                                    EccUncorrected = ValueNone
                                }
                                "remapped_pending",
                                { gpu 0 with
                                    RemappedRowsPending = ValueNone
                                    Counters =
                                        { (gpu 0).Counters with
                                            CorrectableRows = ValueNone
                                            UncorrectableRows = ValueNone
                                            HasRowFailure = ValueNone
                                        }
                                }
                                "pcie_replays", withCounters (fun told -> { told with PcieReplays = ValueNone })
                                "ecc_volatile_corrected",
                                withCounters (fun told ->
                                    { told with
                                        VolatileCorrected = ValueNone
                                    })
                                "ecc_volatile_uncorrected",
                                withCounters (fun told ->
                                    { told with
                                        VolatileUncorrected = ValueNone
                                    })
                                "nvlink_flit_errors",
                                withCounters (fun told ->
                                    { told with
                                        NvlinkFlitErrors = ValueNone
                                    })
                                "nvlink_data_errors",
                                withCounters (fun told ->
                                    { told with
                                        NvlinkDataErrors = ValueNone
                                    })
                                "nvlink_replays", withCounters (fun told -> { told with NvlinkReplays = ValueNone })
                                "nvlink_recoveries",
                                withCounters (fun told ->
                                    { told with
                                        NvlinkRecoveries = ValueNone
                                    })
                                "nvlink_rx_kib",
                                { gpu 0 with
                                    NvlinkReceived = ValueNone
                                }
                                "nvlink_tx_kib", { gpu 0 with NvlinkSent = ValueNone }
                                "processes",
                                { gpu 0 with
                                    ComputeProcesses = ValueNone
                                }
                            ] do
                            let lines =
                                (gpuLines 0).Split '\n'
                                |> Array.filter (fun line -> not (line.StartsWith(key + " ", StringComparison.Ordinal)))

                            machine.Play(String.concat "\n" lines + $"\n{key} !999\n")

                            let reading =
                                until source key (fun reading -> reading.Gpus = [| without |] && reading.Faults.Length > 0)

                            Expect.all
                                reading.Faults
                                (fun fault ->
                                    (string fault).StartsWith "libnvidia-ml GPU 0 "
                                    && (string fault).EndsWith "UNKNOWN")
                                $"%A{reading.Faults}"))

            testCase "an old library: functions that are missing are absent fields, and older versions of calls are used"
            <| fun () ->
                let missing =
                    [
                        "nvmlDeviceGetMemoryInfo_v2"
                        "nvmlDeviceGetCurrentClocksEventReasons"
                        "nvmlDeviceGetComputeRunningProcesses_v2"
                        "nvmlDeviceGetComputeRunningProcesses_v3"
                        "nvmlEventSetWait_v2"
                        "nvmlDeviceGetMigMode"
                        "nvmlDeviceGetRemappedRows"
                        "nvmlDeviceGetPcieReplayCounter"
                        "nvmlSystemGetDriverVersion"
                        "nvmlDeviceGetTotalEnergyConsumption"
                        "nvmlDeviceGetFieldValues"
                        "nvmlDeviceGetEnforcedPowerLimit"
                    ]

                withOldMachine missing (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        Expect.equal
                            (whole source)
                            {
                                Gpus =
                                    [|
                                        { gpu 0 with
                                            // With what is reserved, 502267904 bytes.
                                            MemoryUsed = ValueSome 16954425344UL<B>
                                            MemoryReserved = ValueNone
                                            MigMode = ValueNone
                                            MigDevices = ValueNone
                                            RemappedRowsPending = ValueNone
                                            Counters =
                                                { GpuCounters.None with
                                                    VolatileCorrected = ValueSome 6UL
                                                    VolatileUncorrected = ValueSome 7UL
                                                }
                                            Energy = ValueNone
                                            NvlinkReceived = ValueNone
                                            NvlinkSent = ValueNone
                                            MemoryTemperature = ValueNone
                                            PowerLimit = ValueSome 650.0<W>
                                        }
                                    |]
                                Faults = [||]
                            }
                            "what is left"))

            testCase "the driver's version, and how long the clocks were slowed since it was loaded"
            <| fun () ->
                let slowed =
                    machineOf "driver 580.95.05" 1
                    + "violation_power 10\nviolation_thermal 20\nviolation_sync_boost 30\nviolation_board_limit 40\n"
                    + "violation_low_utilization 50\nviolation_reliability 60\n"

                withMachine slowed (fun machine ->
                    withReader machine (fun source ->
                        let found = (whole source).Gpus[0]
                        let told = found.Counters
                        Expect.equal found.DriverVersion "580.95.05" "version"

                        // All from one instant: 10, 20 … 60 % of the same time.
                        let share (value: uint64 voption) =
                            float value.Value / float told.PowerViolation.Value

                        for value, expected in
                            [
                                told.ThermalViolation, 2.0
                                told.SyncBoostViolation, 3.0
                                told.BoardLimitViolation, 4.0
                                told.LowUtilizationViolation, 5.0
                                told.ReliabilityViolation, 6.0
                            ] do
                            Expect.floatClose Accuracy.low (share value) expected "nanoseconds"))

            testCase "a library without anything but its beginning"
            <| fun () ->
                let beginning = [ "nvmlDeviceGetCount_v2"; "nvmlDeviceGetHandleByIndex_v2" ]

                let missing =
                    functions.Value
                    |> List.filter (fun name -> name.StartsWith "nvmlDevice" || name.StartsWith "nvmlEvent")
                    |> List.except beginning

                Expect.isGreaterThan missing.Length 30 "the names that the reader looks for"

                withOldMachine missing (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        Expect.equal
                            (first source)
                            {
                                Gpus = [| Gpu.OfIndex 0 |]
                                Faults = [||]
                            }
                            "an index"))

            testCase "a library that refuses the version of a structure is asked with the older one"
            <| fun () ->
                withMachine (machineOf "nvml_memory_v2 25" 1) (fun machine ->
                    withReader machine (fun source ->
                        Expect.equal (first source).Gpus[0].MemoryUsed (ValueSome 16954425344UL<B>) "with what is reserved"))

            for line in
                [
                    "nvml_memory_v2_total 0"
                    "nvml_memory_v2_used 18446744073709551615"
                    "nvml_memory_v2_total 1000"
                    "nvml_memory_v2_free 18446744073000000000"
                    "nvml_memory_v2_reserved 85520809985"
                ] do
                testCase $"a newer answer about memory that cannot be ({line}) leads to the older call"
                <| fun () ->
                    withMachine (machineOf line 1) (fun machine ->
                        withReader machine (fun source ->
                            let gpu = (first source).Gpus[0]
                            Expect.equal gpu.MemoryUsed (ValueSome 16954425344UL<B>) "with what is reserved"
                            Expect.isTrue gpu.MemoryTotal.IsSome "all of it"))

            testCase "a limit in force that cannot be leads to the limit that was set, and boards of one UUID keep what is their own"
            <| fun () ->
                for enforced in [ "0"; "4294967294" ] do
                    let text = Regex.Replace(machineOf "" 2, "enforced_limit_mw .*", $"enforced_limit_mw {enforced}")

                    let text = Regex.Replace(text, "management_limit_mw .*", "management_limit_mw 690000")

                    withMachine text (fun machine ->
                        withReader machine (fun source ->
                            let reading = first source
                            Expect.equal (reading.Gpus |> Array.map _.PowerLimit) [| ValueSome 690.0<W>; ValueSome 690.0<W> |] enforced
                            Expect.equal reading.Faults [||] "nothing is missing"))

                let text = Regex.Replace(machineOf "" 2, "uuid .*", "uuid GPU-twin")
                // The second board's own.
                let at = text.LastIndexOf "ecc_corrected 17"
                let text = text.Remove(at, 16).Insert(at, "ecc_corrected 99")

                withMachine text (fun machine ->
                    withReader machine (fun source ->
                        let reading =
                            until source "costly values of both" (fun reading -> reading.Gpus |> Array.forall _.EccCorrected.IsSome)

                        Expect.equal (reading.Gpus |> Array.map _.EccCorrected) [| ValueSome 17UL; ValueSome 99UL |] "each its own"))

            testCase
                "what is drawn is measured against the highest limit that the board can be given, not against one that was just lowered"
            <| fun () ->
                let lowered =
                    Regex.Replace(
                        Regex.Replace(machineOf "" 1, "enforced_limit_mw .*", "enforced_limit_mw 200000"),
                        "power_mw .*",
                        "power_mw 690000"
                    )

                for highest, power in [ "limit_max_mw 700000", ValueSome 690.0<W>; "", ValueNone ] do
                    withMachine $"{lowered}\n{highest}\n" (fun machine ->
                        withReader machine (fun source ->
                            let reading = until source "the costly values" (fun reading -> reading.Gpus[0].ClockSmMax.IsSome)
                            Expect.equal reading.Gpus[0].Power power $"with \"{highest}\""))

            testCase "a library that counts more GPUs than any machine has is refused, and no other way than that"
            <| fun () ->
                for count in [ "257"; "4294967295" ] do
                    withMachine (machineOf $"nvml_count {count}" 1) (fun machine ->
                        withReader machine (fun source ->
                            Expect.isNull (box (source.Read())) "no reading"
                            Expect.equal source.State (Nvml.State.Failed -1) "and why"
                            Expect.equal (Nvml.nameOf -1) "it counts more than 256 GPUs, which no machine has" "in words"))

            for bytes in [ 16; 24; 32 ] do
                testCase $"processes of {bytes} bytes each, more of them than expected"
                <| fun () ->
                    let processes = String.concat "" (List.init 150 (fun i -> $"process {5000 + i} {1000 + i} worker\n"))

                    withMachine (machineOf $"nvml_process_bytes {bytes}" 1 + processes) (fun machine ->
                        withReader machine (fun source ->
                            let found = (whole source).Gpus[0].ComputeProcesses.Value
                            let pids = found |> Array.map _.Pid
                            // Number 4711 has most memory, then those that come last.
                            Expect.equal pids (Array.append [| 4711 |] [| for i in 149..-1..119 -> 5000 + i |]) "32"
                            Expect.equal found[1].Name "" "no such process here"))

            testCase "a process whose memory is not known"
            <| fun () ->
                withMachine (machineOf "" 1 + "process 12 !3 x\n") (fun machine ->
                    withReader machine (fun source ->
                        let found = (first source).Gpus[0].ComputeProcesses.Value
                        Expect.equal (found |> Array.map _.MemoryUsed) [| ValueSome 16452157440UL<B>; ValueNone |] "last"))

            testCase "MIG instances, which come and go"
            <| fun () ->
                let divided =
                    (gpuLines 0).Replace("mig_mode 0", "mig_mode 1").Replace("utilization_gpu 90", "utilization_gpu !3")

                let one = "mig 9 0 10468982784 524288000 MIG-a NVIDIA H100 80GB HBM3 MIG 1g.10gb\n"
                let other = "mig 2 1 42681237504 1048576 MIG-b NVIDIA H100 80GB HBM3 MIG 3g.40gb\n"

                let instance index name uuid gi ci (total: uint64<B>) (used: uint64<B>) : MigDevice =
                    {
                        Index = index
                        Name = "NVIDIA H100 80GB HBM3 MIG " + name
                        Uuid = uuid
                        GpuInstance = ValueSome gi
                        ComputeInstance = ValueSome ci
                        MemoryTotal = ValueSome total
                        MemoryUsed = ValueSome used
                        MemoryFree = ValueSome(total - used)
                        ComputeProcesses = ValueSome [||]
                        XidLast = ValueNone
                        XidCount = ValueNone
                    }

                let first' = instance 0 "1g.10gb" "MIG-a" 9 0 10468982784UL<B> 524288000UL<B>
                let second = instance 1 "3g.40gb" "MIG-b" 2 1 42681237504UL<B> 1048576UL<B>

                withMachine (divided + one + other) (fun machine ->
                    withReader machine (fun source ->
                        let reading = first source
                        Expect.equal reading.Gpus[0].MigMode (ValueSome MigMode.Enabled) "mode"
                        Expect.equal reading.Gpus[0].MigDevices (ValueSome [| first'; second |]) "two"
                        Expect.equal reading.Gpus[0].Utilization ValueNone "the parent tells none"
                        Expect.equal reading.Faults [||] "which is no fault"
                        machine.Play(divided + one.Replace("524288000", "1048576"))

                        until source "one is destroyed" (fun reading ->
                            reading.Gpus[0].MigDevices =
                                ValueSome
                                    [|
                                        { first' with
                                            MemoryUsed = ValueSome 1048576UL<B>
                                            // 10468982784 less that.
                                            MemoryFree = ValueSome 10467934208UL<B>
                                        }
                                    |])
                        |> ignore

                        machine.Play(divided + one + other)

                        until source "it is made again" (fun reading -> reading.Gpus[0].MigDevices = ValueSome [| first'; second |])
                        |> ignore))

            testCase "a MIG instance that was destroyed is gone, and the library is opened anew for it, once"
            <| fun () ->
                let divided = (gpuLines 0).Replace("mig_mode 0", "mig_mode 1")
                let one = "mig 9 0 10468982784 524288000 MIG-a NVIDIA H100 80GB HBM3 MIG 1g.10gb\n"
                let other = "mig 2 1 42681237504 1048576 MIG-b NVIDIA H100 80GB HBM3 MIG 3g.40gb\n"

                withMachine ("nvml_trace 1\n" + divided + one + other) (fun machine ->
                    withReader machine (fun source ->
                        let uuids (reading: GpuReading) =
                            reading.Gpus[0].MigDevices |> ValueOption.map (Array.map _.Uuid)

                        until source "both" (fun reading -> uuids reading = ValueSome [| "MIG-a"; "MIG-b" |])
                        |> ignore

                        machine.Play("nvml_trace 1\n" + divided + "nvml_mig_gone 1\n" + one + other)
                        let reading = until source "the other" (fun reading -> uuids reading = ValueSome [| "MIG-b" |])
                        Expect.equal reading.Faults [||] "no fault"

                        let openings () =
                            machine.Calls
                            |> List.filter (fun (_, name, _) -> name = "nvmlInit_v2")
                            |> List.length

                        until source "opened anew" (fun _ -> openings () = 2) |> ignore

                        // For a minute by the reader's clock.
                        let watch = Stopwatch.StartNew()

                        while watch.Elapsed < seconds 3.0 do
                            Expect.equal (uuids (first source)) (ValueSome [| "MIG-b" |]) "it stays so"
                            Thread.Sleep 50

                        Expect.equal (openings ()) 2 "once"))

            testCase "what is free is the older call's where the newer one does not write it"
            <| fun () ->
                withMachine (machineOf "nvml_memory_v2_no_free 1" 1) (fun machine ->
                    withReader machine (fun source ->
                        let reading = first source
                        // 85520809984 - 16452157440 - 502267904.
                        Expect.equal (reading.Gpus[0].MemoryFree, reading.Faults) (ValueSome 68566384640UL<B>, [||]) "not 0"))

            testCase "where the newer version of a call fails the older one counts, and where both fail the newer one's reason"
            <| fun () ->
                let refuse code names =
                    names
                    |> List.map (fun name -> $"nvml_refuse {name} {code}\n")
                    |> String.concat ""

                let newer =
                    [
                        "nvmlDeviceGetComputeRunningProcesses_v3"
                        "nvmlDeviceGetCurrentClocksEventReasons"
                    ]

                let older =
                    [
                        "nvmlDeviceGetComputeRunningProcesses"
                        "nvmlDeviceGetCurrentClocksThrottleReasons"
                    ]

                withMachine (machineOf (refuse 999 newer) 1) (fun machine ->
                    withReader machine (fun source ->
                        let reading = whole source
                        Expect.equal (reading.Gpus[0].ComputeProcesses.Value |> Array.map _.Pid) [| 4711 |] "processes"
                        Expect.equal (reading.Gpus[0].ThrottleReasons, reading.Faults) (ValueSome [| "sw_power_cap" |], [||]) "reasons"))

                withMachine (machineOf (refuse 999 newer + refuse 7 older) 1) (fun machine ->
                    withReader machine (fun source ->
                        let reading = until source "two faults" (fun reading -> reading.Faults.Length = 2)

                        Expect.equal (reading.Faults |> Array.map string |> Array.forall _.EndsWith("UNKNOWN")) true "the newer one's"))

            testCase "a name that is no text is unknown, and told"
            <| fun () ->
                withMachine ((machineOf "" 1).Replace("name NVIDIA H100 80GB HBM3", "name \u0001\u0002")) (fun machine ->
                    withReader machine (fun source ->
                        let reading = first source
                        Expect.equal reading.Gpus[0].Name "" "unknown"
                        Expect.equal reading.Faults [| SourceError.Unreadable("libnvidia-ml GPU 0 name", "UNKNOWN") |] "told"))

            testCase "while no event can be waited for nobody knows how many there were"
            <| fun () ->
                withMachine (machineOf "nvml_event_code 999" 1) (fun machine ->
                    withReader machine (fun source ->
                        until source "unknown" (fun reading -> reading.Gpus[0].XidCount.IsNone)
                        |> ignore

                        Thread.Sleep 200
                        Expect.equal (first source).Gpus[0].XidCount ValueNone "it stays so"
                        machine.Play(machineOf "" 1)

                        until source "none" (fun reading -> reading.Gpus[0].XidCount = ValueSome 0UL)
                        |> ignore))

            testCase "XID events are counted, a repeat of the same code too"
            <| fun () ->
                withMachine (machineOf "" 2) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play(machineOf "" 2 + "xid 13\n")

                        let reading = until source "an event" (fun reading -> reading.Gpus[1].XidCount = ValueSome 1UL)
                        Expect.equal reading.Gpus[1].XidLast (ValueSome 13) "its code"
                        Expect.equal (reading.Gpus[0].XidLast, reading.Gpus[0].XidCount) (ValueNone, ValueSome 0UL) "not the other"
                        machine.Play(machineOf "" 2 + "xid 13\nxid 13\nxid 48\n")
                        let reading = until source "two more" (fun reading -> reading.Gpus[1].XidCount = ValueSome 3UL)
                        Expect.equal reading.Gpus[1].XidLast (ValueSome 48) "the newest"))

            testCase "a GPU without events leaves them unknown"
            <| fun () ->
                withMachine (machineOf "" 1 + "nvml_no_events 3\n") (fun machine ->
                    withReader machine (fun source ->
                        first source |> ignore
                        Thread.Sleep 100
                        let reading = first source
                        Expect.equal (reading.Gpus[0].XidCount, reading.Faults) (ValueNone, [||]) "null, and no fault"))

            testCase "events of a GPU that is suspended when the library is opened are watched from when it is awake"
            <| fun () ->
                withMachine (machineOf "" 2) (fun machine ->
                    let power = Path.Combine(machine.Directory, "sys/bus/pci/devices/0000:19:00.0/power")
                    Directory.CreateDirectory power |> ignore
                    let status = Path.Combine(power, "runtime_status")
                    File.WriteAllText(Path.Combine(power, "control"), "auto\n")
                    File.WriteAllText(status, "suspended\n")

                    withReader machine (fun source ->
                        let reading =
                            until source "the other is watched" (fun reading -> reading.Gpus[1].XidCount = ValueSome 0UL)

                        Expect.equal reading.Gpus[0].XidCount ValueNone "nobody knows"
                        File.WriteAllText(status, "active\n")

                        until source "it is watched" (fun reading -> reading.Gpus[0].XidCount = ValueSome 0UL)
                        |> ignore

                        machine.Play("\n" + gpuLines 0 + "xid 13\n" + gpuLines 1 + "xid 48\n")

                        let reading =
                            until source "both tell" (fun reading ->
                                (reading.Gpus[0].XidCount, reading.Gpus[1].XidCount) = (ValueSome 1UL, ValueSome 1UL))

                        Expect.equal (reading.Gpus[0].XidLast, reading.Gpus[1].XidLast) (ValueSome 13, ValueSome 48) "each its own"))

            testCase "a GPU that refuses events after a new opening has no count any more: what happens is not told"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play(machineOf "" 1 + "xid 13\n")

                        until source "an event" (fun reading -> reading.Gpus[0].XidCount = ValueSome 1UL)
                        |> ignore

                        machine.Play(machineOf "generation 1" 1 + "nvml_no_events 3\n")

                        until source "unknown" (fun reading ->
                            reading.Gpus[0].Name <> ""
                            && reading.Gpus[0].Power.IsSome
                            && reading.Gpus[0].XidCount = ValueNone)
                        |> ignore))

            testCase "a wait for events that comes back at once is made once a second at most"
            <| fun () ->
                withMachine (machineOf "nvml_trace 1\nnvml_event_hasty 1" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        let calls = Path.Combine(machine.Directory, "calls.txt")

                        let waits () =
                            File.ReadAllLines calls
                            |> Array.filter _.Contains(" nvmlEventSetWait")
                            |> Array.length

                        let watch = Stopwatch.StartNew()
                        let before = waits ()
                        Thread.Sleep 1000
                        let after = waits ()
                        Expect.isLessThanOrEqual (float (after - before)) (watch.Elapsed.TotalSeconds * float Scale + 2.0) "waits"
                        machine.Play(machineOf "nvml_trace 1\nnvml_event_hasty 1" 1 + "xid 13\n")

                        until source "events are told all the same" (fun reading -> reading.Gpus[0].XidCount = ValueSome 1UL)
                        |> ignore))

            testCase "a call that succeeds and writes nothing has told nothing, and not 0"
            <| fun () ->
                withMachine (machineOf "nvml_mute 1" 1) (fun machine ->
                    withReader machine (fun source ->
                        let told = (first source).Gpus[0]

                        Expect.equal
                            (told.Utilization, told.MemoryUtilization, told.Temperature, told.MemoryTemperature, told.Power)
                            (ValueNone, ValueNone, ValueNone, ValueNone, ValueNone)
                            "percent, degrees and watts"

                        Expect.equal
                            (told.Energy, told.EccUncorrected, told.RemappedRowsPending, told.NvlinkReceived, told.PcieReceived)
                            (ValueNone, ValueNone, ValueNone, ValueNone, ValueNone)
                            "counters and rates"

                        Expect.equal
                            (told.ThrottleReasons, told.ClockSm, told.PcieLinkWidth, told.Encoder, told.MigMode)
                            (ValueNone, ValueNone, ValueNone, ValueNone, ValueNone)
                            "the others"))

            testCase "a GPU that allows more MIG instances than there can be is asked for as many as there can be"
            <| fun () ->
                withMachine ((machineOf "nvml_trace 1" 1).Replace("mig_mode 0", "mig_mode 1\nnvml_mig_most 4294967294")) (fun machine ->
                    withReader machine (fun source ->
                        let reading = first source
                        Expect.equal reading.Gpus[0].MigMode (ValueSome MigMode.Enabled) "mode"
                        Expect.equal reading.Gpus[0].MigDevices (ValueSome [||]) "none"

                        let asked =
                            File.ReadAllLines(Path.Combine(machine.Directory, "calls.txt"))
                            |> Array.filter _.Contains(" nvmlDeviceGetMigDeviceHandleByIndex ")
                            |> Array.length

                        // For each reading and each costly one.
                        Expect.isLessThanOrEqual asked (64 * 6) "bounded"))

            testCase "costly queries come every 5 s at most, the others at every reading"
            <| fun () ->
                withMachine (machineOf "nvml_trace 1\nnvml_pcie_ms 0" 1) (fun machine ->
                    withReader machine (fun source ->
                        let watch = Stopwatch.StartNew()

                        while watch.Elapsed < seconds 1.0 do
                            first source |> ignore
                            Thread.Sleep 10

                        let calls name =
                            machine.Calls
                            |> List.filter (fun (_, call, _) -> call = name)
                            |> List.map (fun (time, _, _) -> time)

                        Expect.isGreaterThan (calls "nvmlDeviceGetUtilizationRates").Length 20 "often"
                        let costly = calls "nvmlDeviceGetTotalEccErrors"
                        // Four calls a round; 5 s divided by the scale are 250 ms.
                        Expect.isGreaterThan costly.Length 7 $"now and then: {costly}"

                        let gaps =
                            costly
                            |> List.chunkBySize 4
                            |> List.map List.head
                            |> List.pairwise
                            |> List.map (fun (one, next) -> next - one)

                        Expect.all gaps (fun gap -> gap >= 245L) $"not more often: {gaps}"
                        let replays = (calls "nvmlDeviceGetPcieReplayCounter").Length
                        Expect.isTrue (abs (replays * 4 - costly.Length) <= 4) $"{replays} with {costly.Length}"
                        Expect.equal (calls "nvmlSystemGetDriverVersion").Length 1 "once"))
        ]

let private hanging (source: NvmlSource) : string list =
    source.Hanging |> Seq.map string |> List.ofSeq

let private faults =
    testList
        "faults"
        [
            testCase "a lost GPU is there by its name, its neighbour goes on, and it comes back"
            <| fun () ->
                withMachine (machineOf "" 2) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play((machineOf "" 2).Replace("utilization_gpu 90", "utilization_gpu 90\nlost 1"))

                        let lost =
                            { Gpu.OfIndex 0 with
                                Name = (gpu 0).Name
                                Uuid = (gpu 0).Uuid
                                PciBusId = (gpu 0).PciBusId
                                XidCount = ValueSome 0UL
                            }

                        let reading = until source "the loss" (fun reading -> reading.Gpus[0] = lost)
                        Expect.equal reading.Gpus[1] (gpu 1) "its neighbour"

                        Expect.equal reading.Faults [| SourceError.Unreadable("libnvidia-ml GPU 0", "GPU_IS_LOST") |] "told once"

                        // It is opened again several times meanwhile.
                        let watch = Stopwatch.StartNew()

                        while watch.Elapsed < seconds 0.5 do
                            match source.Read() with
                            | null -> failtest "a reading without any GPU"
                            | reading -> Expect.equal reading.Gpus [| lost; gpu 1 |] "throughout"

                            Thread.Sleep 2

                        machine.Play(machineOf "" 2)
                        let reading = until source "it is back" (fun reading -> reading.Gpus[0].Utilization.IsSome)
                        Expect.equal reading.Gpus[1] (gpu 1) "its neighbour"

                        until source "all of it" (fun reading ->
                            reading =
                                {
                                    Gpus = [| gpu 0; gpu 1 |]
                                    Faults = [||]
                                })
                        |> ignore))

            testCase "after a suspend, when every call answers 999, the library is opened again"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        // The opening that is there is the first; the second works.
                        machine.Play(machineOf "nvml_dead_before 2\nnvml_dead_code 17" 1)

                        until source "the end of the session" (fun reading -> reading.Gpus[0].Utilization.IsNone)
                        |> ignore

                        until source "it is opened again" (fun reading -> reading.Gpus = [| gpu 0 |])
                        |> ignore))

            testCase "a GPU that comes or goes is found without any fault"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play(machineOf "" 2)
                        // Half a minute, divided by the scale.
                        until source "two" (fun reading -> reading.Gpus.Length = 2) |> ignore
                        machine.Play(machineOf "" 1)
                        let reading = until source "one" (fun reading -> reading.Gpus.Length = 1)
                        Expect.equal reading.Faults [||] "no fault"))

            testCase "a suspended GPU is not asked, and is known by its name"
            <| fun () ->
                withMachine (machineOf "nvml_trace 1" 2) (fun machine ->
                    let power = Path.Combine(machine.Directory, "sys/bus/pci/devices/0000:19:00.0/power")
                    Directory.CreateDirectory power |> ignore
                    let status = Path.Combine(power, "runtime_status")
                    File.WriteAllText(Path.Combine(power, "control"), "auto\n")
                    File.WriteAllText(status, "active\n")

                    withReader machine (fun source ->
                        whole source |> ignore
                        File.WriteAllText(status, "suspended\n")

                        let reading = until source "it is suspended" (fun reading -> reading.Gpus[0].IsSuspended)

                        Expect.equal reading.Faults [||] "no fault"
                        Expect.equal reading.Gpus[0].Name (gpu 0).Name "its name"
                        Expect.equal reading.Gpus[1] (gpu 1) "its neighbour"
                        let calls = Path.Combine(machine.Directory, "calls.txt")

                        let asked () =
                            File.ReadAllLines calls
                            |> Array.filter (fun line -> line.EndsWith " 0" && not (line.Contains "HandleByIndex"))
                            |> Array.length

                        // One that was under way may end.
                        Thread.Sleep 100
                        let before = asked ()

                        for _ in 1..20 do
                            source.Read() |> ignore
                            Thread.Sleep 20

                        Expect.equal (asked ()) before "no call"
                        File.WriteAllText(status, "active\n")
                        until source "it is awake" (fun reading -> reading.Gpus[0] = gpu 0) |> ignore))

            testCase "a library that is let go of is shut down, and initialised again by the next reading"
            <| fun () ->
                withMachine (machineOf "nvml_trace 1" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore

                        let calls name =
                            File.ReadAllLines(Path.Combine(machine.Directory, "calls.txt"))
                            |> Array.filter _.Contains($" {name} ")
                            |> Array.length

                        Expect.equal (calls "nvmlShutdown", calls "nvmlInit_v2") (0, 1) "open"
                        let watch = Stopwatch.StartNew()

                        // A thread may be in a call.
                        while calls "nvmlShutdown" = 0 do
                            Expect.isLessThan watch.Elapsed (seconds 10.0) "let go of"
                            source.Release()
                            Thread.Sleep 10

                        source.Release()
                        Expect.equal (calls "nvmlShutdown", calls "nvmlInit_v2") (1, 1) "closed once"
                        until source "again" (fun reading -> reading.Gpus = [| gpu 0 |]) |> ignore
                        Expect.equal (calls "nvmlInit_v2") 2 "opened again"))

            testCase "a GPU that is lost after some calls and back after more"
            <| fun () ->
                withMachine (machineOf "" 1 + "lost_after 100\nback_after 103\n") (fun machine ->
                    withReader machine (fun source ->
                        until source "the loss" (fun reading -> reading.Gpus[0].Utilization.IsNone)
                        |> ignore

                        until source "it is back" (fun reading -> reading.Gpus = [| gpu 0 |]) |> ignore))

            testCase "a GPU that cannot be had is told of, and the others are there"
            <| fun () ->
                withMachine (machineOf "" 2 + "nvml_no_handle 4\n") (fun machine ->
                    withReader machine (fun source ->
                        let reading = until source "the first" (fun reading -> reading.Gpus[0] = gpu 0)
                        Expect.equal reading.Gpus[1] (Gpu.OfIndex 1) "the second"

                        Expect.equal reading.Faults [| SourceError.Unreadable("libnvidia-ml GPU 1", "NO_PERMISSION") |] "the other"))

            testCase "a driver that was reloaded is opened again"
            <| fun () ->
                withMachine (machineOf "nvml_trace 1\ngeneration 1" 2) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play(machineOf "nvml_trace 1\ngeneration 2" 3)

                        until source "the new driver" (fun reading -> reading.Gpus = [| gpu 0; gpu 1; gpu 2 |])
                        |> ignore

                        let calls name =
                            machine.Calls |> List.filter (fun (_, call, _) -> call = name) |> List.length

                        Expect.equal (calls "nvmlInit_v2", calls "nvmlShutdown") (2, 1) "closed, and opened again"))

            testCase "a driver that is unloaded leaves no stale reading, and is opened when it is loaded again"
            <| fun () ->
                withMachine (machineOf "generation 1" 1) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play(machineOf "generation 2\ninit 9" 1)
                        let watch = Stopwatch.StartNew()

                        while not (isNull (source.Read())) do
                            if watch.Elapsed > seconds 5.0 then
                                failtest "it still has readings"

                            Thread.Sleep 5

                        Expect.equal source.State (Nvml.State.Failed 9) "state"
                        machine.Play(machineOf "generation 2" 1)

                        until source "the driver is back" (fun reading -> reading.Gpus = [| gpu 0 |])
                        |> ignore

                        Expect.equal source.State (Nvml.State.Opened 1) "state"))

            for code in [ 4; 9; 12; 18; 999 ] do
                testCase $"a library that does not initialise, with {Nvml.nameOf code}"
                <| fun () ->
                    withMachine (machineOf $"init {code}" 1) (fun machine ->
                        withReader machine (fun source ->
                            Expect.isNull (source.Read()) "no reading"
                            Expect.equal source.State (Nvml.State.Failed code) "state"))

            testCase "a library that is not there, and one that is none"
            <| fun () ->
                withMachine "" (fun machine ->
                    let stateOf path =
                        let source = NvmlSource(path, "/proc", "/sys", seconds 1.0, seconds 10.0, AgentClock())
                        Expect.isNull (source.Read()) "no reading"
                        source.State

                    match stateOf (Path.Combine(machine.Directory, "nothing.so")) with
                    | Nvml.State.NotLoaded problem ->
                        let path = Path.Combine(machine.Directory, "nothing.so")

                        Expect.equal
                            problem
                            $"--nvml-library {path}: cannot open shared object file: No such file or directory"
                            "the linker's words, and who named it"
                    | state -> failtest $"{state}"

                    match stateOf (Path.Combine(machine.Directory, "machine.txt")) with
                    | Nvml.State.NotLoaded problem ->
                        Expect.stringContains problem "machine.txt: " "the linker's words"
                        Expect.isFalse (problem.Contains '\n' || problem.Contains "LD_DEBUG") problem
                    | state -> failtest $"{state}")

            testCase "a driver without a GPU, to which one comes"
            <| fun () ->
                withMachine "" (fun machine ->
                    withReader machine (fun source ->
                        Expect.isNull (source.Read()) "no reading"
                        Expect.equal source.State (Nvml.State.Opened 0) "state"
                        machine.Play(machineOf "" 1)
                        until source "the GPU" (fun reading -> reading.Gpus.Length = 1) |> ignore))

            testCase "a costly call that hangs costs the costly fields alone, is told, and comes back"
            <| fun () ->
                withMachine (machineOf "" 2) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        machine.Play(machineOf "nvml_hang nvmlDeviceGetTotalEccErrors" 2)

                        let bare =
                            until source "the old values are too old" (fun reading -> reading.Gpus[0].EccCorrected.IsNone)

                        Expect.equal bare.Gpus[1].Utilization (ValueSome 91.0<percent>) "what is not costly is there"
                        let watch = Stopwatch.StartNew()

                        while Seq.isEmpty source.Hanging do
                            if watch.Elapsed > seconds 5.0 then
                                failtest "it is not told"

                            Thread.Sleep 5

                        Expect.equal
                            (hanging source)
                            [
                                "libnvidia-ml (PCIe, NVLink, ECC, processes) cannot be read: no answer for 10 s"
                            ]
                            "told"

                        machine.Play(machineOf "" 2)

                        until source "it is back" (fun reading -> reading.Gpus = [| gpu 0; gpu 1 |])
                        |> ignore

                        Expect.equal (hanging source) [] "over"))

            testCase "while a costly call hangs, a lost GPU cannot be mended, which is told; the others go on"
            <| fun () ->
                withMachine (machineOf "" 2) (fun machine ->
                    withReader machine (fun source ->
                        whole source |> ignore
                        let line = "nvml_hang nvmlDeviceGetPcieThroughput"
                        machine.Play(machineOf line 2)

                        until source "it hangs" (fun reading -> reading.Gpus[0].PcieSent.IsNone)
                        |> ignore

                        machine.Play((machineOf line 2).Replace("utilization_gpu 90", "utilization_gpu 90\nlost 1"))

                        let watch = Stopwatch.StartNew()

                        let stuck =
                            "libnvidia-ml (after a loss) cannot be read: it cannot be opened again while one of its calls does not return"

                        while not (List.contains stuck (hanging source)) do
                            match source.Read() with
                            | null -> failtest "a reading without any GPU"
                            | reading -> Expect.equal reading.Gpus[1].Utilization (ValueSome 91.0<percent>) "its neighbour"

                            if watch.Elapsed > seconds 5.0 then
                                failtest $"it is not told: %A{hanging source}"

                            Thread.Sleep 5

                        machine.Play(machineOf "" 2)

                        until source "all is well" (fun reading -> reading.Gpus = [| gpu 0; gpu 1 |])
                        |> ignore

                        Expect.equal (hanging source) [] "over"))
        ]

[<Tests>]
let tests = testList "Host.Nvml" [ layouts; names; readings; faults ]
