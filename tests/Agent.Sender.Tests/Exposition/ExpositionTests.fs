module Agent.Sender.Tests.ExpositionTests

open System
open System.Text.RegularExpressions
open Agent.Core
open Agent.Sender
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.TestSupport
open Agent.TestSupport.Readings
open Agent.TestSupport.Fixtures
open Agent.TestSupport.PrometheusText
open Expecto

let private lines (fixture: string) : string[] =
    (text fixture).Split('\n', StringSplitOptions.RemoveEmptyEntries)
    |> Array.filter (fun line -> not (line.StartsWith("# What", StringComparison.Ordinal)))

let private machine =
    { machineWith [| board |] with
        GpuWork = [| work |]
    }

let private both = familiesOf machine

let private family (name: string) : Family =
    both
    |> List.tryFind (fun family -> family.Name = name)
    |> Option.defaultWith (fun () -> failtest $"no {name}")

/// The one sample of a family with these labels, by its value's spelling.
let private value (name: string) (labels: (string * string) list) : string =
    match
        (family name).Samples
        |> List.filter (fun sample -> List.forall (fun label -> List.contains label sample.Labels) labels)
    with
    | [ sample ] -> sample.Spelling
    | samples -> failtest $"{samples.Length} samples of {name} with {labels}"

let private borrowed (prefix: string) =
    both
    |> List.filter (fun family -> family.Name.StartsWith(prefix, StringComparison.Ordinal))

