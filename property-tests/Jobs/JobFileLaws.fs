/// Laws of the files that tell of processes, control groups and network storage.
module Agent.PropertyTests.Jobs.JobFileLaws

open System
open System.Text
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private ticks (value: uint64) : uint64<tick> =
    LanguagePrimitives.UInt64WithMeasure value

let private isPart part whole = ParserLaws.isUnknownOr whole part

// ---- /proc/PID/stat ---------------------------------------------------------------------------------------------------

/// What a process may call itself: 15 bytes of anything, other lines of the kernel's among them.
let private comm: Gen<string> =
    Gen.oneof
        [
            word
            Gen.elements [ "tmux: server"; "a) S 1 (b"; "))"; "("; " "; ""; "python3"; ") R 1 1 1 0" ]
        ]

let private pid = Gen.choose (0, 4_194_304)

let private statTexts: Gen<Rendered<ProcessStat.ProcessStat>> =
    gen {
        let! number = pid
        let! name = comm
        let! state = Gen.elements [ 'R'; 'S'; 'D'; 'Z'; 'T'; 'I' ]
        let! family = Gen.arrayOfLength 3 pid
        let! counts = Gen.arrayOfLength 7 counter
        let! threads = Gen.choose (0, 100_000)
        let! resident = Gen.choose (0, Int32.MaxValue)
        let! processor = Gen.choose (0, 1000)
        let! length = Gen.elements [ 24; 39; 42; 52 ]

        let columns =
            [|
                for field in 4..length do
                    match field with
                    | 4 -> string family[0]
                    | 5 -> string family[1]
                    | 6 -> string family[2]
                    | 8 -> "-1"
                    | 12 -> string counts[0]
                    | 14 -> string counts[1]
                    | 15 -> string counts[2]
                    | 16 -> string counts[5]
                    | 17 -> string counts[6]
                    | 20 -> string threads
                    | 22 -> string counts[3]
                    | 24 -> string resident
                    | 25 -> "18446744073709551615"
                    | 39 -> string processor
                    | 42 -> string counts[4]
                    | _ -> "0"
            |]

        return
            {
                Value =
                    {
                        Pid = number
                        Name = name
                        State = state
                        Parent = family[0]
                        Group = family[1]
                        Session = family[2]
                        MajorFaults = counts[0]
                        UserTime = ticks counts[1]
                        SystemTime = ticks counts[2]
                        ChildTime = ticks (addSaturating counts[5] counts[6])
                        Threads = threads
                        StartedAt = ticks counts[3]
                        Resident = LanguagePrimitives.UInt64WithMeasure(uint64 resident)
                        Processor = if length >= 39 then ValueSome processor else ValueNone
                        BlockIoDelay =
                            if length >= 42 then
                                ValueSome(ticks counts[4])
                            else
                                ValueNone
                    }
                Lines = [| $"{number} ({name}) {state} " + String.Join(' ', columns) |]
            }
    }

let private statFormat = ParserLaws.format statTexts (fun text -> ProcessStat.parse text.Span) (=)

// ---- schedstat, status, io, vmstat ------------------------------------------------------------------------------------

let private schedTexts: Gen<Rendered<SchedStat.SchedStat voption>> =
    Gen.three counter
    |> Gen.map (fun (run, wait, slices) ->
        {
            Value =
                if run = 0UL && wait = 0UL && slices = 0UL then
                    ValueNone
                else
                    ValueSome
                        {
                            RunTime = LanguagePrimitives.UInt64WithMeasure run
                            WaitTime = LanguagePrimitives.UInt64WithMeasure wait
                            Slices = slices
                        }
            Lines = [| $"{run} {wait} {slices}" |]
        })

let private schedFormat = ParserLaws.format schedTexts (fun text -> SchedStat.parse text.Span) (=)

