/// Reading files of /proc and /sys: absent, unreadable, garbled, coming and going.
module Agent.Host.Tests.FilesTests

open System
open System.Globalization
open System.IO
open System.Text
open Agent.Core
open Agent.Sender
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Host
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport
open Agent.Host.Tests.VirtualClock
open Expecto

let private text = TextParser<string>(fun bytes -> Ok(Encoding.UTF8.GetString bytes))

let private kernelFile =
    testList
        "kernel file"
        [
            testCase "it is read anew each time, and whole, however long"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "f")
                    use file = new KernelFile(path, Func<_>(fun () -> TimeSpan.Zero))
                    let buffer = ReadBuffer()

                    for content in [ "one"; String('x', 16384); String('y', 100000); ""; "two" ] do
                        // In place, as the kernel's files change under an open handle.
                        File.WriteAllText(path, content)
                        Expect.equal (file.Read(buffer, text)) (Ok content) $"{content.Length} bytes")

            testCase "what the kernel hands out in pieces is read whole"
            <| fun () ->
                // Some megabytes in pieces of a page, each of whole lines; a module that is loaded meanwhile adds lines.
                let path = "/proc/kallsyms"
                let buffer = ReadBuffer()

                for longestRecord in [ 1024; ReadBuffer.Page ] do
                    use file = new KernelFile(path, Func<_>(fun () -> TimeSpan.Zero), longestRecord)

                    let isWhole () =
                        Ok(File.ReadAllText path) = file.Read(buffer, text)

                    Expect.isTrue (Seq.exists isWhole (Seq.replicate 5 ())) "as the class library reads it"

            testCase "an absent file is looked for again after a minute"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "late", "f")
                    let mutable now = TimeSpan.FromHours 1.0
                    use file = new KernelFile(path, Func<_>(fun () -> now))
                    let buffer = ReadBuffer()
                    Expect.equal (file.Read(buffer, text)) (Error(SourceError.Absent path)) "absent"
                    Directory.CreateDirectory(Path.Combine(directory, "late")) |> ignore
                    File.WriteAllText(path, "here")
                    now <- now + TimeSpan.FromSeconds 59.9
                    Expect.equal (file.Read(buffer, text)) (Error(SourceError.Absent path)) "not looked for yet"
                    now <- now + TimeSpan.FromSeconds 0.1
                    Expect.equal (file.Read(buffer, text)) (Ok "here") "found"
                    File.Delete path
                    Expect.equal (file.Read(buffer, text)) (Ok "here") "an open file stays readable")

            testCase "a pipe in the place of a file of a process is not waited for"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "f")
                    use pipe = System.Diagnostics.Process.Start("mkfifo", [ path ])
                    pipe.WaitForExit()
                    let ofJobs = Agent.Host.Reading.Jobs.SmallFiles().Read(path, text)
                    Expect.isTrue ofJobs.IsError "it is not read")

            testCase "after an error it is opened again at the next reading"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "f")
                    // A directory can be there and not be read.
                    Directory.CreateDirectory path |> ignore
                    use file = new KernelFile(path, Func<_>(fun () -> TimeSpan.Zero))
                    let buffer = ReadBuffer()

                    match file.Read(buffer, text), KernelFiles.ReadText(path, buffer).Content with
                    | Error(SourceError.Unreadable(where, reason) as error), Error ofSys ->
                        Expect.equal where path "named"
                        Expect.stringStarts reason "it is a directory, and a file belongs there" "not a permission"
                        Expect.equal ofSys error "a file of /sys likewise"
                    | other -> failtest $"expected unreadable, got {other}"

                    Directory.Delete path
                    File.WriteAllText(path, "here")
                    Expect.equal (file.Read(buffer, text)) (Ok "here") "at once")

            testCase "an error while reading an open file opens it again"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // /proc/self/mem opens, and reading its first page is an I/O error.
                    let path = Path.Combine(directory, "f")
                    File.CreateSymbolicLink(path, "/proc/self/mem") |> ignore
                    use file = new KernelFile(path, Func<_>(fun () -> TimeSpan.Zero))
                    let buffer = ReadBuffer()

                    match file.Read(buffer, text) with
                    | Error(SourceError.Unreadable(where, _)) -> Expect.equal where path "named"
                    | other -> failtest $"expected unreadable, got {other}"

                    File.Delete path
                    File.WriteAllText(path, "here")
                    Expect.equal (file.Read(buffer, text)) (Ok "here") "at once")

            testCase "a garbled file says where, and is read again"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "loadavg")
                    File.WriteAllText(path, "0.1 x 0.3 1/2 3\n")
                    use file = new KernelFile(path, Func<_>(fun () -> TimeSpan.Zero))
                    let buffer = ReadBuffer()
                    let load = TextParser<LoadAvg.LoadAverage>(fun bytes -> LoadAvg.parse bytes)

                    match file.Read(buffer, load) with
                    | Error(SourceError.Garbled error) -> Expect.equal (error.Line, error.Raw) (1, "x") "located"
                    | other -> failtest $"expected garbled, got {other}"

                    File.WriteAllText(path, "0.1 0.2 0.3 1/2 3\n")

                    Expect.equal (file.Read(buffer, load)) (Ok { One = 0.1; Five = 0.2; Fifteen = 0.3 }) "the next reading")

            testCase "a file of /sys is its bytes, or the reason"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "temp1_input")
                    let buffer = ReadBuffer()
                    Expect.equal (KernelFiles.ReadText(path, buffer).Content) (Error(SourceError.Absent path)) "absent"
                    File.WriteAllText(path, "42000\n")

                    match KernelFiles.ReadText(path, buffer).Content with
                    | Ok bytes -> Expect.equal (Encoding.UTF8.GetString bytes.Span) "42000\n" "bytes"
                    | Error error -> failtest (string error))
        ]

