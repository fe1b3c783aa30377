/// What the agent reads, from trees and programs made for the purpose.
module Agent.EndToEnd.Tests.SourceTests

open System
open System.IO
open System.Text
open System.Text.Json
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

/// The sample and the agent object of a dry run, and what it complained about.
let private dryRun (variables: (string * string) list) (words: string list) (check: JsonElement -> JsonElement -> string list -> unit) =
    let code, output, errors = runWith variables ([ "--dry-run"; "--once" ] @ words)
    Expect.equal code 0 "exit code"
    use document = JsonDocument.Parse(String.concat "\n" output)
    check (document.RootElement.GetProperty "sample") (document.RootElement.GetProperty "agent") errors

let private raw (element: JsonElement) (name: string) : string = (element.GetProperty name).GetRawText()

/// Each name has this value, in JSON's own spelling.
let private are (element: JsonElement) (expected: (string * string) list) =
    for name, value in expected do
        Expect.equal (raw element name) value name

let private machine = Fixtures.pathOf "vm-2core-6.18/first"

let private trees =
    testList
        "trees"
        [
            testCase "a procfs and a sysfs of another place"
            <| fun () ->
                dryRun [] [ $"--procfs={machine}/proc"; $"--sysfs={machine}/sys"; "--hostname=elsewhere" ] (fun sample agent errors ->
                    Expect.equal errors [] "nothing to complain"

                    // As free -b, cat, and /proc/diskstats beside the fixture say: 3587538 and 1271256 sectors of 512 bytes.
                    are
                        sample
                        [
                            "cpu_count_logical", "2"
                            "cpu_count_physical", "2"
                            "cpu_frequency_mhz", "2300"
                            "cpu_temperature_c", "null"
                            "cpu_load_1", "0.23"
                            "cpu_load_5", "0.17"
                            "cpu_load_15", "0.07"
                            "memory_total_bytes", "25276514304"
                            "memory_available_bytes", "24906989568"
                            "memory_used_bytes", "369524736"
                            "memory_percent", "1.5"
                            "swap_total_bytes", "0"
                            "swap_percent", "0"
                            "network_rx_bytes_total", "64950419"
                            "network_tx_bytes_total", "133488"
                            "process_count", "0"
                            "gpus", "[]"
                            "infiniband", "[]"
                        ]

                    Expect.equal ((sample.GetProperty "disks").GetArrayLength()) 1 "vda alone"

                    are
                        ((sample.GetProperty "disks")[0])
                        [
                            "device", "\"vda\""
                            "read_bytes_total", "1836819456"
                            "write_bytes_total", "650883072"
                            "read_count_total", "77272"
                            "write_count_total", "5911"
                            "busy_time_ms_total", "29016"
                        ]

                    are
                        (sample.GetProperty "pressure")
                        [
                            "cpu_some_avg10", "0.17"
                            "cpu_some_total_us", "12785245"
                            "io_full_avg10", "0.04"
                        ]

                    are agent [ "hostname", "\"elsewhere\"" ]

                    are
                        (agent.GetProperty "system_info")
                        [
                            "cpu_model", "\"Intel(R) Xeon(R) Processor\""
                            "uptime_seconds", "1755.93"
                            "boot_time", "\"2026-11-23T22:11:28.000000+00:00\""
                            "memory_total_bytes", "25276514304"
                        ])

            testCase "a CPU that goes takes its core along"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let proc, sys = Path.Combine(directory, "proc"), Path.Combine(directory, "sys")
                    Directory.CreateDirectory proc |> ignore

                    let siblings cpu =
                        let place = Path.Combine(sys, $"devices/system/cpu/cpu{cpu}/topology")
                        Directory.CreateDirectory place |> ignore
                        Path.Combine(place, "core_cpus_list")

                    // As the kernel's: the same file, with fewer lines.
                    let online cpus =
                        let lines =
                            [ for cpu in 0 .. cpus - 1 -> $"cpu{cpu} 100 0 50 4000 0 0 0 0 0 0\n" ]
                            |> String.concat ""

                        File.WriteAllText(Path.Combine(proc, "stat"), "cpu  400 0 200 16000 0 0 0 0 0 0\n" + lines + "btime 1700000000\n")

                    for cpu in 0..3 do
                        File.WriteAllText(siblings cpu, $"{cpu}\n")

                    online 4

                    use agent =
                        start
                            [
                                "--dry-run"
                                "--interval=0.5"
                                "--gpu-source=none"
                                $"--procfs={proc}"
                                $"--sysfs={sys}"
                            ]

                    let has logical physical () =
                        let text = String.concat "\n" agent.Output
                        text.Contains $"\"cpu_count_logical\":{logical},\"cpu_count_physical\":{physical},"

                    eventually patience "four of each" (has 4 4)
                    File.Delete(siblings 2)
                    File.Delete(siblings 3)
                    online 2
                    // Without being asked, the cores are counted once a minute.
                    eventually (TimeSpan.FromSeconds 20.0) "two of each" (has 2 2))

            testCase "a /proc under another name that hides the machine's processes from the agent"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let procfs = Directory.CreateDirectory(Path.Combine(directory, "proc")).FullName
                    World.openFolder directory |> ignore

                    let script =
                        $"mount -t proc -o hidepid=2 proc {procfs} && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\""

                    use agent =
                        new ProgramProcess(
                            "unshare",
                            [
                                "--mount"
                                "sh"
                                "-c"
                                script
                                "sh"
                                World.forAnyUser binary.Value
                                "--dry-run"
                                "--once"
                                "--gpu-source=none"
                                $"--procfs={procfs}"
                            ],
                            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                            :: (World.environment () |> List.filter (fun (name, _) -> name <> "PATH"))
                        )

                    agent.WaitForEnd patience |> ignore

                    if agent.Output.IsEmpty then
                        Skip.because $"no mount of its own: {agent.Errors}"

                    use document = JsonDocument.Parse(String.concat "\n" agent.Output)
                    let sample = document.RootElement.GetProperty "sample"

                    // In the machine's first namespace the link count tells; in another nothing does.
                    match (sample.GetProperty "process_count").ValueKind with
                    | JsonValueKind.Null -> ()
                    | _ -> Expect.isGreaterThan ((sample.GetProperty "process_count").GetInt32()) 3 "not the agent's own alone"

                    let told =
                        agent.Errors
                        |> List.filter _.Contains($"{procfs}/1/net/dev cannot be seen (hidepid)")

                    Expect.hasLength told 1 "said once")

            testCase "sensors and fans of a workstation, without ipmitool being asked"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = withProgram directory "ipmitool" $"touch {directory}/asked; exit 1"
                    let sysfs = Fixtures.pathOf "intel-workstation/sys"

                    dryRun [ path ] [ $"--sysfs={sysfs}" ] (fun sample _ _ ->
                        are sample [ "cpu_temperature_c", "61" ]
                        let fans = sample.GetProperty "fans"

                        let labels =
                            [
                                for fan in fans.EnumerateArray() -> (fan.GetProperty "label").GetString(), raw fan "speed_rpm"
                            ]

                        Expect.equal labels [ "nct6798", "0"; "nct6798 2", "1182"; "AIO Pump", "2700" ] "each label once")

                    Expect.isFalse (File.Exists(Path.Combine(directory, "asked"))) "not asked")

            testCase "a host's procfs bound into a container is read through process 1"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let proc = Path.Combine(directory, "proc")
                    Directory.CreateDirectory(Path.Combine(proc, "net")) |> ignore
                    Directory.CreateDirectory(Path.Combine(proc, "1", "net")) |> ignore
                    Directory.CreateDirectory(Path.Combine(proc, "4711")) |> ignore
                    let header = "Inter-|   Receive  |  Transmit\n face |bytes packets\n"

                    let line name bytes =
                        $"{header}  {name}: {bytes} 1 0 0 0 0 0 0 {bytes} 1 0 0 0 0 0 0\n"

                    File.WriteAllText(Path.Combine(proc, "net", "dev"), line "inside" 5)
                    File.WriteAllText(Path.Combine(proc, "1", "net", "dev"), line "host0" 7)

                    dryRun [] [ $"--procfs={proc}" ] (fun sample _ _ -> are sample [ "network_rx_bytes_total", "7"; "process_count", "2" ]))

            testCase "devices by what /sys says of them: bytes that came in once count once, and disks have any name"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write (path: string) (content: string) =
                        let path = Path.Combine(directory, path)
                        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
                        File.WriteAllText(path, content)

                    let header = "Inter-|   Receive  |  Transmit\n face |bytes packets\n"

                    write
                        "proc/net/dev"
                        (header
                         + String.concat
                             ""
                             [
                                 for name, received, sent in
                                     [
                                         "lo", 9, 9
                                         "port1", 600, 60
                                         "port2", 400, 40
                                         "agg", 1000, 100
                                         "agg.7", 990, 99
                                         "c1", 5, 5
                                     ] do
                                     $"  {name}: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
                             ])

                    write "sys/class/net/port1/device/vendor" "0x8086\n"
                    write "sys/class/net/port2/device/vendor" "0x8086\n"
                    write "sys/class/net/agg/bonding/slaves" "port1 port2\n"
                    write "sys/class/net/agg.7/uevent" "DEVTYPE=vlan\nINTERFACE=agg.7\n"
                    write "sys/class/net/agg.7/lower_agg/type" "1\n"
                    write "sys/class/net/c1/ifindex" "8\n"
                    write "sys/class/net/c1/iflink" "2\n"

                    write
                        "proc/diskstats"
                        (String.concat
                            ""
                            [
                                for name, sectors, busy in
                                    [
                                        "volume1", 8, 5
                                        "volume1p1", 8, 5
                                        "md0", 8, 5
                                        "nvme2c0n1", 16, 7
                                        "nvme2n1", 0, 0
                                        "quiet0", 24, 9
                                    ] do
                                    $"   8 0 {name} 1 0 {sectors} 1 1 0 0 1 0 {busy} {busy}\n"
                            ])

                    write "sys/block/volume1/device/model" "X\n"
                    write "sys/block/md0/size" "8\n"
                    write "sys/block/nvme2c0n1/hidden" "1\n"
                    write "sys/block/nvme2c0n1/device/model" "Y\n"
                    write "sys/block/nvme2n1/device/model" "Y\n"
                    write "sys/block/quiet0/device/model" "Z\n"
                    write "sys/block/quiet0/queue/iostats" "0\n"

                    dryRun [] [ $"--procfs={directory}/proc"; $"--sysfs={directory}/sys" ] (fun sample _ _ ->
                        are sample [ "network_rx_bytes_total", "1000"; "network_tx_bytes_total", "100" ]

                        Expect.equal
                            [
                                for i in (sample.GetProperty "network_interfaces").EnumerateArray() ->
                                    (i.GetProperty "name").GetString(), (i.GetProperty "kind").GetString(), raw i "master"
                            ]
                            [
                                "agg", "bond", "null"
                                "agg.7", "vlan", "null"
                                "c1", "veth", "null"
                                "port1", "physical", "\"agg\""
                                "port2", "physical", "\"agg\""
                            ]
                            "interfaces"

                        Expect.equal
                            [
                                for disk in (sample.GetProperty "disks").EnumerateArray() ->
                                    (disk.GetProperty "device").GetString(), raw disk "read_bytes_total", raw disk "busy_time_ms_total"
                            ]
                            [ "nvme2n1", "8192", "7"; "quiet0", "null", "null"; "volume1", "4096", "5" ]
                            "disks")

                    use agent =
                        startWith
                            []
                            [
                                "--dry-run"
                                "--once"
                                $"--procfs={directory}/proc"
                                $"--sysfs={directory}/sys"
                            ]

                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"

                    Expect.exists
                        agent.AllErrors
                        (fun line ->
                            line.Contains "advice: The kernel does not count how long these disks are busy"
                            && line.EndsWith "(quiet0)")
                        "the one that cannot tell is named"


                    dryRun
                        []
                        [
                            $"--procfs={directory}/proc"
                            $"--sysfs={directory}/sys"
                            "--interfaces=agg,port1"
                        ]
                        (fun sample _ _ -> are sample [ "network_rx_bytes_total", "1600" ]))

            testCase "sources that fail cost their own fields, never the sample, and are told once"
            <| fun () ->
                World.withDirectory (fun directory ->
                    File.WriteAllText(Path.Combine(directory, "meminfo"), "MemTotal: x kB\n")
                    File.Copy(Path.Combine(machine, "proc", "loadavg"), Path.Combine(directory, "loadavg"))
                    use server = new IngestServer(stored)
                    use agent = start (targetOf server.Url @ [ $"--procfs={directory}"; "--interval=0.5" ])
                    eventually patience $"three requests; {agent.Said}" (fun () -> server.Requests.Length >= 3)
                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                    use document = JsonDocument.Parse(ReadOnlyMemory server.Requests[2].Body)
                    let sample = document.RootElement.GetProperty "sample"

                    are
                        sample
                        [
                            "cpu_load_1", "0.23"
                            "cpu_usage_percent", "null"
                            "cpu_count_logical", "null"
                            "memory_total_bytes", "null"
                            "memory_percent", "null"
                            "network_rx_bytes_total", "null"
                            "disks", "[]"
                            "pressure", "null"
                        ]

                    let complaints = agent.Errors |> List.map (fun line -> line.Substring(line.IndexOf ' ' + 1))

                    Expect.equal
                        (List.sort complaints)
                        [
                            $"WARNING no CPU times: {directory}/stat does not exist"
                            $"WARNING no disk counters: {directory}/diskstats does not exist"
                            "WARNING no memory: /proc/meminfo line 1, field MemTotal: expected a whole number and kB, found \"x\""
                            $"WARNING no network counters: {directory}/net/dev does not exist"
                        ]
                        "once each")
        ]

