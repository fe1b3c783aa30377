/// Laws of what an HTTP exchange means and what follows from it.
module Agent.PropertyTests.DeliveryLaws

open System
open System.Globalization
open System.Text
open System.Text.Json
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp
// After FsCheck, which has an Outcome too.
open Agent.Core
open Agent.Outbound
open Agent.Sender

let private now = DateTimeOffset(2026, 2, 26, 2, 37, 49, TimeSpan.Zero)

let private status =
    Gen.frequency
        [
            3,
            Gen.elements
                [
                    200
                    201
                    204
                    301
                    302
                    307
                    308
                    400
                    401
                    403
                    404
                    405
                    408
                    413
                    422
                    425
                    429
                    500
                    502
                    503
                    504
                ]
            1, Gen.choose (-1, 1000)
        ]

let private retryAfter =
    Gen.frequency
        [
            2, Gen.constant ""
            2, Gen.choose (0, 5000) |> Gen.map string
            1,
            Gen.choose (-5000, 500_000)
            |> Gen.map (fun s -> now.AddSeconds(float s).ToString("r", CultureInfo.InvariantCulture))
            1,
            Gen.elements
                [
                    "-5"
                    "99999999999999999999999999"
                    "1e9"
                    "nan"
                    "Infinity"
                    " 5 "
                    "Thu, 99 Feb 2026"
                ]
            1, anyText
        ]

let private htmlBodies =
    [
        ""
        "<html>404</html>"
        "{}"
        "[]"
        "null"
        "true"
        "{\"ok\": 1}"
        "{\"ok\":\"true\"}"
    ]

let private isWhole (text: string) =
    try
        use _ = JsonDocument.Parse text
        true
    with :? JsonException ->
        false

let private body =
    Gen.frequency
        [
            3, JsonLaws.anyJson |> Gen.map (fun bytes -> bytes.Content)
            1, Gen.elements htmlBodies |> Gen.map Encoding.UTF8.GetBytes
            1,
            anyText
            |> Gen.map (fun text -> JsonLaws.bytesOf false (Encode.object [| "ok", Encode.bool false; "error", Encode.string text |]))
        ]

let private answer: Gen<Answer> =
    gen {
        let! status = status
        let! retryAfter = retryAfter
        let! location = Gen.oneof [ Gen.constant ""; anyText ]
        let! body = body

        return
            {
                Status = status
                RetryAfter = retryAfter
                Location = location
                Date = ""
                Body = ReadOnlyMemory body
                SamplesWritten = ValueNone
                WasSentTwice = false
            }
    }

let private answerOf status (json: JsonValue) : Answer =
    {
        Status = status
        RetryAfter = ""
        Location = ""
        Date = ""
        Body = ReadOnlyMemory(JsonLaws.bytesOf false json)
        SamplesWritten = ValueNone
        WasSentTwice = false
    }

/// JSON text of an answer: members that matter and others, some of them twice, in any order; some of it damaged.
let private answerText: Gen<string> =
    let quoted text = $"\"{text}\""

    let leaf =
        Gen.frequency
            [
                3,
                Gen.elements
                    [
                        "true"
                        "false"
                        "null"
                        "12.50"
                        "-0"
                        "1e400"
                        "{}"
                        "[]"
                        "[{\"ok\":true}]"
                    ]
                2,
                Gen.elements [ ""; "idle"; "a\\u0041"; "\\ud800"; "\\ud83d\\ude00"; "é"; "\\n" ]
                |> Gen.map quoted
            ]

    let object names value =
        Gen.zip (Gen.elements names |> Gen.map quoted) value
        |> Gen.map (fun (name, value) -> $"{name}: {value}")
        |> upTo 5
        |> Gen.map (fun members -> "{" + String.concat ", " members + "}")

    let snapshot =
        object
            [
                "collected_at"
                "bottleneck"
                "cpu_usage_percent"
                "top_gpu_util_percent"
                "disk_util_percent"
                "id"
                "bottlenec\\u006b"
            ]
            leaf

    gen {
        let! first = Gen.elements [ "\"ok\": true, "; "\"\\u006fk\": true, "; "\"ok\": false, "; "" ]

        let! rest = object [ "snapshot"; "snapshot"; "ok"; "error"; "other" ] (Gen.oneof [ leaf; snapshot ])

        let whole =
            if rest = "{}" then
                "{" + first.TrimEnd(' ', ',') + "}"
            else
                "{" + first + rest[1..]

        let! cut = Gen.choose (0, whole.Length)

        return!
            Gen.frequency
                [
                    8, Gen.constant whole
                    1, Gen.constant (whole.Substring(0, cut))
                    1, Gen.constant (whole + "}")
                ]
    }

