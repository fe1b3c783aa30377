/// Laws of remote-write: what it promises whatever was read, and whatever the receiver refuses.
module Agent.PropertyTests.RemoteWriteLaws

open System
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.TestSupport.RemoteWriteText
open Expecto
open FsCheck
open FsCheck.FSharp

let private machine =
    RemoteWrite.machineLabels "box" [| struct ("rack", "7"); struct ("device", "mine") |]

/// A message as Snappy has it that compresses nothing: its length, and literals of at most 64 KiB.
let private uncompressed (message: byte[]) : byte[] =
    [|
        let mutable rest = message.Length

        while rest >= 128 do
            byte (rest ||| 128)
            rest <- rest >>> 7

        byte rest

        for literal in Array.chunkBySize 65536 message do
            byte (61 <<< 2)
            byte (literal.Length - 1)
            byte ((literal.Length - 1) >>> 8)
            yield! literal
    |]

let private recordIn (version: RemoteWriteVersion) (reading: MachineReading) : byte[] =
    let struct (record, _) =
        RemoteWriteRecord.ofReading version machine SeriesSet.Empty reading ExpositionLaws.agent

    record

let private recordOf = recordIn RemoteWriteVersion.One

let private versions = Gen.elements [ RemoteWriteVersion.One; RemoteWriteVersion.Two ]

/// A message of which bytes have changed and the end may be missing. Half of the changes are near its beginning, where lengths of
/// lengths are.
let private damagedMessages: Gen<Bytes> =
    let change = Gen.zip (Gen.oneof [ Gen.choose (0, 40); Gen.choose (0, 100_000) ]) (Gen.choose (0, 255))

    Gen.map4
        (fun version reading changes cut ->
            let message =
                match Spool.payloadOf (ReadOnlySpan(recordIn version reading)) with
                | ValueSome payload -> decompress payload
                | ValueNone -> [||]

            for place, value in changes do
                if message.Length > 0 then
                    message[place % message.Length] <- byte value

            {
                Content = Array.truncate (if cut = 0 then message.Length else cut) message
            })
        versions
        ExpositionLaws.reading
        (Gen.listOf change |> Gen.map (List.truncate 5))
        (Gen.oneof [ Gen.constant 0; Gen.choose (1, 200) ])

/// A few readings with rising times, and which of their series a receiver will not take.
type private Trial =
    {
        Records: byte[] list
        /// Record and place of series, as indices that are taken modulo what there is.
        Bad: (int * int) list
        /// Records that are refused whatever part of them is sent.
        Old: Set<int>
        /// What the receiver knows: one of 2.0 stores what it can of a request and says how much, one of 1.0 takes all or nothing.
        Knows: RemoteWriteVersion
    }

let private trial: Gen<Trial> =
    gen {
        let! reading = ExpositionLaws.reading
        let! count = Gen.choose (1, 6)
        let! bad = upTo 8 (Gen.zip (Gen.choose (0, 5)) (Gen.choose (0, 10_000)))
        let! old = upTo 3 (Gen.choose (0, 5))
        let! knows = versions
        let! written = Gen.listOfLength count versions

        return
            {
                Records =
                    [
                        for i in 0 .. count - 1 ->
                            recordIn
                                written[i]
                                { reading with
                                    Sample =
                                        { reading.Sample with
                                            CollectedAt = DateTimeOffset.FromUnixTimeMilliseconds(1_772_107_200_000L + 2000L * int64 i)
                                        }
                                }
                    ]
                Bad = List.ofArray bad
                Old = Set.ofArray old
                Knows = knows
            }
    }

