/// What is fuzzed: one row for each format that comes from outside, with real texts to start from. A run that throws has
/// found a defect. The tests run every row over its seeds as well, so that none rots.
module Agent.Fuzz.Targets

open System
open System.IO
open System.Text
open System.Text.RegularExpressions
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Receiver
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Host.Buffering
open Agent.Shell

/// A format and the code that reads it.
[<NoComparison; NoEquality>]
type Target =
    {
        /// Its name on the command line and in tests/fixtures/fuzz.
        Name: string
        /// Fixtures to start from: a regular expression of paths below tests/fixtures.
        Files: string
        /// Fixtures to start from that belong together: the files of a machine whose paths match are one input.
        Machines: string
        /// Other inputs to start from.
        Texts: string list
        /// Reads one input. Throws what must not happen.
        Run: byte[] -> unit
    }

let private target name run files machines texts =
    {
        Name = name
        Files = files
        Machines = machines
        Texts = texts
        Run = run
    }

/// The error has a sentence.
let private told (result: Result<'value, 'error>) : unit =
    match result with
    | Ok _ -> ()
    | Error error ->
        if String.IsNullOrEmpty(string (box error)) then
            failwith "an error without a sentence"

/// Each error has a sentence.
let private allTold (result: Result<'value, ConfigError[]>) : unit =
    match result with
    | Ok _ -> ()
    | Error [||] -> failwith "an error without a sentence"
    | Error errors -> errors |> Array.iter (Error >> told)

let private require (what: string) (holds: bool) : unit =
    if not holds then
        failwith what

/// The files of an input: each a path, a line end and the content, with a zero byte behind it.
let private filesIn (input: byte[]) : SysText[] =
    Encoding.Latin1.GetString(input).Split '\000'
    |> Array.map (fun file ->
        match file.IndexOf '\n' with
        | -1 ->
            {
                Path = file
                Content = Error(SourceError.Absent file)
            }
        | feed ->
            {
                Path = file.Substring(0, feed)
                Content = Ok(ReadOnlyMemory(Encoding.Latin1.GetBytes(file.Substring(feed + 1))))
            })

/// The input in two parts: the first line and the rest.
let private firstLine (input: byte[]) : string * byte[] =
    match Array.IndexOf(input, '\n'B) with
    | -1 -> Encoding.UTF8.GetString input, [||]
    | feed -> Encoding.UTF8.GetString(input, 0, feed), input[feed + 1 ..]

/// The words of a command line, one a line.
let private wordsIn (input: byte[]) : string[] =
    Encoding.UTF8.GetString(input).Split '\n'

/// An instant, for what needs one.
let private now = DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero)

// ---- Metrics ---------------------------------------------------------------------------------------------------------

/// Every collector reads this in the place of each of its files: figures have as many labels as their families, and each series is told once.
let private collectors (input: byte[]) : unit =
    let facts: CollectorFacts =
        {
            PageSize = LanguagePrimitives.UInt64WithMeasure 4096UL
            Interfaces = [||]
            BootTime = ValueNone
        }

    for collector in Collectors.all do
        let texts =
            [|
                for set in collector.Sets do
                    for file in (if set.Root.IsTextfile then [| "a.prom" |] else set.Files) do
                        {
                            Names =
                                if set.Root.IsTextfile then
                                    [| "/a.prom"; "1" |]
                                else
                                    Array.create (set.Directory |> Seq.filter ((=) '*') |> Seq.length) "1"
                            File = file
                            Text = ReadOnlyMemory input
                        }
            |]

        let readings: CollectorReading[] =
            [|
                {
                    Collector = collector
                    Texts = texts
                    Took = TimeSpan.Zero
                }
            |]

        for family in (Collectors.figuresOf facts readings).Families do
            for figure in family do
                require "a label without a value" (figure.Labels.Length = figure.Family.Labels.Length)

// ---- HTTP ------------------------------------------------------------------------------------------------------------

/// As much of a body as the agent keeps.
let private keptBody = 65536