/// The receipt by the combinators, which read a tree of the whole answer; none where it is not the webapp's or not `ok`.
let private receiptByTree (body: string) : Receipt voption =
    let spelling: Decoder<string> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.String -> Ok(Decode.string path element |> Result.defaultValue "")
            | JsonValueKind.Number -> Ok(element.GetRawText())
            | _ -> Ok ""

    let snapshot: Decoder<Receipt> =
        fun path element ->
            if element.ValueKind = JsonValueKind.Object then
                Decode.object
                    (fun get ->
                        let spelled name =
                            get.Optional.Field name spelling |> Option.defaultValue ""

                        {
                            CollectedAt = spelled "collected_at"
                            Bottleneck = spelled "bottleneck"
                            CpuUsage = spelled "cpu_usage_percent"
                            TopGpuUtilization = spelled "top_gpu_util_percent"
                            DiskUtilization = spelled "disk_util_percent"
                        })
                    path
                    element
            else
                Ok Delivery.noReceipt

    let answer: Decoder<Receipt voption> =
        Decode.object (fun get ->
            let receipt = get.Optional.Field "snapshot" snapshot

            if get.Required.Field "ok" Decode.bool then
                ValueSome(receipt |> Option.defaultValue Delivery.noReceipt)
            else
                ValueNone)

    Decode.fromBytes answer (ReadOnlyMemory(Encoding.UTF8.GetBytes body))
    |> Result.defaultValue ValueNone

let private receipt: Gen<Receipt> =
    gen {
        let! at, label = Gen.two anyText

        let! cpu, gpu, disk =
            Gen.three (
                Gen.oneof
                    [
                        Gen.constant ""
                        hundredths 10_000 |> Gen.map (fun (struct (_, text)) -> text)
                    ]
            )

        return
            {
                CollectedAt = at
                Bottleneck = label
                CpuUsage = cpu
                TopGpuUtilization = gpu
                DiskUtilization = disk
            }
    }

let private outcome: Gen<Outcome> =
    Gen.frequency
        [
            1, receipt |> Gen.map Outcome.Delivered
            2,
            maybe (Gen.choose (0, 600) |> Gen.map (float >> TimeSpan.FromSeconds))
            |> Gen.map (fun delay -> Outcome.RetryAfter(delay, "HTTP 503"))
            2, Gen.constant (Outcome.Crash(ValueNone, "HTTP 500"))
            1, Gen.constant (Outcome.Hold "HTTP 401: Invalid ingest token.")
            4,
            Gen.choose (0, 99)
            |> Gen.map (fun n -> Outcome.Reject $"HTTP 400: Ingest failed: row {n}")
            1, Gen.constant (Outcome.Reject "HTTP 413")
        ]

let private interval = Gen.choose (500, 86_400_000) |> Gen.map (float >> TimeSpan.FromMilliseconds)

let private jitter = Gen.choose (0, 1000) |> Gen.map (fun n -> float n / 1000.0)

let private reasonOf (outcome: Outcome) =
    match outcome with
    | Outcome.Delivered _ -> ValueNone
    | Outcome.RetryAfter(_, reason)
    | Outcome.Crash(_, reason)
    | Outcome.Hold reason
    | Outcome.Reject reason -> ValueSome reason

let private isOneLine (text: string) =
    text <> "" && not (Seq.exists Char.IsControl text)

/// All states and steps that a sequence of outcomes leads through.
let private walk interval jitter outcomes =
    outcomes
    |> Array.scan
        (fun (struct (state, _)) outcome -> Delivery.decide interval jitter state outcome)
        (struct (Delivery.start, DeliveryStep.Next))
    |> Array.tail

/// How a receiver behaves from one wait to the next.
type private Phase =
    | Works
    /// Whatever it is sent, with the words that it has for bad samples.
    | RefusesAll
    | CrashesAtAll
    | Fails
    | Holds

let private phase = Gen.elements [ Works; RefusesAll; CrashesAtAll; Fails; Holds ]

/// Samples by what the receiver makes of them when it works.
type private Kind =
    | Good
    | Refused
    /// It fails with 500.
    | Poison

