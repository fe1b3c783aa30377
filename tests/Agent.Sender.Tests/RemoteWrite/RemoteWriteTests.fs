module Agent.Sender.Tests.RemoteWriteTests

open System
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.TestSupport
open Agent.TestSupport.Readings
open Agent.TestSupport.Fixtures
open Agent.TestSupport.RemoteWriteText
open Expecto

let private machine = RemoteWrite.machineLabels "gpu-box-01" [||]

let private recordIn (version: RemoteWriteVersion) (previous: SeriesSet) (reading: MachineReading) : byte[] * SeriesSet =
    let struct (record, series) = RemoteWriteRecord.ofReading version machine previous reading agent
    record, series

let private recordOf = recordIn RemoteWriteVersion.One

/// The record of the same machine so many seconds later.
let private afterIn (version: RemoteWriteVersion) (seconds: int) : byte[] =
    let reading = machineWith [| board |]

    fst (
        recordIn
            version
            SeriesSet.Empty
            { reading with
                Sample =
                    { reading.Sample with
                        CollectedAt = reading.Sample.CollectedAt.AddSeconds seconds
                    }
            }
    )

let private after = afterIn RemoteWriteVersion.One

let private messageOf (record: byte[]) : byte[] =
    match Spool.payloadOf (ReadOnlySpan record) with
    | ValueSome payload -> decompress payload
    | ValueNone -> failtest "the record is damaged"

/// The series of a record, by the tests' own reader.
let private read (record: byte[]) : Series list = seriesOf (messageOf record)

let private whole = after 0

/// Nothing is sent yet, and the receiver is known as one of 1.0.
let private fresh =
    { RemoteDelivery.start "--remote-write" false with
        Version = RemoteWriteVersion.One
    }

/// An answer of a receiver.
let private answered (status: int) (words: string) (written: int64 voption) : Exchange =
    Exchange.Answered
        {
            Status = status
            RetryAfter = if status = 429 then "7" else ""
            Location = ""
            Date = ""
            Body = ReadOnlyMemory(utf8 words)
            SamplesWritten = written
            WasSentTwice = false
        }

/// A receiver of 1.0 that takes series or refuses whole requests, and what it took.
type private Receiver(answer: Series list -> int * string) =
    let taken = ResizeArray<Series>()
    let mutable requests = 0

    member _.Taken: Series list = List.ofSeq taken
    member _.Requests: int = requests

    member _.Deliver(state: RemoteState, records: byte[] list) : RemoteOutcome =
        let send _ (body: ReadOnlyMemory<byte>) =
            requests <- requests + 1
            let series = seriesOf (decompress (body.ToArray()))
            let status, words = answer series

            if status = 204 then
                taken.AddRange series

            if status = 0 then
                Exchange.Failed(NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0))
            else
                answered status words ValueNone

        RemoteDelivery.deliver
            (Func<_, _, _> send)
            (Func<_>(fun () -> at))
            state
            (records |> List.map (fun record -> ReadOnlyMemory record) |> Array.ofList)

    member this.Deliver(records: byte[] list) : RemoteOutcome = this.Deliver(fresh, records)

/// Refuses every request that holds one of these metrics, as Prometheus does.
let private without (names: string list) (words: string) =
    Receiver(fun series ->
        if series |> List.exists (fun one -> List.contains (one.Label "__name__") names) then
            400, words
        else
            204, "")

/// Refuses every request with anything older than so many milliseconds since 1970.
let private notBefore (limit: int64) =
    Receiver(fun series ->
        if series |> List.exists (fun one -> one.Milliseconds < limit) then
            400, "out of order sample"
        else
            204, "")

let private done' (outcome: RemoteOutcome) : RecordFate list = List.ofArray outcome.Fates

let private isDelivered (outcome: RemoteOutcome) =
    match outcome.Outcome with
    | Outcome.Delivered _ -> true
    | _ -> false

