module Agent.Sender.Tests.CollectorTests

open System
open System.Text.RegularExpressions
open Agent.Core.Units
open Agent.Outbound
open Agent.Sender
open Agent.TestSupport.Readings
open Agent.TestSupport.Fixtures
open Expecto

/// Pages of 4 KiB, and all interfaces.
let private facts: CollectorFacts =
    {
        PageSize = 4096UL<B>
        Interfaces = [||]
        BootTime = ValueSome 1_000_000.0
    }

/// What the collectors make of these files, each a path below its directory and a text, with the stars' names.
let private figuresOf (collector: string) (texts: (string list * string * byte[]) list) =
    let reading: CollectorReading =
        {
            Collector = Collectors.all |> Array.find (fun one -> one.Name = collector)
            Texts =
                [|
                    for names, file, text in texts do
                        {
                            Names = Array.ofList names
                            File = file
                            Text = ReadOnlyMemory text
                        }
                |]
            Took = TimeSpan.Zero
        }

    (Collectors.figuresOf facts [| reading |]).Families

/// Their series, each its family and labels, and the values.
let private told' (collector: string) (texts: (string list * string * byte[]) list) : (string * float) list =
    [
        for family in figuresOf collector texts do
            for figure in family do
                String.concat "," (figure.Family.Name :: List.ofArray figure.Labels), figure.Value
    ]

let private told (collector: string) (texts: (string list * string * string) list) : (string * float) list =
    told' collector (texts |> List.map (fun (names, file, text) -> names, file, utf8 text))

let private seriesOf (line: string) : string * (string * string) list =
    let labels =
        [
            for label in Regex.Matches(line, "([a-z_]+)=\"((?:[^\"\\\\]|\\\\.)*)\"") do
                label.Groups[1].Value, Regex.Unescape label.Groups[2].Value
        ]

    line.Split([| '{'; ' ' |])[0], List.sort labels

