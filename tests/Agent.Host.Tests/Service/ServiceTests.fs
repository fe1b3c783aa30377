/// What the agent says, and when.
module Agent.Host.Tests.ServiceTests

open System
open System.IO
open Agent.Core
open Agent.Sender
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Host
open Agent.Host.Reading
open Agent.Host.Sampling
open Agent.Host.Service
open Agent.Shell
open Agent.TestSupport
open Agent.Host.Tests.VirtualClock
open Expecto

/// A log and what it wrote to either stream.
let private logAt (level: LogLevel) (quiet: bool) =
    let output = new StringWriter(NewLine = "\n")
    let errors = new StringWriter(NewLine = "\n")
    Log(output, errors, level, quiet, ManualClock()), output, errors

let private lines (writer: StringWriter) : string list =
    writer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
    |> List.ofArray

let private log =
    testList
        "log"
        [
            testCase "each level and what is above it, on standard error, one line each, in UTC"
            <| fun () ->
                let all =
                    [
                        "2026-02-26T12:00:00Z DEBUG a"
                        "2026-02-26T12:00:00Z INFO b"
                        "2026-02-26T12:00:00Z WARNING c"
                        "2026-02-26T12:00:00Z ERROR d"
                        "2026-02-26T12:00:00Z CRITICAL e"
                    ]

                for level, hidden in
                    [
                        LogLevel.Debug, 0
                        LogLevel.Info, 1
                        LogLevel.Warning, 2
                        LogLevel.Error, 3
                        LogLevel.Critical, 4
                    ] do
                    let log, output, errors = logAt level false
                    log.Debug "a"
                    log.Info "b"
                    log.Warning "c"
                    log.Error "d"
                    log.Critical "e"
                    Expect.equal (lines errors) (List.skip hidden all) (string level)
                    Expect.equal (lines output) [] "nothing on standard output"

            testCase "routine lines and results on standard output, as they are"
            <| fun () ->
                let log, output, errors = logAt LogLevel.Critical false
                log.Routine "start"
                log.Result "{}"
                Expect.equal (lines output) [ "start"; "{}" ] "both"
                Expect.equal (lines errors) [] "nothing on standard error"

            testCase "quiet silences routine lines, not results"
            <| fun () ->
                let log, output, errors = logAt LogLevel.Warning true
                log.Routine "start"
                log.Result "{}"
                log.Warning "c"
                Expect.equal (lines output) [ "{}" ] "the result"
                Expect.equal (lines errors) [ "2026-02-26T12:00:00Z WARNING c" ] "the warning"

            testCase "a full disk costs the line alone"
            <| fun () ->
                let full =
                    { new StringWriter() with
                        override _.WriteLine(_: string | null) : unit =
                            raise (IOException "No space left on device")
                    }

                let log = Log(full, full, LogLevel.Debug, false, ManualClock())
                log.Routine "x"
                log.Result "x"
                log.Error "x"
        ]

/// A machine of which everything can be read.
let private healthy: Snapshot =
    { Snapshot.empty with
        At = noon
        Stat =
            Stat.parse (ReadOnlySpan(Fixtures.utf8 "cpu  1 1 1 1\ncpu0 1 1 1 1\nctxt 1\nbtime 1\n"))
            |> Parsed.strict
            |> Result.mapError SourceError.Garbled
        Memory =
            MemInfo.parse (ReadOnlySpan(Fixtures.utf8 "MemTotal: 1 kB\nMemFree: 1 kB\n"))
            |> Parsed.strict
            |> Result.mapError SourceError.Garbled
        Load = Ok { One = 0.0; Five = 0.0; Fifteen = 0.0 }
        Disks =
            Ok
                [|
                    {
                        Device = "sda"
                        Reads = ValueSome 0UL
                        ReadBytes = ValueSome 0UL<B>
                        Writes = ValueSome 0UL
                        WrittenBytes = ValueSome 0UL<B>
                        BusyTime = ValueSome 0UL<ms>
                        Detail = ValueNone
                    }
                |]
        Network = Ok [||]
        Processes = Ok 1
    }

/// Observes these snapshots, each with what the slow sources lack, and returns the lines after their time stamps.
let private observedWith
    (isGone: SourceError -> bool)
    (level: LogLevel)
    (words: string list)
    (course: (Snapshot * SourceError list) list)
    : string list * int64 =
    let log, _, errors = logAt level false
    let mutable faults: SourceError list = []

    let watch =
        SourceWatch(CommandLine.settingsWith words, Func<_>(fun () -> List.toArray faults), Func<_, _>(isGone), ManualClock(), log)

    for snapshot, slow in course do
        faults <- slow
        watch.Observe snapshot

    lines errors |> List.map _.Substring("2026-02-26T12:00:00Z ".Length), watch.Failures