let private statusTexts: Gen<Rendered<ProcessStatus.Status>> =
    gen {
        let! name = comm
        let! uid = Gen.choose64 (0L, int64 UInt32.MaxValue)
        let! cpus = maybe (Gen.choose (1, 200))
        let! voluntary = maybe counter
        let! involuntary = maybe counter

        return
            {
                Value =
                    {
                        Uid = uid
                        CpusAllowed = cpus
                        VoluntarySwitches = voluntary
                        InvoluntarySwitches = involuntary
                    }
                Lines =
                    [|
                        $"Name:\t{name}"
                        $"Uid:\t{uid}\t0\t0\t0"

                        match cpus with
                        | ValueSome 1 -> "Cpus_allowed_list:\t5"
                        | ValueSome count -> $"Cpus_allowed_list:\t0,2-{count}"
                        | ValueNone -> ()

                        match voluntary with
                        | ValueSome count -> $"voluntary_ctxt_switches:\t{count}"
                        | ValueNone -> ()

                        match involuntary with
                        | ValueSome count -> $"nonvoluntary_ctxt_switches:\t{count}"
                        | ValueNone -> ()
                    |]
            }
    }

let private statusFormat =
    ParserLaws.format statusTexts (fun text -> ProcessStatus.parse text.Span) (fun part whole ->
        part.Uid = whole.Uid
        && isPart part.CpusAllowed whole.CpusAllowed
        && isPart part.VoluntarySwitches whole.VoluntarySwitches
        && isPart part.InvoluntarySwitches whole.InvoluntarySwitches)

let private ioTexts: Gen<Rendered<ProcessIo.ProcessIo>> =
    Gen.zip counter counter
    |> Gen.map (fun (read, written) ->
        {
            Value =
                {
                    Read = LanguagePrimitives.UInt64WithMeasure read
                    Written = LanguagePrimitives.UInt64WithMeasure written
                }
            Lines =
                [|
                    "rchar: 5"
                    $"read_bytes: {read}"
                    $"write_bytes: {written}"
                    "cancelled_write_bytes: 0"
                |]
        })

let private ioFormat = ParserLaws.format ioTexts (fun text -> ProcessIo.parse text.Span) (=)

let private vmTexts: Gen<Rendered<VmStat.VmStat>> =
    Gen.zip (maybe counter) (maybe counter)
    |> Gen.map (fun (swappedIn, swappedOut) ->
        {
            Value =
                {
                    SwappedIn = swappedIn |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                    SwappedOut = swappedOut |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                }
            Lines =
                [|
                    "pgpgin 1"

                    match swappedIn with
                    | ValueSome pages -> $"pswpin {pages}"
                    | ValueNone -> ()

                    match swappedOut with
                    | ValueSome pages -> $"pswpout {pages}"
                    | ValueNone -> ()
                |]
        })

let private vmFormat =
    ParserLaws.format vmTexts (fun text -> VmStat.parse text.Span) (fun part whole ->
        isPart part.SwappedIn whole.SwappedIn && isPart part.SwappedOut whole.SwappedOut)

// ---- cgroups ----------------------------------------------------------------------------------------------------------

let private path: Gen<string> =
    upTo 5 wordWithColons |> Gen.map (fun parts -> "/" + String.Join('/', parts))

let private membership: Gen<ProcessCgroup.Membership * string> =
    gen {
        let! hierarchy = Gen.choose (0, 20)
        let! controllers = Gen.elements [ ""; "memory"; "cpu,cpuacct"; "name=systemd" ]
        let! path = path

        return
            {
                ProcessCgroup.Hierarchy = hierarchy
                ProcessCgroup.Controllers = controllers
                ProcessCgroup.Path = path
            },
            $"{hierarchy}:{controllers}:{path}"
    }