let private nodeExporter =
    testList
        "node_exporter"
        [
            testCase "every family that is borrowed has its help text and its type"
            <| fun () ->
                let captured =
                    [ "node_exporter-1.5.0.txt"; "node_exporter-hw_counters.txt" ]
                    |> Seq.collect (fun file -> lines $"exporters/{file}")
                    |> Set.ofSeq

                let families = borrowed "node_"
                Expect.isGreaterThan families.Length 100 "families"

                for family in families do
                    // Fields that this fixture's kernel has and the captured one had not: the help text follows the name.
                    let isField = family.Name.StartsWith("node_memory_", StringComparison.Ordinal)

                    if not isField || captured.Contains $"# TYPE {family.Name} gauge" then
                        Expect.isTrue (captured.Contains $"# HELP {family.Name} {family.Help}") $"HELP {family.Name} {family.Help}"
                        Expect.isTrue (captured.Contains $"# TYPE {family.Name} {family.Type}") $"TYPE {family.Name} {family.Type}"
                    else
                        let field = family.Name.Substring "node_memory_".Length
                        Expect.equal family.Help $"Memory information field {field}." family.Name

            testCase "of the same machine it says the same, figure for figure"
            <| fun () ->
                let ours =
                    both
                    |> List.collect (fun family -> family.Samples)
                    |> List.map (fun sample -> (sample.Name, List.sort sample.Labels), sample.Value)
                    |> Map.ofList

                let theirs =
                    lines "exporters/node_exporter-1.5.0-of-vm-2core-6.18.txt"
                    |> Array.filter (fun line -> not (line.StartsWith '#'))
                    |> Array.map (fun line ->
                        let labels =
                            [
                                for label in Regex.Matches(line, "([a-z_]+)=\"([^\"]*)\"") do
                                    label.Groups[1].Value, label.Groups[2].Value
                            ]

                        let name = line.Split([| '{'; ' ' |])[0]
                        (name, List.sort labels), Double.Parse(line.Substring(line.LastIndexOf ' ')))

                Expect.isGreaterThan theirs.Length 180 "samples"

                let wrong =
                    [
                        for (name, labels), theirs in theirs do
                            match Map.tryFind (name, labels) ours with
                            | Some ours when abs (ours - theirs) <= 1e-12 * abs theirs -> ()
                            // A sensor that reads −128 °C or 127.5 °C is not connected: see Hwmon.isPlausible.
                            | None when theirs = -128.0 || theirs = 127.5 -> ()
                            // Labels are told without the blanks around them.
                            | None when List.contains ("label", "  AIO Pump ") labels -> ()
                            | ours -> $"{name} {labels}: {ours}, there {theirs}"
                    ]

                Expect.equal wrong [] "differences"

            testCase "what depends on more than these files"
            <| fun () ->
                // 1772107200.25 by date(1).
                Expect.equal (value "node_time_seconds" []) "1772107200.25" "time"
                Expect.equal (value "node_filesystem_size_bytes" [ "device", "/dev/vda1" ]) "1000" "size"
                Expect.equal (value "node_filesystem_free_bytes" [ "mountpoint", "/" ]) "400" "free"
                Expect.equal (value "node_filesystem_avail_bytes" [ "fstype", "ext4" ]) "350" "available"
                Expect.equal (value "node_filesystem_size_bytes" [ "device", "filer:/scratch" ]) "4000" "of another machine"
                Expect.equal (value "node_filesystem_files" [ "mountpoint", "/" ]) "640" "files"
                Expect.equal (value "node_filesystem_files_free" [ "mountpoint", "/" ]) "600" "free files"
                Expect.equal (value "node_filesystem_readonly" [ "mountpoint", "/" ]) "0" "writable"
                Expect.equal (value "node_filesystem_readonly" [ "mountpoint", "/scratch" ]) "1" "read-only"
                Expect.equal (value "node_filesystem_device_error" [ "mountpoint", "/" ]) "0" "answers"
                Expect.equal (value "node_filesystem_device_error" [ "mountpoint", "/home" ]) "1" "does not answer"
                Expect.equal (family "node_filesystem_size_bytes").Samples.Length 2 "what does not answer has no size"

                Expect.equal
                    (family "node_exporter_build_info").Samples[0].Labels
                    [
                        "branch", ""
                        "goarch", "amd64"
                        "goos", "linux"
                        "goversion", ""
                        "revision", ""
                        "version", "1.2.3"
                    ]
                    "what node_exporter says of itself"

                // The sample's sources of the fixture.
                Expect.equal (value "node_scrape_collector_success" [ "collector", "stat" ]) "1" "as the source cpu"
                Expect.equal (value "node_scrape_collector_success" [ "collector", "netstat" ]) "1" "a collector"
                Expect.equal (value "node_scrape_collector_duration_seconds" [ "collector", "netstat" ]) "0.001" "its duration"
                // The fixture's 108 words of four octets.
                Expect.equal (value "node_infiniband_port_data_received_bytes_total" [ "device", "mlx5_0"; "port", "1" ]) "432" "InfiniBand"

                Expect.equal
                    (family "node_uname_info").Samples[0].Labels
                    [
                        "domainname", "(none)"
                        "machine", "x86_64"
                        "nodename", "gpu-box-01"
                        "release", "6.1.0-18-amd64"
                        "sysname", "Linux"
                        "version", "#1 SMP Debian 6.1.76-1"
                    ]
                    "uname"

            testCase "block counts below zero are nothing free, and sizes do not wrap round"
            <| fun () ->
                let negative = UInt64.MaxValue - 338UL

                // Root has used its reserve, and an XFS that is full.
                Expect.equal
                    (FilesystemCounts.OfBlocks(4096UL, 1000UL, negative, negative, 0UL, UInt64.MaxValue))
                    {
                        Size = 4096000UL<B>
                        Free = 0UL<B>
                        Available = 0UL<B>
                        Files = 0UL
                        FilesFree = 0UL
                    }
                    "nothing"

                let large = FilesystemCounts.OfBlocks(4096UL, 1UL <<< 52, 1UL <<< 51, 7UL, 5UL, 3UL)
                Expect.equal large.Size 18446744073709551615UL<B> "2^64 less one, and not 0"

                Expect.equal
                    (large.Free, large.Available, large.Files, large.FilesFree)
                    (9223372036854775808UL<B>, 28672UL<B>, 5UL, 3UL)
                    "the others"

                Expect.equal (FilesystemCounts.OfBlocks(0UL, 1UL, 1UL, 1UL, 1UL, 1UL)).Size 0UL<B> "no unit"

            testCase "partitions, loop devices and ram disks are passed over, as there"
            <| fun () ->
                for name in [ "ram0"; "loop12"; "fd0"; "sda1"; "hdb2"; "vda1"; "xvda15"; "nvme0n1p2" ] do
                    Expect.isTrue (NodeMetrics.isPassedOver name) name

                for name in
                    [
                        "sda"
                        "vda"
                        "nvme0n1"
                        "dm-0"
                        "md127"
                        "zram0"
                        "mmcblk0p1"
                        "sdaa"
                        "rama"
                    ] do
                    Expect.isFalse (NodeMetrics.isPassedOver name) name

            testCase "the user's disks and interfaces are told alone"
            <| fun () ->
                let chosen =
                    familiesOf
                        { machineWith [||] with
                            Disks = [| "loop0" |]
                            Interfaces = [| "lo" |]
                        }

                let devices prefix =
                    chosen
                    |> List.filter (fun family -> family.Name.StartsWith(prefix, StringComparison.Ordinal))
                    |> List.collect (fun family -> family.Samples)
                    |> List.map (fun sample -> (sample.Labels |> List.find (fst >> (=) "device") |> snd))
                    |> List.distinct

                Expect.equal (devices "node_disk_") [ "loop0" ] "disks"
                Expect.equal (devices "node_network_") [ "lo" ] "interfaces"
        ]