/// What a receiver that refuses whole requests, as Prometheus does, took in the end, and what became of each record.
let private deliverAll (trial: Trial) : Series list * RecordFate list * int * int =
    let all = trial.Records |> List.map seriesIn
    let timeOf i = all[i].Head.Milliseconds

    let badOnes =
        trial.Bad
        |> List.map (fun (record, place) ->
            let series = all[record % all.Length]
            series[place % series.Length])
        |> Set.ofList

    let oldTimes = trial.Old |> Set.filter (fun i -> i < all.Length) |> Set.map timeOf
    let taken = ResizeArray<Series>()
    let mutable requests = 0

    let send version (body: ReadOnlyMemory<byte>) =
        requests <- requests + 1

        // One of 1.0 finds nothing that it knows in a request of 2.0.
        let series =
            if version = RemoteWriteVersion.Two && trial.Knows = RemoteWriteVersion.One then
                []
            else
                seriesOf (decompress (body.ToArray()))

        let bad, good =
            series
            |> List.partition (fun one -> Set.contains one badOnes || Set.contains one.Milliseconds oldTimes)

        let stored =
            match trial.Knows with
            | RemoteWriteVersion.One when not bad.IsEmpty -> []
            | _ -> good

        taken.AddRange stored

        Exchange.Answered
            {
                Status = if bad.IsEmpty then 204 else 400
                RetryAfter = ""
                Location = ""
                Date = ""
                Body = ReadOnlyMemory(if bad.IsEmpty then [||] else "out of order sample"B)
                SamplesWritten =
                    if trial.Knows = RemoteWriteVersion.Two then
                        ValueSome(int64 stored.Length)
                    else
                        ValueNone
                WasSentTwice = false
            }

    let now = Func<_>(fun () -> DateTimeOffset.UnixEpoch)

    let rec go state (records: byte[] list) fates refused =
        match records with
        | [] -> fates, refused
        | _ ->
            let outcome =
                RemoteDelivery.deliver
                    (Func<_, _, _> send)
                    now
                    state
                    (records |> List.map (fun record -> ReadOnlyMemory record) |> Array.ofList)

            if outcome.Fates.Length = 0 then
                failtest "no progress"

            go outcome.State (List.skip outcome.Fates.Length records) (fates @ List.ofArray outcome.Fates) (refused + outcome.RefusedSeries)

    let fates, refused = go (RemoteDelivery.start "--remote-write" false) trial.Records [] 0
    List.ofSeq taken, fates, refused, requests