let private query = Fixtures.pathOf "nvidia-smi/driver-525-a100.csv"

let private gpus (sample: JsonElement) =
    [
        for gpu in (sample.GetProperty "gpus").EnumerateArray() ->
            raw gpu "gpu_index", raw gpu "utilization_gpu_percent", raw gpu "memory_used_bytes", raw gpu "power_w"
    ]

// 79214 MiB are 79214 · 1048576 bytes.
let private a100s =
    [
        "0", "100", "83061899264", "396.42"
        "1", "0", "7340032", "62.35"
        "2", "null", "null", "null"
        "3", "null", "0", "null"
    ]

let private programs =
    testList
        "programs"
        [
            testCase "nvidia-smi"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path =
                        withProgram
                            directory
                            "nvidia-smi"
                            $"echo \"$@\" >> {directory}/asked; env > {directory}/environment; case $1 in --query-gpu=*) cat {query} ;; *) echo pid ;; esac"

                    dryRun [ path; "AI_DASHBOARD_TOKEN", Token; "LC_ALL", "de_DE.UTF-8" ] [] (fun sample _ errors ->
                        Expect.equal (gpus sample) a100s "four boards"
                        Expect.equal errors.Length 2 "the sick ones"

                        Expect.stringEnds
                            errors[0]
                            "WARNING nvidia-smi GPU 2 utilization.gpu (and other fields) cannot be read: UNKNOWN"
                            "one that tells nothing"

                        Expect.stringEnds errors[1] "WARNING nvidia-smi GPU 3 cannot be read: RESET_REQUIRED" "one that wants a reset")

                    let asked = File.ReadAllLines(Path.Combine(directory, "asked"))

                    Expect.stringStarts
                        asked[0]
                        ("--query-gpu=index,name,uuid,utilization.gpu,utilization.memory,memory.total,memory.used,temperature.gpu,"
                         + "fan.speed,power.draw,power.limit,")
                        "arguments"

                    // One sample needs no program that goes on.
                    Expect.stringEnds asked[0] ",mig.mode.current,clocks.max.sm --format=csv,nounits" "arguments"

                    let environment = File.ReadAllLines(Path.Combine(directory, "environment"))
                    Expect.isFalse (environment |> Array.exists _.Contains("AI_DASHBOARD")) "no secret in its environment"
                    Expect.contains environment "LC_ALL=C" "in English")

            testCase "a single sample has its GPUs however long nvidia-smi takes to name the processes"
            <| fun () ->
                // Half a minute, and more than a sample waits for.
                for seconds in [ "1.5"; "4" ] do
                    World.withDirectory (fun directory ->
                        let path =
                            withProgram
                                directory
                                "nvidia-smi"
                                $"case $1 in --query-gpu=*) sleep 0.5; cat {query} ;; *) echo $$ >> {directory}/pids; echo pid; exec sleep {seconds} ;; esac"

                        dryRun [ path; "AI_DASHBOARD_TEST_TIME_SCALE", "20" ] [] (fun sample _ errors ->
                            Expect.equal (gpus sample) a100s $"four boards; %A{errors}"

                            Expect.isFalse
                                (errors |> List.exists _.Contains("nvidia-smi cannot be read"))
                                $"nothing is wrong with it: %A{errors}")

                        for pid in File.ReadAllLines(Path.Combine(directory, "pids")) do
                            eventually patience $"the end of {pid}" (fun () -> not (isAlive (int pid))))

            testCase "a failing nvidia-smi with good rows keeps the rows"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = withProgram directory "nvidia-smi" $"cat {query}; exit 15"
                    dryRun [ path ] [] (fun sample _ _ -> Expect.equal (gpus sample) a100s "four boards"))

            testCase "a failing nvidia-smi costs the GPUs alone, and its words are told"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let failure = Fixtures.pathOf "nvidia-smi/driver-failure.txt"
                    let path = withProgram directory "nvidia-smi" $"cat {failure}; exit 9"

                    dryRun [ path ] [] (fun sample _ errors ->
                        Expect.equal (gpus sample) [] "none"
                        Expect.equal errors.Length 1 "one line"

                        Expect.stringContains
                            errors[0]
                            "WARNING nvidia-smi cannot be read: exit code 9: NVIDIA-SMI has failed because it couldn't communicate with"
                            "its words"))

            testCase "a hanging nvidia-smi is killed after a minute, for which a single sample waits"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = withProgram directory "nvidia-smi" $"echo $$ >> {directory}/pids; exec sleep 60"

                    dryRun [ path; "AI_DASHBOARD_TEST_TIME_SCALE", "20" ] [] (fun sample _ errors ->
                        Expect.equal (gpus sample) [] "none"
                        // At that speed a busy machine may be late with other readings too.
                        let errors = errors |> List.filter _.Contains("nvidia-smi")
                        Expect.equal errors.Length 1 $"one line of %A{errors}"

                        // The sample waits a little longer than the program may take; on a busy machine not long enough to hear of its end.
                        Expect.isTrue
                            ([
                                "not finished within 60 s; it was killed"
                                "no answer within 62 s; the sample has no GPUs"
                             ]
                             |> List.exists (fun reason ->
                                 errors[0].EndsWith("WARNING nvidia-smi cannot be read: " + reason, StringComparison.Ordinal)))
                            $"told: {errors[0]}")

                    let pids = File.ReadAllLines(Path.Combine(directory, "pids")) |> Array.map int
                    // A second one may start before the sample is out, and is not waited for.
                    Expect.isLessThanOrEqual pids.Length 2 "one was waited for"
                    // The next start comes two seconds later, which are a tenth of one here.
                    eventually patience "its end" (fun () -> not (Array.exists isAlive pids)))

            testCase "a GPU that comes late is found"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = withProgram directory "other" "true"
                    use server = new IngestServer(stored)

                    // Looked for every 30 s / 60.
                    use agent =
                        startWith
                            [ path; "AI_DASHBOARD_TEST_TIME_SCALE", "60" ]
                            (targetOf server.Url @ [ "--interval=30"; "--timeout=600" ])

                    let gpusOf (request: Request) =
                        use document = JsonDocument.Parse(ReadOnlyMemory request.Body)
                        (document.RootElement.GetProperty("sample").GetProperty "gpus").GetArrayLength()

                    eventually patience $"a request; {agent.Said}" (fun () -> server.Requests.Length >= 1)
                    Expect.equal (gpusOf server.Requests[0]) 0 "none at first"
                    // A start of a shell takes longer than 2 s / 60 on a busy machine, so the limit may hit once or twice.
                    withProgram directory "nvidia-smi" $"exec cat {query}" |> ignore

                    eventually patience $"GPUs; {agent.Said}" (fun () -> server.Requests |> List.exists (fun r -> gpusOf r = 4)))

            testCase "ipmitool, where sysfs has no fan"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let table = Fixtures.pathOf "ipmitool/supermicro.txt"
                    let path = withProgram directory "ipmitool" $"cat {table}"
                    let sysfs = Directory.CreateDirectory(Path.Combine(directory, "sys")).FullName

                    dryRun [ path ] [ $"--sysfs={sysfs}" ] (fun sample _ errors ->
                        Expect.equal errors [] "nothing to complain"

                        Expect.equal
                            [
                                for fan in (sample.GetProperty "fans").EnumerateArray() ->
                                    (fan.GetProperty "label").GetString(), raw fan "speed_rpm"
                            ]
                            [ "FAN1", "5600"; "FAN2", "5700"; "FANB", "0" ]
                            "as the table has them"))
        ]

let tests = testList "sources" [ trees; programs ]