let private gpus =
    testList
        "GPUs"
        [
            testCase "every family that is borrowed from dcgm-exporter has its help text and its type"
            <| fun () ->
                let listed =
                    lines "exporters/dcgm-exporter.txt"
                    |> Array.filter (fun line -> not (line.StartsWith '#'))
                    |> Set.ofArray

                let told =
                    borrowed "DCGM_"
                    |> List.map (fun f -> $"{f.Name} {f.Type} {f.Help}")
                    |> Set.ofList

                Expect.equal told listed "families"

            testCase "values in dcgm-exporter's units, with its labels"
            <| fun () ->
                Expect.equal
                    (family "DCGM_FI_DEV_GPU_UTIL").Samples[0].Labels
                    [
                        "gpu", "1"
                        "UUID", "GPU-4444"
                        "pci_bus_id", "00000000:65:00.0"
                        "device", "nvidia1"
                        "modelName", "NVIDIA H100 80GB HBM3"
                        "Hostname", "gpu-box-01"
                        "hostname", "gpu-box-01"
                        "DCGM_FI_DRIVER_VERSION", "580.95.05"
                    ]
                    "labels"

                Expect.equal
                    ((family "DCGM_FI_DEV_XID_ERRORS").Samples[0].Labels
                     |> List.filter (fun (name, _) -> name.StartsWith "err_"))
                    [ "err_code", "79"; "err_msg", "the GPU has fallen off the bus" ]
                    "what the event is"

                for name, expected in
                    [
                        "DCGM_FI_DEV_GPU_UTIL", "97"
                        "DCGM_FI_DEV_MEM_COPY_UTIL", "45"
                        // 16 GiB, 63.5 GiB and half a GiB in MiB.
                        "DCGM_FI_DEV_FB_USED", "16384"
                        "DCGM_FI_DEV_FB_FREE", "65024"
                        "DCGM_FI_DEV_FB_RESERVED", "512"
                        "DCGM_FI_DEV_GPU_TEMP", "65"
                        "DCGM_FI_DEV_MEMORY_TEMP", "71"
                        "DCGM_FI_DEV_POWER_USAGE", "433.78"
                        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "123456789012"
                        "DCGM_FI_DEV_SM_CLOCK", "1755"
                        "DCGM_FI_DEV_MEM_CLOCK", "2619"
                        "DCGM_FI_DEV_ENC_UTIL", "10"
                        "DCGM_FI_DEV_DEC_UTIL", "20"
                        "DCGM_FI_DEV_XID_ERRORS", "79"
                        "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", "12"
                        "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", "1"
                        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "5"
                        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "3"
                        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "4"
                        "DCGM_FI_DEV_ROW_REMAP_FAILURE", "0"
                        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "6"
                        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "7"
                        "DCGM_FI_DEV_POWER_VIOLATION", "21000000000"
                        "DCGM_FI_DEV_THERMAL_VIOLATION", "22000000000"
                        "DCGM_FI_DEV_SYNC_BOOST_VIOLATION", "23000000000"
                        "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION", "24000000000"
                        "DCGM_FI_DEV_LOW_UTIL_VIOLATION", "25000000000"
                        "DCGM_FI_DEV_RELIABILITY_VIOLATION", "26000000000"
                        "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "11"
                        "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", "12"
                        "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "13"
                        "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "14"
                        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "450"
                        "DCGM_FI_DEV_FAN_SPEED", "30"
                        // sw_power_cap is bit 2, hw_slowdown bit 3.
                        "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "12"
                        // Ratios, and bytes a second.
                        "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.96"
                        "DCGM_FI_PROF_SM_ACTIVE", "0.885"
                        "DCGM_FI_PROF_SM_OCCUPANCY", "0.125"
                        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "0.45"
                        "DCGM_FI_PROF_DRAM_ACTIVE", "0.3025"
                        "DCGM_FI_PROF_PCIE_TX_BYTES", "1048576"
                        "DCGM_FI_PROF_PCIE_RX_BYTES", "2097152"
                        "DCGM_FI_PROF_NVLINK_TX_BYTES", "4718592"
                        "DCGM_FI_PROF_NVLINK_RX_BYTES", "3145728"
                        "ai_dashboard_gpu_memory_size_bytes", "85899345920"
                        "ai_dashboard_gpu_power_limit_watts", "700"
                        "ai_dashboard_gpu_fan_speed_ratio", "0.3"
                        "ai_dashboard_gpu_pcie_receive_bytes_per_second", "1024000"
                        "ai_dashboard_gpu_pcie_transmit_bytes_per_second", "2048000"
                        "ai_dashboard_gpu_pcie_link_generation", "5"
                        "ai_dashboard_gpu_pcie_link_lanes", "16"
                        "ai_dashboard_gpu_nvlink_receive_bytes_total", "5000"
                        "ai_dashboard_gpu_nvlink_transmit_bytes_total", "6000"
                        "ai_dashboard_gpu_xid_events_total", "3"
                        "ai_dashboard_gpu_remapped_rows_pending", "1"
                        "ai_dashboard_gpu_compute_processes", "1"
                        "ai_dashboard_gpu_mig_memory_size_bytes", "42949672960"
                        "ai_dashboard_gpu_mig_memory_used_bytes", "1073741824"
                    ] do
                    Expect.equal (value name [ "gpu", "1" ]) expected name

                Expect.equal (value "ai_dashboard_gpu_throttle_reason" [ "reason", "hw_slowdown" ]) "1" "reason"

            testCase "a GPU that nobody uses has no profiling metrics, nor has one that the work is not of"
            <| fun () ->
                for work in [ [||]; [| { work with GpuUuid = "GPU-5555" } |] ] do
                    let told =
                        familiesOf
                            { machineWith [| board |] with
                                GpuWork = work
                            }

                    Expect.isFalse (told |> List.exists (fun family -> family.Name.StartsWith "DCGM_FI_PROF_")) "none"

            testCase "the GPU instances of a board that is divided, as dcgm-exporter labels them, in place of its memory"
            <| fun () ->
                let instance index compute gi name : MigDevice =
                    { board.MigDevices.Value[0] with
                        Index = index
                        Name = name
                        Uuid = $"MIG-{index}"
                        GpuInstance = gi
                        ComputeInstance = ValueSome compute
                        MemoryUsed = ValueSome 1073741824UL<B>
                        MemoryFree = ValueSome 2147483648UL<B>
                    }

                let divided =
                    { board with
                        MigDevices =
                            ValueSome
                                [|
                                    // Two halves of one GPU instance, which share its memory.
                                    instance 0 0 (ValueSome 2) "NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb"
                                    instance 1 1 (ValueSome 2) "NVIDIA H100 80GB HBM3 MIG 2c.3g.40gb"
                                    instance 2 0 (ValueSome 9) "NVIDIA H100 80GB HBM3 MIG 1g.10gb+me"
                                    instance 3 0 (ValueSome 11) ""
                                    instance 4 0 ValueNone "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
                                |]
                    }

                let used =
                    { work with
                        Gpm = GpmWork.None
                        Instances =
                            [|
                                {
                                    Instance = "MIG-1"
                                    Activity = gpm.Sm
                                    Gpm = gpm
                                }
                            |]
                    }

                let told =
                    familiesOf
                        { machineWith [| divided |] with
                            GpuWork = [| used |]
                        }

                let series name =
                    (told |> List.find (fun family -> family.Name = name)).Samples
                    |> List.map (fun sample ->
                        let label name =
                            sample.Labels
                            |> List.tryFind (fst >> (=) name)
                            |> Option.map snd
                            |> Option.defaultValue "-"

                        label "UUID", label "GPU_I_ID", label "GPU_I_PROFILE", sample.Spelling)

                Expect.equal
                    (series "DCGM_FI_DEV_FB_USED")
                    [
                        "GPU-4444", "2", "3g.40gb", "1024"
                        "GPU-4444", "9", "1g.10gb+me", "1024"
                        "GPU-4444", "11", "-", "1024"
                    ]
                    "each once, and not the board's"

                Expect.equal (series "DCGM_FI_DEV_FB_FREE" |> List.map (fun (_, _, _, value) -> value)) [ "2048"; "2048"; "2048" ] "free"
                Expect.equal (series "DCGM_FI_PROF_SM_ACTIVE") [ "GPU-4444", "2", "3g.40gb", "0.885" ] "the one in use"
                Expect.equal (series "DCGM_FI_DEV_GPU_TEMP") [ "GPU-4444", "-", "-", "65" ] "the board's own"

            testCase "what a GPU does not tell is absent"
            <| fun () ->
                let told = familiesOf (machineWith [| Gpu.OfIndex 0 |]) |> List.map (fun f -> f.Name)

                let ofGpus =
                    told
                    |> List.filter (fun name ->
                        name.StartsWith("DCGM_", StringComparison.Ordinal)
                        || name.StartsWith("ai_dashboard_gpu_", StringComparison.Ordinal))

                Expect.equal ofGpus [] "families"
        ]

