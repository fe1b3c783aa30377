module Agent.Sender.Tests.RemoteWriteTests

open System
open Agent.Core
open Agent.Sender
open Agent.TestSupport
open Agent.TestSupport.Readings
open Agent.TestSupport.Fixtures
open Agent.TestSupport.RemoteWriteText
open Expecto

let private machine = RemoteWrite.machineLabels "gpu-box-01" [||]

let private recordOf (previous: SeriesSet) (reading: MachineReading) : byte[] * SeriesSet =
    let struct (record, series) = RemoteWrite.record machine previous reading agent
    record, series

/// The record of the same machine so many seconds later.
let private after (seconds: int) : byte[] =
    let reading = machineWith [| board |]

    fst (
        recordOf
            SeriesSet.Empty
            { reading with
                Sample =
                    { reading.Sample with
                        CollectedAt = reading.Sample.CollectedAt.AddSeconds seconds
                    }
            }
    )

/// The series of a record, by the tests' own reader.
let private read (record: byte[]) : Series list =
    match Spool.payloadOf (ReadOnlySpan record) with
    | ValueSome payload -> seriesOf (decompress payload)
    | ValueNone -> failtest "the record is damaged"

let private whole = after 0
let private fresh = RemoteDelivery.start false

/// A receiver that takes series or refuses whole requests, and what it took.
type private Receiver(answer: Series list -> int * string) =
    let taken = ResizeArray<Series>()
    let mutable requests = 0

    member _.Taken: Series list = List.ofSeq taken
    member _.Requests: int = requests

    member _.Deliver(state: RemoteState, records: byte[] list) : RemoteOutcome =
        let send (body: ReadOnlyMemory<byte>) =
            requests <- requests + 1
            let series = seriesOf (decompress (body.ToArray()))
            let status, words = answer series

            if status = 204 then
                taken.AddRange series

            if status = 0 then
                Exchange.Failed(NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0))
            else
                Exchange.Answered
                    {
                        Status = status
                        RetryAfter = if status = 429 then "7" else ""
                        Location = ""
                        Date = ""
                        Body = ReadOnlyMemory(utf8 words)
                        WasSentTwice = false
                    }

        RemoteDelivery.deliver
            (Func<_, _> send)
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
            <| fun () -> Expect.equal (decompress (RemoteWrite.emptyRequest ())) [||] "nothing in it"
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
                // Two for each halving of some 500 series, and the first.
                Expect.isLessThan receiver.Requests 22 "requests"

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

                    let send _ =
                        let answer =
                            Exchange.Answered
                                {
                                    Status = 400
                                    RetryAfter = ""
                                    Location = ""
                                    Date = ""
                                    Body = ReadOnlyMemory(utf8 "out of order sample")
                                    WasSentTwice = isFirst
                                }

                        isFirst <- false
                        answer

                    let outcome =
                        RemoteDelivery.deliver
                            (Func<_, _> send)
                            (Func<_>(fun () -> at))
                            fresh
                            [| ReadOnlyMemory(after 0); ReadOnlyMemory(after 2) |]

                    Expect.equal (done' outcome) expected $"{isTwice}"

            testCase "a connection that never came about leaves no doubt"
            <| fun () ->
                let refuse = Func<_, _>(fun _ -> Exchange.Failed(NetworkFailure.Refused "127.0.0.1:9090"))
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

[<Tests>]
let tests = testList "RemoteWrite" [ records; answers ]
