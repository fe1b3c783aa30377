/// Laws of OTLP: what it promises whatever was read, and whatever the receiver answers.
module Agent.PropertyTests.OtlpLaws

open System
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.TestSupport.OtlpText
open Expecto
open FsCheck
open FsCheck.FSharp

let private sender: OtlpSender =
    {
        Version = "1"
        Instance = "box"
        HostId = ""
        Labels = [| struct ("rack", "7"); struct ("host.name", "mine") |]
        StartedAt = DateTimeOffset.FromUnixTimeSeconds 1_772_000_000L
    }

let private read (record: byte[]) : Point list =
    match Spool.payloadOf (ReadOnlySpan record) with
    | ValueSome payload -> pointsOf (decompress payload)
    | ValueNone -> failtest "the record is damaged"

let private recordOf (reading: MachineReading) : byte[] = Otlp.record sender reading

let private nanoseconds (instant: DateTimeOffset) : uint64 =
    uint64 (instant.ToUnixTimeMilliseconds()) * 1_000_000UL
    + uint64 (instant.Ticks % TimeSpan.TicksPerMillisecond) * 100UL

/// Readings of one machine a second apart, and what its receiver answers, in turn; 200 from then on.
type private Trial =
    {
        Readings: MachineReading list
        Answers: int list
    }

let private trial: Gen<Trial> =
    gen {
        let! reading = ExpositionLaws.reading
        let! count = Gen.choose (1, 12)
        let! answers = upTo 12 (Gen.elements [ 0; 200; 400; 401; 413; 429; 500; 503 ])

        return
            {
                Readings =
                    [
                        for second in 1..count ->
                            { reading with
                                Sample =
                                    { reading.Sample with
                                        CollectedAt = DateTimeOffset.FromUnixTimeSeconds(1_772_107_200L + int64 second)
                                    }
                            }
                    ]
                Answers = List.ofArray answers
            }
    }

/// The times that a receiver took, in its order, and the fates of the records; sends what is left until nothing is.
let private deliverAll (trial: Trial) : uint64 list * RecordFate list =
    let taken = ResizeArray<uint64>()
    let mutable answers = trial.Answers

    let send (body: ReadOnlyMemory<byte>) =
        let status =
            match answers with
            | [] -> 200
            | next :: rest ->
                answers <- rest
                next

        if status = 200 then
            taken.AddRange(pointsOf (decompress (body.ToArray())) |> List.map _.Time |> List.distinct)

        if status = 0 then
            Exchange.Failed(NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0))
        else
            Exchange.Answered
                {
                    Status = status
                    RetryAfter = ""
                    Location = ""
                    Date = ""
                    Body = ReadOnlyMemory [||]
                    SamplesWritten = ValueNone
                    WasSentTwice = false
                }

    let rec go (records: ReadOnlyMemory<byte> list) (fates: RecordFate list) =
        if records.IsEmpty then
            fates
        else
            let outcome =
                OtlpDelivery.deliver (Func<_, _> send) (Func<_>(fun () -> DateTimeOffset.UnixEpoch)) (Array.ofList records)

            go (List.skip outcome.Fates.Length records) (fates @ List.ofArray outcome.Fates)

    let fates = go (trial.Readings |> List.map (recordOf >> ReadOnlyMemory)) []
    List.ofSeq taken, fates