let private own =
    testList
        "of our own"
        [
            testCase "one bottleneck is 1, the others are 0"
            <| fun () ->
                let states =
                    (family "ai_dashboard_bottleneck").Samples
                    |> List.map (fun s -> snd s.Labels[0], s.Spelling)

                Expect.equal states.Length 10 "labels"
                Expect.equal (states |> List.filter (fun (_, value) -> value = "1") |> List.length) 1 "one"
                Expect.isTrue (List.forall (fun (_, value) -> value = "0" || value = "1") states) "0 or 1"

            testCase "what becomes of samples, and how sources fare"
            <| fun () ->
                for name, labels, expected in
                    [
                        "ai_dashboard_build_info", [ "version", "1.2.3" ], "1"
                        "ai_dashboard_samples_taken_total", [], "100"
                        "ai_dashboard_samples_skipped_total", [], "2"
                        "ai_dashboard_source_failures_total", [], "5"
                        "ai_dashboard_backlog_samples", [ "destination", "ingest" ], "7"
                        "ai_dashboard_samples_delivered_total", [ "destination", "ingest" ], "90"
                        "ai_dashboard_samples_dropped_total", [ "reason", "no-room" ], "1"
                        "ai_dashboard_samples_dropped_total", [ "reason", "refused" ], "2"
                        "ai_dashboard_samples_dropped_total", [ "reason", "damaged" ], "0"
                        "ai_dashboard_source_success", [ "source", "cpu" ], "1"
                        "ai_dashboard_source_success", [ "source", "gpu" ], "0"
                        "ai_dashboard_source_duration_seconds", [ "source", "cpu" ], "0.00025"
                        "ai_dashboard_cpu_temperature_celsius", [], "61"
                        "ai_dashboard_cpu_frequency_hertz", [], "2300000000"
                        "ai_dashboard_processes", [], "123"
                        "ai_dashboard_fan_speed_rpm", [ "fan", "FAN \"1\"" ], "1180"
                        "ai_dashboard_sample_timestamp_seconds", [], "1772107200.25"
                    ] do
                    Expect.equal (value name labels) expected name

                Expect.equal (family "ai_dashboard_source_duration_seconds").Samples.Length 1 "no duration, no series"

            testCase "before the first sample the agent tells of itself alone"
            <| fun () ->
                let told = readText (ReadOnlySpan(bytesOf ExpositionFormat.Text ValueNone agent))

                Expect.isTrue
                    (told
                     |> List.forall (fun family -> family.Name.StartsWith("ai_dashboard_", StringComparison.Ordinal)))
                    "families"
        ]