let private lines (rows: Gen<'value * string>) : Gen<Rendered<'value[]>> =
    upTo 4 rows
    |> Gen.map (fun rows ->
        {
            Value = Array.map fst rows
            Lines = Array.map snd rows
        })

let private parseCgroup (text: ReadOnlyMemory<byte>) = ProcessCgroup.parse text.Span

let private cgroupFormat = ParserLaws.formatOfLines (lines membership) parseCgroup ParserLaws.isStart

let private cpuTexts: Gen<Rendered<CgroupCpu.CpuStat>> =
    gen {
        let! usage = maybe counter
        let! periods = maybe counter
        let! throttled = maybe counter
        let! time = maybe counter

        let microseconds = ValueOption.map LanguagePrimitives.UInt64WithMeasure<us>

        return
            {
                Value =
                    {
                        CgroupCpu.Usage = microseconds usage
                        Periods = periods
                        ThrottledPeriods = throttled
                        ThrottledTime = microseconds time
                    }
                Lines =
                    [|
                        "user_usec 1"

                        for name, value in
                            [
                                "usage_usec", usage
                                "nr_periods", periods
                                "nr_throttled", throttled
                                "throttled_usec", time
                            ] do
                            match value with
                            | ValueSome number -> $"{name} {number}"
                            | ValueNone -> ()
                    |]
            }
    }

let private cpuFormat =
    ParserLaws.format cpuTexts (fun text -> CgroupCpu.parseStat "cpu.stat" text.Span) (fun part whole ->
        isPart part.Usage whole.Usage
        && isPart part.Periods whole.Periods
        && isPart part.ThrottledPeriods whole.ThrottledPeriods
        && isPart part.ThrottledTime whole.ThrottledTime)

let private device: Gen<string> =
    Gen.zip (Gen.choose (0, 300)) (Gen.choose (0, 300))
    |> Gen.map (fun (major, minor) -> $"{major}:{minor}")

let private deviceBytes: Gen<CgroupIo.DeviceBytes> =
    Gen.map3
        (fun device read written ->
            {
                CgroupIo.Device = device
                CgroupIo.Read = LanguagePrimitives.UInt64WithMeasure read
                CgroupIo.Written = LanguagePrimitives.UInt64WithMeasure written
            })
        device
        counter
        counter

let private ioStatTexts =
    lines (
        deviceBytes
        |> Gen.map (fun bytes -> bytes, $"{bytes.Device} rbytes={bytes.Read} wbytes={bytes.Written} rios=1 wios=2 dbytes=0 dios=0")
    )

let private parseIoStat (text: ReadOnlyMemory<byte>) = CgroupIo.parseStat "io.stat" text.Span

let private ioStatFormat = ParserLaws.formatOfLines ioStatTexts parseIoStat ParserLaws.isStart

let private serviceTexts: Gen<Rendered<CgroupIo.DeviceBytes[]>> =
    upTo 3 deviceBytes
    |> Gen.map (Array.distinctBy _.Device)
    |> Gen.map (fun devices ->
        {
            Value = devices
            Lines =
                [|
                    for bytes in devices do
                        $"{bytes.Device} Read {bytes.Read}"
                        $"{bytes.Device} Write {bytes.Written}"
                        $"{bytes.Device} Total 0"

                    "Total 0"
                |]
        })

// A text that is cut among a device's lines has less of it, so its last line is torn and the whole an error.
let private serviceFormat =
    ParserLaws.formatOfLines serviceTexts (fun text -> CgroupIo.parseServiceBytes "blkio" text.Span) (fun part whole ->
        part.Length <= whole.Length
        && Array.forall2
            (fun (one: CgroupIo.DeviceBytes) (other: CgroupIo.DeviceBytes) -> one.Device = other.Device)
            part
            whole[.. part.Length - 1])

let private list: Gen<Rendered<int voption>> =
    upTo 5 (Gen.zip (Gen.choose (0, 30)) (Gen.choose (1, 10)))
    |> Gen.map (fun parts ->
        // Ranges that do not meet: a gap, and so many CPUs.
        let ranges, _ =
            (([], 0), parts)
            ||> Array.fold (fun (ranges, next) (gap, count) -> (next + gap, count) :: ranges, next + gap + count + 1)

        let text =
            List.rev ranges
            |> List.map (fun (first, count) ->
                if count = 1 then
                    string first
                else
                    $"{first}-{first + count - 1}")
            |> String.concat ","

        {
            Value =
                if ranges.IsEmpty then
                    ValueNone
                else
                    ValueSome(List.sumBy snd ranges)
            Lines = [| text |]
        })

let private listFormat =
    ParserLaws.format list (fun text -> CgroupCpu.parseList "cpuset.cpus.effective" text.Span) (=)

let private oneValue value text : Rendered<'value> = { Value = value; Lines = [| text |] }

let private maxTexts: Gen<Rendered<float voption>> =
    Gen.oneof
        [
            Gen.constant (oneValue ValueNone "max 100000")
            Gen.zip (Gen.choose (1, 10_000_000)) (Gen.choose (1, 1_000_000))
            |> Gen.map (fun (quota, period) -> oneValue (ValueSome(float quota / float period)) $"{quota} {period}")
        ]

let private maxFormat =
    ParserLaws.format maxTexts (fun text -> CgroupCpu.parseMax "cpu.max" text.Span) (=)

let private limitTexts: Gen<Rendered<uint64<B> voption>> =
    Gen.oneof
        [
            Gen.constant (oneValue ValueNone "max")
            Gen.choose64 (0L, 4611686018427387903L)
            |> Gen.map (fun bytes -> oneValue (ValueSome(LanguagePrimitives.UInt64WithMeasure(uint64 bytes))) (string bytes))
        ]

let private limitFormat =
    ParserLaws.format limitTexts (fun text -> CgroupMemory.parseLimit "memory.max" text.Span) (=)

let private usageFormat =
    ParserLaws.format
        (counter
         |> Gen.map (fun bytes -> oneValue (LanguagePrimitives.UInt64WithMeasure<B> bytes) (string bytes)))
        (fun text -> CgroupMemory.parseUsage "memory.current" text.Span)
        (=)

let private killFormat =
    ParserLaws.format
        (counter
         |> Gen.map (fun kills ->
             {
                 Value = ValueSome kills
                 Lines = [| "low 0"; $"oom_kill {kills}"; "oom_group_kill 0" |]
             }))
        (fun text -> CgroupMemory.parseKills "memory.events" text.Span)
        (fun part whole -> ParserLaws.isUnknownOr whole part)

let private refaultFormat =
    ParserLaws.format
        (counter
         |> Gen.map (fun pages ->
             {
                 Value = ValueSome(LanguagePrimitives.UInt64WithMeasure<page> pages)
                 Lines = [| "anon 0"; $"workingset_refault_file {pages}"; "pgmajfault 0" |]
             }))
        (fun text -> CgroupMemory.parseRefaults "memory.stat" text.Span)
        (fun part whole -> ParserLaws.isUnknownOr whole part)

// ---- network storage --------------------------------------------------------------------------------------------------

let private nfsMount: Gen<MountStats.NfsMount * string[]> =
    gen {
        let! name = word
        let! numbers = Gen.arrayOfLength 2 counter
        let! operations = upTo 3 (Gen.arrayOfLength 4 (Gen.choose (0, 1_000_000) |> Gen.map uint64))
        let! backlogs = upTo 3 (Gen.choose (0, 1_000_000) |> Gen.map uint64)

        let sum place =
            operations |> Array.sumBy (fun row -> row[place])

        let milliseconds place : uint64<ms> =
            LanguagePrimitives.UInt64WithMeasure(sum place)

        return
            {
                MountStats.Device = $"server:/{name}"
                MountStats.MountPoint = $"/mnt/{name}"
                MountStats.FsType = "nfs4"
                MountStats.Read = LanguagePrimitives.UInt64WithMeasure numbers[0]
                MountStats.Written = LanguagePrimitives.UInt64WithMeasure numbers[1]
                MountStats.Operations = sum 0
                MountStats.QueueTime = milliseconds 1
                MountStats.RoundTrip = milliseconds 2
                MountStats.Execution = milliseconds 3
                MountStats.Backlog = Array.sum backlogs
            },
            [|
                $"device server:/{name} mounted on /mnt/{name} with fstype nfs4 statvers=1.1"
                "\topts:\trw,vers=4.2"
                $"\tbytes:\t1 2 3 4 {numbers[0]} {numbers[1]} 5 6"

                for backlog in backlogs do
                    $"\txprt:\ttcp 1 1 1 0 4 4 4 0 12 {backlog} 2 10 20"

                "\tper-op statistics"

                for row in operations do
                    $"\t     READ: {row[0]} 9 0 9 9 {row[1]} {row[2]} {row[3]} 0"

                ""
            |]
    }

let private nfsTexts: Gen<Rendered<MountStats.NfsMount[]>> =
    upTo 3 nfsMount
    |> Gen.map (fun mounts ->
        {
            Value = Array.map fst mounts
            Lines = Array.append [| "device proc mounted on /proc with fstype proc" |] (Array.collect snd mounts)
        })

let private parseNfs (text: ReadOnlyMemory<byte>) = MountStats.parse text.Span

let private isLustre (part: Lustre.LliteStats) (whole: Lustre.LliteStats) = part.Operations <= whole.Operations

let private lustreFormat =
    ParserLaws.format
        (Gen.three (Gen.choose (0, 1_000_000) |> Gen.map uint64)
         |> Gen.map (fun (reads, bytes, opens) ->
             {
                 Value =
                     {
                         Lustre.Operations = reads + opens
                         Lustre.Time = ValueSome(LanguagePrimitives.UInt64WithMeasure opens)
                         Lustre.Read = LanguagePrimitives.UInt64WithMeasure bytes
                         Lustre.Written = 0UL<B>
                     }
                 Lines =
                     [|
                         "snapshot_time 1.5 secs.nsecs"
                         $"read_bytes {reads} samples [bytes] 1 2 {bytes} 9"
                         $"read {reads} samples [usec] 1 2 0 9"
                         $"open {opens} samples [usec] 1 2 {opens} 9"
                     |]
             }))
        (fun text -> Lustre.parse "stats" text.Span)
        isLustre

let private users =
    lines (
        Gen.zip word (Gen.choose64 (0L, int64 UInt32.MaxValue))
        |> Gen.filter (fun (name, _) -> not (name.StartsWith '-' || name.StartsWith '+'))
        |> Gen.map (fun (name, uid) -> ({ Uid = uid; Name = name }: Users.User), $"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh")
    )

/// Directories of llite, and mounts of their file systems and of others, each on a directory of its own.
let private lustreMounts =
    let fileSystem = Gen.elements [ "scratch"; "scratch2"; "home"; "h"; "a-b" ]

    gen {
        let! systems = Gen.listOf fileSystem
        let! mounted = Gen.listOf (Gen.zip fileSystem (Gen.elements [ ""; "/sub"; "/scratch" ]))

        let directories = systems |> List.mapi (fun i system -> $"{system}-ffff88{i}") |> Array.ofList

        let lines =
            mounted
            |> List.mapi (fun i (system, below) -> $"mgs@o2ib:/{system}{below} /mnt/{system}/{i} lustre rw 0 0\n")

        return directories, String.Join("", lines)
    }

let private parseUsers (text: ReadOnlyMemory<byte>) = Users.parse text.Span

let tests =
    testList
        "Jobs: files"
        [
            testList
                "ProcessStat"
                [
                    yield! ParserLaws.all statFormat
                    ParserLaws.extraColumns statFormat (fun _ line -> line.Split(' ').Length > 44) word
                    lawShrinking "the state alone is what the whole line says, whatever the bytes" shrinkBytes anyBytes (fun bytes ->
                        match ProcessStat.parse (ReadOnlySpan bytes.Content), ProcessStat.stateOf (ReadOnlySpan bytes.Content) with
                        | Ok stat, state -> same state (Ok stat.State)
                        | Error _, _ -> true)
                ]
            testList "SchedStat" (ParserLaws.all schedFormat)
            law "no two directories of Lustre get one name, and none another file system's" lustreMounts (fun (directories, text) ->
                let mounts =
                    match Mounts.parse (ReadOnlySpan(Text.Encoding.ASCII.GetBytes text)) with
                    | Ok read -> read.Value
                    | Error _ -> [||]

                let names = directories |> Array.map (Lustre.mountPointOf mounts directories)

                (Array.distinct names).Length = directories.Length
                && Array.forall2
                    (fun (directory: string) (name: string) ->
                        name = directory
                        || name.StartsWith($"/mnt/{directory.Substring(0, directory.LastIndexOf '-')}/", StringComparison.Ordinal))
                    directories
                    names)
            testList
                "ProcessStatus"
                [
                    yield! ParserLaws.all statusFormat
                    ParserLaws.unknownLines statusFormat (fun _ -> 1) phrase
                ]
            testList
                "ProcessChildren"
                [
                    lawShrinking "any bytes give Ok or a located Error, never an exception" shrinkBytes anyBytes (fun bytes ->
                        match ProcessChildren.parse (ReadOnlySpan bytes.Content) with
                        | Ok children -> children |> Array.forall (fun pid -> pid >= 0)
                        | Error error -> noneOf (ParserLaws.complaints error))
                    law "children are what was given, and a text that is cut within a number is an error" (upTo 6 pid) (fun children ->
                        let text = Encoding.UTF8.GetBytes(String.concat "" (children |> Array.map (fun pid -> $"{pid} ")))

                        same (ProcessChildren.parse (ReadOnlySpan text)) (Ok children)
                        && (text.Length = 0
                            || Result.isError (ProcessChildren.parse (ReadOnlySpan(text, 0, text.Length - 1)))))
                ]
            testList "ProcessIo" (ParserLaws.all ioFormat)
            testList "VmStat" (ParserLaws.all vmFormat)
            testList
                "ProcessCgroup"
                [
                    yield! ParserLaws.all cgroupFormat
                    yield! ParserLaws.badLines (lines membership) parseCgroup 0 (fun line -> ValueSome("x" + line))
                    lawShrinking "every membership has an owner, which its level leads to" shrinkBytes anyBytes (fun bytes ->
                        match ProcessCgroup.parse (ReadOnlySpan bytes.Content) with
                        | Error _ -> true
                        | Ok parsed ->
                            let belonging = Belonging.ofCgroups parsed.Value 5

                            belonging.Owner.Value <> ""
                            && parsed.Value
                               |> Array.forall (fun one -> (Belonging.level belonging one.Path).StartsWith '/'))
                ]
            testList
                "ProcessStrings"
                [
                    lawShrinking "any bytes are some arguments, and none holds a zero byte" shrinkBytes anyBytes (fun bytes ->
                        ProcessStrings.arguments (ReadOnlySpan bytes.Content)
                        |> Array.forall (fun argument -> not (argument.Contains '\000')))
                    law "arguments are what was given" (upTo 6 phrase) (fun given ->
                        let text = Encoding.UTF8.GetBytes(String.concat "" (given |> Array.map (fun one -> one + "\000")))
                        same (ProcessStrings.arguments (ReadOnlySpan text)) given)
                ]
            testList
                "Cgroup"
                [
                    testList "cpu.stat" (ParserLaws.all cpuFormat)
                    testList "cpu.max" (ParserLaws.all maxFormat)
                    testList "cpuset" (ParserLaws.all listFormat)
                    testList "limit" (ParserLaws.all limitFormat)
                    testList "usage" (ParserLaws.all usageFormat)
                    testList "events" (ParserLaws.all killFormat)
                    testList "memory.stat" (ParserLaws.all refaultFormat)
                    testList
                        "io.stat"
                        [
                            yield! ParserLaws.all ioStatFormat
                            yield! ParserLaws.badLines ioStatTexts parseIoStat 0 (fun line -> ValueSome("x" + line))
                            ParserLaws.extraColumns ioStatFormat (fun _ _ -> true) (Gen.map (fun text -> "x" + text) word)
                        ]
                    testList "service bytes" (ParserLaws.all serviceFormat)
                ]
            testList
                "MountStats"
                (ParserLaws.totality (ParserLaws.formatOfLines nfsTexts parseNfs (=))
                 @ [
                     law "a rendered value parses back to the value" nfsTexts (fun text ->
                         same ((parseNfs (ReadOnlyMemory(bytesOf text.Lines)) |> Parsed.strict)) (Ok text.Value))
                     law "a mount that is cut has no more than the whole" nfsTexts (fun text ->
                         let bytes = bytesOf text.Lines

                         match parseNfs (ReadOnlyMemory(bytes, 0, bytes.Length / 2)) with
                         | Error _ -> true
                         | Ok parsed ->
                             (parsed.Value, text.Value)
                             ||> Seq.zip
                             |> Seq.forall (fun (part, whole) -> part.Operations <= whole.Operations))
                 ])
            testList "Lustre" (ParserLaws.all lustreFormat)
            testList
                "GpuJobFiles"
                [
                    lawShrinking "any bytes are some ids, each once, and each can be a label" shrinkBytes anyBytes (fun bytes ->
                        let parsed = GpuJobFiles.parse "0" (GpuJobFiles.named "0").Value (ReadOnlySpan bytes.Content)
                        let jobs = parsed.Value.Jobs

                        jobs.Length <= GpuJobFiles.MostJobs
                        && Array.distinct jobs = jobs
                        && jobs
                           |> Array.forall (fun id ->
                               id <> ""
                               && id.Length <= GpuJobFiles.LongestId
                               && not (String.exists Char.IsControl id)))
                    law "ids are what was given" (upTo 6 word) (fun given ->
                        let parsed = GpuJobFiles.parse "0" (GpuJobFiles.named "0").Value (ReadOnlySpan(bytesOf given))
                        same (parsed.Value.Jobs, parsed.FaultCount) (Array.distinct given, 0))
                ]
            testList
                "Users"
                [
                    yield! ParserLaws.all (ParserLaws.formatOfLines users parseUsers ParserLaws.isStart)
                    yield! ParserLaws.badLines users parseUsers 0 (fun line -> ValueSome(line.Replace(":x:", ":x:x")))
                ]
        ]