let private procPaths =
    testList
        "bound procfs"
        [
            testCase "the reader's own files in /proc, those of process 1 elsewhere"
            <| fun () ->
                World.withDirectory (fun directory ->
                    Expect.equal
                        (ProcPaths.Of("/proc", Sources.network), ProcPaths.Mounts "/proc")
                        ("/proc/net/dev", "/proc/self/mounts")
                        "/proc"

                    Expect.equal
                        (ProcPaths.Of(directory, Sources.network), ProcPaths.Mounts directory)
                        ($"{directory}/net/dev", $"{directory}/self/mounts")
                        "without a process 1"

                    Directory.CreateDirectory(Path.Combine(directory, "1", "net")) |> ignore
                    File.WriteAllText(Path.Combine(directory, "1", "net", "dev"), "")
                    File.WriteAllText(Path.Combine(directory, "1", "mounts"), "")

                    Expect.equal
                        (ProcPaths.Of(directory, Sources.network), ProcPaths.Mounts directory)
                        ($"{directory}/1/net/dev", $"{directory}/1/mounts")
                        "with one")

            testCase "neither /proc nor a directory that only looks like one conceals the machine"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for procfs in [ "/proc"; directory; "/nowhere" ] do
                        Expect.equal (ProcPaths.Concealed procfs) "" procfs)
        ]

let private noWindow: CpuWindow voption = ValueNone

let private nothingSlow = Func<_>(fun () -> SlowReadings.None)