/// The same where nothing goes away.
let private observed: LogLevel -> string list -> (Snapshot * SourceError list) list -> string list * int64 =
    observedWith (fun _ -> false)

let private garbled (raw: string) =
    SourceError.Garbled
        {
            Source = "/proc/loadavg"
            Line = 1
            Field = "load 1"
            Raw = raw
            Expected = "a number"
        }

let private watch =
    testList
        "source watch"
        [
            testCase "a healthy machine is not worth a word"
            <| fun () -> Expect.equal (observed LogLevel.Info [] [ healthy, []; healthy, [] ]) ([], 0L) "nothing"

            testCase
                "a failing source is told once when it begins and once when it ends, what comes back at once is the same, and every failure counts"
            <| fun () ->
                let broken =
                    { healthy with
                        Load = Error(SourceError.Unreadable("/proc/loadavg", "I/O error"))
                    }

                Expect.equal
                    (observed
                        LogLevel.Info
                        []
                        [
                            healthy, []
                            broken, []
                            broken, []
                            broken, []
                            healthy, []
                            healthy, []
                            broken, []
                        ])
                    ([
                        "WARNING no load averages: /proc/loadavg cannot be read: I/O error"
                        "INFO load averages: can be read again"
                     ],
                     4L)
                    "two changes"

            testCase "sources that come and go are told once, and then once in ten minutes with the number of times"
            <| fun () ->
                let clock = ManualClock()
                let errors = new StringWriter(NewLine = "\n")
                let log = Log(new StringWriter(), errors, LogLevel.Info, false, clock)
                let mutable faults: SourceError[] = [||]

                let watch =
                    SourceWatch(CommandLine.settingsWith [], Func<_>(fun () -> faults), Func<_, _>(fun _ -> false), clock, log)

                let broken =
                    { healthy with
                        Load = Error(SourceError.Unreadable("/proc/loadavg", "I/O error"))
                    }

                for second in 0..1300 do
                    faults <-
                        if second % 3 = 0 then
                            [| SourceError.Unreadable("nvidia-smi", "exit code 9") |]
                        else
                            [||]

                    watch.Observe(if second % 2 = 0 then broken else healthy)
                    clock.Advance(TimeSpan.FromSeconds 1.0)

                Expect.equal
                    (lines errors |> List.map (fun line -> line.Substring "2026-02-26T".Length))
                    [
                        "12:00:00Z WARNING no load averages: /proc/loadavg cannot be read: I/O error"
                        "12:00:00Z WARNING nvidia-smi cannot be read: exit code 9"
                        "12:00:01Z INFO load averages: can be read again"
                        "12:00:01Z INFO nvidia-smi: can be read again"
                        "12:10:01Z INFO load averages: comes and goes, failed 300 times since this was last said and can be read again"
                        "12:10:01Z INFO nvidia-smi: comes and goes, failed 200 times since this was last said and can be read again"
                        "12:20:01Z INFO load averages: comes and goes, failed 300 times since this was last said and can be read again"
                        "12:20:01Z INFO nvidia-smi: comes and goes, failed 200 times since this was last said and can be read again"
                    ]
                    "four lines, and two in ten minutes"
            testCase "another kind of failure is another state, another garbled text is not"
            <| fun () ->
                let with' error = { healthy with Load = Error error }

                Expect.equal
                    (observed
                        LogLevel.Info
                        []
                        [
                            with' (SourceError.Absent "/proc/loadavg"), []
                            with' (garbled "x"), []
                            with' (garbled "y"), []
                            with' (SourceError.Unreadable("/proc/loadavg", "denied")), []
                        ])
                    ([
                        "WARNING no load averages: /proc/loadavg does not exist"
                        "WARNING no load averages: /proc/loadavg line 1, field load 1: expected a number, found \"x\""
                        "WARNING no load averages: /proc/loadavg cannot be read: denied"
                     ],
                     4L)
                    "three states"

            testCase "a kernel without pressure is told at DEBUG alone, and is no failure"
            <| fun () ->
                let lines, failures = observed LogLevel.Debug [] [ healthy, []; healthy, [] ]

                Expect.equal
                    (lines |> List.filter (fun line -> line.Contains "pressure"), failures)
                    ([
                        "DEBUG no CPU pressure: /proc/pressure/cpu does not exist"
                        "DEBUG no I/O pressure: /proc/pressure/io does not exist"
                        "DEBUG no memory pressure: /proc/pressure/memory does not exist"
                     ],
                     0L)
                    "once each"

            testCase "pressure that is there and cannot be read is a failure"
            <| fun () ->
                let broken =
                    { healthy with
                        IoPressure = Error(SourceError.Unreadable("/proc/pressure/io", "denied"))
                    }

                Expect.equal
                    (observed LogLevel.Info [] [ broken, [] ])
                    ([ "WARNING no I/O pressure: /proc/pressure/io cannot be read: denied" ], 1L)
                    "told"

            testCase "a line that cannot be read is told once, wherever in the file it stands"
            <| fun () ->
                let odd line raw =
                    { healthy with
                        Faults =
                            [|
                                {
                                    Source = "/proc/diskstats"
                                    Line = line
                                    Field = "time reading"
                                    Raw = raw
                                    Expected = "a whole number"
                                }
                            |]
                    }

                Expect.equal
                    (observed LogLevel.Info [] [ odd 2 "-5", []; odd 2 "-6", []; odd 3 "-7", []; healthy, [] ])
                    ([
                        "WARNING /proc/diskstats line 2, field time reading: expected a whole number, found \"-5\""
                        "INFO /proc/diskstats time reading: can be read again"
                     ],
                     3L)
                    "once"

            testCase "slow sources are told once as well, each for itself"
            <| fun () ->
                let smi = SourceError.Unreadable("nvidia-smi", "exit code 9")
                let fan = SourceError.Unreadable("/sys/class/hwmon/hwmon0/fan1_input", "I/O error")

                Expect.equal
                    (observed LogLevel.Info [] [ healthy, [ smi ]; healthy, [ smi; fan ]; healthy, [ fan ]; healthy, [] ])
                    ([
                        "WARNING nvidia-smi cannot be read: exit code 9"
                        "WARNING /sys/class/hwmon/hwmon0/fan1_input cannot be read: I/O error"
                        "INFO nvidia-smi: can be read again"
                        "INFO /sys/class/hwmon/hwmon0/fan1_input: can be read again"
                     ],
                     4L)
                    "four changes"

            testCase "what is gone, or has no value any more, is not said to be read again"
            <| fun () ->
                let gone = SourceError.Unreadable("/sys/class/hwmon/hwmon3/temp2_input", "I/O error")
                let back = SourceError.Unreadable("/sys/class/hwmon/hwmon4/temp1_input", "I/O error")

                Expect.equal
                    (observedWith ((=) gone) LogLevel.Info [] [ healthy, [ gone; back ]; healthy, [] ])
                    ([
                        "WARNING /sys/class/hwmon/hwmon3/temp2_input cannot be read: I/O error"
                        "WARNING /sys/class/hwmon/hwmon4/temp1_input cannot be read: I/O error"
                        "INFO /sys/class/hwmon/hwmon3/temp2_input: is gone, or has no value now"
                        "INFO /sys/class/hwmon/hwmon4/temp1_input: can be read again"
                     ],
                     2L)
                    "one of each"

            testCase "a disk that is unplugged, an interface that goes, and a file that fails take their bad lines along"
            <| fun () ->
                let fault source field =
                    {
                        Source = source
                        Line = 3
                        Field = field
                        Raw = "-4"
                        Expected = "a whole number"
                    }

                let broken =
                    { healthy with
                        Faults =
                            [|
                                fault "/proc/diskstats" "writes completed of sda"
                                fault "/proc/diskstats" "writes completed of sdq"
                                fault "/proc/net/dev" "bytes of ens9"
                                fault "/proc/loadavg" "load 5"
                            |]
                    }

                let after =
                    { healthy with
                        Load = Error(SourceError.Unreadable("/proc/loadavg", "I/O error"))
                    }

                let said, _ = observed LogLevel.Info [] [ broken, []; after, [] ]

                Expect.equal
                    (said |> List.filter _.StartsWith("INFO"))
                    [
                        "INFO /proc/diskstats writes completed of sda: can be read again"
                        "INFO /proc/diskstats writes completed of sdq: is gone, or has no value now"
                        "INFO /proc/net/dev bytes of ens9: is gone, or has no value now"
                        "INFO /proc/loadavg load 5: is gone, or has no value now"
                    ]
                    "sda alone is there"

            testCase "a named disk whose line cannot be read is there, and is said to be unreadable"
            <| fun () ->
                let fault =
                    {
                        Source = "/proc/diskstats"
                        Line = 1
                        Field = "reads completed of sdb"
                        Raw = "x"
                        Expected = "a whole number"
                    }

                Expect.equal
                    (observed LogLevel.Info [ "--disks=sda,sdb,sdc" ] [ { healthy with Faults = [| fault |] }, [] ])
                    ([
                        "WARNING /proc/diskstats line 1, field reads completed of sdb: expected a whole number, found \"x\""
                        "WARNING --disks: sdb: there, but with a line in /proc/diskstats that cannot be read, so not in the samples"
                        "WARNING --disks: this machine has no sdc; it has sda"
                     ],
                     1L)
                    "sdb is not missing"

            testCase "more fans than a sample carries are told once"
            <| fun () ->
                let fans count =
                    { healthy with
                        Snapshot.Slow.Fans = Array.init count (fun _ -> ({ Label = "FAN1"; Speed = 900<rpm> }: Agent.Core.Sys.Hwmon.Fan))
                    }

                Expect.equal
                    (observed LogLevel.Info [] [ fans 256, []; fans 4000, []; fans 4001, [] ])
                    ([
                        "WARNING fans: this machine has 4000, and samples carry the first 256 of them"
                     ],
                     0L)
                    "once"

            testCase "names that the machine does not have are told once, with those it has"
            <| fun () ->
                Expect.equal
                    (observed LogLevel.Info [ "--disks=sda,nvme9n1,/dev/sdz"; "--interfaces=eth9" ] [ healthy, []; healthy, [] ])
                    ([
                        "WARNING --disks: this machine has no nvme9n1, sdz; it has sda"
                        "WARNING --interfaces: this machine has no eth9; it has "
                     ],
                     0L)
                    "both"
        ]