let private formats =
    testList
        "formats"
        [
            testCase "the two formats say the same"
            <| fun () ->
                let reading = ValueSome machine

                let samples (all: Family list) =
                    all |> List.collect (fun family -> family.Samples)

                Expect.equal
                    (samples (readOpenMetrics (ReadOnlySpan(bytesOf ExpositionFormat.OpenMetrics reading agent))))
                    (samples both)
                    "samples"

            testCase "types of OpenMetrics"
            <| fun () ->
                let told =
                    readOpenMetrics (ReadOnlySpan(bytesOf ExpositionFormat.OpenMetrics (ValueSome machine) agent))

                let typeOf name =
                    (told |> List.find (fun family -> family.Name = name)).Type

                Expect.equal (typeOf "node_cpu_seconds") "counter" "a counter"
                Expect.equal (typeOf "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") "unknown" "a counter that is not called total"
                Expect.equal (typeOf "ai_dashboard_build") "info" "info"
                Expect.equal (typeOf "ai_dashboard_bottleneck") "stateset" "states"
                Expect.equal (typeOf "node_load1") "gauge" "a gauge"

            testCase "label values are escaped"
            <| fun () ->
                let text =
                    Text.Encoding.UTF8.GetString(
                        bytesOf ExpositionFormat.Text (ValueSome(machineWith [| { board with Name = "a\\b\"c\nd — é" } |])) agent
                    )

                Expect.stringContains text "modelName=\"a\\\\b\\\"c\\nd — é\"" "backslash, quote, line end"

            testCase "the Accept header chooses"
            <| fun () ->
                for accept, expected in
                    [
                        // Prometheus 2.42.
                        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                        ExpositionFormat.OpenMetrics
                        // VictoriaMetrics' vmagent.
                        "text/plain;version=0.0.4;q=1,*/*;q=0.1", ExpositionFormat.Text
                        // A browser.
                        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ExpositionFormat.Text
                        "", ExpositionFormat.Text
                        "*/*", ExpositionFormat.Text
                        "application/openmetrics-text", ExpositionFormat.OpenMetrics
                        "application/openmetrics-text; version=\"1.0.0\"", ExpositionFormat.OpenMetrics
                        "application/openmetrics-text; version=0.0.1", ExpositionFormat.Text
                        "application/openmetrics-text;q=0", ExpositionFormat.Text
                        "application/openmetrics-text;q=0.3, text/plain;q=0.4", ExpositionFormat.Text
                        "application/openmetrics-text;q=x", ExpositionFormat.Text
                        ";;,=,q=1", ExpositionFormat.Text
                    ] do
                    Expect.equal (Exposition.formatFor accept) expected accept
        ]

[<Tests>]
let tests = testList "Exposition" [ nodeExporter; gpus; own; formats ]
