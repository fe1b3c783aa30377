module Agent.Core.Tests.WireTests

open System
open System.Buffers
open System.Text
open System.Text.Json
open Agent.Build
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.TestSupport.GoldenSample
open Expecto

let private fullText =
    [
        """{"sample":{"collected_at":"2026-02-26T02:37:49.120000+00:00","cpu_usage_percent":12.5,"cpu_user_percent":8.1,"""
        """"cpu_system_percent":3,"cpu_iowait_percent":0.4,"cpu_load_1":0.52,"cpu_load_5":1,"cpu_load_15":2.25,"""
        """"cpu_frequency_mhz":2300.5,"cpu_temperature_c":61,"cpu_count_logical":2,"cpu_count_physical":1,"""
        """"memory_total_bytes":16000,"memory_used_bytes":4000,"memory_available_bytes":12000,"memory_percent":25,"""
        """"swap_total_bytes":1024,"swap_used_bytes":0,"swap_percent":0,"network_rx_bytes_total":1001,"""
        """"network_tx_bytes_total":1002,"process_count":131,"disks":[{"device":"nvme0n1","read_bytes_total":1,"""
        """"write_bytes_total":2,"read_count_total":3,"write_count_total":4,"busy_time_ms_total":5}],"""
        """"gpus":[{"gpu_index":0,"name":"NVIDIA H100 80GB HBM3","uuid":"GPU-44444444-0000-4000-8000-000000000000","""
        """"pci_bus_id":"00000000:65:00.0","suspended":false,"""
        """"utilization_gpu_percent":97,"utilization_memory_percent":11,"memory_total_bytes":3000,"""
        """"memory_used_bytes":1000,"memory_percent":33.3,"memory_free_bytes":1900,"memory_reserved_bytes":100,"memory_is_host":false,"""
        """"temperature_c":53,"fan_speed_percent":30,"power_w":433.78,"""
        """"power_limit_w":700,"throttle_reasons":["sw_power_cap","sw_thermal_slowdown"],"clock_sm_mhz":1980,"clock_sm_max_mhz":null,"""
        """"clock_memory_mhz":2619,"pcie_rx_bytes_per_s":2048,"pcie_tx_bytes_per_s":1024,"pcie_link_gen":5,"""
        """"pcie_link_width":16,"ecc_uncorrected_total":1,"ecc_corrected_total":2,"remapped_rows_pending":true,"""
        """"xid_last":79,"xid_count":3,"energy_mj_total":987654321,"encoder_percent":4,"decoder_percent":5.5,"""
        """"nvlink_rx_bytes_total":6,"nvlink_tx_bytes_total":7,"memory_temperature_c":61,"mig_mode":"enabled","""
        """"compute_processes":[{"pid":11345,"memory_used_bytes":900,"name":"gpu_burn"},"""
        """{"pid":12,"memory_used_bytes":null,"name":""}],"mig_devices":[{"mig_index":0,"""
        """"name":"NVIDIA H100 80GB HBM3 MIG 3g.40gb","uuid":"MIG-44444444-0000-4000-8000-000000000001","""
        """"gpu_instance_id":1,"compute_instance_id":0,"memory_total_bytes":2000,"memory_used_bytes":null,"""
        """"compute_processes":[{"pid":13,"memory_used_bytes":5,"name":"train"}],"xid_last":31,"xid_count":1}]},"""
        """{"gpu_index":1,"name":"","uuid":"","pci_bus_id":"","suspended":false,"utilization_gpu_percent":null,"utilization_memory_percent":null,"""
        """"memory_total_bytes":null,"memory_used_bytes":null,"memory_percent":null,"memory_free_bytes":null,"memory_reserved_bytes":null,"memory_is_host":false,"temperature_c":null,"""
        """"fan_speed_percent":null,"power_w":null,"power_limit_w":null,"throttle_reasons":null,"clock_sm_mhz":null,"clock_sm_max_mhz":null,"""
        """"clock_memory_mhz":null,"pcie_rx_bytes_per_s":null,"pcie_tx_bytes_per_s":null,"pcie_link_gen":null,"""
        """"pcie_link_width":null,"ecc_uncorrected_total":null,"ecc_corrected_total":null,"""
        """"remapped_rows_pending":null,"xid_last":null,"xid_count":null,"energy_mj_total":null,"""
        """"encoder_percent":null,"decoder_percent":null,"nvlink_rx_bytes_total":null,"nvlink_tx_bytes_total":null,"""
        """"memory_temperature_c":null,"mig_mode":null,"compute_processes":null,"mig_devices":null}],"fans":[{"label":"FAN1","speed_rpm":5600}],"cpu_steal_percent":0,"""
        """"cpu_cores_percent":[10,15.1],"pressure":{"cpu_some_avg10":0.17,"io_some_avg10":1,"io_full_avg10":2,"""
        """"memory_some_avg10":3,"memory_full_avg10":4,"cpu_some_total_us":1,"io_some_total_us":2,"io_full_total_us":3,"""
        """"memory_some_total_us":4,"memory_full_total_us":5},"network_interfaces":[{"name":"eth0","kind":"physical","master":"bond0","""
        """"rx_bytes_total":1001,"tx_bytes_total":1002,"rx_packets_total":11,"tx_packets_total":21,"rx_errors_total":12,"""
        """"tx_errors_total":22,"rx_dropped_total":13,"tx_dropped_total":23}],"""
        """"tcp_segments_sent_total":4196996,"tcp_segments_retransmitted_total":1859,"infiniband":[{"device":"mlx5_0","port":1,"""
        """"rx_bytes_total":400,"tx_bytes_total":800}],"""
        """"jobs":[{"id":"slurm-4711","owner":{"kind":"slurm","value":"4711","namespace":null,"name":null},"""
        """"user":"alice","uid":1001,"name":"train.py","command":"python train.py","root_pid":4242,"""
        """"started_at":"2026-02-26T09:00:00.000000+00:00","gpus":[{"gpu_index":0,"uuid":"GPU-0","""
        """"memory_bytes":60000000000,"sm_percent":90}],"processes":5,"threads":40,"loaders":4,"cpu_cores_used":1.5,"""
        """"cpu_cores_allowed":32,"busiest_thread_percent":35,"busiest_thread_of":"main","main_thread_percent":35,"""
        """"loaders_busy_percent":25,"cpu_wait_percent":1,"cpu_throttled_percent":0,"blocked_percent":2,"""
        """"main_blocked_percent":0,"blocked_on":null,"read_bytes_per_s":5000000,"write_bytes_per_s":100000,"""
        """"network_rx_bytes_per_s":10000,"memory_bytes":40000000000,"memory_limit_bytes":200000000000,"""
        """"memory_stall_percent":0,"io_stall_percent":1,"refault_bytes_per_s":null,"major_faults_per_s":1,"out_of_memory_kills":0,"""
        """"gpu_busy_percent":null,"gpu_least_busy_percent":null,"gpu_power_percent":null,"""
        """"verdict":{"label":"loader-cpu","second":"disk-read","since":"2026-02-26T02:30:00.000000+00:00","""
        """"confidence":0.9,"reason":"the loader is at 99 % of a core","fix":"num_workers=8","""
        """"evidence":[{"name":"loaders","value":99,"limit":90,"unit":"%"}],"ruled_out":[{"name":"disk","value":3,"""
        """"limit":null,"unit":"%"}]}}],"verdict":{"label":"loader-cpu","second":"disk-read","""
        """"since":"2026-02-26T02:30:00.000000+00:00","confidence":0.9,"reason":"the loader is at 99 % of a core","""
        """"fix":"num_workers=8","evidence":[{"name":"loaders","value":99,"limit":90,"unit":"%"}],"""
        """"ruled_out":[{"name":"disk","value":3,"limit":null,"unit":"%"}]},"jobs_left_out":2"""
        """},"agent":{"version":"0.1.0","hostname":"node-7","""
        """"platform":"Linux-6.1.0-18-amd64-x86_64-with-glibc2.36","pid":4711,"labels":{"rack":"r1","größe":"\"x\""},"""
        """"disk_filters":["/dev/nvme0n1"],"runtime":".NET 10.0.1","system_info":{"os_name":"Linux","""
        """"os_release":"6.1.0-18-amd64","os_version":"#1 SMP","machine":"x86_64","processor":"AMD EPYC 9654","""
        """"cpu_model":"AMD EPYC 9654","hostname":"vm","cpu_count_logical":2,"cpu_count_physical":1,"""
        """"memory_total_bytes":16000,"swap_total_bytes":1024,"boot_time":"2026-02-25T00:00:00.000000+00:00","""
        """"uptime_seconds":95869.12,"platform_full":"Linux-6.1.0-18-amd64-x86_64-with-glibc2.36","""
        """"partitions":[{"device":"/dev/vda1","mountpoint":"/","fstype":"ext4","total_bytes":100,"used_bytes":30,"""
        """"free_bytes":60,"percent":33.3}],"interfaces":[{"name":"eth0","ipv4":"192.0.2.2","ipv6":null}]}}}"""
    ]
    |> String.concat ""

