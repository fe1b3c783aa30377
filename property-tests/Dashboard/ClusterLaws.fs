/// Laws of reading from a cluster: what the agent's metrics say is what its samples say.
module Agent.PropertyTests.Dashboard.ClusterLaws

open System
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Core.Units
open Agent.Receiver
open Agent.Receiver.Cluster
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.Sender
open Agent.TestSupport
open Expecto
open FsCheck
open FsCheck.FSharp

let private now = DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)

let private encoded (sample: Sample) (agent: AgentInfo) : byte[] =
    let json = JsonText 16
    Wire.writeWithAgent json sample (Wire.agentText agent)
    json.Written.ToArray()

let private agentOf (partitions: Partition[]) : AgentInfo =
    {
        Version = "1"
        Hostname = "box"
        Pid = 1
        Labels = [||]
        DiskFilters = [||]
        Runtime = ""
        System = SystemInfo.withPartitions partitions SystemInfo.unknown
    }

/// What the receiver keeps of a sample.
let private posted (sample: Sample) (partitions: Partition[]) : Report =
    match Intake.decode (ReadOnlyMemory(encoded sample (agentOf partitions))) (sample.CollectedAt.AddHours 1.0) with
    | Ok intake -> intake.Report
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

let private seriesOf (at: int64) (labels: (string * string) list) (value: float) : ClusterSeries =
    {
        Labels =
            [|
                struct ("instance", "box")
                struct ("job", "agents")
                for name, text in labels do
                    struct (name, text)
            |]
        Times = [| at |]
        Values = [| value |]
    }

/// What a scrape of a machine is read as.
let private scraped (reading: MachineReading) : ClusterReport[] =
    ExpositionLaws.textSamples reading
    |> List.map (fun sample -> seriesOf 0L (("__name__", sample.Name) :: sample.Labels) sample.Value)
    |> Array.ofList
    |> ClusterReports.ofSeries

let private isSame (one: float) (other: float) =
    Double.IsNaN one && Double.IsNaN other
    || abs (one - other) <= 1e-9 * max 1.0 (max (abs one) (abs other))

/// Every figure of a report by a path, NaN for one that is not known.
let private figures (report: Report) : Map<string, float> =
    let ofSchema (place: string) (schema: Schema) (figures: Agent.Receiver.Figures) =
        [
            for index in 0 .. schema.Decimals.Length - 1 do
                let struct (key, _) = schema.Decimals[index]
                yield $"{place}.{key}", figures.Decimals[index]

            for index in 0 .. schema.Integers.Length - 1 do
                let value = figures.Integers[index]
                yield $"{place}.{schema.Integers[index]}", (if value < 0L then nan else float value)
        ]

    Map.ofList
        [
            yield! ofSchema "machine" Schema.machine report.Machine

            for disk in report.Disks do
                yield! ofSchema $"disks[{disk.Device}]" Schema.disk disk.Figures

            for gpu in report.Gpus do
                yield! ofSchema $"gpus[{gpu.Index},{gpu.Name},{gpu.Uuid}]" Schema.gpu gpu.Figures

            for fan in report.Fans do
                yield! ofSchema $"fans[{fan.Label}]" Schema.fan fan.Figures

            for kind in 0 .. Details.all.Length - 1 do
                for device in report.Details[kind] do
                    yield! ofSchema $"{Details.all[kind].Name}[{device.Name}]" Details.all[kind].Schema device.Figures
        ]

/// What differs among the figures that `isLooked` at.
let private differences (isLooked: string -> float -> bool) (expected: Report) (found: Report) : string list =
    let found = figures found
    let expected = figures expected
    let placeOf (path: string) = path.Substring(0, path.LastIndexOf '.')

    // A series is a float: beyond 2^53 it has no whole numbers, and what is left of two such numbers is anything.
    let beyond =
        expected
        |> Map.filter (fun _ value -> abs value > 9007199254740992.0)
        |> Map.keys
        |> Seq.map placeOf
        |> Set.ofSeq

    let isExact (path: string) =
        not (beyond.Contains(placeOf path))
        || not (
            path.Contains "memory_"
            || path.Contains "swap_"
            || path.EndsWith "bytes"
            || path.EndsWith "total"
        )

    [
        for KeyValue(path, value) in expected do
            let other = found |> Map.tryFind path |> Option.defaultValue nan

            if isExact path && isLooked path other && not (isSame value other) then
                $"{path}: the sample has {value}, the series say {other}"
    ]

