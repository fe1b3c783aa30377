module Agent.Core.Tests.SampleTests

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private noon = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

/// A reading of which every source failed.
let private nothing: Snapshot = { Snapshot.empty with At = noon }

let private options: SampleOptions =
    {
        Disks = [||]
        Interfaces = [||]
        CpuWindow = TimeSpan.FromSeconds 0.2
    }

let private build previous current = Sample.build options previous current

let private statText (text: string) =
    want (Stat.parse (ReadOnlySpan(utf8 text)) |> Parsed.strict)

/// One CPU with these user, system, idle and iowait ticks.
let private stat user system idle iowait =
    statText $"cpu  {user} 0 {system} {idle} {iowait}\ncpu0 {user} 0 {system} {idle} {iowait}\nctxt 1\n"

let private withStat stat = { nothing with Stat = Ok stat }

let private withWindow (length: float) opening snapshot =
    { snapshot with
        Window =
            ValueSome
                {
                    Length = TimeSpan.FromMilliseconds length
                    Stat = opening
                }
    }

let private disk name : DiskStats.DiskCounters =
    {
        Device = name
        Reads = ValueSome 1UL
        ReadBytes = ValueSome 2UL<B>
        Writes = ValueSome 3UL
        WrittenBytes = ValueSome 4UL<B>
        BusyTime = ValueSome 5UL<ms>
        Detail = ValueNone
    }

let private traffic bytes : NetDev.Traffic =
    {
        Bytes = bytes
        Packets = 1UL
        Errors = 0UL
        Dropped = 0UL
    }

let private link name received sent : NetDev.InterfaceCounters =
    {
        Name = name
        Received = traffic received
        Sent = traffic sent
        Detail = ValueNone
    }

let private gpu index name : Gpu = { Gpu.OfIndex index with Name = name }

let private diskNames wanted disks =
    (Sample.build
        { options with Disks = wanted }
        ValueNone
        { nothing with
            Disks = Ok(disks |> Array.map disk)
        })
        .Disks
    |> Array.map (fun disk -> disk.Device)

let private memoryOf (machine: string) =
    build
        ValueNone
        { nothing with
            Memory = Ok(want (MemInfo.parse (ReadOnlySpan(bytes $"{machine}/proc/meminfo")) |> Parsed.strict))
        }

let private isWellFormed (text: string) =
    let mutable good = true
    let mutable i = 0

    while i < text.Length do
        if
            Char.IsHighSurrogate text[i]
            && i + 1 < text.Length
            && Char.IsLowSurrogate text[i + 1]
        then
            i <- i + 2
        else
            good <- good && not (Char.IsSurrogate text[i])
            i <- i + 1

    good

let private withMemoryText (text: string) =
    { nothing with
        Memory = Ok (want (MemInfo.parse (ReadOnlySpan(utf8 text)))).Value
    }

let private withMemory (text: string) = build ValueNone (withMemoryText text)