[<Tests>]
let tests =
    testList
        "Collectors"
        [
            testCase "of a made-up machine they say what node_exporter says, series for series"
            <| fun () ->
                let theirs =
                    (text "exporters/node_exporter-1.5.0-of-collectors.txt").Split('\n', StringSplitOptions.RemoveEmptyEntries)
                    |> Array.filter (fun line -> not (line.StartsWith '#'))
                    |> Array.map (fun line -> seriesOf line, Double.Parse(line.Substring(line.LastIndexOf ' ')))
                    // An interface without a speed has none here.
                    |> Array.filter (fun ((name, _), value) -> not (name = "node_network_speed_bytes" && value < 0.0))
                    |> Map.ofArray

                let ours =
                    Map.ofList
                        [
                            for figures in (Collectors.figuresOf facts (collectorsOf "collectors")).Families do
                                for figure in figures do
                                    let labels = Array.zip figure.Family.Labels figure.Labels |> List.ofArray
                                    (figure.Family.Name, List.sort labels), figure.Value
                        ]

                // Which 1.5 does not read.
                let newer = text "exporters/node_exporter-hw_counters.txt"

                let isNewer (name, _) =
                    newer.Contains($"# TYPE {name} ", StringComparison.Ordinal)

                Expect.isGreaterThan theirs.Count 650 "series"

                Expect.equal
                    [
                        for KeyValue(series, value) in theirs do
                            match Map.tryFind series ours with
                            | Some our when abs (our - value) <= 1e-12 * abs value -> ()
                            | our -> $"{series}: {our}, there {value}"
                    ]
                    []
                    "differences"

                Expect.equal
                    [
                        for KeyValue(series, _) in ours do
                            if
                                not (
                                    theirs.ContainsKey series
                                    || isNewer series
                                    // Of which node_exporter tells nothing.
                                    || (fst series).StartsWith("lustre_", StringComparison.Ordinal)
                                )
                            then
                                series
                    ]
                    []
                    "only here"

                Expect.equal (ours.Keys |> Seq.filter isNewer |> Seq.length) 58 "counters of the hardware, of two ports"
                // The fixture's first port counts from 300 on.
                Expect.equal
                    (Map.tryFind ("node_infiniband_out_of_sequence_packets_received_total", [ "device", "mlx5_0"; "port", "1" ]) ours)
                    (Some 307.0)
                    "out of sequence"

            testCase "every collector of the made-up machine says something"
            <| fun () ->
                let silent =
                    collectorsOf "collectors"
                    |> Array.filter (fun reading -> (Collectors.figuresOf facts [| reading |]).Families.Count = 0)
                    |> Array.map (fun reading -> reading.Collector.Name)

                Expect.equal silent [||] "silent"

            testCase "a machine that has none of their files has none of their families"
            <| fun () -> Expect.equal (Collectors.figuresOf facts (collectorsOf "no-such-machine")).Families.Count 0 "families"

            testCase "a chip is named by its device, else by its name, else by its place"
            <| fun () ->
                let chip files =
                    told
                        "hwmon"
                        ((files |> List.map (fun (file, text) -> [ "hwmon3" ], file, text))
                         @ [ [ "hwmon3" ], "temp1_input", "20000\n" ])
                    |> List.find (fun (series, _) -> series.StartsWith("node_hwmon_temp_celsius,", StringComparison.Ordinal))

                // As node_exporter names the sensors of an AMD board and of a laptop.
                Expect.equal
                    (chip [ "name", "k10temp\n"; "device", "/sys/devices/pci0000:00/0000:00:18.3\n" ])
                    ("node_hwmon_temp_celsius,pci0000:00_0000:00:18_3,temp1", 20.0)
                    "PCI"

                Expect.equal
                    (chip [ "name", "k10temp\n"; "device", "/sys/devices/platform/coretemp.0\n" ])
                    ("node_hwmon_temp_celsius,platform_coretemp_0,temp1", 20.0)
                    "platform"

                Expect.equal (chip [ "name", "k10temp\n" ]) ("node_hwmon_temp_celsius,k10temp,temp1", 20.0) "name"
                Expect.equal (chip []) ("node_hwmon_temp_celsius,hwmon3,temp1", 20.0) "place"

            testCase "chips of one device are told apart by their names, else by their places"
            <| fun () ->
                let chip place name device celsius =
                    [
                        [ place ], "name", name + "\n"
                        [ place ], "device", $"/sys/devices/{device}\n"
                        [ place ], "temp1_input", $"{celsius}000\n"
                    ]

                let temperatures chips =
                    told "hwmon" (List.concat chips)
                    |> List.filter (fun (series, _) -> series.StartsWith("node_hwmon_temp_celsius,", StringComparison.Ordinal))
                    |> List.map (fun (series, value) -> series.Replace("node_hwmon_temp_celsius,", "").Replace(",temp1", ""), value)

                // The radios of one adapter.
                Expect.equal
                    (temperatures
                        [
                            chip "hwmon2" "mt7996_phy0_0" "ieee80211/phy0" 51
                            chip "hwmon3" "mt7996_phy0_1" "ieee80211/phy0" 52
                            chip "hwmon4" "coretemp" "platform/coretemp.0" 55
                        ])
                    [
                        "ieee80211_phy0_mt7996_phy0_0", 51.0
                        "ieee80211_phy0_mt7996_phy0_1", 52.0
                        "platform_coretemp_0", 55.0
                    ]
                    "names"

                Expect.equal
                    (temperatures
                        [
                            chip "hwmon2" "asus" "platform/asus-nb-wmi" 51
                            chip "hwmon3" "asus" "platform/asus-nb-wmi" 52
                            chip "hwmon4" "" "platform/asus-nb-wmi" 53
                        ])
                    [
                        "platform_asus_nb_wmi_hwmon2", 51.0
                        "platform_asus_nb_wmi_hwmon3", 52.0
                        "platform_asus_nb_wmi_hwmon4", 53.0
                    ]
                    "places"

            testCase "what no sensor reads and what is no limit are no values; an alarm is one"
            <| fun () ->
                let of' files =
                    told "hwmon" (files |> List.map (fun (file, text) -> [ "nvme" ], file, text + "\n"))
                    |> List.map (fun (series, value) -> series.Replace("node_hwmon_", "").Replace(",nvme", ""), value)

                Expect.equal
                    (of'
                        [
                            // Thresholds that an NVMe disk does not have.
                            "temp1_min", "-273150"
                            "temp1_max", "65261850"
                            "temp1_crit", "84000"
                            "temp1_input", "127000"
                            "temp2_input", "41000"
                            "temp2_fault", "1"
                            "temp3_input", "39000"
                            "temp3_fault", "0"
                            "fan1_input", "65535"
                            "fan1_min", "x"
                            "fan2_input", "0"
                        ])
                    [
                        "temp_crit_celsius,temp1", 84.0
                        "temp_fault,temp2", 1.0
                        "temp_fault,temp3", 0.0
                        "temp_celsius,temp3", 39.0
                        "fan_rpm,fan2", 0.0
                    ]
                    "what is left"

            testCase "NFS: UDP is never connected, a local transport has no port, and RDMA counts other things at the end"
            <| fun () ->
                let transport line =
                    let text =
                        $"device s:/x mounted on /x with fstype nfs statvers=1.1\n\tage:\t5\n\txprt:\t{line}\n\tper-op statistics\n"

                    told "mountstats" [ [], "self/mountstats", text ]
                    |> List.filter (fun (series, _) -> series.Contains "_transport_")
                    |> List.map (fun (series, value) -> series.Replace("node_mountstats_nfs_transport_", "").Split(',')[0], value)

                Expect.equal
                    (transport "udp 700 1 20 19 2 30 31 4 5 6")
                    [
                        "bind_total", 1.0
                        "sends_total", 20.0
                        "receives_total", 19.0
                        "bad_transaction_ids_total", 2.0
                        "backlog_queue_total", 31.0
                        "maximum_rpc_slots", 4.0
                        "sending_queue_total", 5.0
                        "pending_queue_total", 6.0
                    ]
                    "UDP"

                Expect.equal
                    (transport "rdma 0 1 2 3 4 50 49 6 7 8 90 91 92")
                    [
                        "bind_total", 1.0
                        "connect_total", 2.0
                        "idle_time_seconds", 4.0
                        "sends_total", 50.0
                        "receives_total", 49.0
                        "bad_transaction_ids_total", 6.0
                        "backlog_queue_total", 8.0
                    ]
                    "RDMA"

                Expect.equal
                    (transport "local 1 2 3 4 50 49 6 7 8 9 10 11" |> List.truncate 3)
                    [ "bind_total", 1.0; "connect_total", 2.0; "idle_time_seconds", 4.0 ]
                    "local"

                // Two connections, as nconnect=2 makes them.
                Expect.equal
                    (transport "tcp 700 1 2 3 11 50 49 6 7 8 9 10 11\n\txprt:\ttcp 701 1 2 3 4 500 490 0 70 80 19 100 110")
                    [
                        "bind_total", 2.0
                        "connect_total", 4.0
                        "idle_time_seconds", 4.0
                        "sends_total", 550.0
                        "receives_total", 539.0
                        "bad_transaction_ids_total", 6.0
                        "backlog_queue_total", 88.0
                        "maximum_rpc_slots", 19.0
                        "sending_queue_total", 110.0
                        "pending_queue_total", 121.0
                    ]
                    "together"

            testCase "NFS: a number below zero is none, and mounts that only process 1 has come after"
            <| fun () ->
                let text export mount wait =
                    $"device {export} mounted on {mount} with fstype nfs4 statvers=1.1\n\tage:\t5\n\tfsc:\t1 2 3\n\txprt:\ttcp 1 2 3\n\tper-op statistics\n"
                    + $"\t        READ: 1 2 3 4 5 {wait} 7000 8000 0\n\n"

                let series =
                    told
                        "mountstats"
                        [
                            [], "self/mountstats", text "a:/x" "/x" "18446743919241604546"
                            [], "1/mountstats", text "a:/x" "/x" "9" + text "b:/y" "/y" "6000"
                            [], "1/mountinfo", "40 26 0:45 / /y rw shared:25 - nfs4 b:/y rw,vers=4.2,clientaddr=10.0.0.5,addr=10.0.0.9\n"
                        ]

                let value name =
                    series
                    |> List.filter (fun (series, _) -> series.StartsWith("node_mountstats_nfs_" + name + ",", StringComparison.Ordinal))

                Expect.equal
                    (value "age_seconds_total")
                    [
                        "node_mountstats_nfs_age_seconds_total,a:/x,tcp,", 5.0
                        "node_mountstats_nfs_age_seconds_total,b:/y,tcp,10.0.0.9", 5.0
                    ]
                    "each mount once"

                Expect.equal
                    (value "operations_queue_time_seconds_total")
                    [
                        "node_mountstats_nfs_operations_queue_time_seconds_total,b:/y,tcp,10.0.0.9,READ", 6.0
                    ]
                    "a wait"

                Expect.equal (value "operations_response_time_seconds_total" |> List.map snd) [ 7.0; 7.0 ] "answers"

                Expect.isFalse
                    (series
                     |> List.exists (fun (series, _) -> series.EndsWith(",fsc", StringComparison.Ordinal)))
                    "no operation"

            testCase "Lustre: bytes and calls of a mount by lustre_exporter's names"
            <| fun () ->
                let text =
                    "snapshot_time             1510950459.772792457 secs.nsecs\n"
                    + "read_bytes                3 samples [bytes] 4096 4194304 4202496\n"
                    + "write_bytes               89467810 samples [bytes] 4096 1048576 93813797294080\n"
                    + "read                      3 samples [usecs] 1 2 3\n"
                    + "open                      136 samples [regs]\n"
                    + "getattr                   41 samples [usecs] 1 9 90 400\n"

                Expect.equal
                    (told "lustre" [ [ "scratch-ffff88105db50000" ], "stats", text ])
                    [
                        "lustre_read_samples_total,client,scratch-ffff88105db50000", 3.0
                        "lustre_read_bytes_total,client,scratch-ffff88105db50000", 4202496.0
                        "lustre_write_samples_total,client,scratch-ffff88105db50000", 89467810.0
                        "lustre_write_bytes_total,client,scratch-ffff88105db50000", 93813797294080.0
                        "lustre_stats_total,client,open,scratch-ffff88105db50000", 136.0
                        "lustre_stats_total,client,getattr,scratch-ffff88105db50000", 41.0
                    ]
                    "series"

            testCase "the clock, from the struct that the kernel fills"
            <| fun () ->
                // What the call returns, and struct timex of adjtimex(2) with 64-bit longs: numbers and gaps as the compiler lays them out.
                let answer (returned: int64) (status: int) =
                    use bytes = new IO.MemoryStream()
                    use writer = new IO.BinaryWriter(bytes)
                    writer.Write returned
                    writer.Write 0L // modes
                    writer.Write 1500L // offset
                    writer.Write 6553600L // freq: 100 parts in a million
                    writer.Write 16000000L // maxerror
                    writer.Write 250L // esterror
                    writer.Write(int64 status)
                    writer.Write 7L // constant
                    writer.Write 1L // precision
                    writer.Write 32768000L // tolerance
                    writer.Write 1L // time
                    writer.Write 2L
                    writer.Write 10000L // tick
                    writer.Write 65536L // ppsfreq
                    writer.Write 3000L // jitter
                    writer.Write 4L // shift
                    writer.Write 131072L // stabil

                    for count in [ 11L; 12L; 13L; 14L ] do
                        writer.Write count // jitcnt, calcnt, errcnt, stbcnt

                    writer.Write 37 // tai
                    writer.Write(Array.zeroCreate<byte> 44)
                    bytes.ToArray()

                let clock returned status =
                    told' "timex" [ [], "adjtimex", answer returned status ] |> Map.ofList

                let good = clock 0L 1

                for name, expected in
                    [
                        "offset_seconds", 0.0015
                        "frequency_adjustment_ratio", 1.0001
                        "maxerror_seconds", 16.0
                        "estimated_error_seconds", 0.00025
                        "status", 1.0
                        "loop_time_constant", 7.0
                        "tick_seconds", 0.01
                        "pps_frequency_hertz", 1e-6
                        "pps_jitter_seconds", 0.003
                        "pps_shift_seconds", 4.0
                        "pps_stability_hertz", 2e-6
                        "pps_jitter_total", 11.0
                        "pps_calibration_total", 12.0
                        "pps_error_total", 13.0
                        "pps_stability_exceeded_total", 14.0
                        "tai_offset_seconds", 37.0
                        "sync_status", 1.0
                    ] do
                    Expect.floatClose Accuracy.high good["node_timex_" + name] expected name

                Expect.equal good.Count 17 "families"
                // STA_NANO: offsets are in nanoseconds. TIME_ERROR and STA_UNSYNC: nobody sets the clock.
                let other = clock 5L 0x2041
                Expect.floatClose Accuracy.high other["node_timex_offset_seconds"] 1.5e-6 "nanoseconds"
                Expect.equal other["node_timex_sync_status"] 0.0 "not synchronised"
                Expect.equal (told' "timex" [ [], "adjtimex", Array.zeroCreate 64 ]) [] "another struct"

            testCase "the agent's own process"
            <| fun () ->
                let stat =
                    "4711 (ai dashboard) S 1 4711 4711 0 -1 4194560 900 0 3 0 250 150 0 0 20 0 9 0 12345 104857600 2560 18446744073709551615 1 1 0"

                let limits =
                    "Limit                     Soft Limit           Hard Limit           Units     \n"
                    + "Max open files            1024                 524288               files     \n"
                    + "Max address space         unlimited            unlimited            bytes     \n"

                Expect.equal
                    (told
                        "process"
                        [
                            [], "stat", stat + "\n"
                            [], "statm", "25600 2560 1000 1 0 500 0\n"
                            [], "limits", limits
                            [], "descriptors", "42\n"
                        ]
                     |> List.sort)
                    (List.sort
                        [
                            // 250 and 150 ticks of a hundredth; 12345 ticks after the fixture's boot.
                            "process_cpu_seconds_total", 4.0
                            "process_start_time_seconds", 1_000_123.45
                            "process_virtual_memory_bytes", 104857600.0
                            "process_resident_memory_bytes", 10485760.0
                            "process_max_fds", 1024.0
                            "process_virtual_memory_max_bytes", 18446744073709551615.0
                            "process_open_fds", 42.0
                        ])
                    "families"

            testCase "processes by their states, and those that are there twice once"
            <| fun () ->
                let stat pid state threads =
                    $"{pid} (a) {state} 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 {threads} 0 5 1000 10 0\n"

                Expect.equal
                    (told
                        "processes"
                        [
                            [], "threads-max", "7801\n"
                            [], "pid_max", "4194304\n"
                            [ "1" ], "stat", stat 1 "S" 3
                            [ "2" ], "stat", stat 2 "R" 1
                            [ "self" ], "stat", stat 2 "R" 1
                            [ "3" ], "stat", "gone"
                            [ "1"; "1" ], "stat", stat 1 "S" 3
                            [ "1"; "7" ], "stat", stat 7 "D" 3
                            [ "2"; "2" ], "stat", stat 2 "R" 1
                        ]
                     |> List.sort)
                    (List.sort
                        [
                            "node_processes_max_threads", 7801.0
                            "node_processes_max_processes", 4194304.0
                            "node_processes_pids", 2.0
                            "node_processes_threads", 4.0
                            "node_processes_state,S", 1.0
                            "node_processes_state,R", 1.0
                            "node_processes_threads_state,S", 1.0
                            "node_processes_threads_state,D", 1.0
                            "node_processes_threads_state,R", 1.0
                        ])
                    "families"

            testCase "what other programs leave in files"
            <| fun () ->
                let backup =
                    "# HELP backup_age_seconds Seconds since the last backup.\n"
                    + "# TYPE backup_age_seconds gauge\n"
                    + "backup_age_seconds{host=\"a\",path=\"/x \\\"y\\\" \\\\ z\"} 12.5\n"
                    + "backup_age_seconds{ path = \"/b\", } 3e2\n\n"
                    + "backup_age_seconds \t{path=\"/c\"} 4\n"
                    + "# a remark\nbackup_runs_total 7\nbackup_ratio NaN\nbackup_limit Infinity\n"

                Expect.equal
                    (told "textfile" [ [ "/t/b.prom"; "1772107200.25" ], "b.prom", backup ])
                    [
                        "backup_age_seconds,a,/x \"y\" \\ z", 12.5
                        "backup_age_seconds,/b", 300.0
                        "backup_age_seconds,/c", 4.0
                        "backup_runs_total", 7.0
                        "node_textfile_mtime_seconds,/t/b.prom", 1772107200.25
                        "node_textfile_scrape_error", 0.0
                    ]
                    "series"

                let families = figuresOf "textfile" [ [ "/t/b.prom"; "1" ], "b.prom", utf8 backup ]

                Expect.equal
                    [
                        for family in families do
                            family[0].Family.Name, family[0].Family.Kind, family[0].Family.Help
                    ]
                    [
                        "backup_age_seconds", MetricKind.Gauge, "Seconds since the last backup."
                        "backup_runs_total", MetricKind.Untyped, "Metric read from /t/b.prom"
                        "node_textfile_mtime_seconds", MetricKind.Gauge, "Unixtime mtime of textfiles successfully read."
                        "node_textfile_scrape_error", MetricKind.Gauge, "1 if there was an error opening or reading a file, 0 otherwise"
                    ]
                    "what they are"

                let help text =
                    let families = figuresOf "textfile" [ [ "/t/b.prom"; "1" ], "b.prom", utf8 $"# HELP x {text}\nx 1\n" ]
                    let first = families |> Seq.collect id |> Seq.head
                    first.Family.Help

                Expect.equal (help "line\\nbreak \\\\ back \\x \\") "line\nbreak \\ back \\x \\" "escapes"

                let withLabels count =
                    "x{" + String.Join(',', [ for i in 1..count -> $"l{i}=\"\"" ]) + "} 1\n"

                Expect.equal
                    (told "textfile" [ [ "/t/c.prom"; "1" ], "c.prom", withLabels 64 ])
                    [
                        "x" + String.replicate 64 ",", 1.0
                        "node_textfile_mtime_seconds,/t/c.prom", 1.0
                        "node_textfile_scrape_error", 0.0
                    ]
                    "as many labels as may be"

                for bad in
                    [
                        "x{a=\"b\" 1\n"
                        "x{a=b} 1\n"
                        "x{1a=\"b\"} 1\n"
                        "x{a=\"b\",a=\"c\"} 1\n"
                        "x{__name__=\"y\"} 1\n"
                        "x 1 1772107200\n"
                        "x one\n"
                        "x ,{a=\"b\"} 1\n"
                        "x\n"
                        "1x 1\n"
                        "x-y 1\n"
                        withLabels 65
                        "y 2"
                    ] do
                    Expect.equal
                        (told "textfile" [ [ "/t/c.prom"; "1" ], "c.prom", "good 1\n" + bad ])
                        [ "good", 1.0; "node_textfile_scrape_error", 1.0 ]
                        bad

                Expect.equal (told "textfile" [ [ "/t/d.prom"; "" ], "d.prom", "" ]) [ "node_textfile_scrape_error", 1.0 ] "unreadable"

            testCase "a number that stands for none is none: of a link without a speed, and of a clock"
            <| fun () ->
                let speed (text: string) =
                    told "netclass" [ [ "eth0" ], "speed", text + "\n" ]
                    |> List.filter (fun (series, _) -> series.StartsWith("node_network_speed", StringComparison.Ordinal))

                for none in [ "-1"; "0"; "65535"; "4294967295" ] do
                    Expect.equal (speed none) [] none

                Expect.equal (speed "100000") [ "node_network_speed_bytes,eth0", 12_500_000_000.0 ] "100 Gbit/s"

                let clock (text: string) =
                    told "cpufreq" [ [ "cpu3" ], "scaling_cur_freq", text + "\n" ]

                for none in [ "0"; "4294967295"; "<unknown>" ] do
                    Expect.equal (clock none) [] none

                Expect.equal (clock "2400000") [ "node_cpu_scaling_frequency_hertz,3", 2.4e9 ] "2.4 GHz"

            testCase "an array that is reshaped is active, and synced as far as it has come"
            <| fun () ->
                let figures =
                    told
                        "mdadm"
                        [
                            [],
                            "mdstat",
                            "Personalities : [raid6]\nmd1 : active raid6 sde1[6] sdb1[0]\n"
                            + "      5860543744 blocks super 1.2 level 6, 4k chunk, algorithm 18 [6/4] [UUUU__]\n"
                            + "      [=========>...........]  reshape = 48.4% (709745748/1465135936) finish=1271.8min speed=9898K/sec\n"
                            + "\nunused devices: <none>\n"
                        ]
                    |> Map.ofList

                Expect.equal (Map.tryFind "node_md_blocks_synced,md1" figures) (Some 709745748.0) "synced"
                Expect.equal (Map.tryFind "node_md_state,md1,active" figures) (Some 1.0) "active"

            testCase "a bad line costs itself"
            <| fun () ->
                Expect.equal
                    (told "vmstat" [ [], "vmstat", "pgpgin many\npgpgout 7\npswpin\noom_kill 1\n" ])
                    [ "node_vmstat_pgpgout", 7.0; "node_vmstat_oom_kill", 1.0 ]
                    "vmstat"

                Expect.equal
                    (told
                        "softnet"
                        [
                            [], "softnet_stat", "0000000a 00000001 00000002 0\nnot hexadecimal 1 2\n0000000b 00000000 00000003 0\n"
                        ]
                     |> List.filter (fun (name, _) -> name.Contains "processed"))
                    [
                        "node_softnet_processed_total,0", 10.0
                        "node_softnet_processed_total,2", 11.0
                    ]
                    "softnet_stat"

                Expect.equal
                    (told
                        "netstat"
                        [
                            [], "snmp", "Tcp: InSegs OutSegs CurrEstab\nTcp: 1 x 3\nUdp: NoPorts\nIp: Forwarding\nIp: 2\n"
                        ])
                    [
                        "node_netstat_Tcp_InSegs", 1.0
                        "node_netstat_Tcp_CurrEstab", 3.0
                        "node_netstat_Ip_Forwarding", 2.0
                    ]
                    "snmp"

                Expect.equal
                    (told "udp_queues" [ [], "udp", "sl\n 1: a b 07 00000010:zz\n 2: a b 07 00000001:00000002\n" ])
                    [ "node_udp_queues,tx,v4", 1.0; "node_udp_queues,rx,v4", 2.0 ]
                    "udp"

            testCase "a line without its end is not told"
            <| fun () -> Expect.equal (told "vmstat" [ [], "vmstat", "pgpgin 12\npgpgout 34" ]) [ "node_vmstat_pgpgin", 12.0 ] "vmstat"

            testCase "a series that a text repeats is told once"
            <| fun () ->
                Expect.equal
                    (told "sockstat" [ [], "sockstat", "RAW: inuse 1\nRAW: inuse 2\n" ])
                    [ "node_sockstat_RAW_inuse", 1.0 ]
                    "the first"

            testCase "the user's interfaces are told alone"
            <| fun () ->
                let figures = Collectors.figuresOf { facts with Interfaces = [| "eth0" |] } (collectorsOf "collectors")

                Expect.equal
                    [
                        for family in figures.Families do
                            if family[0].Family.Name = "node_network_mtu_bytes" then
                                for figure in family do
                                    figure.Labels[0]
                    ]
                    [ "eth0" ]
                    "devices"
        ]