let private failedText =
    [
        """{"sample":{"collected_at":"2026-02-26T02:37:49.000000+00:00","cpu_usage_percent":null,"cpu_user_percent":null,"""
        """"cpu_system_percent":null,"cpu_iowait_percent":null,"cpu_load_1":null,"cpu_load_5":null,"cpu_load_15":null,"""
        """"cpu_frequency_mhz":null,"cpu_temperature_c":null,"cpu_count_logical":null,"cpu_count_physical":null,"""
        """"memory_total_bytes":null,"memory_used_bytes":null,"memory_available_bytes":null,"memory_percent":null,"""
        """"swap_total_bytes":null,"swap_used_bytes":null,"swap_percent":null,"network_rx_bytes_total":null,"""
        """"network_tx_bytes_total":null,"process_count":null,"disks":[],"gpus":[],"fans":[],"cpu_steal_percent":null,"""
        """"cpu_cores_percent":[],"pressure":null,"network_interfaces":[],"tcp_segments_sent_total":null,"""
        """"tcp_segments_retransmitted_total":null,"infiniband":[]},"agent":{"version":"0.1.0","""
        """"hostname":"","platform":"--","pid":1,"labels":{},"disk_filters":[],"runtime":".NET 10.0.1","""
        """"system_info":{"os_name":"","os_release":"","os_version":"","machine":"","processor":"","cpu_model":"","""
        """"hostname":"","cpu_count_logical":null,"cpu_count_physical":null,"memory_total_bytes":null,"""
        """"swap_total_bytes":null,"boot_time":null,"uptime_seconds":null,"platform_full":"--","partitions":[],"""
        """"interfaces":[]}}}"""
    ]
    |> String.concat ""