let private cpu =
    testList
        "CPU"
        [
            testCase "usage is over the window, its parts since the previous sample"
            <| fun () ->
                let previous = withStat (stat 0 0 0 0)
                let opening = stat 500 100 1000 400
                // since the previous sample: 600 user, 200 system, 1600 idle, 600 iowait of 3000
                let sample = build (ValueSome previous) (withStat (stat 600 200 1600 600) |> withWindow 200.0 opening)
                // over the window: 200 busy of 1000
                Expect.equal sample.CpuUsage (ValueSome 20.0<percent>) "usage"
                Expect.equal sample.CpuUser (ValueSome 20.0<percent>) "user"
                Expect.equal sample.CpuSystem (ValueSome 6.7<percent>) "system: 6.666…"
                Expect.equal sample.CpuIowait (ValueSome 20.0<percent>) "iowait"
                Expect.equal sample.CpuSteal (ValueSome 0.0<percent>) "steal"
                Expect.equal sample.CpuCores [| ValueSome 26.7<percent> |] "cores since the previous sample: 800 of 3000"

            testCase "the first sample takes the parts over the window too"
            <| fun () ->
                let sample =
                    build ValueNone (withStat (stat 600 200 1600 600) |> withWindow 200.0 (stat 500 100 1000 400))

                Expect.equal sample.CpuUsage (ValueSome 20.0<percent>) "usage"
                Expect.equal sample.CpuUser (ValueSome 10.0<percent>) "user: 100 of 1000"
                Expect.equal sample.CpuSystem (ValueSome 10.0<percent>) "system: 100 of 1000"
                Expect.equal sample.CpuIowait (ValueSome 20.0<percent>) "iowait: 200 of 1000"
                Expect.equal sample.CpuCores [| ValueSome 20.0<percent> |] "cores"

            testCase "without a window usage is since the previous sample"
            <| fun () ->
                let options =
                    { options with
                        CpuWindow = TimeSpan.Zero
                    }

                let sample = Sample.build options (ValueSome(withStat (stat 100 0 900 0))) (withStat (stat 150 0 950 0))
                Expect.equal sample.CpuUsage (ValueSome 50.0<percent>) "50 of 100"

            testCase "the first sample without a window counts since boot"
            <| fun () ->
                let options =
                    { options with
                        CpuWindow = TimeSpan.Zero
                    }

                let sample = Sample.build options ValueNone (withStat (stat 100 50 840 10))
                Expect.equal sample.CpuUsage (ValueSome 15.0<percent>) "150 of 1000"
                Expect.equal sample.CpuIowait (ValueSome 1.0<percent>) "10 of 1000"
                Expect.equal sample.CpuCores [| ValueSome 15.0<percent> |] "cores"

            testCase "a window shorter than half of what it should be gives way to the previous sample"
            <| fun () ->
                let previous = ValueSome(withStat (stat 0 0 0 0))
                let current = withStat (stat 30 0 70 0)
                let opening = stat 30 0 60 0

                Expect.equal
                    (build previous (withWindow 99.0 opening current)).CpuUsage
                    (ValueSome 30.0<percent>)
                    "99 ms of 200: since the previous sample"

                Expect.equal
                    (build previous (withWindow 100.0 opening current)).CpuUsage
                    (ValueSome 0.0<percent>)
                    "100 ms of 200: the window"

            testCase "iowait that goes backwards counts 0"
            <| fun () ->
                let sample = build (ValueSome(withStat (stat 0 0 0 500))) (withStat (stat 25 0 75 430))
                Expect.equal sample.CpuIowait (ValueSome 0.0<percent>) "iowait"
                Expect.equal sample.CpuUsage (ValueSome 25.0<percent>) "25 of 100"

            testCase "a sample whose predecessor could not read the CPU times has no usage, and never the mean since boot"
            <| fun () ->
                let sample = build (ValueSome nothing) (withStat (stat 600 200 1600 600))
                Expect.equal (sample.CpuUsage, sample.CpuUser) (ValueNone, ValueNone) "unknown"
                Expect.equal sample.CpuCores [| ValueNone |] "its CPU as well"
                Expect.equal sample.CpuCountLogical (ValueSome 1) "it is there"

            testCase "no ticks between two samples are 0, not unknown"
            <| fun () ->
                let sample = build (ValueSome(withStat (stat 1 1 1 1))) (withStat (stat 1 1 1 1))
                Expect.equal (sample.CpuUsage, sample.CpuUser) (ValueSome 0.0<percent>, ValueSome 0.0<percent>) "0"

            testCase "a previous sample without /proc/stat leaves the window for the parts"
            <| fun () ->
                let sample =
                    build (ValueSome nothing) (withStat (stat 600 200 1600 600) |> withWindow 200.0 (stat 500 100 1000 400))

                Expect.equal sample.CpuUser (ValueSome 10.0<percent>) "100 of 1000"

            testCase "steal is told by itself and is busy"
            <| fun () ->
                let sample = build ValueNone (withStat (statText "cpu  0 0 0 90 0 0 0 10\nctxt 1\n"))
                Expect.equal (sample.CpuSteal, sample.CpuUsage) (ValueSome 10.0<percent>, ValueSome 10.0<percent>) "10 of 100"

            testCase "logical CPUs are the lines that are there"
            <| fun () ->
                let hotplug = want (Stat.parse (ReadOnlySpan(bytes "hotplug/before/proc/stat")) |> Parsed.strict)
                Expect.equal (build ValueNone (withStat hotplug)).CpuCountLogical (ValueSome 2) "cpu0 and cpu2"

            testCase "without /proc/stat everything of the CPU is unknown"
            <| fun () ->
                let sample = build (ValueSome(withStat (stat 1 1 1 1))) (nothing |> withWindow 200.0 (stat 1 1 1 1))

                Expect.equal
                    [
                        sample.CpuUsage
                        sample.CpuUser
                        sample.CpuSystem
                        sample.CpuIowait
                        sample.CpuSteal
                    ]
                    [ ValueNone; ValueNone; ValueNone; ValueNone; ValueNone ]
                    "shares"

                Expect.equal (sample.CpuCountLogical, sample.CpuCores) (ValueNone, [||]) "count and cores"

            testCase "clock and temperature have one decimal"
            <| fun () ->
                let sample =
                    build
                        ValueNone
                        { nothing with
                            Slow =
                                { nothing.Slow with
                                    CpuTemperature = ValueSome 61.26<degC>
                                    CpuFrequency = ValueSome 2798.737<MHz>
                                    PhysicalCores = ValueSome 64
                                }
                        }

                Expect.equal sample.CpuTemperature (ValueSome 61.3<degC>) "temperature"
                Expect.equal sample.CpuFrequency (ValueSome 2798.7<MHz>) "clock"
                Expect.equal sample.CpuCountPhysical (ValueSome 64) "cores"
        ]