let private lateness =
    testCase "what passes while the first sample waits for the slow sources is the start; from the second on a sample is late"
    <| fun () ->
        let log, _, errors = logAt LogLevel.Info false
        let settings = CommandLine.settingsWith []
        let clock = ManualClock()
        use systemd = Systemd.Open(Func<string, string | null>(fun _ -> null), 1)

        let watch =
            SamplingWatch(
                SourceWatch(settings, Func<_>(fun () -> Array.empty), Func<_, _>(fun _ -> false), clock, log),
                SlowSources(settings, clock, false),
                null,
                ServiceState(systemd, settings.Interval, Func<_>(fun () -> 0L), clock),
                ClockWatch(clock, log),
                log
            )

        let sample =
            Sample.build
                {
                    Disks = [||]
                    Interfaces = [||]
                    CpuWindow = TimeSpan.Zero
                }
                ValueNone
                healthy

        let observe number =
            watch.Observe(SampleTaken(number, sample, healthy, ValueNone, ValueNone))

        observe 1L
        watch.Skipped 3L
        observe 2L
        Expect.equal (lines errors) [] "the first had waited"
        watch.Skipped 2L
        watch.Skipped 1L
        observe 3L

        Expect.equal
            (lines errors)
            [ "2026-02-26T12:00:00Z WARNING sampling was late: 2 sample(s) skipped" ]
            "the CPU window and the sample skip together"