/// True for none; else what they are is in the test's output.
let private holdsNo (problems: string list) : bool =
    for problem in problems do
        printfn $"{problem}"

    problems.IsEmpty

/// Whose figures come from one reading, sample and texts alike.
let private partition: Partition =
    {
        Device = "/dev/vda1"
        MountPoint = "/"
        FsType = "ext4"
        Total = 1000UL<B>
        Used = 600UL<B>
        Free = 350UL<B>
        // 600 of 600 and 350 (bc -l: 600/950*100 = 63.15…).
        Percent = 63.2<percent>
    }

let private wholeMachine () : MachineReading =
    let board = Readings.board

    Readings.machineWith
        [|
            { board with
                ClockSmMax = ValueSome 1980.0<MHz>
            }
        |]

let private gpuOfAnswer: Gen<string * string> =
    Gen.zip (Gen.elements [ "DCGM_FI_DEV_GPU_UTIL"; "node_load1"; "a\"b\\c\nd"; "é"; "" ]) phrase

/// An answer as these databases write it, and what it says.
let private answers: Gen<ClusterSeries[]> =
    let series =
        gen {
            let! name, text = gpuOfAnswer
            let! count = Gen.choose (0, 4)
            let! first = Gen.choose64 (0L, 900_000_000_000L)
            let! values = Gen.arrayOfLength count (Gen.oneof [ percentage; Gen.elements [ nan; 1e300; -0.5; 0.0 ] ])

            return
                {
                    Labels = [| struct ("__name__", name); struct ("instance", text) |]
                    Times = Array.init count (fun index -> (first + int64 index) * 1000L)
                    Values = values
                }
        }

    upTo 4 series

let private rendered (isVector: bool) (series: ClusterSeries[]) : byte[] =
    use stream = new IO.MemoryStream()
    use writer = new Utf8JsonWriter(stream)

    let point (at: int64) (value: float) =
        writer.WriteStartArray()

        writer.WriteRawValue(
            (decimal ((RowKey.instant at).ToUnixTimeMilliseconds()) / 1000m).ToString Globalization.CultureInfo.InvariantCulture
        )

        writer.WriteStringValue(
            if Double.IsNaN value then
                "NaN"
            else
                value.ToString("R", Globalization.CultureInfo.InvariantCulture)
        )

        writer.WriteEndArray()

    writer.WriteStartObject()
    writer.WriteString("status", "success")
    writer.WriteStartObject "data"
    writer.WriteString("resultType", (if isVector then "vector" else "matrix"))
    writer.WriteStartArray "result"

    for one in series do
        writer.WriteStartObject()
        writer.WriteStartObject "metric"

        for struct (name, value) in one.Labels do
            writer.WriteString(name, value)

        writer.WriteString("left_out", "x")
        writer.WriteEndObject()

        if isVector then
            writer.WritePropertyName "value"
            point one.Times[0] one.Values[0]
        else
            writer.WriteStartArray "values"
            Array.iter2 point one.Times one.Values
            writer.WriteEndArray()

        writer.WriteEndObject()

    writer.WriteEndArray()
    writer.WriteEndObject()
    writer.WriteEndObject()
    writer.Flush()
    stream.ToArray()

/// What decided a machine's verdict, and a job's.
let private figuresOfVerdicts: Gen<Witness[] * Witness[]> =
    let witness =
        gen {
            let! name = Gen.elements [ "GPU busy"; "loaders busy"; "requests at nvme0n1"; "a\"b" ]
            let! value = Gen.elements [ 0.0; 0.25; 97.5; 1e9; 12345.678 ]
            let! hasLimit = Gen.elements [ true; false ]
            let! unit = Gen.elements [ "%"; "B/s"; "ms"; "" ]

            return
                {
                    Name = name
                    Value = value
                    Limit = if hasLimit then ValueSome 90.0 else ValueNone
                    Unit = unit
                }
        }

    let some = upTo 10 witness
    Gen.zip some some

let private kept = [| "__name__"; "instance" |]

let private asRead (text: string) =
    text |> String.map (fun c -> if Char.IsControl c then ' ' else c)