let private memory =
    testList
        "memory"
        [
            for instant in [ "first"; "second" ] do
                testCase $"the {instant} capture uses what free -b says"
                <| fun () ->
                    let said =
                        (words $"vm-2core-6.18/{instant}/free-b.txt")[1]
                        |> Array.skip 1
                        |> Array.map UInt64.Parse

                    let sample = memoryOf $"vm-2core-6.18/{instant}"

                    match sample.Memory with
                    | ValueSome memory ->
                        Expect.equal
                            (uint64 sample.MemoryTotal.Value, uint64 memory.Used, uint64 memory.Available)
                            (said[0], said[1], said[5])
                            "total, used, available"
                    | ValueNone -> failtest "no memory"

            testCase "used is the total less what is available, as a share with one decimal"
            <| fun () ->
                Expect.equal
                    (memoryOf "vm-2core-6.18/first").Memory
                    (ValueSome
                        {
                            Used = 369524736UL<B>
                            Available = 24906989568UL<B>
                            // 1.4619…
                            Percent = 1.5<percent>
                        })
                    "memory"

            testCase "an old kernel's available is made up of free, buffers and cache"
            <| fun () ->
                Expect.equal
                    (memoryOf "kernel-2.6").Memory
                    (ValueSome
                        // 1034616 kB, 750760 kB available, 283856 kB used: 27.436… per cent
                        {
                            Used = 290668544UL<B>
                            Available = 768778240UL<B>
                            Percent = 27.4<percent>
                        })
                    "memory"

            testCase "a container that claims more than it has counts its free memory"
            <| fun () ->
                Expect.equal
                    (memoryOf "lxc").Memory
                    (ValueSome
                        {
                            Used = 536870912UL<B>
                            Available = 1610612736UL<B>
                            Percent = 25.0<percent>
                        })
                    "1.5 of 2 GiB"

            testCase "memory is unknown where nothing tells what is available"
            <| fun () -> Expect.equal (memoryOf "lxc-few-lines").Memory ValueNone "memory"

            testCase "swap in use"
            <| fun () ->
                Expect.equal
                    (memoryOf "kernel-2.6").Swap
                    (ValueSome
                        // 2031608 and 2018420 kB: 13188 kB used, 0.649… per cent
                        {
                            Used = 13504512UL<B>
                            Percent = 0.6<percent>
                        })
                    "swap"

            testCase "a machine without swap has 0 of it"
            <| fun () ->
                Expect.equal
                    (memoryOf "vm-2core-6.18/first").Swap
                    (ValueSome
                        {
                            Used = 0UL<B>
                            Percent = 0.0<percent>
                        })
                    "swap"

            testCase "more free swap than swap leaves unknown how much is in use, and known how much there is"
            <| fun () ->
                Expect.equal (memoryOf "lxc").Swap ValueNone "swap"

                let told text =
                    (withMemory ("MemTotal: 4 kB\nMemFree: 2 kB\n" + text)).SwapTotal

                Expect.equal (told "SwapTotal: 64 kB\nSwapFree: 65 kB\n") (ValueSome 65536UL<B>) "64 kB"
                Expect.equal (told "SwapTotal: 64 kB\n") (ValueSome 65536UL<B>) "nobody says what is free"
                Expect.equal (told "SwapFree: 64 kB\n") ValueNone "nobody says how much there is"

            testCase "the swap of a container that has no limit of it is unknown"
            <| fun () ->
                for total, told in
                    [
                        // lxcfs: memory.memsw.limit_in_bytes and memory.swap.max without a limit.
                        "18014398508464640", ValueNone
                        "9007199254740991", ValueNone
                        "4503599627370496", ValueNone
                        "4503599627370495", ValueSome 4611686018427386880UL<B>
                    ] do
                    let sample = withMemory $"MemTotal: 4 kB\nMemFree: 2 kB\nSwapTotal: {total} kB\nSwapFree: {total} kB\n"

                    Expect.equal
                        (sample.SwapTotal, sample.Swap |> ValueOption.map _.Used)
                        (told, told |> ValueOption.map (fun _ -> 0UL<B>))
                        total

            testCase "free swap as large as swap is none in use"
            <| fun () ->
                let swap = (withMemory "MemTotal: 4 kB\nMemFree: 2 kB\nSwapTotal: 100 kB\nSwapFree: 100 kB\n").Swap
                Expect.equal (swap |> ValueOption.map (fun swap -> swap.Used, swap.Percent)) (ValueSome(0UL<B>, 0.0<percent>)) "none"

            testCase "free swap without swap, as a container without it shows its host's, is none in use"
            <| fun () ->
                let sample = withMemory "MemTotal: 4 kB\nMemFree: 2 kB\nSwapTotal: 0 kB\nSwapFree: 100 kB\n"

                Expect.equal (sample.SwapTotal, sample.Swap |> ValueOption.map _.Used) (ValueSome 0UL<B>, ValueSome 0UL<B>) "none"

            testCase "a machine that says it has no memory at all does not know"
            <| fun () -> Expect.equal (withMemory "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n").Memory ValueNone "unknown, not 0 %"

            testCase "a garbled total costs memory and leaves swap"
            <| fun () ->
                let sample =
                    withMemory "MemTotal: ? kB\nMemFree: 2 kB\nMemAvailable: 3 kB\nSwapTotal: 8 kB\nSwapFree: 6 kB\n"

                Expect.equal (sample.Memory, sample.Swap |> ValueOption.map _.Used) (ValueNone, ValueSome 2048UL<B>) "2 kB"

            testCase "what is available cannot be read: all memory is known, what is used of it is not"
            <| fun () ->
                let sample = withMemory "MemTotal: 4 kB\nMemFree: 2 kB\nMemAvailable: ? kB\n"
                Expect.equal (sample.MemoryTotal, sample.Memory) (ValueSome 4096UL<B>, ValueNone) "4 kB"

            testCase "ZFS's cache above its minimum is available"
            <| fun () ->
                let memory =
                    (build
                        ValueNone
                        { withMemoryText "MemTotal: 32000 kB\nMemFree: 1000 kB\nMemAvailable: 2000 kB\n" with
                            Arc =
                                Ok
                                    {
                                        Size = 20_480_000UL<B>
                                        Minimum = 1_024_000UL<B>
                                    }
                        })
                        .Memory

                // 2000 kB and 19000 kB; 32000 - 21000 = 11000 of 32000
                Expect.equal
                    (memory
                     |> ValueOption.map (fun memory -> memory.Available, memory.Used, memory.Percent))
                    (ValueSome(21_504_000UL<B>, 11_264_000UL<B>, 34.4<percent>))
                    "21000 kB"

            testCase "swap is unknown where its lines are missing"
            <| fun () -> Expect.equal (memoryOf "lxc-few-lines").Swap ValueNone "swap"

            testCase "without /proc/meminfo memory and swap are unknown"
            <| fun () ->
                let sample = build ValueNone nothing
                Expect.equal (sample.Memory, sample.Swap) (ValueNone, ValueNone) "unknown"
        ]