let private procFiles =
    testList
        "a whole reading"
        [
            testCase "a captured machine"
            <| fun () ->
                let machine = Fixtures.pathOf "vm-2core-6.18/first"
                let clock = ManualClock()
                clock.Advance(TimeSpan.FromSeconds 7.0)
                use files = new ProcFiles(machine + "/proc", machine + "/sys", clock, nothingSlow)
                let snapshot = files.Read(noWindow)
                Expect.equal snapshot.At (noon.AddSeconds 7.0) "the clock's time"
                Expect.equal (snapshot.Load |> Result.map _.One) (Ok 0.23) "load"
                Expect.equal (snapshot.Memory |> Result.map _.Total) (Ok(ValueSome 25276514304UL<B>)) "memory"
                Expect.equal (snapshot.Stat |> Result.map _.Cpus.Length) (Ok 2) "CPUs"
                Expect.equal (snapshot.Disks |> Result.map (Array.last >> _.Device)) (Ok "zram0") "disks, all of them"
                Expect.equal (snapshot.Network |> Result.map Array.length) (Ok 4) "interfaces, all of them"
                Expect.equal (snapshot.MemoryPressure |> Result.map _.Some.Total) (Ok 0UL<us>) "pressure"
                Expect.equal snapshot.Processes (Ok 0) "no process in the fixture"
                Expect.equal snapshot.Infiniband [||] "no fabric"

            testCase "ZFS's cache is read where it is, and not in a container that LXC gives a meminfo of its own"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let place = Directory.CreateDirectory(Path.Combine(directory, "spl/kstat/zfs"))
                    Directory.CreateDirectory(Path.Combine(directory, "self")) |> ignore
                    File.WriteAllText(Path.Combine(place.FullName, "arcstats"), "c_min 4 1\nsize 4 9\n")

                    let arcWith (mounts: string) =
                        File.WriteAllText(Path.Combine(directory, "self", "mounts"), mounts)
                        use files = new ProcFiles(directory, directory, ManualClock(), nothingSlow)

                        files.Read(noWindow).Arc |> Result.map _.Reclaimable

                    Expect.equal (arcWith "lxcfs /var/lib/lxcfs fuse.lxcfs rw 0 0\n") (Ok 8UL<B>) "a host of containers"

                    Expect.equal
                        (arcWith "lxcfs /proc/meminfo fuse.lxcfs rw 0 0\n")
                        (Error(SourceError.Absent "/proc/spl/kstat/zfs/arcstats"))
                        "a container")

            testCase "lines that cannot be read stand beside what the others say"
            <| fun () ->
                World.withDirectory (fun directory ->
                    File.WriteAllText(Path.Combine(directory, "diskstats"), "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 odd -1\n")
                    File.WriteAllText(Path.Combine(directory, "meminfo"), "MemTotal: 8 kB\nMemFree: 4 kB\nBuffers: x kB\n")
                    use files = new ProcFiles(directory, directory, ManualClock(), nothingSlow)

                    for _ in 1..2 do
                        let snapshot = files.Read(noWindow)
                        Expect.equal (snapshot.Disks |> Result.map (Array.map _.Device)) (Ok [| "sda" |]) "disks"
                        Expect.equal (snapshot.Memory |> Result.map _.Free) (Ok(ValueSome 4096UL<B>)) "memory"

                        Expect.equal
                            (snapshot.Faults |> Array.map (fun fault -> fault.Source, fault.Line))
                            [| "/proc/diskstats", 2; "/proc/meminfo", 3 |]
                            "of this reading alone")

            testCase "an empty procfs is absent file by file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use files = new ProcFiles(directory, directory, ManualClock(), nothingSlow)
                    let snapshot = files.Read(noWindow)

                    let absent name =
                        SourceError.Absent $"{directory}/{name}"

                    Expect.equal (snapshot.Stat |> Result.map ignore) (Error(absent "stat")) "stat"
                    Expect.equal (snapshot.Memory |> Result.map ignore) (Error(absent "meminfo")) "meminfo"
                    Expect.equal (snapshot.Load |> Result.map ignore) (Error(absent "loadavg")) "loadavg"
                    Expect.equal (snapshot.Disks |> Result.map ignore) (Error(absent "diskstats")) "diskstats"
                    Expect.equal (snapshot.Network |> Result.map ignore) (Error(absent "net/dev")) "net/dev"
                    Expect.equal (snapshot.CpuPressure |> Result.map ignore) (Error(absent "pressure/cpu")) "pressure")

            testCase "CPUs that are plugged in show at the next reading"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "stat")
                    use files = new ProcFiles(directory, directory, ManualClock(), nothingSlow)

                    let cpus () =
                        files.ReadStat()
                        |> Result.map (fun stat -> stat.Cpus |> Array.map _.Id |> List.ofArray)

                    File.WriteAllBytes(path, Fixtures.bytes "hotplug/before/proc/stat")
                    let before = cpus ()
                    File.WriteAllBytes(path, Fixtures.bytes "hotplug/after/proc/stat")
                    Expect.notEqual (cpus ()) before "after")

            testCase "processes are the numeric names"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for name in [ "1"; "42"; "4711"; "self"; "net"; "acpi"; "x1" ] do
                        Directory.CreateDirectory(Path.Combine(directory, name)) |> ignore

                    use files = new ProcFiles(directory, directory, ManualClock(), nothingSlow)
                    Expect.equal (files.Read(noWindow).Processes) (Ok 3) "1, 42 and 4711")

            testCase "ports of a fabric, which are looked for once a minute"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let counters = Path.Combine(directory, "class", "infiniband", "mlx5_0", "ports", "1", "counters")
                    let mutable now = TimeSpan.Zero
                    let fabric = FabricFiles(directory, Func<_>(fun () -> now))
                    let buffer = ReadBuffer()
                    Expect.equal (fabric.Read buffer) [||] "none"
                    Directory.CreateDirectory counters |> ignore
                    File.WriteAllText(Path.Combine(counters, "port_rcv_data"), "100\n")
                    File.WriteAllText(Path.Combine(counters, "port_xmit_data"), "200\n")
                    now <- TimeSpan.FromSeconds 60.0
                    Expect.equal (fabric.Read buffer) [||] "not looked for yet"
                    now <- TimeSpan.FromSeconds 61.0

                    // The counters count words of four bytes.
                    Expect.equal
                        (fabric.Read buffer)
                        [|
                            {
                                Device = "mlx5_0"
                                Port = 1
                                Received = ValueSome 400UL<B>
                                Sent = ValueSome 800UL<B>
                            }
                        |]
                        "found"

                    File.WriteAllText(Path.Combine(counters, "port_rcv_data"), "101\n")
                    let ports = fabric.Read buffer
                    Expect.equal ports[0].Received (ValueSome 404UL<B>) "read each time"

                    let adapters = Path.Combine(directory, "class", "infiniband")
                    Directory.Move(Path.Combine(adapters, "mlx5_0"), Path.Combine(adapters, "ibp3s0"))
                    let renamed = fabric.Read buffer

                    Expect.equal
                        (renamed |> Array.map (fun port -> port.Device, port.Received))
                        [| "ibp3s0", ValueSome 404UL<B> |]
                        "at once"

                    Directory.Delete(Path.Combine(adapters, "ibp3s0"), true)
                    Expect.equal (fabric.Read buffer) [||] "gone")
        ]