let tests =
    testList
        "Otlp"
        [
            lawOf
                (wholeCases / 20)
                "what is written reads back: each point once in its metric, with the sample's time and a start that is not later"
                ExpositionLaws.reading
                (fun reading ->
                    let points = read (recordOf reading)
                    let time = nanoseconds reading.Sample.CollectedAt

                    points
                    |> List.forall (fun point ->
                        let keys = point.Attributes |> List.map fst

                        point.Time = time
                        && point.Start <= time
                        && (point.Kind <> Gauge || point.Start = 0UL)
                        && Double.IsFinite point.Figure
                        && List.distinct keys = keys
                        && point.Attributes |> List.forall (fun (_, value) -> value <> ""))
                    && (points |> List.distinctBy (fun point -> point.Name, Set.ofList point.Attributes)).Length = points.Length)

            lawOf
                (wholeCases / 20)
                "what only grows is never negative, shares of a whole are from 0 to 1, and states of a file system add up"
                ExpositionLaws.reading
                (fun reading ->
                    let points = read (recordOf reading)

                    let sums name =
                        points
                        |> List.filter (fun point -> point.Name = name)
                        |> List.groupBy (fun point ->
                            point.Attributes
                            |> List.filter (fst >> (<>) "system.filesystem.state")
                            |> Set.ofList)
                        |> List.map (fun (labels, same) ->
                            labels,
                            same
                            |> List.sumBy (fun point ->
                                match point.Value with
                                | Whole value -> decimal value
                                | Real _ -> 0m))
                        |> Map.ofList

                    let limits = sums "system.filesystem.limit"
                    let uses = sums "system.filesystem.usage"

                    points
                    |> List.forall (fun point ->
                        (point.Kind <> Sum true || point.Figure >= 0.0)
                        && (not (point.Name.EndsWith("filesystem.utilization", StringComparison.Ordinal))
                            || (point.Figure >= 0.0 && point.Figure <= 1.0)))
                    // What is above 2^63-1 is cut to it in each.
                    && limits
                       |> Map.forall (fun labels limit -> limit = decimal Int64.MaxValue || uses[labels] = limit))

            lawOf (wholeCases / 20) "the resource names who sends, each attribute once" ExpositionLaws.reading (fun reading ->
                read (recordOf reading)
                |> List.forall (fun point ->
                    let keys = point.Resource |> List.map fst

                    List.distinct keys = keys
                    && List.contains ("service.name", "ai-dashboard-agent") point.Resource
                    && List.contains ("host.name", "mine") point.Resource
                    && List.contains ("rack", "7") point.Resource))

            lawOf (wholeCases / 20) "whatever is answered, every sample is taken once and in its order, or is refused" trial (fun trial ->
                let taken, fates = deliverAll trial
                let times = trial.Readings |> List.map (_.Sample.CollectedAt >> nanoseconds)
                // Of a machine of which nothing is known nothing is sent.
                let isTold = not (read (recordOf trial.Readings.Head)).IsEmpty

                fates.Length = times.Length
                && taken =
                    (List.zip times fates
                     |> List.filter (fun (_, fate) -> isTold && fate.IsDelivered)
                     |> List.map fst)
                && (trial.Answers
                    |> List.exists (fun status -> status = 400 || status = 413 || status = 500)
                    || fates |> List.forall _.IsDelivered))

            lawOf (wholeCases / 10) "any bytes at all are an answer, never an exception" anyBytes (fun answer ->
                let found =
                    OtlpDelivery.deliver
                        (Func<_, _>(fun _ ->
                            Exchange.Answered
                                {
                                    Status = 200
                                    RetryAfter = ""
                                    Location = ""
                                    Date = ""
                                    Body = ReadOnlyMemory answer.Content
                                    SamplesWritten = ValueNone
                                    WasSentTwice = false
                                }))
                        (Func<_>(fun () -> DateTimeOffset.UnixEpoch))
                        [| ReadOnlyMemory(Spool.frame (ReadOnlySpan answer.Content)) |]

                found.RejectedPoints >= 0L && found.Fates.Length <= 1)

            lawOf (wholeCases / 10) "nor do the bytes of a refusal break anything" anyBytes (fun answer ->
                OtlpDelivery.ofProbe
                    DateTimeOffset.UnixEpoch
                    (Exchange.Answered
                        {
                            Status = 400
                            RetryAfter = ""
                            Location = ""
                            Date = ""
                            Body = ReadOnlyMemory answer.Content
                            SamplesWritten = ValueNone
                            WasSentTwice = false
                        })
                |> _.IsSome)
        ]