let private devices =
    testList
        "devices"
        [
            testCase "without a filter the physical disks, sorted"
            <| fun () ->
                Expect.equal
                    (diskNames [||] [| "sdb"; "loop0"; "nvme0n1p1"; "sda"; "md0"; "nvme0n1" |])
                    [| "nvme0n1"; "sda"; "sdb" |]
                    "disks"

            testCase "with a filter exactly its disks in its order, each once"
            <| fun () -> Expect.equal (diskNames [| "md0"; "gone"; "sda"; "md0" |] [| "sda"; "sdb"; "md0" |]) [| "md0"; "sda" |] "disks"

            testCase "a disk that the kernel lists twice is told once"
            <| fun () -> Expect.equal (diskNames [||] [| "sda"; "sda" |]) [| "sda" |] "disks"

            testCase "counters pass through, at most 2^63-1"
            <| fun () ->
                let huge: DiskStats.DiskCounters =
                    {
                        Device = "sda"
                        Reads = ValueSome 9223372036854775808UL
                        ReadBytes = ValueSome 18446744073709551615UL<B>
                        Writes = ValueSome 9223372036854775807UL
                        WrittenBytes = ValueSome 4UL<B>
                        BusyTime = ValueSome 9223372036854775809UL<ms>
                        Detail = ValueNone
                    }

                Expect.equal
                    (build ValueNone { nothing with Disks = Ok [| huge |] }).Disks
                    [|
                        {
                            Device = "sda"
                            Reads = ValueSome 9223372036854775807UL
                            ReadBytes = ValueSome 9223372036854775807UL<B>
                            Writes = ValueSome 9223372036854775807UL
                            WrittenBytes = ValueSome 4UL<B>
                            BusyTime = ValueSome 9223372036854775807UL<ms>
                            Detail = ValueNone
                        }
                    |]
                    "disks"

            testCase "the network is every interface but the loopback"
            <| fun () ->
                let interfaces =
                    [|
                        link "lo" 1000UL<B> 1000UL<B>
                        link "eth1" 20UL<B> 3UL<B>
                        link "eth0" 400UL<B> 50UL<B>
                    |]

                let sample = build ValueNone { nothing with Network = Ok interfaces }

                Expect.equal (sample.NetworkReceived, sample.NetworkSent) (ValueSome 420UL<B>, ValueSome 53UL<B>) "totals"

                Expect.equal (sample.Interfaces |> Array.map (fun i -> i.Counters.Name)) [| "eth0"; "eth1" |] "interfaces"

            testCase "the captured network is what crossed eth0"
            <| fun () ->
                let interfaces =
                    want (
                        NetDev.parse (ReadOnlySpan(bytes "vm-2core-6.18/first/proc/net/dev"))
                        |> Parsed.strict
                    )

                let sample = build ValueNone { nothing with Network = Ok interfaces }

                Expect.equal
                    (sample.NetworkReceived, sample.NetworkSent)
                    (ValueSome 64950419UL<B>, ValueSome 133488UL<B>)
                    "the 3193 bytes of lo left out"

            testCase "what a bond and its VLAN pass on counts once, and all of them are told with their kind and master"
            <| fun () ->
                let interface' kind master layer : NetClass.Interface =
                    {
                        Kind = kind
                        Master = master
                        Layer = layer
                    }

                let known =
                    dict
                        [
                            "eth0", interface' "physical" "bond0" NetClass.Layer.Physical
                            "eth1", interface' "physical" "bond0" NetClass.Layer.Physical
                            "bond0", interface' "bond" "" NetClass.Layer.Top
                            "bond0.7", interface' "vlan" "" NetClass.Layer.Never
                        ]

                let read interfaces =
                    let sample =
                        Sample.build
                            { options with Interfaces = interfaces }
                            ValueNone
                            { nothing with
                                Network =
                                    Ok
                                        [|
                                            link "eth0" 60UL<B> 6UL<B>
                                            link "eth1" 40UL<B> 4UL<B>
                                            link "bond0" 100UL<B> 10UL<B>
                                            link "bond0.7" 99UL<B> 9UL<B>
                                        |]
                                Slow =
                                    { nothing.Slow with
                                        Devices =
                                            { Devices.unknown with
                                                Interfaces = Collections.Generic.Dictionary known
                                            }
                                    }
                            }

                    sample.NetworkReceived, sample.NetworkSent, sample.Interfaces |> Array.map (fun i -> i.Counters.Name, i.Kind, i.Master)

                Expect.equal
                    (read [||])
                    (ValueSome 100UL<B>,
                     ValueSome 10UL<B>,
                     [|
                         "bond0", "bond", ""
                         "bond0.7", "vlan", ""
                         "eth0", "physical", "bond0"
                         "eth1", "physical", "bond0"
                     |])
                    "the two ports"

                Expect.equal
                    (read [| "bond0"; "eth0" |])
                    (ValueSome 160UL<B>, ValueSome 16UL<B>, [| "bond0", "bond", ""; "eth0", "physical", "bond0" |])
                    "what the user names is taken at the word"

            testCase "a port whose line is bad or cut off leaves the totals unknown, and the others in the list"
            <| fun () ->
                let header = "Inter-| Receive | Transmit\n face |bytes |bytes\n"

                let row name bytes =
                    $"{name}: {bytes} 1 0 0 0 0 0 0 {bytes} 1 0 0 0 0 0 0\n"

                let read (text: string) =
                    let parsed = want (NetDev.parse (ReadOnlySpan(utf8 text)))

                    { nothing with
                        Network = Ok parsed.Value
                        Faults = parsed.Faults
                    }

                let told text =
                    let sample = build ValueNone (read text)
                    sample.NetworkReceived, sample.NetworkSent, sample.Interfaces |> Array.map (fun i -> i.Counters.Name)

                let small = header + row "ens1" "2000"

                Expect.equal (told (small + row "ens2" "70")) (ValueSome 2070UL<B>, ValueSome 2070UL<B>, [| "ens1"; "ens2" |]) "both"
                Expect.equal (told (small + row "ens2" "7o")) (ValueNone, ValueNone, [| "ens1" |]) "one bad line"
                Expect.equal (told (small + "ens2: 70 1 0")) (ValueNone, ValueNone, [| "ens1" |]) "a torn one"

                let rate before after =
                    (Derived.from (ValueSome(build ValueNone before)) (build ValueNone { after with At = noon.AddSeconds 2.0 }))
                        .NetworkReceived

                let bad, good = read (small + row "ens2" "7o"), read (small + row "ens2" "70")
                Expect.equal (rate good bad, rate bad good) (0.0<B / s>, 0.0<B / s>) "no rate into the gap, and none out of it"

            testCase "an interface that came joins the totals when /sys says what it is"
            <| fun () ->
                let at (seconds: float) links known =
                    { nothing with
                        At = noon.AddSeconds seconds
                        Network = Ok links
                        Slow =
                            { nothing.Slow with
                                Devices =
                                    { Devices.unknown with
                                        Interfaces =
                                            dict
                                                [
                                                    for name, layer in known ->
                                                        name,
                                                        ({
                                                            Kind = "any"
                                                            Master = ""
                                                            Layer = layer
                                                        }
                                                        : NetClass.Interface)
                                                ]
                                            |> Collections.Generic.Dictionary
                                    }
                            }
                    }

                let alone = at 0.0 [| link "ens1" 500UL<B> 5UL<B> |] [ "ens1", NetClass.Layer.Physical ]
                let both = [| link "ens1" 600UL<B> 6UL<B>; link "tenant9" 9999UL<B> 99UL<B> |]
                let came = at 1.0 both [ "ens1", NetClass.Layer.Physical ]

                let known layer =
                    at 2.0 both [ "ens1", NetClass.Layer.Physical; "tenant9", layer ]

                let totals previous current =
                    let sample = build (ValueSome previous) current
                    sample.NetworkReceived, sample.NetworkSent

                Expect.equal (totals alone came) (ValueNone, ValueNone) "not known yet"
                Expect.equal (totals came (known NetClass.Layer.Never)) (ValueSome 600UL<B>, ValueSome 6UL<B>) "stacked on another"
                Expect.equal (totals came (known NetClass.Layer.Physical)) (ValueSome 10599UL<B>, ValueSome 105UL<B>) "a port"
                Expect.equal (totals came { came with At = noon.AddSeconds 2.0 }) (ValueSome 10599UL<B>, ValueSome 105UL<B>) "/sys has none"

            testCase "a virtual function that a pod gives back does not bring its bytes into the totals"
            <| fun () ->
                let at (seconds: float) links names =
                    { nothing with
                        At = noon.AddSeconds seconds
                        Network = Ok links
                        Slow =
                            { nothing.Slow with
                                Devices =
                                    { Devices.unknown with
                                        Interfaces =
                                            dict
                                                [
                                                    for name in names ->
                                                        name,
                                                        ({
                                                            Kind = "physical"
                                                            Master = ""
                                                            Layer = NetClass.Layer.Physical
                                                        }
                                                        : NetClass.Interface)
                                                ]
                                            |> Collections.Generic.Dictionary
                                    }
                            }
                    }

                let alone = at 0.0 [| link "eth0" 10000UL<B> 5UL<B> |] [ "eth0" ]

                let came =
                    at 2.0 [| link "eth0" 11000UL<B> 6UL<B>; link "eth7" 9000000000000UL<B> 7UL<B> |] [ "eth0"; "eth7" ]

                let later =
                    at 4.0 [| link "eth0" 12000UL<B> 6UL<B>; link "eth7" 9000000000100UL<B> 7UL<B> |] [ "eth0"; "eth7" ]

                Expect.equal (build (ValueSome alone) came).NetworkReceived ValueNone "1,000 bytes came in, and not 9 TB"
                Expect.equal (build (ValueSome came) later).NetworkReceived (ValueSome 9000000012100UL<B>) "from then on it counts"
                Expect.equal (build (ValueSome later) alone).NetworkReceived (ValueSome 10000UL<B>) "one that went"

            testCase "a cache of ZFS that cannot be read leaves memory unknown, one that is not there does not"
            <| fun () ->
                let memory: MemInfo.MemoryInfo =
                    (want (MemInfo.parse (ReadOnlySpan "MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 20 kB\n"B))).Value

                let usedWith arc =
                    (build
                        ValueNone
                        { nothing with
                            Memory = Ok memory
                            Arc = arc
                        })
                        .Memory
                    |> ValueOption.map _.Used

                let garbled =
                    SourceError.Garbled
                        {
                            Source = ArcStats.Source
                            Line = 1
                            Field = "size"
                            Raw = ""
                            Expected = "another line"
                        }

                Expect.equal (usedWith (Error garbled)) ValueNone "it would leap by the whole cache"
                Expect.equal (usedWith (Error(SourceError.Absent ArcStats.Source))) (ValueSome 81920UL<B>) "80 KiB"

                Expect.equal
                    (usedWith (
                        Ok
                            {
                                Size = 30720UL<B>
                                Minimum = 10240UL<B>
                            }
                    ))
                    (ValueSome 61440UL<B>)
                    "20 KiB of the cache are available too"

            testCase "with a filter exactly its interfaces, the loopback too if it is named"
            <| fun () ->
                let interfaces = [| link "lo" 1000UL<B> 1UL<B>; link "eth0" 400UL<B> 50UL<B> |]

                let sample =
                    Sample.build { options with Interfaces = [| "lo" |] } ValueNone { nothing with Network = Ok interfaces }

                Expect.equal (sample.NetworkReceived, sample.NetworkSent) (ValueSome 1000UL<B>, ValueSome 1UL<B>) "lo"

            testCase "sums of counters stop at 2^63-1 and do not wrap"
            <| fun () ->
                let interfaces =
                    [|
                        link "a" 18446744073709551615UL<B> 9223372036854775807UL<B>
                        link "b" 18446744073709551615UL<B> 1UL<B>
                        link "c" 2UL<B> 1UL<B>
                    |]

                let sample = build ValueNone { nothing with Network = Ok interfaces }

                Expect.equal
                    (sample.NetworkReceived, sample.NetworkSent)
                    (ValueSome 9223372036854775807UL<B>, ValueSome 9223372036854775807UL<B>)
                    "totals"

                Expect.equal sample.Interfaces[0].Counters.Received.Bytes 9223372036854775807UL<B> "each by itself"

            testCase "of GPUs with the same index the first is told"
            <| fun () ->
                let sample =
                    build
                        ValueNone
                        { nothing with
                            Slow =
                                { nothing.Slow with
                                    Gpus = [| gpu 1 "one"; gpu 0 "zero"; gpu 1 "again" |]
                                }
                        }

                Expect.equal (sample.Gpus |> Array.map (fun gpu -> gpu.Name)) [| "one"; "zero" |] "GPUs"

            testCase "a GPU's memory is at most 2^63-1 and its shares have one decimal"
            <| fun () ->
                let sample =
                    build
                        ValueNone
                        { nothing with
                            Slow =
                                { nothing.Slow with
                                    Gpus =
                                        [|
                                            { gpu 0 "a" with
                                                Utilization = ValueSome 33.37<percent>
                                                MemoryTotal = ValueSome 18446744073709551615UL<B>
                                            }
                                        |]
                                }
                        }

                Expect.equal sample.Gpus[0].MemoryTotal (ValueSome 9223372036854775807UL<B>) "memory"
                Expect.equal sample.Gpus[0].Utilization (ValueSome 33.4<percent>) "utilisation"
                Expect.equal sample.Gpus[0].MemoryUsed ValueNone "what is unknown stays so"

            testCase "the fabric's counters are at most 2^63-1"
            <| fun () ->
                let port: Infiniband.Port =
                    {
                        Device = "mlx5_0"
                        Port = 1
                        Received = ValueSome 18446744073709551615UL<B>
                        Sent = ValueNone
                    }

                Expect.equal
                    (build ValueNone { nothing with Infiniband = [| port |] }).Infiniband
                    [|
                        { port with
                            Received = ValueSome 9223372036854775807UL<B>
                        }
                    |]
                    "port"

            testCase "a sample carries 256 of each kind at most, and of interfaces those that count"
            <| fun () ->
                let many =
                    { nothing with
                        Disks = Ok(Array.init 300 (fun i -> disk $"nvme{i + 100}n1"))
                        Network =
                            Ok(Array.append (Array.init 300 (fun i -> link $"a{i + 100}" 1UL<B> 1UL<B>)) [| link "zz" 5UL<B> 6UL<B> |])
                        Snapshot.Slow.Fans = Array.create 16000 ({ Label = "FAN1"; Speed = 5400<rpm> }: Hwmon.Fan)
                        Snapshot.Slow.Gpus = Array.init 300 (fun i -> gpu i "")
                        Infiniband =
                            Array.init 257 (fun i ->
                                {
                                    Device = $"mlx5_{i}"
                                    Port = 1
                                    Received = ValueNone
                                    Sent = ValueNone
                                })
                    }

                let sample = Sample.build { options with Interfaces = [||] } ValueNone many

                Expect.equal
                    (sample.Disks.Length, sample.Fans.Length, sample.Gpus.Length, sample.Interfaces.Length, sample.Infiniband.Length)
                    (256, 256, 256, 256, 256)
                    "each"

                Expect.equal (sample.Fans[255].Label, sample.Disks[0].Device) ("FAN1 256", "nvme100n1") "the first"

                Expect.equal
                    (Sample.surplus options many)
                    [|
                        "disks: this machine has 300, and samples carry the first 256 of them"
                        "network interfaces: this machine has 301, and samples carry the first 256 of them"
                        "GPUs: this machine has 300, and samples carry the first 256 of them"
                        "fans: this machine has 16000, and samples carry the first 256 of them"
                        "ports of InfiniBand: this machine has 257, and samples carry the first 256 of them"
                    |]
                    "told"

                let known = Collections.Generic.Dictionary<string, NetClass.Interface>()

                for i in 100..399 do
                    known[$"a{i}"] <-
                        {
                            Kind = "veth"
                            Master = ""
                            Layer = NetClass.Layer.Never
                        }

                let withKinds =
                    { many with
                        Snapshot.Slow.Devices.Interfaces = known
                    }

                let kept = (Sample.build options ValueNone withKinds).Interfaces

                Expect.equal
                    (kept.Length, kept[255].Counters.Name, kept[254].Counters.Name)
                    (256, "zz", "a354")
                    "the one that counts, in its place"

                Expect.equal
                    (Sample.surplus
                        options
                        { many with
                            Snapshot.Slow.Fans = [||]
                            Disks = Ok [||]
                            Network = Ok [||]
                            Snapshot.Slow.Gpus = [||]
                            Infiniband = many.Infiniband[..255]
                        })
                    [||]
                    "none"

            testCase "sources that failed leave no devices and unknown totals"
            <| fun () ->
                let sample = build ValueNone nothing
                Expect.equal (sample.Disks, sample.Interfaces) ([||], [||]) "devices"
                Expect.equal (sample.NetworkReceived, sample.NetworkSent) (ValueNone, ValueNone) "totals"
        ]

