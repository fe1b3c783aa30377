/// The real scheduler, sampler, outbox and poster in virtual time; the files are those of a captured machine.
module Agent.Host.Tests.PipelineTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Threading
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host
open Agent.Host.Lanes
open Agent.Host.Sampling
open Agent.Host.Buffering
open Agent.Host.Reading
open Agent.Host.Service
open Agent.TestSupport
open Agent.Host.Tests.VirtualClock
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

let private machine = Fixtures.pathOf "vm-2core-6.18/first"

/// What a test may change of a run.
type private Plan =
    {
        Interval: float
        Window: float
        Once: bool
        Capacity: int
        ProcFs: string
        /// What becomes of an attempt at an instant, in seconds since the start.
        Answer: float -> float -> Outcome
        /// How long a request takes at an instant.
        Posting: float -> float
        /// How long a sample takes whose counters were read at an instant.
        Sampling: float -> float
        /// When the run ends.
        Until: float
    }

let private delivered = Outcome.Delivered Delivery.noReceipt

let private plan =
    {
        Interval = 2.0
        Window = 0.2
        Once = false
        Capacity = 900
        ProcFs = machine + "/proc"
        Answer = fun _ _ -> delivered
        Posting = fun _ -> 0.0
        Sampling = fun _ -> 0.0
        Until = 100.0
    }

/// One attempt: when it began, which sample it carried (by the instant its counters were read), and what came of it.
type private Try =
    {
        At: float
        Of: float
        Outcome: Outcome
    }

/// What a run left behind.
type private Outcomes =
    {
        Tries: Try list
        /// The instants at which counters were read.
        Samples: float list
        /// `cpu_usage_percent` and `cpu_user_percent` of each sample.
        Usage: (float * float) list
        Outbox: Outbox
        Skipped: int64
        Completed: bool
    }

let private rounded (span: TimeSpan) = Math.Round(span.TotalSeconds, 6)

let private simulate (plan: Plan) : Outcomes =
    let clock = VirtualClock()

    let settings =
        { CommandLine.settingsWith [] with
            Interval = seconds plan.Interval
            CpuWindow = seconds plan.Window
            Once = plan.Once
        }

    let log = Log(TextWriter.Null, TextWriter.Null, LogLevel.Debug, false, clock)

    let slow () =
        clock.Work(seconds (plan.Sampling clock.Elapsed.TotalSeconds))
        SlowReadings.None

    use files = new ProcFiles(plan.ProcFs, machine + "/sys", clock, Func<_> slow)

    let identity = Identity("0.1.0", "", ".NET", 1)

    let sampler = Sampler(files, settings, clock)
    let encoder = SampleEncoder(Func<_>(fun () -> SystemInfo.unknown), settings, identity)

    let mutable skipped = 0L
    let sampling = SamplingScheduler(clock, OnSkipped = Action<_>(fun count -> skipped <- skipped + count))
    let posting = SamplingScheduler clock
    use stop = new CancellationTokenSource()
    let outbox = new Outbox(plan.Capacity)
    let samples = List<float>()
    let usage = List<float * float>()
    let tries = List<Try>()

    let keep (taken: SampleTaken) =
        let sample = encoder.Line taken.Sample
        use document = JsonDocument.Parse sample.Body

        let collected =
            document.RootElement.GetProperty("sample").GetProperty("collected_at").GetDateTimeOffset()

        samples.Add(rounded (collected - noon))

        let figure (name: string) =
            document.RootElement.GetProperty("sample").GetProperty(name).GetDouble()

        usage.Add(figure "cpu_usage_percent", figure "cpu_user_percent")
        outbox.Add sample
        sample

    let post (body: ReadOnlyMemory<byte>) : Outcome =
        use document = JsonDocument.Parse body

        let collected =
            document.RootElement.GetProperty("sample").GetProperty("collected_at").GetDateTimeOffset()

        let at, taken = rounded clock.Elapsed, rounded (collected - noon)
        clock.Work(seconds (plan.Posting at))
        let outcome = plan.Answer at taken

        tries.Add
            {
                At = at
                Of = taken
                Outcome = outcome
            }

        outcome

    let poster =
        Poster(outbox, Func<_, _> post, posting, settings.Interval, Func<_>(fun () -> 1.0), stop.Token)

    let mutable completed = false
    let mutable defect: exn option = None

    let lane =
        { new ILane with
            member _.Keep taken = keep taken
            member _.Deliver kept = poster.Deliver(kept, settings.Once)
        }

    use _ =
        Pipeline
            .ToEach(Pipeline.Sample(Pipeline.Ticks(settings.CpuWindow, settings.Interval, settings.Once, sampling), sampler), [| lane |])
            .Subscribe((fun (_: Attempt) -> ()), (fun error -> defect <- Some error), fun () -> completed <- true)

    clock.At(
        seconds plan.Until,
        fun () ->
            stop.Cancel()
            sampling.Stop()
            posting.Stop()
    )

    clock.Run [ sampling.Run; posting.Run ]

    match defect with
    | Some error -> failtest $"a defect: {error}"
    | None -> ()

    {
        Tries = List.ofSeq tries
        Samples = List.ofSeq samples
        Usage = List.ofSeq usage
        Outbox = outbox
        Skipped = skipped
        Completed = completed
    }