let private sysFiles =
    testList
        "sysfs"
        [
            testCase "sensors of a workstation"
            <| fun () ->
                let reading = SysFiles(Fixtures.pathOf "intel-workstation/sys", "/nowhere").ReadSensors()
                Expect.equal reading.CpuTemperature (ValueSome 61.0) "the package"
                Expect.equal (reading.Fans |> Array.map (fun fan -> fan.Speed)) [| 0<rpm>; 1182<rpm>; 2700<rpm> |] "fans"
                Expect.isFalse reading.IsEmpty "something to read again"

            testCase "thermal zones where hwmon has no better temperature"
            <| fun () ->
                let reading = SysFiles(Fixtures.pathOf "thermal-zones-only/sys", "/nowhere").ReadSensors()
                Expect.equal reading.CpuTemperature (ValueSome 48.312) "the zone of the CPU, not the hotter one of the GPU"

            testCase "a zone of a CPU that cannot be read is told, one that is switched off is not"
            <| fun () ->
                World.withDirectory (fun sys ->
                    let zone = Path.Combine(sys, "class/thermal/thermal_zone0")
                    let temperature = Path.Combine(zone, "temp")
                    Directory.CreateDirectory zone |> ignore
                    File.WriteAllText(Path.Combine(zone, "type"), "cpu-thermal\n")

                    let faults () =
                        SysFiles(sys, "/nowhere").ReadSensors().Faults

                    // Its first page cannot be read: EIO.
                    File.CreateSymbolicLink(temperature, "/proc/self/mem") |> ignore

                    match faults () with
                    | [| SourceError.Unreadable(path, _) |] -> Expect.equal path temperature "named"
                    | other -> failtest $"expected one fault, got %A{other}"

                    // A file that can only be written to: EINVAL.
                    File.Delete temperature
                    File.CreateSymbolicLink(temperature, "/proc/self/clear_refs") |> ignore

                    if Environment.IsPrivilegedProcess then
                        Expect.equal (faults ()) [||] "switched off")

            testCase "a sensor that failed counts as unread until it is read: not when its chip goes or it has no value"
            <| fun () ->
                World.withDirectory (fun sys ->
                    let chip = Path.Combine(sys, "class/hwmon/hwmon0")
                    let input = Path.Combine(chip, "temp1_input")
                    Directory.CreateDirectory chip |> ignore
                    File.WriteAllText(Path.Combine(chip, "name"), "coretemp\n")
                    File.WriteAllText(input, "warm\n")
                    let files = SysFiles(sys, "/nowhere")

                    let isUnread () =
                        files.ReadSensors() |> ignore
                        files.IsUnread input

                    Expect.isTrue (isUnread ()) "garbled"
                    File.Delete input
                    Expect.isTrue (isUnread ()) "gone"
                    File.WriteAllText(input, "40000\n")
                    Expect.isFalse (isUnread ()) "read"
                    File.Delete input
                    Expect.isFalse (isUnread ()) "gone without a fault"
                    File.WriteAllText(input, "warm\n")
                    Expect.isTrue (isUnread ()) "garbled again"
                    Directory.Delete(chip, true)
                    Expect.isTrue (isUnread ()) "its chip is gone")

            testCase "at most so many unread parts are remembered"
            <| fun () ->
                let unread = UnreadParts()
                let fault n = SourceError.Unreadable($"/x{n}", "EIO")
                unread.Observe(Seq.map fault [ 1 .. UnreadParts.Most + 1 ], Func<_, _>(fun _ -> false))
                Expect.isTrue (unread.Contains $"/x{UnreadParts.Most}") "the last"
                Expect.isFalse (unread.Contains $"/x{UnreadParts.Most + 1}") "one more"

            testCase "a sensor that hangs costs its own chip, and is told"
            <| fun () ->
                World.withDirectory (fun sys ->
                    let chip number name celsius =
                        let path = Path.Combine(sys, $"class/hwmon/hwmon{number}")
                        Directory.CreateDirectory path |> ignore
                        File.WriteAllText(Path.Combine(path, "name"), name + "\n")
                        File.WriteAllText(Path.Combine(path, "temp1_input"), celsius + "\n")
                        path

                    chip 0 "coretemp" "52000" |> ignore
                    let hanging = chip 1 "drivetemp" "30000"
                    let files = SysFiles(sys, "/nowhere", AgentClock 2, true)
                    Expect.hasLength (files.ReadSensors().Temperatures) 2 "both"
                    let pipe = Path.Combine(hanging, "temp1_input")
                    File.Delete pipe
                    use tool = Diagnostics.Process.Start("mkfifo", [ pipe ])
                    tool.WaitForExit()

                    for _ in 1..2 do
                        let reading = files.ReadSensors()
                        Expect.equal reading.CpuTemperature (ValueSome 52.0) "the CPU's"

                        Expect.equal
                            (reading.Faults |> Array.map string)
                            [|
                                $"{hanging} cannot be read: a sensor does not answer within 2 s; until it does none of this device is in the samples"
                            |]
                            "told"

                    // Somebody opens the other end, and the reader finds it empty; after that there is a file again.
                    // Without a lock, which the reader may be the first to take.
                    File.Open(pipe, FileMode.Open, FileAccess.Write, FileShare.ReadWrite).Dispose()
                    File.Delete pipe
                    File.WriteAllText(pipe, "31000\n")

                    let isBack () =
                        let reading = files.ReadSensors()
                        reading.Faults.Length = 0 && reading.Temperatures.Length = 2

                    Waiting.eventually (TimeSpan.FromSeconds 20.0) "the sensor is back" isBack
                    Expect.isFalse (files.IsUnread hanging) "and read")

            testCase "chips that are neither a CPU's nor have fans are not read for samples, and one whose device sleeps is read by nobody"
            <| fun () ->
                World.withDirectory (fun sys ->
                    let write path text =
                        let path = Path.Combine(sys, path)
                        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
                        File.WriteAllText(path, text + "\n")

                    let chip number name sensors =
                        write $"class/hwmon/hwmon{number}/name" name

                        for file, text in sensors do
                            write $"class/hwmon/hwmon{number}/{file}" text

                    chip 0 "coretemp" [ "temp1_input", "52000" ]
                    chip 1 "nvme" [ "temp1_input", "41000"; "temp1_label", "Composite" ]
                    chip 2 "drivetemp" [ "temp1_input", "35000" ]
                    chip 3 "amdgpu" [ "temp1_input", "45000"; "temp1_label", "edge"; "fan1_input", "900" ]
                    chip 4 "nct6775" [ "temp1_input", "44000"; "temp1_label", "CPUTIN" ]
                    let status = "class/hwmon/hwmon3/device/power/runtime_status"
                    write status "active"

                    let chips everyChip =
                        SysFiles(sys, "/nowhere", everyChip = everyChip)

                    let read (files: SysFiles) =
                        let reading = files.ReadSensors()
                        reading.Temperatures |> Array.map (_.Celsius >> float), reading.Fans |> Array.map (_.Speed >> int)

                    let files = chips false
                    Expect.equal (read files) ([| 52.0; 45.0; 44.0 |], [| 900 |]) "neither disk"
                    Expect.equal (read (chips true)) ([| 52.0; 41.0; 35.0; 45.0; 44.0 |], [| 900 |]) "all, where they are wanted"
                    write status "suspended"
                    Expect.equal (read files) ([| 52.0; 44.0 |], [||]) "the GPU sleeps"
                    Expect.equal (read (chips true)) ([| 52.0; 41.0; 35.0; 44.0 |], [||]) "for whoever asks"
                    write status "active"
                    Expect.equal (snd (read files)) [| 900 |] "and is awake"

                    // Drivers that are loaded anew number their chips anew.
                    chip 1 "k10temp" []

                    for reading in 4..60 do
                        Expect.equal (fst (read files)).Length 3 $"reading {reading}"

                    Expect.equal (fst (read files)) [| 52.0; 41.0; 45.0; 44.0 |] "reading 61")

            testCase "which thermal zones are a CPU's is looked up at each sixtieth reading"
            <| fun () ->
                World.withDirectory (fun sys ->
                    let zone number kind =
                        let path = Path.Combine(sys, $"class/thermal/thermal_zone{number}")
                        Directory.CreateDirectory path |> ignore
                        File.WriteAllText(Path.Combine(path, "type"), kind + "\n")
                        File.WriteAllText(Path.Combine(path, "temp"), "40000\n")

                    zone 0 "gpu-thermal"
                    let files = SysFiles(sys, "/nowhere")
                    let read () = files.ReadSensors().CpuTemperature
                    Expect.equal (read ()) ValueNone "none yet"
                    zone 1 "cpu-thermal"

                    for reading in 2..60 do
                        Expect.equal (read ()) ValueNone $"reading {reading}"

                    Expect.equal (read ()) (ValueSome 40.0) "reading 61")

            testCase "a thermal zone that has another type now is not the CPU's, and which is is looked up at once"
            <| fun () ->
                World.withDirectory (fun sys ->
                    let zone number kind celsius =
                        let path = Path.Combine(sys, $"class/thermal/thermal_zone{number}")
                        Directory.CreateDirectory path |> ignore
                        File.WriteAllText(Path.Combine(path, "type"), kind + "\n")
                        File.WriteAllText(Path.Combine(path, "temp"), $"{celsius}000\n")

                    zone 0 "cpu-thermal" 50
                    zone 1 "gpu-thermal" 80
                    let files = SysFiles(sys, "/nowhere")
                    let read () = files.ReadSensors().CpuTemperature
                    Expect.equal (read ()) (ValueSome 50.0) "zone 0"
                    zone 0 "gpu-thermal" 80
                    zone 1 "cpu-thermal" 50
                    Expect.equal (read ()) (ValueSome 50.0) "zone 1, and not the GPU's 80")

            testCase "a sensor that is no CPU's is read again soon although it gives no temperature"
            <| fun () ->
                let reading = SysFiles(Fixtures.pathOf "sensors-without-cpu-chip/sys", "/nowhere").ReadSensors()
                Expect.equal reading.CpuTemperature ValueNone "none of a CPU"
                Expect.isFalse reading.IsEmpty "its sensors are metrics"

            testCase "a machine without sensors"
            <| fun () -> Expect.isTrue (SysFiles("/nowhere", "/nowhere").ReadSensors().IsEmpty) "nothing to read again soon"

            testCase "the clock from sysfs, else from cpuinfo, else unknown"
            <| fun () ->
                let machine = Fixtures.pathOf "vm-2core-6.18/first"
                Expect.isTrue (SysFiles(Fixtures.pathOf "two-sockets-smt/sys", "/nowhere").ReadFrequency().Value.IsSome) "sysfs"
                Expect.equal (SysFiles("/nowhere", machine + "/proc").ReadFrequency().Value) (ValueSome 2300.0) "cpuinfo"
                Expect.equal (SysFiles("/nowhere", "/nowhere").ReadFrequency().Value) ValueNone "unknown"

            testCase "cores from sysfs, else from cpuinfo, else unknown"
            <| fun () ->
                let machine = Fixtures.pathOf "vm-2core-6.18/first"
                Expect.equal (SysFiles(machine + "/sys", "/nowhere").ReadPhysicalCores(0).Value) (ValueSome 2) "sysfs"
                Expect.equal (SysFiles("/nowhere", machine + "/proc").ReadPhysicalCores(0).Value) (ValueSome 2) "cpuinfo"
                Expect.equal (SysFiles("/nowhere", "/nowhere").ReadPhysicalCores(0).Value) ValueNone "unknown"

                // In a container of LXC /sys has the CPUs of the host, and cpuinfo those that the container has.
                let host = Fixtures.pathOf "two-sockets-smt/sys"

                let cores procfs logical =
                    SysFiles(host, procfs).ReadPhysicalCores(logical).Value

                let all = cores "/nowhere" 0
                Expect.isTrue (all.Value > 1) "the host's"
                Expect.equal (cores "/nowhere" (2 * all.Value)) all "as many CPUs as /sys has"
                Expect.equal (cores "/nowhere" (2 * all.Value - 1)) ValueNone "one fewer"
                Expect.equal (cores (machine + "/proc") 2) (ValueSome 2) "cpuinfo's two"

            testCase "in a container of LXC the machine started when the container's uptime says"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write (name: string) (text: string) =
                        let path = Path.Combine(directory, name)
                        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
                        File.WriteAllText(path, text)

                    let clock =
                        { new AgentClock(1) with
                            override _.GetUtcNow() =
                                DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero)
                        }

                    let read () =
                        SystemFacts(directory, SysFiles("/nowhere", directory), clock).Read().Value

                    // 2026-08-20T00:00:00Z
                    write "stat" "cpu  1 2 3 4\ncpu0 1 2 3 4\nbtime 1787184000\n"
                    write "uptime" "3600.00 7000.00\n"
                    Expect.equal (read ()).BootTime (ValueSome(DateTimeOffset(2026, 8, 20, 0, 0, 0, TimeSpan.Zero))) "a machine"

                    for place in [ "1/mounts"; "self/mounts" ] do
                        write place "lxcfs /proc/uptime fuse.lxcfs rw,nosuid 0 0\n"

                    Expect.equal (read ()).BootTime (ValueSome(DateTimeOffset(2026, 11, 28, 11, 0, 0, TimeSpan.Zero))) "a container"
                    Expect.equal (read ()).Uptime (ValueSome 3600.0<s>) "an hour")

            testCase "a value of cpuinfo that cannot be read is reported with what can"
            <| fun () ->
                World.withDirectory (fun directory ->
                    File.WriteAllText(
                        Path.Combine(directory, "cpuinfo"),
                        "processor : 0\nmodel name : Own\ncpu MHz : 2000.0\ncore id : -1\n\n"
                    )

                    let files = SysFiles("/nowhere", directory)

                    let fields (faults: SourceError[]) =
                        faults
                        |> Array.map (fun fault ->
                            match fault with
                            | SourceError.Garbled error -> error.Field
                            | other -> string other)

                    let name, clock, cores = files.ReadCpuName(), files.ReadFrequency(), files.ReadPhysicalCores 0
                    Expect.equal (name.Value, fields name.Faults) ("Own", [| "core id" |]) "name"
                    Expect.equal (clock.Value, fields clock.Faults) (ValueSome 2000.0, [| "core id" |]) "clock"
                    Expect.equal (cores.Value, fields cores.Faults) (ValueNone, [| "core id" |]) "cores")

            testCase "a cpuinfo that cannot be opened is reported, one that is absent is not"
            <| fun () ->
                World.withDirectory (fun directory ->
                    Expect.equal (SysFiles("/nowhere", directory).ReadCpuName().Faults) [||] "absent"
                    // A directory in its place cannot be read as a file, not even by root.
                    Directory.CreateDirectory(Path.Combine(directory, "cpuinfo")) |> ignore
                    Expect.hasLength (SysFiles("/nowhere", directory).ReadCpuName().Faults) 1 "unreadable")

            testCase "file systems of a bound procfs lie under rootfs; one that is not there is left out, a bad line is reported"
            <| fun () ->
                World.withDirectory (fun directory ->
                    Directory.CreateDirectory(Path.Combine(directory, "1")) |> ignore
                    Directory.CreateDirectory(Path.Combine(directory, "root", "data")) |> ignore
                    File.WriteAllText(Path.Combine(directory, "filesystems"), "nodev\ttmpfs\n\text4\n")

                    File.WriteAllText(
                        Path.Combine(directory, "1", "mountinfo"),
                        "1 0 8:1 / /data rw - ext4 /dev/a rw\n2 0 8:2 / /gone rw - ext4 /dev/b rw\n3 0 ? / /x rw - ext4 /dev/c rw\n4 0 0:9 / /data rw - nfs s:/d rw\n"
                    )

                    let read withNetwork =
                        PartitionFiles(directory, Path.Combine(directory, "root"), AgentClock(), withNetwork).Read()

                    let plain = read false
                    Expect.equal (plain.OnDisk |> Array.map _.Device) [| "/dev/a" |] "disks"
                    Expect.isGreaterThan (uint64 plain.OnDisk[0].Total) 0UL "the size of where the test runs"

                    match plain.Faults with
                    | [| SourceError.Garbled error |] -> Expect.equal (error.Source, error.Line) ("/proc/self/mountinfo", 3) "the bad line"
                    | other -> failtest $"expected one fault, got %A{other}"

                    Expect.contains ((read true).States |> Array.map _.Device) "s:/d" "for metrics"
                    Expect.equal plain.States [||] "none but for metrics"

                    // What process 1 sees tells what is read-only, if it can be read.
                    let isReadOnly () =
                        (read true).States |> Array.map (fun state -> state.Device, state.IsReadOnly)

                    Expect.equal (isReadOnly ()) [| "/dev/a", false; "s:/d", false |] "as it is seen here"
                    File.WriteAllText(Path.Combine(directory, "1", "mounts"), "s:/d /data nfs ro 0 0\n")
                    Expect.equal (isReadOnly ()) [| "/dev/a", true; "s:/d", true |] "as process 1 sees it"
                    Expect.isGreaterThan (read true).States[0].Counts.Value.Files 0UL "files")

            testCase "a file system on a directory whose name is not UTF-8 is asked by its bytes"
            <| fun () ->
                World.withDirectory (fun directory ->
                    Directory.CreateDirectory(Path.Combine(directory, "self")) |> ignore
                    File.WriteAllText(Path.Combine(directory, "filesystems"), "\text4\n")

                    // The class library can neither make nor delete such a directory; the shell can.
                    let inShell command =
                        use shell = Diagnostics.Process.Start("sh", [ "-c"; $"cd {directory} && {command}" ])
                        shell.WaitForExit()

                    inShell "mkdir root && cd root && mkdir \"$(printf 'se\\361or')\""

                    File.WriteAllBytes(
                        Path.Combine(directory, "self", "mountinfo"),
                        Encoding.Latin1.GetBytes "1 0 8:1 / /se\u00f1or rw - ext4 /dev/a rw\n2 0 8:2 / /se\u00f2or rw - ext4 /dev/b rw\n"
                    )

                    let reading = PartitionFiles(directory, Path.Combine(directory, "root"), AgentClock(), true).Read()
                    inShell "rm -r root"
                    Expect.equal (reading.OnDisk |> Array.map _.MountPoint) [| @"/se\xf1or" |] "the one that is there"
                    Expect.equal (reading.States |> Array.map _.MountPoint) [| @"/se\xf1or" |] "for metrics"
                    Expect.equal reading.Faults [||] "no fault")

            testCase "a mount that failed counts as unread until it answers: not when it is gone"
            <| fun () ->
                World.withDirectory (fun directory ->
                    Directory.CreateDirectory(Path.Combine(directory, "self")) |> ignore
                    File.WriteAllText(Path.Combine(directory, "filesystems"), "\text4\n")
                    // A name that is too long for a path is an error of statvfs that is no absence.
                    let broken = "/" + String('y', 300)
                    let files = PartitionFiles(directory, "/", AgentClock(), false)

                    let isUnread (mounts: string) =
                        File.WriteAllText(Path.Combine(directory, "self", "mounts"), mounts)
                        files.Read() |> ignore
                        files.IsUnread broken, files.IsUnread "/"

                    Expect.equal (isUnread $"/dev/a {broken} ext4 rw 0 0\n/dev/b / ext4 rw 0 0\n") (true, false) "it fails"
                    Expect.equal (isUnread "/dev/b / ext4 rw 0 0\n") (true, false) "it was unmounted")

            testCase "sixteen faults of file systems are told"
            <| fun () ->
                World.withDirectory (fun directory ->
                    Directory.CreateDirectory(Path.Combine(directory, "self")) |> ignore
                    File.WriteAllText(Path.Combine(directory, "filesystems"), "\text4\n")
                    // A name that is too long for a path is an error of statvfs that is no absence.
                    let mount (n: int) =
                        let directory = String('x', 300) + string n
                        $"/dev/sd{n} /{directory} ext4 rw 0 0\n"

                    let faultsOf count =
                        File.WriteAllText(Path.Combine(directory, "self", "mounts"), String.Join("", Seq.init count mount))
                        PartitionFiles(directory, "/", AgentClock(), false).Read().Faults.Length

                    Expect.equal (faultsOf 15, faultsOf 16, faultsOf 17) (15, 16, 16) "at most sixteen")

            testCase "file systems are told in bytes, as stat -f has them"
            <| fun () ->
                let tool =
                    Diagnostics.ProcessStartInfo("stat", [ "-f"; "-c"; "%b %S"; "/" ], RedirectStandardOutput = true)

                match Diagnostics.Process.Start tool with
                | null -> Skip.because "no stat"
                | stat ->
                    use stat = stat
                    let words = stat.StandardOutput.ReadToEnd().Trim().Split ' '
                    stat.WaitForExit()

                    let size =
                        UInt64.Parse(words[0], CultureInfo.InvariantCulture)
                        * UInt64.Parse(words[1], CultureInfo.InvariantCulture)

                    match
                        PartitionFiles("/proc", "/", AgentClock(), false).Read().OnDisk
                        |> Array.tryFind (fun partition -> partition.MountPoint = "/")
                    with
                    | Some root -> Expect.equal (uint64 root.Total) size "blocks times block size"
                    | None -> Skip.because "the root of this machine lies on no disk"
        ]