/// The kind of each sample, oldest first.
let private queue =
    Gen.oneof
        [
            Gen.zip (Gen.elements [ Good; Refused ]) (Gen.oneof [ Gen.choose (1, 4); Gen.choose (95, 210) ])
            Gen.zip (Gen.constant Poison) (Gen.choose (1, 3))
        ]
    |> upTo 5
    |> Gen.map (fun runs ->
        [
            for kind, count in runs do
                yield! List.replicate count kind
        ])

type private Delivered =
    {
        Kinds: Kind[]
        /// Delivered when their turn came.
        InTurn: int list
        GivenUp: int list
        /// Set aside at the end, and not given up.
        Held: int list
        IsDone: bool
    }

/// A queue of samples, which grows by a good one with each wait, against a receiver that works in the end.
let private deliverAll (kinds: Kind list) (phases: Phase[]) : Delivered =
    let kinds = Collections.Generic.List<Kind> kinds
    let inTurn, givenUp = Collections.Generic.List<int>(), Collections.Generic.List<int>()
    let mutable waiting = [ 0 .. kinds.Count - 1 ]
    let mutable aside = []
    let mutable state = Delivery.start
    let mutable waits = 0
    let mutable requests = 0

    let post (sample: int) : Outcome =
        requests <- requests + 1

        match Array.tryItem waits phases |> Option.defaultValue Works, kinds[sample] with
        | Works, Good -> Outcome.Delivered Delivery.noReceipt
        | Works, Poison
        | CrashesAtAll, _ -> Outcome.Crash(ValueNone, "HTTP 500")
        | Works, Refused
        | RefusesAll, _ -> Outcome.Reject $"HTTP 400: bad sample {sample}"
        | Fails, _ -> Outcome.RetryAfter(ValueNone, "HTTP 503")
        | Holds, _ -> Outcome.Hold "HTTP 401"

    let pause (delay: TimeSpan) =
        if delay > TimeSpan.Zero then
            waits <- waits + 1
            waiting <- waiting @ [ kinds.Count ]
            kinds.Add Good

    let setAside () =
        aside <- aside @ [ waiting.Head ]
        waiting <- waiting.Tail

    let settle () =
        givenUp.AddRange aside
        aside <- []

    while not waiting.IsEmpty && requests < 10_000 do
        let outcome = post waiting.Head
        let struct (next, step) = Delivery.decide (TimeSpan.FromSeconds 2.0) 1.0 state outcome

        let struct (next, step) =
            if step.IsAskNewest then
                if outcome.IsReject then
                    setAside ()

                let struct (next, step) =
                    Delivery.ofNewest next (waiting |> List.tryLast |> Option.map post |> Option.defaultValue outcome)

                if not outcome.IsReject && step.IsSettle then
                    setAside ()

                struct (next, step)
            else
                struct (next, step)

        state <- next

        match step with
        | DeliveryStep.Next ->
            inTurn.Add waiting.Head
            waiting <- waiting.Tail
            settle ()
        | DeliveryStep.Wait delay -> pause delay
        | DeliveryStep.SetAside -> setAside ()
        | DeliveryStep.TakeBack delay ->
            waiting <- aside @ waiting
            aside <- []
            pause delay
        | DeliveryStep.Settle -> settle ()
        | DeliveryStep.AskNewest -> failtest "it was asked"

    {
        Kinds = kinds.ToArray()
        InTurn = List.ofSeq inTurn
        GivenUp = List.ofSeq givenUp
        Held = aside
        IsDone = waiting.IsEmpty
    }