/// The instants of the grid from the first one on.
let private grid (first: float) (interval: float) (count: int) =
    List.init count (fun index -> Math.Round(first + interval * float index, 6))

let private samplingTests =
    testList
        "sampling"
        [
            testCase "ten thousand samples stay on the grid, however long sampling and posting take"
            <| fun () ->
                let random = Random 7

                let run =
                    simulate
                        { plan with
                            Interval = 0.5
                            Sampling = fun _ -> random.NextDouble() * 0.25
                            Posting = fun _ -> random.NextDouble() * 0.6
                            Until = 5000.1
                        }

                Expect.equal run.Samples (grid 0.2 0.5 10000) "0.2, 0.7, 1.2, …"
                Expect.equal run.Skipped 0L "none skipped"
                let sent = run.Tries |> List.map _.Of
                Expect.equal sent (List.truncate sent.Length run.Samples) "each once, oldest first"
                Expect.isGreaterThan sent.Length 9000 "and nearly all"

            testCase "the first sample is due one CPU window after the start"
            <| fun () ->
                for window, first in [ 0.2, 0.2; 1.5, 1.5; 0.0, 0.0 ] do
                    let run =
                        simulate
                            { plan with
                                Window = window
                                Until = 9.0
                            }

                    Expect.equal run.Samples (grid first 2.0 (if first > 1.0 then 4 else 5)) $"window {window}"

            testCase "a first sample that waits for its sources keeps its instant, and the grid"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Sampling = fun at -> if at < 1.0 then 1.4 else 0.0
                            Until = 9.0
                        }

                Expect.equal run.Samples (grid 0.2 2.0 5) "0.2, 2.2, …"

            testCase "a first sample that waits for longer than the interval costs points of the grid, and nothing else"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Interval = 0.5
                            Sampling = fun at -> if at < 0.6 then 2.26 else 0.0
                            Until = 5.0
                        }

                // It ends at 2.46; the grid goes on at 2.7.
                Expect.equal run.Samples (0.2 :: grid 2.7 0.5 5) "0.2, 2.7, 3.2, …"

            testCase "an interval that is no whole number of milliseconds does not drift"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Interval = 0.7
                            Window = 0.0
                            Until = 699.9
                        }

                Expect.equal run.Samples (grid 0.0 0.7 1000) "0, 0.7, 1.4, …"

            for stall in [ 0.9; 1.0; 1.1; 2.5; 2.999; 3.0; 7.3; 100.95 ] do
                testCase $"after a stall of {stall} s the samples are on the grid again, and never bunch"
                <| fun () ->
                    let run =
                        simulate
                            { plan with
                                Interval = 1.0
                                Sampling = fun at -> if at > 4.5 && at < 5.5 then stall else 0.0
                                Until = 120.0
                            }

                    // 0.2 to 5.2, then the first point that is not past.
                    let missed = int (ceil stall) - 1
                    let before, later = grid 0.2 1.0 6, grid (6.2 + float missed) 1.0 (114 - missed)
                    Expect.equal run.Samples (before @ later) "missed points are left out"
                    // The grid of the window's openings skips as well.
                    Expect.isGreaterThanOrEqual run.Skipped (int64 missed) "and counted"

            testCase "requests that take longer than the interval do not delay the samples"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Posting = (fun _ -> 7.0)
                            Until = 100.0
                        }

                Expect.equal run.Samples (grid 0.2 2.0 50) "every 2 s"
                Expect.equal (run.Tries |> List.map _.Of) (grid 0.2 2.0 run.Tries.Length) "oldest first"
                Expect.equal (run.Tries |> List.map _.At) (grid 0.2 7.0 run.Tries.Length) "one after the other"

            testCase "the CPU window opens its length before each sample"
            <| fun () ->
                let directory = Directory.CreateTempSubdirectory "agent-tests-"

                try
                    let write user idle =
                        File.WriteAllText(
                            Path.Combine(directory.FullName, "stat"),
                            $"cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 0 0 0\nctxt 1\nbtime 1\n"
                        )

                    // 200 ticks a sample: busy up to the window, idle but for a quarter within it. The sampler reads at
                    // x.0 and x.2 of every second second; the file changes when a sample is posted, and at x.0 below.
                    write 1000 1000
                    let mutable user, idle = 1000, 1000

                    let run =
                        simulate
                            { plan with
                                ProcFs = directory.FullName
                                Posting =
                                    fun _ ->
                                        // Until the next opening 180 ticks of work.
                                        user <- user + 180
                                        write user idle
                                        // Just after that opening: 5 of work, 15 of idling.
                                        1.9
                                Answer =
                                    fun _ _ ->
                                        user <- user + 5
                                        idle <- idle + 15
                                        write user idle
                                        delivered
                                Until = 9.0
                            }

                    // The first window sees nothing change, and nothing came before it. Then 5 of 20 within the window,
                    // and 185 of 200 since the sample before.
                    Expect.equal
                        run.Usage
                        [ 0.0, 0.0; 25.0, 92.5; 25.0, 92.5; 25.0, 92.5; 25.0, 92.5 ]
                        "usage over the window, user time since the previous sample"
                finally
                    directory.Delete true

            testCase "--once takes one sample and makes one attempt, whatever comes of it"
            <| fun () ->
                for outcome in
                    [
                        delivered
                        Outcome.RetryAfter(ValueNone, "x")
                        Outcome.RetryAfter(ValueSome TimeSpan.Zero, "x")
                        Outcome.Hold "x"
                        Outcome.Reject "HTTP 400"
                    ] do
                    for window in [ 0.2; 0.0 ] do
                        let run =
                            simulate
                                { plan with
                                    Once = true
                                    Window = window
                                    Answer = fun _ _ -> outcome
                                }

                        Expect.equal run.Samples [ window ] "one sample"

                        Expect.equal
                            run.Tries
                            [
                                {
                                    At = window
                                    Of = window
                                    Outcome = outcome
                                }
                            ]
                            "one attempt"

                        Expect.isTrue run.Completed "and that is all"
        ]