/// Takes a body in pieces of that length.
let private bodyIn (bodyEnd: BodyEnd) (received: byte[]) (piece: int) =
    let reader = BodyReader bodyEnd
    let body = Array.zeroCreate keptBody
    let mutable from = 0
    let mutable length = 0

    while from < received.Length
          && not reader.IsComplete
          && not reader.IsGarbled
          && length < body.Length do
        let struct (taken, written) =
            reader.Take(ReadOnlySpan(received, from, min piece (received.Length - from)), Span(body, length, body.Length - length))

        require "a body is read without end" (taken > 0 || written > 0 || reader.IsComplete || reader.IsGarbled)
        from <- from + taken
        length <- length + written

    struct (body[.. length - 1], reader.IsComplete, reader.IsGarbled)

let private answer (input: byte[]) : unit =
    match AnswerHead.lengthIn (ReadOnlySpan input) with
    | -1 -> AnswerHead.mayBegin (ReadOnlySpan input) |> ignore
    | length ->
        match AnswerHead.parse (ReadOnlySpan(input, 0, length)) with
        | ValueNone -> ()
        | ValueSome head ->
            let received = input[length..]
            let struct (body, complete, garbled) = bodyIn head.BodyEnd received received.Length
            let struct (body', complete', garbled') = bodyIn head.BodyEnd received (1 + input.Length % 7)
            require "a body depends on how it is cut" (body = body' && complete = complete' && garbled = garbled')

            let answer =
                {
                    Status = head.Status
                    RetryAfter = head.RetryAfter
                    Location = head.Location
                    Date = head.Date
                    SamplesWritten = ValueNone
                    Body = ReadOnlyMemory body
                    WasSentTwice = false
                }

            match Delivery.ofAnswer now answer with
            | Outcome.Delivered receipt -> Delivery.receiptLine receipt |> ignore
            | _ -> ()

/// A receiver of remote-write that answers each request with the same status and words.
let private remoteWrite (input: byte[]) : unit =
    let first, record = firstLine input
    let status, words = Encoding.Latin1.GetBytes first |> Array.splitAt (min 3 first.Length)

    let answered =
        Exchange.Answered
            {
                Status =
                    match Int32.TryParse(Encoding.Latin1.GetString status) with
                    | true, number when number >= 100 -> number
                    | _ -> 200
                RetryAfter = ""
                Location = ""
                Date = ""
                // A receiver of either version.
                SamplesWritten =
                    if words.Length % 2 = 0 then
                        ValueNone
                    else
                        ValueSome(int64 words.Length)
                Body = ReadOnlyMemory words
                WasSentTwice = false
            }

    RemoteDelivery.ofProbe "--remote-write" now answered |> ignore
    Spool.payloadOf (ReadOnlySpan record) |> ignore
    // As a record that is what it says, so that what is in it is looked at as well.
    let framed = Spool.frame (ReadOnlySpan record)
    require "a framed record is not read back" (Spool.payloadOf (ReadOnlySpan framed) = ValueSome record)

    let outcome =
        RemoteDelivery.deliver
            (Func<_, _, _>(fun _ _ -> answered))
            (Func<_>(fun () -> now))
            (RemoteDelivery.start "--remote-write" (record.Length % 2 = 0))
            [| ReadOnlyMemory framed; ReadOnlyMemory record |]

    require "more is done with than was given" (outcome.Fates.Length <= 2)

// ---- The spool -------------------------------------------------------------------------------------------------------

let private segmentPath = lazy Path.Combine(Path.GetTempPath(), $"agent-fuzz-{Environment.ProcessId}")

let private segment (input: byte[]) : unit =
    File.WriteAllBytes(segmentPath.Value, input)
    use reader = new SegmentReader()
    let struct (records, last, length) = reader.Scan(segmentPath.Value, 0L)
    require "the length of a segment is another" (length = int64 input.Length)
    let segment = Segment(1L, segmentPath.Value, Size = length)
    let mutable offset = 0L
    let mutable count = 0L

    while offset < last do
        let record = reader.Read(segment, offset)
        require "a record is empty" (record.Length > 0)
        let content = record.Span.Slice(0, record.Length - 1)

        if Spool.isIntact content then
            Spool.refusedLine "HTTP 400" content |> ignore

        offset <- offset + int64 record.Length
        count <- count + 1L

    require "the records of a segment are counted wrong" (count = records && offset = last)

let private spoolNames (input: byte[]) : unit =
    match Spool.readPosition (ReadOnlySpan input) with
    | ValueSome position -> require "a position is read otherwise than written" (Spool.writePosition position = input)
    | ValueNone -> ()

    let name = Encoding.UTF8.GetString input

    match Spool.kindOf name with
    | Spool.FileKind.Segment number -> require "a name is read otherwise than written" (Spool.nameOf number = name)
    | _ -> ()

// ---- GPUs ------------------------------------------------------------------------------------------------------------

let private smiStream (input: byte[]) : unit =
    let rounds (piece: int) =
        let found = ResizeArray<GpuReading>()
        let mutable stream = NvidiaSmiStream.start NvidiaSmiQuery.full

        for from in 0..piece .. input.Length - 1 do
            let struct (next, rounds) =
                NvidiaSmiStream.feed (ReadOnlySpan(input, from, min piece (input.Length - from))) stream

            stream <- next
            found.AddRange rounds

        NvidiaSmiStream.finish stream |> ValueOption.iter found.Add
        found.ToArray()

    let whole = rounds (max 1 input.Length)
    let cut = rounds (1 + input.Length % 97)
    require "rounds depend on how the output is cut" (whole.Length = cut.Length)

    for one, other in Array.zip whole cut do
        require "a round depends on how the output is cut" (one.Gpus.Length = other.Gpus.Length && one.Faults.Length = other.Faults.Length)

let private nvmlProcesses (input: byte[]) : unit =
    if input.Length >= 2 then
        let buffer = input[2..]
        let most = buffer.Length / Nvml.LargestProcessEntry
        let expected = [| 16; 24; 32 |][int input[1] % 3]

        Nvml.processes (ReadOnlySpan buffer) (int input[0] % (most + 1)) expected
        |> ignore

        let count = int input[0] % (buffer.Length / NvmlWork.ProcessSampleBytes + 1)
        let since = uint64 input[1]

        let struct (newest, shares) = NvmlWork.shares (ReadOnlySpan buffer) count since

        require "the newest time is not before the one that was seen" (newest >= since)

        require
            "shares are of a process, and within 0-100"
            (shares
             |> Array.forall (fun one ->
                 one.Process > 0
                 && one.Share >= 0.0<Units.percent>
                 && one.Share <= 100.0<Units.percent>))

// ---- The table -------------------------------------------------------------------------------------------------------

let private none = "$."

/// Every format.
let all: Target list =
    [
        target "proc-stat" (fun input -> Stat.parse (ReadOnlySpan input) |> told) @"(proc/stat|stat\.(before|after))$" none []
        target
            "proc-process"
            (fun input ->
                let text = ReadOnlySpan input
                ProcessStat.parse text |> told
                ProcessStat.stateOf text |> told
                SchedStat.parse text |> told
                ProcessStatus.parse text |> told
                ProcessIo.parse text |> told
                ProcessChildren.parse text |> told
                let arguments = ProcessStrings.arguments text
                ProcessStrings.variables [| "SLURM_JOB_ID" |] text |> ignore
                let shown = Jobs.CommandLine.masked arguments

                require
                    "a command line is one bounded line"
                    (shown.Length <= Jobs.CommandLine.Longest
                     && not (Seq.exists Char.IsControl shown)))
            "jobs/(stat|schedstat|status|io|cmdline)$"
            none
            []
        target
            "proc-cgroup"
            (fun input ->
                match ProcessCgroup.parse (ReadOnlySpan input) with
                | Ok parsed ->
                    let belonging = Jobs.Belonging.ofCgroups parsed.Value 1

                    for membership in parsed.Value do
                        Jobs.Belonging.level belonging membership.Path |> ignore
                | error -> told error)
            "jobs/cgroup-v[12]$"
            none
            []
        target
            "cgroup-files"
            (fun input ->
                let text = ReadOnlySpan input
                CgroupCpu.parseStat "cpu.stat" text |> told
                CgroupCpu.parseMax "cpu.max" text |> told
                CgroupCpu.parseList "cpuset" text |> told
                CgroupMemory.parseLimit "memory.max" text |> told
                CgroupMemory.parseUsage "memory.current" text |> told
                CgroupMemory.parseKills "memory.events" text |> told
                CgroupMemory.parseRefaults "memory.stat" text |> told
                CgroupIo.parseStat "io.stat" text |> told
                CgroupIo.parseServiceBytes "blkio" text |> told)
            @"jobs/(cpu\.stat-v[12]|memory\.(events|oom_control)|io\.stat|blkio\.throttle)$"
            none
            [ "max 100000\n"; "0-3,8\n" ]
        target "proc-mountstats" (fun input -> MountStats.parse (ReadOnlySpan input) |> told) "jobs/mountstats$" none []
        target "lustre-stats" (fun input -> Lustre.parse "stats" (ReadOnlySpan input) |> told) "jobs/llite-stats$" none []
        target "proc-vmstat" (fun input -> VmStat.parse (ReadOnlySpan input) |> told) "jobs/vmstat$" none []
        target "collectors" collectors "collectors/proc/(net/.*|mdstat|schedstat)$" none [ "# TYPE a gauge\na{b=\"c\\n\"} 1.5\n" ]
        target "passwd" (fun input -> Jobs.Users.parse (ReadOnlySpan input) |> told) "jobs/passwd$" none []
        target
            "gpu-jobs"
            (fun input ->
                let parsed = Jobs.GpuJobFiles.parse "0" (Jobs.GpuJobFiles.named "0").Value (ReadOnlySpan input)
                require "an id that is none" (parsed.Value.Jobs |> Array.forall (fun id -> id <> "")))
            none
            none
            [ "4711\n4712_3\n" ]
        target "proc-meminfo" (fun input -> MemInfo.parse (ReadOnlySpan input) |> told) "proc/meminfo$" none []
        target
            "proc-diskstats"
            (fun input -> DiskStats.parse (ReadOnlySpan input) |> told)
            @"(proc/diskstats|diskstats\.(before|after))$"
            none
            []
        target "proc-net-dev" (fun input -> NetDev.parse (ReadOnlySpan input) |> told) "proc/net/dev$" none []
        target
            "proc-cpuinfo"
            (fun input ->
                match CpuInfo.parse (ReadOnlySpan input) with
                | Ok info ->
                    CpuInfo.meanClock info.Value |> ignore
                    CpuInfo.physicalCores info.Value |> ignore
                | error -> told error)
            "proc/cpuinfo$"
            none
            []
        target
            "proc-mounts"
            (fun input ->
                match Mounts.parse (ReadOnlySpan input), Filesystems.parse (ReadOnlySpan input) with
                | Ok mounts, Ok types -> Filesystems.onDisk types.Value mounts.Value |> ignore
                | mounts, types ->
                    told mounts
                    told types)
            "proc/(self/mounts|filesystems)$"
            none
            []
        target
            "proc-small"
            (fun input ->
                LoadAvg.parse (ReadOnlySpan input) |> told
                Uptime.parse (ReadOnlySpan input) |> told
                Pressure.parse "/proc/pressure/io" (ReadOnlySpan input) |> told)
            @"(proc/(loadavg|uptime|pressure/[a-z]+)|uptime\.(before|after))$"
            none
            []
        target "sys-hwmon" (fun input -> Hwmon.parse (filesIn input) |> ignore) none "sys/class/hwmon/" []
        target
            "sys-small"
            (fun input ->
                let files = filesIn input
                Thermal.parse files |> ignore
                CpuFreq.meanClock files |> ignore
                Topology.physicalCores files |> ignore
                Infiniband.parse files |> ignore)
            none
            "sys/(class/(thermal|infiniband)|devices)/"
            []
        target
            "nvidia-smi"
            (fun input ->
                NvidiaSmi.parse (ReadOnlySpan input) |> told
                NvidiaSmiFailure.ofOutput (input.Length % 20) (ReadOnlySpan input) |> ignore
                NvidiaSmiFailure.wordsOf (ReadOnlySpan input) |> ignore)
            @"nvidia-smi/.*\.(csv|txt)$"
            none
            []
        target
            "nvidia-smi-processes"
            (fun input -> NvidiaSmi.parseProcesses (ReadOnlySpan input) |> told)
            @"nvidia-smi/.*apps\.csv$"
            none
            [ "gpu_uuid, pid, process_name, used_gpu_memory [MiB]\nGPU-1, 7, a, b, 12\n" ]
        target "nvidia-smi-stream" smiStream @"nvidia-smi/.*\.csv$" none []
        target
            "nvml-processes"
            nvmlProcesses
            none
            none
            [
                for size in [ 16; 24; 32 ] do
                    String('\001', 2) + String('\002', size * 2) + String('\165', 64)
            ]
        target "ipmitool" (fun input -> Ipmi.parse (ReadOnlySpan input) |> told) @"ipmitool/.*\.txt$" none []
        target
            "command-line"
            (fun input ->
                let variables, words =
                    wordsIn input
                    |> Array.partition (fun line -> line.StartsWith("AI_DASHBOARD_", StringComparison.Ordinal))

                let valueOf (name: string) : string | null =
                    match
                        variables
                        |> Array.tryFind (fun line -> line.StartsWith(name + "=", StringComparison.Ordinal))
                    with
                    | Some line -> line.Substring(name.Length + 1)
                    | None -> null

                Cli.parse words (Func<string, string | null> valueOf) |> allTold)
            none
            none
            [
                "--host\nhttp://h:8000/a\n--server-slug\ngpu-box-01\n--token=s3cr3t\n--interval\n0.5\n--disk-device\nsda\n--buffer-mb\n10"
                "--once\n--dry-run\nAI_DASHBOARD_HOST=https://[fe80::1]:8443\nAI_DASHBOARD_LABELS=a=b,c=d\nAI_DASHBOARD_TIMEOUT=1e2"
                "doctor\n--listen\n[::]:9100\n--remote-write\nhttp://u@h/api/v1/write\n--label\nrack=7\n--log-level\ndebug"
                "status\n--spool-dir\n/var/lib/x\n--interfaces\neth0,ib*\n--gpu\nnvml\n--ca-file=/a.pem\n--help"
            ]
        target
            "dashboard-command-line"
            (fun input -> DashboardCli.parse (wordsIn input) |> allTold)
            none
            none
            [
                "serve\n--listen\n127.0.0.1:8000\n--database\na.db\n--retention-days\n30\n--viewer-password-file=p"
                "register-server\ngpu-box-01\n--name\nBox\n--active\nno"
                "backup\nto.db"
                "list_servers\n--help"
            ]
        target
            "user-files"
            (fun input ->
                let text = Encoding.UTF8.GetString input
                HeaderFile.read "headers" text |> told
                IngestToken.read "token" text |> told
                Access.passwordOf "password" text |> told
                Layout.parse text |> told
                Access.isOwnHost text |> ignore
                Registration.tokenIn "" text |> ignore)
            none
            none
            [
                "# of the proxy\nX-Auth: abc\nX-Tenant: 7\n"
                "t0k3n\n"
                "bearer  t0k3n "
                "[::1]"
                """{"disks":["sda"],"gpus":[[0,"NVIDIA A100","GPU-1"]],"fans":[]}"""
            ]
        target
            "http-answer"
            answer
            @"http/.*\.txt$"
            none
            [
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a;x=y\r\n{\"ok\":true,\"snapshot\":{\"b\"\r\n6\r\n:1}}  \r\n0\r\nA: b\r\n\r\n"
                "HTTP/1.0 503 Busy\nRetry-After: Sat, 28 Nov 2026 12:00:30 GMT\nDate: Sat, 28 Nov 2026 12:00:00 GMT\nContent-Length: 3\n\nbad"
            ]
        target
            "http-scrape"
            (fun input -> Scrape.read (ReadOnlySpan input) |> ignore)
            none
            none
            [
                "GET /metrics?a=b HTTP/1.1\r\nHost: h:9100\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\nAuthorization: Bearer t\r\n\r\n"
                "HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                "POST /metrics HTTP/2\r\nContent-Length: 5\r\n\r\nhello"
            ]
        target
            "spool-segment"
            segment
            none
            none
            [
                "{\"n\":1}\n{\"n\":2,\"a\":[\"\\u00e9\"]}\n{\"n\":"
                "5 4f9f2cab aGVsbG8=\n0 811c9dc5 \n\n{}\n"
            ]
        target
            "spool-names"
            spoolNames
            none
            none
            [
                Encoding.ASCII.GetString(Spool.writePosition { Segment = 42L; Offset = 4096L })
                "000000000042.v1.ndjson"
                "000000000042.v2.ndjson"
            ]
        target
            "remote-write"
            remoteWrite
            none
            none
            [
                "400 out of order sample\n"
                + Encoding.Latin1.GetString(RemoteWrite.emptyRequest RemoteWriteVersion.Two)
                // Of 2.0: the symbols "", __name__ and up, and a series of them.
                "200\n\035\136\034\000\034\008__name__\034\002up\042\017\010\002\001\002\018\011\009\000\000\000\000\000\000\240\063\016\001"
                "200\n\030\092\n\022\n\015\n\008__name__\018\003up\018\006a\000"
                "429 slow down\n5 4f9f2cab aGVsbG8="
            ]
        target
            "receiver-intake"
            (fun input ->
                match Intake.decode (ReadOnlyMemory input) now with
                | Ok taken -> Intake.keptAgent taken.Agent |> ignore
                | Error refusal -> require "a refusal without a sentence" (refusal.Error <> ""))
            "fuzz/receiver-intake/"
            none
            [
                """{"collected_at":"2026-11-28T11:59:58.5Z","cpu_usage_percent":12.5,"gpus":[{"index":0,"name":"A100","uuid":"GPU-1"}]}"""
                """{"sample":{"collected_at":"2026-11-28T11:59:58+02:00","disks":[{"device":"sda"}],"fans":[{"label":"a","rpm":7}]},"agent":{"version":"1"}}"""
            ]
    ]

/// An input beyond this length teaches nothing that a shorter one does not.
let private longestSeed = 16384

/// The inputs that a target starts from; `fixtures` is where the fixtures lie. Those under fuzz/ of its own name were once a
/// failure, or are there because nothing else leads as far.
let seeds (fixtures: string) (target: Target) : (string * byte[]) list =
    let found =
        Directory.GetFiles(fixtures, "*", SearchOption.AllDirectories)
        |> Array.map (fun path -> path, Path.GetRelativePath(fixtures, path))
        |> Array.sortWith (fun (_, one) (_, other) -> String.CompareOrdinal(one, other))

    let matching (pattern: string) =
        found |> Array.filter (fun (_, name) -> Regex.IsMatch(name, pattern))

    let bundle (files: (string * string)[]) =
        files
        |> Array.collect (fun (path, name) ->
            let insideMachine = name.Substring(name.IndexOf '/')

            Array.concat
                [
                    Encoding.UTF8.GetBytes(insideMachine + "\n")
                    File.ReadAllBytes path
                    [| 0uy |]
                ])

    [
        for path, name in matching $"{target.Files}|^fuzz/{target.Name}/" do
            name, File.ReadAllBytes path
        for machine, files in
            matching target.Machines
            |> Array.groupBy (fun (_, name) -> name.Substring(0, name.IndexOf '/')) do
            machine, bundle files
        for text in target.Texts do
            $"%A{text.Substring(0, min 20 text.Length)}", Encoding.Latin1.GetBytes text
    ]
    |> List.map (fun (name, input) -> name, Array.truncate longestSeed input)