let tests =
    testList
        "RemoteWrite"
        [
            lawOf
                (wholeCases / 20)
                "what is written reads back, each series once, with its labels sorted, each once and none empty"
                (Gen.zip versions ExpositionLaws.reading)
                (fun (version, reading) ->
                    let series = seriesIn (recordIn version reading)

                    let isOrdered (names: string list) =
                        names
                        |> List.pairwise
                        |> List.forall (fun (one, next) -> String.CompareOrdinal(one, next) < 0)

                    not series.IsEmpty
                    && series
                       |> List.forall (fun one ->
                           isOrdered (List.map fst one.Labels)
                           && one.Labels |> List.forall (fun (_, value) -> value <> "")
                           && one.Label "__name__" <> ""
                           && one.Label "instance" <> ""
                           && one.Milliseconds = reading.Sample.CollectedAt.ToUnixTimeMilliseconds())
                    && (series |> List.distinctBy _.Labels).Length = series.Length)

            lawOf (wholeCases / 20) "it says what the text format says" ExpositionLaws.reading (fun reading ->
                let ours =
                    seriesIn (recordOf reading)
                    |> List.map (fun one -> one.Label "__name__", one.Bits)
                    |> List.sort

                let theirs =
                    ExpositionLaws.textSamples reading
                    |> List.map (fun sample -> sample.Name, BitConverter.DoubleToInt64Bits sample.Value)
                    |> List.sort

                ours = theirs)

            lawOf
                (wholeCases / 20)
                "a record says the same whatever was told before it, and what is gone since then ends once"
                (Gen.zip (Gen.zip versions versions) (Gen.zip ExpositionLaws.reading ExpositionLaws.reading))
                (fun ((version, next), (before, reading)) ->
                    let struct (_, told) =
                        RemoteWriteRecord.ofReading version machine SeriesSet.Empty before ExpositionLaws.agent

                    let following () =
                        let struct (record, _) = RemoteWriteRecord.ofReading next machine told reading ExpositionLaws.agent
                        seriesIn record

                    let alone = seriesIn (recordOf reading)
                    let isStale (one: Series) = one.Bits = 0x7ff0000000000002L
                    let ended, values = following () |> List.partition isStale
                    let labels (all: Series list) = all |> List.map _.Labels |> Set.ofList

                    values = alone
                    && labels ended = Set.difference (labels (seriesIn (recordOf before))) (labels alone)
                    && (labels ended).Count = ended.Length
                    // What was told is not used up.
                    && following () = values @ ended)

            lawOf (wholeCases / 20) "halving ends, loses the bad series alone, and keeps the order of time" trial (fun trial ->
                let taken, fates, refused, requests = deliverAll trial
                let all = trial.Records |> List.map seriesIn
                let old i = Set.contains i trial.Old

                let bad =
                    trial.Bad
                    |> List.map (fun (record, place) ->
                        let i = record % all.Length
                        i, all[i][place % all[i].Length])
                    |> List.distinct
                    |> List.filter (fun (i, _) -> not (old i))

                let expected =
                    all
                    |> List.mapi (fun i series -> if old i then [] else series)
                    |> List.concat
                    |> List.filter (fun one -> not (List.exists (fun (_, series) -> series = one) bad))

                let isInOrder =
                    taken
                    |> List.groupBy _.Labels
                    |> List.forall (fun (_, samples) ->
                        samples
                        |> List.pairwise
                        |> List.forall (fun (one, next) -> one.Milliseconds < next.Milliseconds))

                // To one of 1.0 a record is refused as a whole only when all of it is, and one behind such a record when any of it is.
                let exact = Set.isEmpty trial.Old

                fates.Length = all.Length
                && isInOrder
                && requests < 200 * all.Length
                && (taken |> List.forall (fun one -> List.contains one expected))
                && (not exact
                    || (Set.ofList taken = Set.ofList expected
                        && refused = bad.Length
                        && List.forall ((=) RecordFate.Delivered) fates))
                && (exact
                    || trial.Knows = RemoteWriteVersion.Two
                    || fates
                       |> List.mapi (fun i fate -> not (old i) || fate <> RecordFate.Delivered)
                       |> List.forall id))

            lawOf
                wholeCases
                "any bytes come back from their frame, and nothing else does"
                (Gen.zip anyBytes anyBytes)
                (fun (payload, other) ->
                    let framed = Spool.frame (ReadOnlySpan payload.Content)

                    Spool.payloadOf (ReadOnlySpan framed) = ValueSome payload.Content
                    && Spool.isIntact (ReadOnlySpan framed)
                    && not (Array.contains '\n'B framed)
                    && (match Spool.payloadOf (ReadOnlySpan other.Content) with
                        | ValueNone -> true
                        | ValueSome found -> Spool.frame (ReadOnlySpan found) = other.Content))

            lawOf wholeCases "any bytes at all as the record of a batch give an outcome, never an exception" anyBytes (fun bytes ->
                let send = Func<_, _, _>(fun _ _ -> Exchange.Failed(NetworkFailure.Refused "x"))
                let framed = Spool.frame (ReadOnlySpan bytes.Content)

                let outcome =
                    RemoteDelivery.deliver
                        send
                        (Func<_>(fun () -> DateTimeOffset.UnixEpoch))
                        (RemoteDelivery.start "--remote-write" false)
                        [| ReadOnlyMemory framed; ReadOnlyMemory bytes.Content |]

                outcome.Fates.Length = 0)

            lawOf wholeCases "a damaged message in an intact record gives an outcome, never an exception" damagedMessages (fun message ->
                // All of it is refused, so that it is taken apart.
                let refuse =
                    Exchange.Answered
                        {
                            Status = 400
                            RetryAfter = ""
                            Location = ""
                            Date = ""
                            Body = ReadOnlyMemory "out of order sample"B
                            SamplesWritten = ValueNone
                            WasSentTwice = false
                        }

                let outcome =
                    RemoteDelivery.deliver
                        (Func<_, _, _>(fun _ _ -> refuse))
                        (Func<_>(fun () -> DateTimeOffset.UnixEpoch))
                        (RemoteDelivery.start "--remote-write" false)
                        [| ReadOnlyMemory(Spool.frame (ReadOnlySpan(uncompressed message.Content))) |]

                outcome.Fates.Length <= 1)
        ]