let private tried (run: Outcomes) =
    run.Tries |> List.map (fun attempt -> attempt.At, attempt.Of)

let private accepted (run: Outcomes) =
    run.Tries |> List.filter _.Outcome.IsDelivered |> List.map _.Of

let private deliveryTests =
    testList
        "delivery"
        [
            testCase "an outage is tried again with back-off, and then everything goes, oldest first"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Answer =
                                fun at _ ->
                                    if at > 9.0 && at < 60.0 then
                                        Outcome.RetryAfter(ValueNone, "x")
                                    else
                                        delivered
                            Until = 80.0
                        }

                // From 10.2 on: after 2, 4, 8, 16 and 32 s.
                let failed = run.Tries |> List.filter (_.Outcome.IsDelivered >> not)

                Expect.equal
                    (failed |> List.map (fun attempt -> attempt.At, attempt.Of))
                    [ 10.2, 10.2; 12.2, 10.2; 16.2, 10.2; 24.2, 10.2; 40.2, 10.2 ]
                    "the oldest one alone"

                Expect.equal (accepted run) (grid 0.2 2.0 40) "all, in order"
                let backlog = run.Tries |> List.filter (fun attempt -> attempt.At = 72.2) |> List.map _.Of
                Expect.equal (List.truncate 31 backlog) (grid 10.2 2.0 31) "the backlog at once"

            testCase "samples that come in during a back-off do not shorten it"
            <| fun () ->
                let later = Outcome.RetryAfter(ValueSome(seconds 7.0), "x")

                let run =
                    simulate
                        { plan with
                            Answer = (fun _ _ -> later)
                            Until = 30.0
                        }

                Expect.equal (tried run) [ 0.2, 0.2; 7.2, 0.2; 14.2, 0.2; 21.2, 0.2; 28.2, 0.2 ] "every 7 s"

            testCase "a server that asks for no delay at all is not flooded"
            <| fun () ->
                let now = Outcome.RetryAfter(ValueSome TimeSpan.Zero, "x")

                let run =
                    simulate
                        { plan with
                            Answer = (fun _ _ -> now)
                            Posting = (fun _ -> 0.01)
                            Until = 10.0
                        }

                Expect.isLessThanOrEqual run.Tries.Length 21 "at most two requests a second"

            testCase "held, it probes with the oldest sample every 30 s, and then delivers all"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Answer = fun at _ -> if at < 61.0 then Outcome.Hold "HTTP 401" else delivered
                            Until = 93.0
                        }

                Expect.equal (List.truncate 3 (tried run)) [ 0.2, 0.2; 30.2, 0.2; 60.2, 0.2 ] "probes"

                Expect.equal
                    run.Tries[3]
                    {
                        At = 90.2
                        Of = 0.2
                        Outcome = delivered
                    }
                    "the one that succeeds"

                Expect.equal (accepted run) (grid 0.2 2.0 47) "all, in order"

            testCase "a sample that is refused alone is put aside, and counted with the next delivery"
            <| fun () ->
                let refusal = Outcome.Reject "HTTP 400: bad"

                let run =
                    simulate
                        { plan with
                            Answer = (fun _ taken -> if taken = 4.2 then refusal else delivered)
                            Until = 9.0
                        }

                Expect.equal (tried run) [ 0.2, 0.2; 2.2, 2.2; 4.2, 4.2; 6.2, 6.2; 8.2, 8.2 ] "once each"
                Expect.equal (run.Outbox.Count, run.Outbox.Dropped.Refused, run.Outbox.Dropped.Overflowed) (0L, 1L, 0L) "one refused"

            testCase "the third refusal in a row takes all back, and none is lost"
            <| fun () ->
                let refusal = Outcome.Reject "HTTP 400: bad"

                let run =
                    simulate
                        { plan with
                            Answer = (fun at _ -> if at < 40.0 then refusal else delivered)
                            Until = 66.0
                        }

                Expect.equal
                    (List.truncate 6 (tried run))
                    [ 0.2, 0.2; 2.2, 2.2; 4.2, 4.2; 34.2, 0.2; 34.2, 32.2; 64.2, 0.2 ]
                    "three, and then a probe every 30 s with the oldest, and with the newest where that is refused"

                Expect.equal (accepted run) (grid 0.2 2.0 33) "all, in order"
                Expect.equal (run.Outbox.Count, run.Outbox.Dropped.Refused) (0L, 0L) "none refused"

            testCase "samples of a wrong clock do not hold up those behind them"
            <| fun () ->
                let refusal = Outcome.Reject "HTTP 400: no possible instant"

                let run =
                    simulate
                        { plan with
                            Answer = (fun _ taken -> if taken < 10.0 then refusal else delivered)
                            Until = 41.0
                        }

                Expect.equal (List.truncate 3 (tried run)) [ 0.2, 0.2; 2.2, 2.2; 4.2, 4.2 ] "three, behind which there is none"

                let later =
                    tried run
                    |> List.skip 3
                    |> List.takeWhile (fun (at, _) -> at = 34.2)
                    |> List.map snd

                Expect.equal (List.head later) 0.2 "the oldest, after 30 s"
                Expect.isGreaterThan later[1] 30.0 "then the newest, which is taken"
                Expect.equal (later |> List.skip 2 |> List.truncate 6) (grid 0.2 2.0 6) "and then all, in order"

                Expect.equal (accepted run |> List.skip 1) (grid 10.2 2.0 16) "each good one, the newest of them for the second time"

                Expect.equal (run.Outbox.Count, run.Outbox.Dropped.Refused) (0L, 5L) "five are refused"

            testCase "a sample at which the webapp fails every time does not hold up the others"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Answer =
                                (fun _ taken ->
                                    if taken = 0.2 then
                                        Outcome.Crash(ValueNone, "HTTP 500")
                                    else
                                        delivered)
                            Until = 130.0
                        }

                Expect.equal
                    (tried run |> List.truncate 6)
                    [ 0.2, 0.2; 2.2, 0.2; 6.2, 0.2; 14.2, 0.2; 30.2, 0.2; 62.2, 0.2 ]
                    "six attempts with back-off"

                let later = tried run |> List.skip 6 |> List.map snd

                for round in 0..2 do
                    Expect.isGreaterThan later[2 * round] (58.0 + 30.0 * float round) "the newest, which is taken"

                Expect.equal (later[1], later[3]) (0.2, 0.2) "it twice more"
                Expect.equal (later |> List.skip 5 |> List.truncate 3) [ 2.2; 4.2; 6.2 ] "and then the others"
                Expect.equal (accepted run |> List.skip 3) (grid 2.2 2.0 64) "all of them, in order"
                Expect.equal (run.Outbox.Count, run.Outbox.Dropped.Refused) (0L, 1L) "one is counted"

            testCase "a full outbox drops the oldest, and counts it"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Capacity = 5
                            Answer =
                                fun at _ ->
                                    if at < 39.0 then
                                        Outcome.RetryAfter(ValueSome(seconds 40.0), "x")
                                    else
                                        delivered
                            Until = 41.0
                        }

                // 0.2 to 40.2 are 21 samples; whichever of sampling and posting comes first at 40.2, five or six are sent.
                Expect.equal run.Samples.Length 21 "samples"
                let sent = accepted run
                Expect.equal sent (grid (40.2 - 2.0 * float (sent.Length - 1)) 2.0 sent.Length) "the newest, in order"
                Expect.isTrue (sent.Length = 5 || sent.Length = 6) $"{sent.Length}"
                Expect.equal (run.Outbox.Dropped.Overflowed + int64 sent.Length) 21L "the others are counted"
                Expect.equal run.Outbox.Count 0L "and nothing is left"

            testCase "after a stop nothing more is sent"
            <| fun () ->
                let run =
                    simulate
                        { plan with
                            Posting = (fun _ -> 3.0)
                            Until = 10.0
                        }

                Expect.equal (tried run) [ 0.2, 0.2; 3.2, 2.2; 6.2, 4.2; 9.2, 6.2 ] "the request in flight ends after it"
                Expect.equal run.Outbox.Count 1L "8.2 is left"

            testCase "samples that come while a request lasts are held by the outbox, which is bounded, and by nothing else"
            <| fun () ->
                let clock = VirtualClock()
                let posting = SamplingScheduler clock
                let outbox = new Outbox(10)
                use arrivals = new System.Reactive.Subjects.Subject<EncodedSample>()
                let all = List<WeakReference>()

                let arrive () =
                    let sample = EncodedSample(ReadOnlyMemory(Array.create 100 ' 'B))
                    all.Add(WeakReference sample)
                    outbox.Add sample
                    arrivals.OnNext sample

                let mutable posts = 0L
                let mutable alive = 0

                let post (_: ReadOnlyMemory<byte>) : Outcome =
                    posts <- posts + 1L

                    if posts = 1L then
                        for _ in 1..1000 do
                            arrive ()

                        GC.Collect()
                        alive <- all |> Seq.filter _.IsAlive |> Seq.length

                    delivered

                let poster =
                    Poster(outbox, Func<_, _> post, posting, seconds 2.0, Func<_>(fun () -> 1.0), CancellationToken.None)

                use _ = poster.Deliver(arrivals, false).Subscribe(fun (_: Attempt) -> ())
                clock.At(seconds 1.0, arrive)
                clock.At(seconds 2.0, posting.Stop)
                clock.Run [ posting.Run ]

                // The one that is being sent, and the last one, may be in a variable besides.
                Expect.isGreaterThanOrEqual alive 10 "in the outbox"
                Expect.isLessThanOrEqual alive 12 "and hardly anywhere else"
                Expect.equal (posts + outbox.Dropped.Overflowed) 1001L "each is sent or counted"
                Expect.equal outbox.Count 0L "and none is forgotten"

            testCase "a defect while posting is an OnError, not the end of the thread"
            <| fun () ->
                let clock = VirtualClock()
                let posting = SamplingScheduler clock
                let outbox = new Outbox(5)
                let sample = EncodedSample(ReadOnlyMemory "{}"B)
                outbox.Add sample

                let poster =
                    Poster(
                        outbox,
                        Func<_, _>(fun _ -> raise (InvalidOperationException "a defect")),
                        posting,
                        seconds 2.0,
                        Func<_>(fun () -> 1.0),
                        CancellationToken.None
                    )

                let mutable told: exn option = None
                let mutable escaped: exn option = None
                let arrivals = System.Reactive.Linq.Observable.Return(sample, posting)

                use _ =
                    poster.Deliver(arrivals, false).Subscribe((fun (_: Attempt) -> ()), (fun error -> told <- Some error), ignore)

                clock.At(seconds 1.0, posting.Stop)

                clock.Run
                    [
                        fun () ->
                            try
                                posting.Run()
                            with error ->
                                escaped <- Some error
                    ]

                Expect.isNone escaped "it would end the process without a word"
                Expect.isSome told "OnError"
        ]

[<Tests>]
let tests = testList "Host.Pipeline" [ samplingTests; deliveryTests ]