/// Waits for what a thread that runs on a clock moved by hand will do.
let private eventually (what: string) (isSo: unit -> bool) : unit =
    let mutable left = 2000

    while not (isSo ()) && left > 0 do
        Threading.Thread.Sleep 2
        left <- left - 1

    Expect.isTrue (isSo ()) what

/// What a watch over readings says, and whether it ends the process, on a clock that is moved by hand.
let private withReadingWatch
    (test: ManualClock -> ReadingWatch -> Threading.CancellationTokenSource -> (unit -> string list) -> (unit -> int) -> unit)
    =
    let clock = ManualClock()
    let errors = new StringWriter(NewLine = "\n")
    let log = Log(new StringWriter(), errors, LogLevel.Info, false, clock)
    use stop = new Threading.CancellationTokenSource()
    let mutable ends = 0

    use watch =
        new ReadingWatch(clock, log, stop.Token, (fun () -> Threading.Interlocked.Increment &ends |> ignore))

    let said () =
        lock errors (fun () -> lines errors |> List.map (fun line -> line.Substring(line.IndexOf ' ' + 1)))

    test clock watch stop said (fun () -> Threading.Volatile.Read &ends)

let private readingWatch =
    testList
        "reading watch"
        [
            testCase "a read that does not return is said once, and once that it did"
            <| fun () ->
                withReadingWatch (fun clock watch _ said ends ->
                    watch.Reading <- "/proc/stat"
                    Threading.Thread.Sleep 20
                    clock.Advance(TimeSpan.FromSeconds 4.9)
                    Threading.Thread.Sleep 20
                    Expect.equal (said ()) [] "slow is no fault"
                    clock.Advance(TimeSpan.FromSeconds 0.2)
                    eventually "said" (fun () -> (said ()).Length = 1)
                    clock.Advance(TimeSpan.FromSeconds 100.0)
                    Threading.Thread.Sleep 20
                    watch.Reading <- null
                    eventually "over" (fun () -> (said ()).Length = 2)

                    Expect.equal
                        (said ())
                        [
                            "WARNING /proc/stat: a read does not return; until it does there are no samples"
                            "INFO /proc/stat: the read has returned, samples are taken again"
                        ]
                        "two lines"

                    Expect.equal (ends ()) 0 "and nothing ends")

            testCase "a signal ends the process within five seconds while a read does not return"
            <| fun () ->
                withReadingWatch (fun clock watch stop said ends ->
                    watch.Reading <- "/proc/loadavg"
                    Threading.Thread.Sleep 20
                    clock.Advance(TimeSpan.FromSeconds 1.0)
                    stop.Cancel()
                    Threading.Thread.Sleep 20
                    Expect.equal (ends ()) 0 "not at once"
                    clock.Advance(TimeSpan.FromSeconds 2.1)
                    eventually "ended" (fun () -> ends () = 1)
                    clock.Advance(TimeSpan.FromSeconds 10.0)
                    Threading.Thread.Sleep 20
                    Expect.equal (ends ()) 1 "once"

                    Expect.equal
                        (said () |> List.filter (fun line -> line.Contains "ends without"))
                        [
                            "WARNING /proc/loadavg: a read does not return; the agent ends without waiting for it"
                        ]
                        "said")

            testCase "a thread that goes on is left to end by itself"
            <| fun () ->
                withReadingWatch (fun clock watch stop said ends ->
                    stop.Cancel()

                    for second in 1..20 do
                        watch.Reading <- "/proc/stat"
                        Threading.Thread.Sleep 10
                        clock.Advance(TimeSpan.FromSeconds 1.0)

                        if second % 2 = 0 then
                            watch.Reading <- null

                    Expect.equal (said (), ends ()) ([], 0) "nothing")
        ]