let private unknownAgent =
    { agent with
        Hostname = ""
        Pid = 1
        Labels = [||]
        DiskFilters = [||]
        System = SystemInfo.unknown
    }

/// The keys of the webapp's contract by the object that they are members of, each with the kind that it wants, as JSON's own
/// kinds: n number, i integer, s string, a array, o object.
let private contract =
    [
        "sample",
        "collected_at s cpu_usage_percent n cpu_user_percent n cpu_system_percent n cpu_iowait_percent n cpu_load_1 n cpu_load_5 n \
         cpu_load_15 n cpu_frequency_mhz n cpu_temperature_c n cpu_count_logical i cpu_count_physical i memory_total_bytes i \
         memory_used_bytes i memory_available_bytes i memory_percent n swap_total_bytes i swap_used_bytes i swap_percent n \
         network_rx_bytes_total i network_tx_bytes_total i process_count i disks a gpus a fans a"
        "disk", "device s read_bytes_total i write_bytes_total i read_count_total i write_count_total i busy_time_ms_total i"
        "gpu",
        "gpu_index i name s uuid s utilization_gpu_percent n utilization_memory_percent n memory_total_bytes i memory_used_bytes i \
         memory_percent n temperature_c n fan_speed_percent n power_w n power_limit_w n"
        "fan", "label s speed_rpm i"
        "agent", "version s hostname s platform s pid i labels o disk_filters a system_info o"
        "system_info",
        "os_name s os_release s os_version s machine s processor s cpu_model s hostname s cpu_count_logical i cpu_count_physical i \
         memory_total_bytes i swap_total_bytes i boot_time s uptime_seconds n platform_full s partitions a interfaces a"
        "partition", "device s mountpoint s fstype s total_bytes i used_bytes i free_bytes i percent n"
        "interface", "name s ipv4 s ipv6 s"
    ]