let private says (isVector: bool) (series: ClusterSeries[]) =
    match ClusterAnswers.decode ClusterAnswers.most kept (ReadOnlyMemory(rendered isVector series)) with
    | Ok answer ->
        answer.Series.Length = series.Length
        && Array.forall2
            (fun (one: ClusterSeries) (other: ClusterSeries) ->
                one.Times = other.Times
                && Array.forall2 isSame one.Values other.Values
                && Array.forall2
                    (fun (struct (name, value)) (struct (otherName, otherValue)) -> name = otherName && asRead value = otherValue)
                    one.Labels
                    other.Labels)
            series
            answer.Series
    | Error _ -> false

/// The text that stands between quotes, as the language of queries reads it.
let private unquoted (quoted: string) : string =
    let text = StringBuilder()
    let inner = quoted.Substring(1, quoted.Length - 2)
    let mutable at = 0

    while at < inner.Length do
        if inner[at] = '\\' then
            at <- at + 1

            text.Append(
                match inner[at] with
                | 'n' -> '\n'
                | c -> c
            )
            |> ignore
        else
            text.Append inner[at] |> ignore

        at <- at + 1

    text.ToString()

let tests =
    testList
        "Cluster"
        [
            testCase "a scrape of a whole machine says every figure that is charted of its sample"
            <| fun () ->
                let reading = wholeMachine ()
                let expected = posted reading.Sample [| partition |]

                match scraped reading with
                | [| found |] ->
                    let missing (path: string) (_: float) =
                        // The collectors are another machine's.
                        not (path.Contains "tcp_segments" || path.StartsWith "infiniband")

                    Expect.equal (differences missing expected found.Report) [] "figures"
                    Expect.equal found.Report.CollectedAt expected.CollectedAt "when"
                    Expect.equal found.Version "1" "the agent's version"
                | reports -> failtest $"{reports.Length} reports"

            testCase "TCP and the fabric are read by the names of their collectors"
            <| fun () ->
                let value name labels number =
                    seriesOf 0L (("__name__", name) :: labels) number

                let reports =
                    ClusterReports.ofSeries
                        [|
                            value "node_netstat_Tcp_OutSegs" [] 100.0
                            value "node_netstat_Tcp_RetransSegs" [] 3.0
                            value "node_infiniband_port_data_received_bytes_total" [ "device", "mlx5_0"; "port", "1" ] 4096.0
                            value "node_infiniband_port_data_transmitted_bytes_total" [ "device", "mlx5_0"; "port", "1" ] 8192.0
                        |]

                let found = figures reports[0].Report
                Expect.equal found["machine.tcp_segments_sent_total"] 100.0 "sent"
                Expect.equal found["machine.tcp_segments_retransmitted_total"] 3.0 "again"
                Expect.equal found["infiniband[mlx5_0/1].rx_bytes_total"] 4096.0 "received"
                Expect.equal found["infiniband[mlx5_0/1].tx_bytes_total"] 8192.0 "sent"

            lawOf wholeCases "what a scrape says of any machine, its sample says too" ExpositionLaws.machine (fun reading ->
                let reading =
                    { reading with
                        Sample =
                            { reading.Sample with
                                CollectedAt = now
                            }
                    }

                let expected = posted reading.Sample [||]

                match scraped reading with
                | [| found |] ->
                    // Of these the texts of the generated machine say something else than its sample.
                    let isOfSample (path: string) (value: float) =
                        not (Double.IsNaN value)
                        && not (path.Contains "memory_" && path.StartsWith "machine")
                        && not (path.StartsWith "network_interfaces" || path.StartsWith "partitions")
                        // Generated instances of a board may have one number.
                        && not (path.StartsWith "mig_devices")

                    holdsNo (differences isOfSample expected found.Report)
                | [||] -> true
                | _ -> false)

            lawOf wholeCases "a sample written as series and read again is the same" Snapshots.sample (fun sample ->
                let report = posted { sample with CollectedAt = now } [| partition |]

                let series =
                    ClusterReports.ofReport report ValueNone ValueNone
                    |> Array.map (fun value ->
                        seriesOf
                            0L
                            (("__name__", value.Family)
                             :: [
                                 for struct (name, text) in value.Labels do
                                     name, text
                             ])
                            value.Value)

                match ClusterReports.ofSeries series with
                | [| found |] -> holdsNo (differences (fun _ _ -> true) report found.Report)
                | _ -> false)

            law
                "the figures of verdicts come back from their series as they were, and with them the sentence"
                figuresOfVerdicts
                (fun (machine, job) ->
                    let reading = wholeMachine ()

                    let judged figures : Verdict =
                        {
                            Label = VerdictLabel.LoaderCpu
                            Second = ValueNone
                            Since = now
                            Confidence = 0.5
                            Reason = ""
                            Fix = ""
                            Evidence = figures
                            RuledOut = [||]
                        }

                    let reading =
                        { reading with
                            Sample =
                                { reading.Sample with
                                    CollectedAt = now
                                    Jobs =
                                        ValueSome
                                            {
                                                Jobs =
                                                    [|
                                                        {
                                                            Job = { Jobs.Job.Unknown with Id = "slurm-7" }
                                                            Verdict = judged job
                                                        }
                                                    |]
                                                Machine = judged machine
                                                LeftOut = 0
                                            }
                                }
                        }

                    let series =
                        ExpositionLaws.textSamples reading
                        |> List.map (fun sample ->
                            let labels = sample.Labels |> List.filter (fun (name, _) -> name <> "job")

                            let jobs =
                                sample.Labels
                                |> List.tryFind (fun (name, _) -> name = "job")
                                |> Option.map snd
                                |> Option.defaultValue "agents"

                            { seriesOf 0L (("__name__", sample.Name) :: labels) sample.Value with
                                Labels =
                                    [|
                                        struct ("instance", "box")
                                        struct ("job", jobs)
                                        struct ("__name__", sample.Name)

                                        if sample.Name = "ai_dashboard_job_verdict" && sample.Value = 1.0 then
                                            struct ("k", "label")

                                        for name, text in labels do
                                            struct (name, text)
                                    |]
                            })
                        |> Array.ofList

                    let ofMachine = series |> Array.filter (fun one -> one.Label "job" = "agents")

                    match ClusterRunningJobs.join series (ClusterReports.ofSeries ofMachine) with
                    | [| found |] ->
                        let isSame (one: Witness[]) (other: Witness[]) =
                            one.Length = other.Length
                            && Array.forall2
                                (fun (one: Witness) (other: Witness) ->
                                    one.Name = other.Name
                                    && one.Value = other.Value
                                    && one.Limit = other.Limit
                                    && one.Unit = other.Unit)
                                one
                                other

                        let told = found.Jobs |> Array.exactlyOne
                        let first figures = Array.truncate 8 figures

                        isSame found.Evidence (first machine)
                        && isSame told.Verdict.Evidence (first job)
                        && told.Verdict.Reason = Agent.Core.Verdict.reasonOf (first job)
                    | _ -> false)

            law "an answer of a cluster is read as it was written" answers (says false)

            law
                "so is a vector"
                (answers
                 |> Gen.map (
                     Array.filter (fun series -> series.Times.Length > 0)
                     >> Array.map (fun series ->
                         { series with
                             Times = [| series.Times[0] |]
                             Values = [| series.Values[0] |]
                         })
                 ))
                (says true)

            law "any bytes at all give an answer or a fault, never an exception" anyBytes (fun bytes ->
                match ClusterAnswers.decode ClusterAnswers.most kept (ReadOnlyMemory bytes.Content) with
                | Ok answer -> answer.Series.Length >= 0
                | Error fault -> fault.Reason <> "")

            law
                "a damaged answer gives an answer or a fault, never an exception"
                (gen {
                    let! series = answers
                    let body = rendered false series
                    let! places = upTo 4 (Gen.choose (0, body.Length - 1))
                    let! values = Gen.arrayOfLength places.Length (Gen.elements (List.ofSeq "{}[]\",:0-9eE.nNtf\\ x"))
                    Array.iter2 (fun place (value: char) -> body[place] <- byte value) places values
                    return body
                })
                (fun body ->
                    match ClusterAnswers.decode ClusterAnswers.most kept (ReadOnlyMemory body) with
                    | Ok answer -> answer.Series.Length >= 0
                    | Error fault -> fault.Reason <> "")

            law "a text between quotes is that text" anyText (fun text -> unquoted (Promql.quote text) = text)
        ]