/// A tree like /proc in which this process, as another namespace counts, is somebody else.
let private nameOfThisProcess (status: string) =
    let mutable name = ""

    World.withDirectory (fun directory ->
        for folder, file, content in [ "self", "status", status; string Environment.ProcessId, "comm", "stranger\n" ] do
            let path = Directory.CreateDirectory(Path.Combine(directory, folder)).FullName
            File.WriteAllText(Path.Combine(path, file), content)

        name <- ProcessNames(directory).Of Environment.ProcessId)

    name

let private processNames =
    testList
        "process names"
        [
            testCase "in the /proc of another PID namespace the number would be another process"
            <| fun () ->
                Expect.equal
                    (nameOfThisProcess "Name:\tagent\nNSpid:\t48213\t7\n")
                    (File.ReadAllText("/proc/self/comm").Trim())
                    "the name in the agent's own"

            testCase "in the /proc of its own, in a copy of one, and in one that does not tell, it is asked there"
            <| fun () ->
                for status in [ "NSpid:\t7\n"; "Pid:\t7\n"; "NSpid:\tx\n" ] do
                    Expect.equal (nameOfThisProcess status) "stranger" status
        ]

[<Tests>]
let tests = testList "Host.Files" [ kernelFile; procPaths; procFiles; sysFiles; processNames ]