let private kindOf (kind: KeyKind) =
    match kind with
    | KeyKind.Number -> "n"
    | KeyKind.Int
    | KeyKind.Counter -> "i"
    | KeyKind.Bool -> "b"
    | KeyKind.Text
    | KeyKind.OneOf _
    | KeyKind.Instant -> "s"
    | KeyKind.Texts
    | KeyKind.Numbers
    | KeyKind.Objects _ -> "a"
    | KeyKind.Labels
    | KeyKind.Object _ -> "o"

[<Tests>]
let tests =
    testList
        "Wire"
        [
            testCase "a sample in which everything is known"
            <| fun () -> Expect.equal (body full agent) fullText "golden"

            testCase "a sample of which every source failed"
            <| fun () -> Expect.equal (body failed unknownAgent) failedText "golden: null, never 0"

            testCase "the keys of the webapp's contract are there, of its kinds, and all others are ours"
            <| fun () ->
                let found =
                    [
                        for table in KeyDocs.tablesOf Wire.body do
                            let keys = table.Keys |> Array.filter _.Owner.IsWebapp

                            if keys.Length > 0 then
                                table.Name,
                                keys
                                |> Array.map (fun key -> $"{key.Name} {kindOf key.Kind}")
                                |> String.concat " "
                    ]

                Expect.equal found contract "rows"

            testCase "the agent object has no more keys than the webapp keeps"
            <| fun () ->
                use document = JsonDocument.Parse(body full agent)
                let sender = document.RootElement.GetProperty "agent"
                Expect.isLessThanOrEqual (Seq.length (sender.EnumerateObject())) 25 "25"

            testCase "an instant has microseconds and a numeric offset"
            <| fun () ->
                for value, expected in
                    [
                        DateTimeOffset(2026, 2, 26, 2, 37, 49, TimeSpan.Zero), "2026-02-26T02:37:49.000000+00:00"
                        DateTimeOffset(2026, 2, 26, 2, 37, 49, 120, TimeSpan.Zero).AddTicks 19L, "2026-02-26T02:37:49.120001+00:00"
                        DateTimeOffset(2026, 1, 1, 0, 30, 0, TimeSpan.FromHours 1.0), "2025-12-31T23:30:00.000000+00:00"
                        DateTimeOffset(9, 1, 1, 0, 0, 0, TimeSpan.Zero), "0009-01-01T00:00:00.000000+00:00"
                    ] do
                    Expect.equal (Wire.instant value) expected expected

            testCase "a counter above 2^63-1 is sent as 2^63-1"
            <| fun () ->
                let sample =
                    { failed with
                        NetworkReceived = ValueSome 9223372036854775808UL<B>
                        NetworkSent = ValueSome 18446744073709551615UL<B>
                    }

                use document = JsonDocument.Parse(body sample agent)
                let sample = document.RootElement.GetProperty "sample"
                Expect.equal ((sample.GetProperty "network_rx_bytes_total").GetRawText()) "9223372036854775807" "2^63"
                Expect.equal ((sample.GetProperty "network_tx_bytes_total").GetRawText()) "9223372036854775807" "2^64-1"

            testCase "NaN and infinities are null"
            <| fun () ->
                let sample =
                    { failed with
                        CpuUsage = ValueSome(LanguagePrimitives.FloatWithMeasure nan)
                        CpuFrequency = ValueSome(LanguagePrimitives.FloatWithMeasure infinity)
                        CpuCores = [| ValueSome(LanguagePrimitives.FloatWithMeasure nan); ValueNone |]
                    }

                use document = JsonDocument.Parse(body sample agent)
                let sample = document.RootElement.GetProperty "sample"
                Expect.equal ((sample.GetProperty "cpu_usage_percent").GetRawText()) "null" "NaN"
                Expect.equal ((sample.GetProperty "cpu_frequency_mhz").GetRawText()) "null" "infinity"
                Expect.equal ((sample.GetProperty "cpu_cores_percent").GetRawText()) "[null,null]" "in an array"
        ]