let private results =
    testList
        "results"
        [
            testCase "C# looks into a result and chains fallible steps"
            <| fun () ->
                let good: Result<int, string> = Ok 2
                let bad: Result<int, string> = Error "no"
                Expect.equal (Results.Match(good, Func<_, _>(fun n -> $"{n}"), Func<_, _>(fun e -> e))) "2" "match"
                Expect.equal (Results.Match(bad, Func<_, _>(fun n -> $"{n}"), Func<_, _>(fun e -> e))) "no" "match"
                Expect.equal (Results.Select(good, Func<_, _>(fun n -> n + 1))) (Ok 3) "select"
                Expect.equal (Results.Select(bad, Func<_, _>(fun n -> n + 1))) (Error "no") "select"
                Expect.equal (Results.SelectError(bad, Func<_, _>(fun (e: string) -> e.Length))) (Error 2) "select error"
                Expect.equal (Results.SelectError(good, Func<_, _>(fun (e: string) -> e.Length))) (Ok 2) "select error"

                let chain first second =
                    Results.SelectMany(first, Func<_, _>(fun _ -> second), Func<_, _, _>(fun a b -> a * 10 + b))

                Expect.equal (chain good (Ok 3)) (Ok 23) "both good"
                Expect.equal (chain bad (Ok 3)) (Error "no") "the first error"
                Expect.equal (chain good (Error "later")) (Error "later") "the second error"

                let mutable called = false

                Results.SelectMany(
                    bad,
                    Func<_, _>(fun (_: int) ->
                        called <- true
                        good),
                    Func<_, _, _>(fun (a: int) (_: int) -> a)
                )
                |> ignore

                Expect.isFalse called "nothing runs after an error"
        ]

[<Tests>]
let tests = testList "Host.Service" [ log; watch; lateness; readingWatch; results ]