let private labels =
    let longest = String('a', 64)

    testList
        "fan labels"
        [
            testCase "equal labels get numbers from 2"
            <| fun () -> Expect.equal (Sample.uniqueLabels [| "FAN"; "FAN"; "FAN" |]) [| "FAN"; "FAN 2"; "FAN 3" |] "labels"

            testCase "labels that are equal once trimmed are equal"
            <| fun () -> Expect.equal (Sample.uniqueLabels [| " FAN "; "FAN\t" |]) [| "FAN"; "FAN 2" |] "labels"

            testCase "a number that is taken is passed over"
            <| fun () ->
                Expect.equal (Sample.uniqueLabels [| "FAN 2"; "FAN"; "FAN" |]) [| "FAN 2"; "FAN"; "FAN 3" |] "taken before"
                Expect.equal (Sample.uniqueLabels [| "FAN"; "FAN"; "FAN 2" |]) [| "FAN"; "FAN 2"; "FAN 2 2" |] "taken after"

            testCase "many equal labels are numbered in no more steps than there are labels"
            <| fun () ->
                let unique = Sample.uniqueLabels (Array.create 200_000 "FAN1")
                Expect.equal unique[199_999] "FAN1 200000" "the last"
                Expect.equal (Array.distinct unique).Length 200_000 "all of them"

            testCase "case tells labels apart"
            <| fun () -> Expect.equal (Sample.uniqueLabels [| "Fan"; "FAN" |]) [| "Fan"; "FAN" |] "labels"

            testCase "labels are cut to 64 characters, and those that are equal then are numbered within them"
            <| fun () ->
                Expect.equal (Sample.uniqueLabels [| longest + "b"; longest + "c" |]) [| longest; String('a', 62) + " 2" |] "labels"

            testCase "sixty-four characters are not cut"
            <| fun () -> Expect.equal (Sample.uniqueLabels [| longest |]) [| longest |] "label"

            testCase "a cut that would end in a blank ends before it"
            <| fun () -> Expect.equal (Sample.uniqueLabels [| String('a', 63) + " b" |]) [| String('a', 63) |] "label"

            testCase "a cut does not divide a character beyond the basic plane"
            <| fun () -> Expect.equal (Sample.uniqueLabels [| String('a', 63) + "\U0001F300" |]) [| String('a', 63) |] "label"

            testCase "room for a number does not divide a character beyond the basic plane"
            <| fun () ->
                let label = String('a', 61) + "\U0001F300b"

                for unique in Sample.uniqueLabels [| label; label |] do
                    Expect.isTrue (isWellFormed unique) $"well-formed: {unique}"
                    Expect.isLessThanOrEqual unique.Length 64 "length"

            testCase "labels stay unique when the receiver trims them"
            <| fun () ->
                let trimmed =
                    Sample.uniqueLabels [| ""; " "; "2"; "FAN"; "FAN " |]
                    |> Array.map (fun label -> label.Trim())

                Expect.equal trimmed.Length (Array.distinct trimmed).Length $"%A{trimmed}"

            testCase "the fans of a sample keep their speeds and their order"
            <| fun () ->
                let sensors = Hwmon.parse (sysFiles "amd-server" "")

                let sample =
                    build
                        ValueNone
                        { nothing with
                            Slow =
                                { nothing.Slow with
                                    Fans = sensors.Fans
                                }
                        }

                Expect.equal
                    sample.Fans
                    [|
                        { Label = "FAN"; Speed = 5880<rpm> }
                        { Label = "FAN 2"; Speed = 5760<rpm> }
                        { Label = "FAN 3"; Speed = 6000<rpm> }
                    |]
                    "fans"
        ]