let private records =
    testList
        "records"
        [
            testCase "every figure of the text format is there, with the machine's labels and the sample's time"
            <| fun () ->
                let series = read whole

                let told =
                    series
                    |> List.map (fun one ->
                        one.Label "__name__",
                        one.Labels
                        |> List.filter (fun (name, _) -> not (List.contains name [ "__name__"; "job"; "instance" ]))
                        |> List.sort,
                        one.Value)
                    |> Set.ofList

                let expected =
                    familiesOf (machineWith [| board |])
                    |> List.collect (fun family -> family.Samples)
                    |> List.map (fun sample ->
                        // An empty label is none.
                        sample.Name, sample.Labels |> List.filter (fun (_, value) -> value <> "") |> List.sort, sample.Value)
                    |> Set.ofList

                Expect.equal (Set.difference expected told, Set.difference told expected) (Set.empty, Set.empty) "series"

                for one in series do
                    Expect.equal one.Milliseconds (at.ToUnixTimeMilliseconds()) "time"
                    Expect.equal (one.Label "job", one.Label "instance") ("ai-dashboard-agent", "gpu-box-01") "machine"

            testCase "the user's labels go along where they can, and replace job and instance"
            <| fun () ->
                Expect.equal
                    (RemoteWrite.machineLabels
                        "box"
                        [|
                            struct ("rack", "12")
                            struct ("job", "node")
                            struct ("no-name", "x")
                            struct ("__own", "x")
                            struct ("1st", "x")
                        |])
                    [| struct ("instance", "box"); struct ("rack", "12"); struct ("job", "node") |]
                    "labels"

            testCase "a series that is gone ends with a stale marker, once"
            <| fun () ->
                let _, before = recordOf SeriesSet.Empty (machineWith [| board |])
                let record, after = recordOf before (machineWith [||])

                let ended =
                    read record
                    // 0x7ff0000000000002: StaleNaN in prometheus/prometheus, model/value/value.go.
                    |> List.filter (fun one -> one.Bits = 0x7ff0000000000002L)
                    |> List.map (fun one -> one.Label "__name__")

                Expect.contains ended "DCGM_FI_DEV_GPU_UTIL" "the GPU's"
                Expect.isFalse (List.contains "node_load1" ended) "the host's goes on"
                let again, _ = recordOf after (machineWith [||])
                Expect.isFalse (read again |> List.exists (fun one -> Double.IsNaN one.Value)) "once"

            testCase "a damaged record is none"
            <| fun () ->
                Expect.isTrue (Spool.isIntact (ReadOnlySpan whole)) "whole"

                for damaged in
                    [
                        whole[1..]
                        whole[.. whole.Length - 5]
                        Array.append whole "AAAA"B
                        Array.append whole " "B
                        Array.append " "B whole
                        whole
                        |> Array.mapi (fun i b -> if i = 40 then (if b = 'A'B then 'B'B else 'A'B) else b)
                    ] do
                    Expect.isFalse (Spool.isIntact (ReadOnlySpan damaged)) "damaged"

            testCase "an empty request is a message without fields"
            <| fun () ->
                let request version =
                    decompress (RemoteWrite.emptyRequest version)

                Expect.equal (request RemoteWriteVersion.One) [||] "nothing in it"
                // Request.symbols, the first of which is empty.
                Expect.equal (request RemoteWriteVersion.Two) [| 0x22uy; 0uy |] "but the first symbol"

            testCase "in 2.0 a record says the same, each text once, and what each metric is"
            <| fun () ->
                let two = messageOf (afterIn RemoteWriteVersion.Two 0)
                Expect.equal (seriesOf two) (read whole) "series"

                let symbols =
                    ProtobufText.fields two
                    |> List.choose (fun field ->
                        match field with
                        | 4, ProtobufText.Bytes text -> Some(Text.Encoding.UTF8.GetString text)
                        | _ -> None)

                Expect.equal symbols.Head "" "the first symbol"
                Expect.equal (List.distinct symbols) symbols "each once"
                Expect.isLessThan (3 * two.Length) (2 * (messageOf whole).Length) "less than two thirds of the bytes"

                // Text format 0.0.4 calls information (6) and sets of states (7) gauges too.
                let numbersOf kind =
                    match kind with
                    | "counter" -> [ 1 ]
                    | "gauge" -> [ 2; 6; 7 ]
                    | _ -> [ 0 ]

                let told = typesOf two |> Map.ofList

                Expect.equal
                    (told.TryFind "ai_dashboard_bottleneck", told.TryFind "node_load1")
                    (Some 7, Some 2)
                    "a set of states, and a gauge"

                for family in familiesOf (machineWith [| board |]) do
                    for sample in family.Samples do
                        Expect.contains (numbersOf family.Type) (told.TryFind sample.Name |> Option.defaultValue 0) family.Name

            testCase "what is gone is told no more, though others come and go all the time"
            <| fun () ->
                // Labels of user's that change from record to record.
                let mutable before = SeriesSet.Empty
                let mutable sizes = []

                for i in 1..60 do
                    let struct (record, series) =
                        RemoteWriteRecord.ofReading
                            RemoteWriteVersion.Two
                            (RemoteWrite.machineLabels "box" [| struct ("run", string i) |])
                            before
                            (machineWith [| board |])
                            agent

                    before <- series
                    sizes <- (messageOf record).Length :: sizes

                    let ended =
                        read record
                        |> List.filter (fun one -> one.Bits = 0x7ff0000000000002L)
                        |> List.length

                    Expect.equal ended (if i = 1 then 0 else (read whole).Length) $"{i}"

                Expect.isLessThan (List.head sizes) (2 * List.item 55 sizes) "and the texts of what is gone are not kept for good"
        ]