let tests =
    testList
        "Delivery"
        [
            lawOf wholeCases "any status, headers and body have a meaning, told in one short line" answer (fun answer ->
                match reasonOf (Delivery.ofAnswer now answer) with
                | ValueSome reason ->
                    isOneLine reason
                    && reason.Length <= 200
                    && reason.Contains(string answer.Status)
                | ValueNone -> answer.Status = 200)
            lawOf wholeCases "only a 200 with a JSON object whose ok is true is delivered" answer (fun answer ->
                let isOk =
                    try
                        use document = Json.JsonDocument.Parse answer.Body

                        document.RootElement.ValueKind = Json.JsonValueKind.Object
                        && (match document.RootElement.TryGetProperty "ok" with
                            | true, ok -> ok.ValueKind = Json.JsonValueKind.True
                            | _ -> false)
                    with _ ->
                        false

                let text = Encoding.UTF8.GetString answer.Body.Span

                // Of a text that goes wrong somewhere counts what stands before that.
                not (Delivery.ofAnswer now answer).IsDelivered
                || (answer.Status = 200 && (isOk || (not (isWhole text) && text.Contains "true"))))
            lawOf wholeCases "a good answer is delivered, with the receipt that it holds" receipt (fun receipt ->
                // A number, or null for what the webapp does not know.
                let number (spelling: string) : JsonValue =
                    if spelling = "" then
                        Encode.nil
                    else
                        fun writer -> writer.WriteRawValue spelling

                let snapshot =
                    Encode.object
                        [|
                            "id", Encode.int 7
                            "collected_at", Encode.string receipt.CollectedAt
                            "bottleneck", Encode.string receipt.Bottleneck
                            "cpu_usage_percent", number receipt.CpuUsage
                            "top_gpu_util_percent", number receipt.TopGpuUtilization
                            "disk_util_percent", number receipt.DiskUtilization
                        |]

                let json = Encode.object [| "ok", Encode.bool true; "server", Encode.nil; "snapshot", snapshot |]
                same (Delivery.ofAnswer now (answerOf 200 json)) (Outcome.Delivered receipt))
            lawOf wholeCases "a sample whose ok is true is delivered, however odd the rest of the answer is" JsonLaws.anyValue (fun value ->
                let body = Encoding.UTF8.GetBytes $"{{\"ok\": true, \"snapshot\": {value}}}"

                (Delivery.ofAnswer
                    now
                    { answerOf 200 Encode.nil with
                        Body = ReadOnlyMemory body
                    })
                    .IsDelivered)
            law "an answer read in one pass says what its tree says" answerText (fun text ->
                let answer =
                    { answerOf 200 Encode.nil with
                        Body = ReadOnlyMemory(Encoding.UTF8.GetBytes text)
                    }

                match Delivery.ofAnswer now answer with
                | Outcome.Delivered receipt when isWhole text -> same (ValueSome receipt) (receiptByTree text)
                // What is known already when the text is cut or goes wrong counts.
                | Outcome.Delivered _ -> text.Contains "k\": true"
                | _ -> same ValueNone (receiptByTree text))
            lawOf
                wholeCases
                "a status is final for what it is: refused, held or tried again"
                (Gen.zip status anyText)
                (fun (status, text) ->
                    let json = Encode.object [| "ok", Encode.bool false; "error", Encode.string text |]

                    match status, Delivery.ofAnswer now (answerOf status json) with
                    | (400 | 413 | 422), outcome -> outcome.IsReject
                    | (408 | 425 | 429), outcome -> outcome.IsRetryAfter
                    | 500, outcome -> outcome.IsCrash
                    | status, outcome when status >= 500 || (status >= 200 && status <= 299) -> outcome.IsRetryAfter
                    | _, outcome -> outcome.IsHold)
            lawOf wholeCases "a server's wait lies within 0 and ten minutes" retryAfter (fun header ->
                match Delivery.retryDelay now "" header with
                | ValueSome delay -> delay >= TimeSpan.Zero && delay <= TimeSpan.FromMinutes 10.0
                | ValueNone -> true)
            lawOf wholeCases "a wait in seconds or as a date is the wait that was asked for" (Gen.choose (0, 600)) (fun seconds ->
                let date = now.AddSeconds(float seconds).ToString("r", CultureInfo.InvariantCulture)
                let expected = ValueSome(TimeSpan.FromSeconds(float seconds))

                same (Delivery.retryDelay now "" (string seconds)) expected
                && same (Delivery.retryDelay now "" date) expected)
            lawOf
                wholeCases
                "the back-off doubles from one interval to a minute, jitter included"
                (Gen.zip3 interval (Gen.choose (-3, Int32.MaxValue)) jitter)
                (fun (interval, failures, jitter) ->
                    let wait = Delivery.backOff interval failures jitter
                    let longest = Delivery.backOff interval failures 1.0
                    let doublings = min 30 (max 0 (failures - 1))
                    let expected = min 60.0 (interval.TotalSeconds * float (1L <<< doublings))

                    wait >= TimeSpan.Zero
                    && wait <= longest
                    && abs (longest.TotalSeconds - expected) < 1e-6
                    && abs (wait.TotalSeconds - expected * jitter) < 1e-6)
            lawOf
                wholeCases
                "every failure says something in one line, and only TLS is held"
                (Gen.zip (Gen.choose (0, 10)) phrase)
                (fun (kind, text) ->
                    let failure =
                        match kind with
                        | 0 -> NetworkFailure.NameNotResolved text
                        | 1 -> NetworkFailure.Refused text
                        | 2 -> NetworkFailure.Unreachable text
                        | 3 -> NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0)
                        | 4 -> NetworkFailure.Broken text
                        | 5 -> NetworkFailure.Tls(Tls.ofHandshake text, [||])
                        | 6 -> NetworkFailure.NoConnection(text, TimeSpan.FromSeconds 5.0)
                        | 8 -> NetworkFailure.NoHandshake(text, TimeSpan.FromSeconds 5.0)
                        | 9 -> NetworkFailure.NoTunnel(text, TimeSpan.FromSeconds 5.0)
                        | 7 -> NetworkFailure.ProxyUnreachable(NetworkFailure.Refused text)
                        | _ -> NetworkFailure.ProxyRefused(text, "407")

                    let outcome = Delivery.ofFailure failure

                    outcome.IsHold = (kind = 5)
                    && (match reasonOf outcome with
                        | ValueSome reason -> isOneLine reason
                        | ValueNone -> false))
            lawOf
                wholeCases
                "whatever happens, waits lie within 0 and ten minutes and counts are never negative"
                (Gen.zip3 interval jitter (upTo 30 outcome))
                (fun (interval, jitter, outcomes) ->
                    walk interval jitter outcomes
                    |> Array.forall (fun (struct (state, step)) ->
                        state.Failures >= 0
                        && state.Refusals >= 0
                        && (match step with
                            | DeliveryStep.Wait delay
                            | DeliveryStep.TakeBack delay -> delay >= TimeSpan.Zero && delay <= TimeSpan.FromMinutes 10.0
                            | DeliveryStep.Next
                            | DeliveryStep.SetAside
                            | DeliveryStep.AskNewest
                            | DeliveryStep.Settle -> true)))
            lawOf
                wholeCases
                "a sample leaves the queue only when it was delivered or refused"
                (Gen.zip3 interval jitter (upTo 30 outcome))
                (fun (interval, jitter, outcomes) ->
                    Array.zip outcomes (walk interval jitter outcomes)
                    |> Array.forall (fun (outcome, struct (state, step)) ->
                        match outcome, step with
                        | Outcome.Delivered _, DeliveryStep.Next -> state = Delivery.start
                        | Outcome.RetryAfter(ValueSome asked, _), DeliveryStep.Wait delay when asked > TimeSpan.Zero -> delay = asked
                        | Outcome.RetryAfter _, DeliveryStep.Wait _
                        | Outcome.Crash _, DeliveryStep.Wait _
                        | Outcome.Crash _, DeliveryStep.AskNewest
                        | Outcome.Hold _, DeliveryStep.Wait _
                        | Outcome.Reject _, DeliveryStep.SetAside
                        | Outcome.Reject _, DeliveryStep.AskNewest -> true
                        | _ -> false))
            lawOf
                wholeCases
                "of refusals in a row for one reason only two are set aside before the newest is asked, whatever figures the reason holds"
                (Gen.zip3 interval jitter (Gen.choose (1, 12)))
                (fun (interval, jitter, count) ->
                    let steps =
                        walk interval jitter [| for n in 1..count -> Outcome.Reject $"HTTP 400: Ingest failed: row {n}" |]
                        |> Array.map (fun (struct (_, step)) -> step)

                    steps |> Array.truncate 2 |> Array.forall (fun step -> step.IsSetAside)
                    && steps |> Array.skip (min 2 count) |> Array.forall (fun step -> step.IsAskNewest))
            lawOf
                (wholeCases / 10)
                "what can still be delivered is never given up, and what cannot holds up nothing behind it"
                (Gen.zip queue (upTo 6 phase))
                (fun (kinds, phases) ->
                    let run = deliverAll kinds phases
                    let isBad sample = run.Kinds[sample] <> Good
                    let good = [ 0 .. run.Kinds.Length - 1 ] |> List.filter (isBad >> not)

                    run.IsDone
                    && List.forall isBad run.GivenUp
                    && run.InTurn = List.except run.Held good
                    // Nothing is held at last but what was refused and has no delivery behind it.
                    && (List.forall isBad run.Held || run.Held.Length < Delivery.RefusalsInARow))
            lawOf wholeCases "the line after a success is one line, whatever the webapp says" receipt (fun receipt ->
                let line = Delivery.receiptLine receipt
                isOneLine line && line.Contains " | cpu=" && line.Contains " bottleneck=")
        ]