let private others =
    let stall average total : Pressure.Stall = { Avg10 = average; Total = total }

    let pressure some full : Result<Pressure.Pressure, SourceError> = Ok { Some = some; Full = full }

    testList
        "the rest"
        [
            testCase "the instant is UTC, cut to the microsecond"
            <| fun () ->
                let at = DateTimeOffset(2026, 2, 26, 4, 37, 49, TimeSpan.FromHours 2.0).AddTicks 1234569L
                let sample = build ValueNone { nothing with At = at }
                Expect.equal sample.CollectedAt.Offset TimeSpan.Zero "UTC"

                Expect.equal (sample.CollectedAt.ToString "yyyy-MM-ddTHH:mm:ss.fffffff") "2026-02-26T02:37:49.1234560" "cut, not rounded"

            testCase "load and processes pass through"
            <| fun () ->
                let load: LoadAvg.LoadAverage =
                    {
                        One = 0.23
                        Five = 0.17
                        Fifteen = 0.07
                    }

                let sample =
                    build
                        ValueNone
                        { nothing with
                            Load = Ok load
                            Processes = Ok 84
                        }

                Expect.equal (sample.Load, sample.ProcessCount) (ValueSome load, ValueSome 84) "both"

            testCase "pressure tells what each file says; the CPU's full line is not told"
            <| fun () ->
                let sample =
                    build
                        ValueNone
                        { nothing with
                            CpuPressure = pressure (stall 1.0<percent> 10UL<us>) (ValueSome(stall 9.0<percent> 90UL<us>))
                            IoPressure = pressure (stall 2.0<percent> 20UL<us>) (ValueSome(stall 3.0<percent> 30UL<us>))
                            MemoryPressure =
                                pressure (stall 4.0<percent> 18446744073709551615UL<us>) (ValueSome(stall 5.0<percent> 50UL<us>))
                        }

                Expect.equal
                    sample.Pressure
                    (ValueSome
                        {
                            CpuSome = ValueSome(stall 1.0<percent> 10UL<us>)
                            IoSome = ValueSome(stall 2.0<percent> 20UL<us>)
                            IoFull = ValueSome(stall 3.0<percent> 30UL<us>)
                            MemorySome = ValueSome(stall 4.0<percent> 9223372036854775807UL<us>)
                            MemoryFull = ValueSome(stall 5.0<percent> 50UL<us>)
                        })
                    "pressure"

            testCase "a pressure file that failed costs its own figures"
            <| fun () ->
                let sample =
                    build
                        ValueNone
                        { nothing with
                            IoPressure = pressure (stall 2.0<percent> 20UL<us>) ValueNone
                        }

                Expect.equal
                    sample.Pressure
                    (ValueSome
                        {
                            CpuSome = ValueNone
                            IoSome = ValueSome(stall 2.0<percent> 20UL<us>)
                            IoFull = ValueNone
                            MemorySome = ValueNone
                            MemoryFull = ValueNone
                        })
                    "io alone"

            testCase "a kernel without pressure has none"
            <| fun () -> Expect.equal (build ValueNone nothing).Pressure ValueNone "none"

            testCase "one source that fails costs nothing of another"
            <| fun () ->
                let sample =
                    build
                        ValueNone
                        { withStat (stat 1 0 1 0) with
                            Disks = Ok [| disk "sda" |]
                        }

                Expect.equal (sample.CpuUsage, sample.Disks.Length, sample.Memory) (ValueSome 50.0<percent>, 1, ValueNone) "both"

            testCase "when every source fails a sample is still taken, and nothing in it is 0"
            <| fun () ->
                let sample = build ValueNone nothing
                Expect.equal sample.CollectedAt noon "when"
                Expect.equal (sample.Load, sample.ProcessCount, sample.CpuCountPhysical) (ValueNone, ValueNone, ValueNone) "unknown"
                Expect.equal (sample.CpuFrequency, sample.CpuTemperature) (ValueNone, ValueNone) "unknown"
                Expect.equal (sample.Gpus, sample.Fans, sample.Infiniband) ([||], [||], [||]) "none"
        ]

[<Tests>]
let tests = testList "Sample" [ cpu; memory; devices; labels; others ]