let private answers =
    testList
        "answers"
        [
            testCase "records go together in one request, each series once with its samples in the order of time"
            <| fun () ->
                let receiver = without [] ""
                let outcome = receiver.Deliver [ after 0; after 2; after 4 ]
                Expect.equal (done' outcome) (List.replicate 3 RecordFate.Delivered) "delivered"
                Expect.equal receiver.Requests 1 "requests"
                let load = receiver.Taken |> List.filter (fun one -> one.Label "__name__" = "node_load1")

                Expect.equal (load |> List.map (fun one -> one.Milliseconds - at.ToUnixTimeMilliseconds())) [ 0L; 2000L; 4000L ] "times"

                Expect.equal receiver.Taken.Length (3 * (read whole).Length) "all series"

            testCase "one bad series costs itself alone"
            <| fun () ->
                let receiver = without [ "node_load5" ] "out of order sample"
                let outcome = receiver.Deliver [ whole ]
                Expect.isTrue (isDelivered outcome) "delivered"
                Expect.equal (done' outcome, outcome.RefusedSeries) ([ RecordFate.Delivered ], 1) "refused"
                Expect.equal outcome.Reason "HTTP 400: out of order sample" "reason"
                Expect.equal receiver.Taken.Length ((read whole).Length - 1) "the others are taken"
                // Two for each halving of some 600 series, and the first.
                Expect.isLessThan receiver.Requests 24 "requests"

            testCase "several bad ones too, whatever the receiver's words"
            <| fun () ->
                let receiver =
                    without [ "node_load1"; "node_time_seconds"; "ai_dashboard_processes" ] "label value too long"

                let outcome = receiver.Deliver [ whole ]
                Expect.equal (done' outcome, outcome.RefusedSeries) ([ RecordFate.Delivered ], 3) "refused"
                Expect.equal receiver.Taken.Length ((read whole).Length - 3) "the others are taken"

            testCase "records that are too old are refused and counted, and hold up none of the others"
            <| fun () ->
                let receiver = notBefore (at.ToUnixTimeMilliseconds() + 4000L)
                let outcome = receiver.Deliver [ after 0; after 2; after 4; after 6 ]
                let refused = RecordFate.Refused "HTTP 400: out of order sample"
                Expect.equal (done' outcome) [ refused; refused; RecordFate.Delivered; RecordFate.Delivered ] "fates"
                Expect.equal receiver.Taken.Length (2 * (read whole).Length) "the others are taken whole"
                // Two halvings of the batch, 30 pieces of the first record, the second and its halves.
                Expect.isLessThan receiver.Requests 45 "requests"

            testCase "a sample that is too old gets no younger, whatever the status"
            <| fun () ->
                for status, words in
                    [
                        // Prometheus 2.39 to 2.49 with a window for samples out of order.
                        500, "too old sample"
                        // M3, before and after its issue 1709.
                        500, "datapoint is too far in the past"
                        400, """{"status":"error","error":"bad_request_errors: count=58, last=datapoint for aggregation too far in past"}"""
                        // InfluxDB 1 and 2.
                        400, """{"error":"partial write: points beyond retention policy dropped=1"}"""
                        500, "unexpected error writing points to database: partial write: points beyond retention policy dropped=1"
                        422, "partial write: dropped 550 points outside retention policy of duration 8760h0m0s"
                    ] do
                    let receiver =
                        Receiver(fun series ->
                            if
                                series
                                |> List.exists (fun one -> one.Milliseconds < at.ToUnixTimeMilliseconds() + 4000L)
                            then
                                status, words
                            else
                                204, "")

                    let outcome = receiver.Deliver [ after 0; after 2; after 4; after 6 ]

                    Expect.equal
                        (done' outcome |> List.map _.IsDelivered, isDelivered outcome)
                        ([ false; false; true; true ], true)
                        $"{status} {words}"

                    Expect.isTrue ((done' outcome).Head.IsRefused) words
                    Expect.equal receiver.Taken.Length (2 * (read whole).Length) "the others are taken whole"

            testCase "other words of a 500, and a gateway's, are about no sample"
            <| fun () ->
                for status, words in
                    [
                        500, "Index 5 out of bounds for length 5"
                        500, "out of order sample"
                        500, "datapoint too far in future"
                        503, "too old sample"
                    ] do
                    Expect.equal
                        ((Receiver(fun _ -> status, words)).Deliver([ whole ]).Outcome)
                        (Outcome.RetryAfter(ValueNone, $"HTTP {status}: {words}"))
                        words

            testCase "while all records are refused, each costs three requests, and every sixteenth more"
            <| fun () ->
                let receiver = Receiver(fun _ -> 400, "out of bounds")
                let mutable state = fresh

                for i in 1..32 do
                    let next = receiver.Deliver(state, [ after i ])
                    Expect.equal (done' next) [ RecordFate.Refused "HTTP 400: out of bounds" ] "refused"
                    state <- next.State

                Expect.equal receiver.Requests (2 * 31 + 30 * 3) "requests"

            testCase "after records that were refused as a whole, bad series cost themselves alone again"
            <| fun () ->
                let names =
                    [
                        "node_load1"
                        "DCGM_FI_DEV_GPU_UTIL"
                        "ai_dashboard_processes"
                        "node_time_seconds"
                    ]

                let mutable refusesAll = true

                let receiver =
                    Receiver(fun series ->
                        if
                            refusesAll
                            || series |> List.exists (fun one -> List.contains (one.Label "__name__") names)
                        then
                            400, "out of order sample"
                        else
                            204, "")

                let mutable state = (receiver.Deliver [ after 0 ]).State
                refusesAll <- false
                let mutable lost = 0
                let mutable found = RemoteWrite.MostRecords

                for i in 1..20 do
                    let next = receiver.Deliver(state, [ after i ])
                    state <- next.State

                    if done' next = [ RecordFate.Delivered ] then
                        found <- next.RefusedSeries
                    else
                        lost <- lost + 1

                Expect.equal found 4 "they are told"
                Expect.isLessThan lost 16 "soon"

            testCase "what is refused as known after an answer got lost is not counted as lost"
            <| fun () ->
                let mutable stored = false

                // Stores, and answers nothing; from then on it is a Prometheus that has all of it.
                let receiver =
                    Receiver(fun _ ->
                        if stored then
                            400, "out of order sample"
                        else
                            stored <- true
                            0, "")

                let first = receiver.Deliver [ after 0; after 2 ]
                Expect.equal (done' first) [] "nothing is known"
                Expect.equal first.State.Doubtful 2 "two may be there"
                let second = receiver.Deliver(first.State, [ after 0; after 2; after 4 ])

                Expect.equal
                    (done' second)
                    [
                        RecordFate.Unconfirmed
                        RecordFate.Unconfirmed
                        RecordFate.Refused "HTTP 400: out of order sample"
                    ]
                    "the third was never sent before"

                Expect.equal second.State.Doubtful 0 "no doubt is left"

            testCase "what is refused as known by the second of two sendings is not counted as lost either"
            <| fun () ->
                for isTwice, expected in
                    [
                        true, [ RecordFate.Unconfirmed; RecordFate.Unconfirmed ]
                        false,
                        [
                            RecordFate.Refused "HTTP 400: out of order sample"
                            RecordFate.Refused "HTTP 400: out of order sample"
                        ]
                    ] do
                    let mutable isFirst = isTwice

                    let send _ _ =
                        let answer =
                            Exchange.Answered
                                {
                                    Status = 400
                                    RetryAfter = ""
                                    Location = ""
                                    Date = ""
                                    Body = ReadOnlyMemory(utf8 "out of order sample")
                                    SamplesWritten = ValueNone
                                    WasSentTwice = isFirst
                                }

                        isFirst <- false
                        answer

                    let outcome =
                        RemoteDelivery.deliver
                            (Func<_, _, _> send)
                            (Func<_>(fun () -> at))
                            fresh
                            [| ReadOnlyMemory(after 0); ReadOnlyMemory(after 2) |]

                    Expect.equal (done' outcome) expected $"{isTwice}"

            testCase "a connection that never came about leaves no doubt"
            <| fun () ->
                let refuse = Func<_, _, _>(fun _ _ -> Exchange.Failed(NetworkFailure.Refused "127.0.0.1:9090"))
                let outcome = RemoteDelivery.deliver refuse (Func<_>(fun () -> at)) fresh [| ReadOnlyMemory whole |]
                Expect.equal outcome.State.Doubtful 0 "none"
                Expect.equal outcome.Outcome (Outcome.RetryAfter(ValueNone, "127.0.0.1:9090 refuses the connection")) "again"

            testCase "where nothing is taken for another reason, the record is refused as a whole"
            <| fun () ->
                // VictoriaMetrics for a path that it does not know.
                let receiver = Receiver(fun _ -> 400, "unsupported path requested: \"/api/v1/wrong\"")
                let outcome = receiver.Deliver [ after 0; after 2 ]

                Expect.equal
                    (outcome.Outcome, done' outcome)
                    (Outcome.Reject "HTTP 400: unsupported path requested: \"/api/v1/wrong\"", [])
                    "refused, and three in a row are kept"

                Expect.isLessThan receiver.Requests 35 "requests"

            testCase "what is waited for, and what is held"
            <| fun () ->
                let outcome status words =
                    (Receiver(fun _ -> status, words)).Deliver([ whole ]).Outcome

                Expect.equal (outcome 429 "slow down") (Outcome.RetryAfter(ValueSome(TimeSpan.FromSeconds 7L), "HTTP 429: slow down")) "429"

                Expect.equal (outcome 503 "") (Outcome.RetryAfter(ValueNone, "HTTP 503")) "503"
                Expect.equal (outcome 401 "no tenant") (Outcome.Hold "HTTP 401: no tenant") "401"
                Expect.equal (outcome 404 "") (Outcome.Hold "HTTP 404") "404"

                Expect.equal
                    (outcome 302 "")
                    (Outcome.Hold "HTTP 302: redirected to nowhere; redirects are not followed, correct --remote-write")
                    "302"

                Expect.equal
                    (outcome 200 "<!doctype html>")
                    (Outcome.Hold "HTTP 200 with a page: something other than a receiver answers at this address")
                    "a portal"

            testCase "an outage in the middle of halving has the record sent again"
            <| fun () ->
                let mutable left = 3

                let receiver =
                    Receiver(fun _ ->
                        left <- left - 1
                        if left > 0 then 400, "out of order sample" else 503, "")

                let outcome = receiver.Deliver [ whole ]
                Expect.equal outcome.Outcome (Outcome.RetryAfter(ValueNone, "HTTP 503")) "again"
                Expect.equal (done' outcome, outcome.RefusedSeries) ([], 0) "nothing is counted yet"
        ]

/// A receiver of 2.0 that stores what it can, and says how much. `isBad` is what it refuses.
type private ReceiverOfTwo(isBad: Series -> bool) =
    let taken = ResizeArray<Series>()
    let mutable versions = []

    member _.Taken: Series list = List.ofSeq taken
    member _.Versions: RemoteWriteVersion list = List.rev versions

    member _.Deliver(state: RemoteState, records: byte[] list) : RemoteOutcome =
        let send version (body: ReadOnlyMemory<byte>) =
            versions <- version :: versions
            let bad, good = seriesOf (decompress (body.ToArray())) |> List.partition isBad
            taken.AddRange good

            answered (if bad.IsEmpty then 204 else 400) (if bad.IsEmpty then "" else "out of order sample") (ValueSome(int64 good.Length))

        RemoteDelivery.deliver (Func<_, _, _> send) (Func<_>(fun () -> at)) state [| for record in records -> ReadOnlyMemory record |]

let private versions =
    let unknown = RemoteDelivery.start "--remote-write" false

    /// Answers requests of each version with a status, words and how much is written; and what it was sent.
    let asked (state: RemoteState) (records: byte[] list) (answer: RemoteWriteVersion -> int * string * int64 voption) =
        let sent = ResizeArray<RemoteWriteVersion * byte[]>()

        let send version (body: ReadOnlyMemory<byte>) =
            sent.Add(version, decompress (body.ToArray()))
            let status, words, written = answer version

            answered status words written

        let outcome =
            RemoteDelivery.deliver (Func<_, _, _> send) (Func<_>(fun () -> at)) state [| for record in records -> ReadOnlyMemory record |]

        outcome, List.ofSeq sent

    testList
        "versions"
        [
            testCase "2.0 goes on where it is known, and records of 1.0 that are left over go as 2.0"
            <| fun () ->
                let receiver = ReceiverOfTwo(fun _ -> false)
                let outcome = receiver.Deliver(unknown, [ after 0 ])
                Expect.isTrue outcome.State.IsAgreed "agreed"
                let next = receiver.Deliver(outcome.State, [ after 2; afterIn RemoteWriteVersion.Two 4 ])
                Expect.equal (done' next) [ RecordFate.Delivered; RecordFate.Delivered ] "delivered"
                Expect.equal receiver.Versions [ RemoteWriteVersion.Two; RemoteWriteVersion.Two ] "each in one request"
                Expect.equal (List.sortBy _.Milliseconds receiver.Taken) (read (after 0) @ read (after 2) @ read (after 4)) "all of it"

            for name, status, words, written in
                [
                    "one that says so", 415, "unsupported proto message", ValueNone
                    "one that takes it for an empty request", 204, "", ValueNone
                    "one that cannot read it", 400, "proto: wrong wireType", ValueNone
                ] do
                testCase $"a receiver of 1.0 is sent 1.0: {name}"
                <| fun () ->
                    let answer version =
                        if version = RemoteWriteVersion.Two then
                            status, words, written
                        else
                            204, "", ValueNone

                    let records = [ afterIn RemoteWriteVersion.Two 0; after 2 ]
                    let outcome, sent = asked unknown records answer
                    Expect.equal (done' outcome) [ RecordFate.Delivered; RecordFate.Delivered ] "delivered"
                    Expect.equal (sent |> List.map fst) [ RemoteWriteVersion.Two; RemoteWriteVersion.One ] "asked once"
                    Expect.equal (seriesOf (snd sent[1]) |> List.sortBy _.Milliseconds) (read (after 0) @ read (after 2)) "all of it"
                    Expect.equal (outcome.State.Version, outcome.State.IsAgreed) (RemoteWriteVersion.One, false) "from now on"
                    let _, sent = asked outcome.State [ afterIn RemoteWriteVersion.Two 4 ] answer
                    Expect.equal (sent |> List.map fst) [ RemoteWriteVersion.One ] "not asked again"
                    Expect.equal (seriesOf (snd sent[0])) (read (after 4)) "in 1.0"

            testCase "an answer of 400 is about the samples where 2.0 is agreed"
            <| fun () ->
                let agreed = { unknown with IsAgreed = true }
                let outcome, sent = asked agreed [ whole ] (fun _ -> 400, "out of order sample", ValueSome 0L)
                Expect.equal (done' outcome) [ RecordFate.Refused "HTTP 400: out of order sample" ] "refused"
                Expect.equal (sent |> List.map fst) [ RemoteWriteVersion.Two ] "in one request: nothing of it is stored"

            testCase "what a receiver of 2.0 stores in part is delivered, and the rest is counted"
            <| fun () ->
                let receiver =
                    ReceiverOfTwo(fun one -> List.contains (one.Label "__name__") [ "node_load1"; "node_load5" ])

                let outcome = receiver.Deliver(unknown, [ after 0; after 2; after 4 ])
                Expect.equal (done' outcome) (List.replicate 3 RecordFate.Delivered) "delivered"
                Expect.equal (outcome.RefusedSeries, outcome.Reason) (6, "HTTP 400: out of order sample") "counted"
                Expect.equal receiver.Versions [ RemoteWriteVersion.Two ] "in one request"

            testCase "and of what it may have had before, nothing is counted"
            <| fun () ->
                let receiver = ReceiverOfTwo(fun one -> one.Milliseconds < at.AddSeconds(2.0).ToUnixTimeMilliseconds())
                let outcome = receiver.Deliver({ unknown with Doubtful = 1 }, [ after 0; after 2 ])
                Expect.equal (done' outcome, outcome.RefusedSeries) (List.replicate 2 RecordFate.Delivered, 0) "delivered"

            testCase "a receiver of 2.0 alone that comes to the place of another is sent 2.0"
            <| fun () ->
                let answer version =
                    if version = RemoteWriteVersion.Two then
                        204, "", ValueSome 1L
                    else
                        415, "only io.prometheus.write.v2.Request", ValueNone

                let outcome, _ = asked fresh [ whole ] answer
                Expect.equal (done' outcome, outcome.State.Version) ([], RemoteWriteVersion.Two) "kept"
                let outcome, _ = asked outcome.State [ whole ] answer
                Expect.equal (done' outcome) [ RecordFate.Delivered ] "delivered"

            testCase "a receiver of 1.0 that comes to the place of one of 2.0 is sent 1.0"
            <| fun () ->
                let outcome, sent = asked { unknown with IsAgreed = true } [ whole ] (fun _ -> 204, "", ValueNone)

                Expect.equal (done' outcome) [ RecordFate.Delivered ] "delivered"
                Expect.equal (sent |> List.map fst) [ RemoteWriteVersion.Two; RemoteWriteVersion.One ] "both"

            testCase "a page is no receiver of either"
            <| fun () ->
                let outcome, sent = asked unknown [ whole ] (fun _ -> 200, "<!doctype html>", ValueNone)
                Expect.equal (sent |> List.map fst) [ RemoteWriteVersion.Two ] "asked once"

                Expect.equal
                    outcome.Outcome
                    (Outcome.Hold "HTTP 200 with a page: something other than a receiver answers at this address")
                    "kept"

            testCase "a probe asks for 2.0, and for 1.0 where that is not known"
            <| fun () ->
                let asked answer =
                    let versions = ResizeArray<RemoteWriteVersion>()

                    let exchange =
                        RemoteDelivery.probe (
                            Func<_, _, _>(fun version _ ->
                                versions.Add version
                                let status, written = answer version

                                answered status "" written)
                        )

                    RemoteDelivery.ofProbe "--remote-write" at exchange, versions.Count

                Expect.equal (asked (fun _ -> 204, ValueSome 0L)) (ValueNone, 1) "of 2.0"
                Expect.equal (asked (fun _ -> 204, ValueNone)) (ValueNone, 2) "of 1.0"
                Expect.equal (asked (fun _ -> 404, ValueNone)) (ValueSome "HTTP 404", 1) "none"
        ]

[<Tests>]
let tests = testList "RemoteWrite" [ records; answers; versions ]
