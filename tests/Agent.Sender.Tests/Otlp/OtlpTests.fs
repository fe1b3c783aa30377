module Agent.Sender.Tests.OtlpTests

open System
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Core.Units
open Agent.Sender
open Agent.TestSupport
open Agent.TestSupport.OtlpText
open Agent.TestSupport.Readings
open Expecto

let private sender: OtlpSender =
    {
        Version = "1.2.3"
        Instance = "box-7"
        HostId = "0123456789abcdef0123456789abcdef"
        Labels = [||]
        // 2026-11-23 22:30:00 UTC: date -u -d … +%s says 1795473000.
        StartedAt = DateTimeOffset.FromUnixTimeSeconds 1795473000L
    }

/// The fixture's machine, an hour and a quarter of a second after it started: /proc/stat says btime 1795471888.
let private machine: MachineReading =
    let reading = machineWith [| board |]

    { reading with
        Sample =
            { reading.Sample with
                CollectedAt = DateTimeOffset.FromUnixTimeMilliseconds 1795475488250L
            }
    }

let private after (seconds: int) : MachineReading =
    { machine with
        Sample =
            { machine.Sample with
                CollectedAt = machine.Sample.CollectedAt.AddSeconds seconds
            }
    }

let private recordOf (reading: MachineReading) : ReadOnlyMemory<byte> =
    ReadOnlyMemory(Otlp.record sender reading)

let private read (record: byte[]) : Point list =
    match Spool.payloadOf (ReadOnlySpan record) with
    | ValueSome payload -> pointsOf (decompress payload)
    | ValueNone -> failtest "the record is damaged"

let private pointsWith (sender: OtlpSender) (reading: MachineReading) = read (Otlp.record sender reading)

let private points = lazy (pointsWith sender machine)

let private ofMetric (name: string) : Point list =
    points.Value |> List.filter (fun point -> point.Name = name)

/// Figures by the values of some attributes.
let private figures (name: string) (keys: string list) : (string list * float) list =
    ofMetric name
    |> List.map (fun point -> keys |> List.map point.Attribute, point.Figure)

let private told (name: string) (keys: string list) (expected: (string list * float) list) =
    testCase name
    <| fun () ->
        let found = figures name keys

        for labels, figure in expected do
            match found |> List.filter (fst >> (=) labels) with
            | [ _, value ] -> Expect.floatClose Accuracy.high value figure $"%A{labels}"
            | other -> failtest $"%A{labels}: {other.Length} points"

/// One row for each metric: name, unit, kind and whether the figure is whole, by the semantic conventions 1.44
/// (docs/system/system-metrics.md, docs/hardware/*.md; whole where model/*/metrics.yaml says metric_value_type: int).
let private conventions =
    let gauge, upDown, counter = Gauge, Sum false, Sum true

    [
        "system.cpu.time", "s", counter, false
        "system.cpu.utilization", "1", gauge, false
        "system.cpu.logical.count", "{cpu}", upDown, true
        "system.cpu.physical.count", "{cpu}", upDown, true
        "system.cpu.frequency", "Hz", gauge, true
        // Of the OpenTelemetry Collector's receiver hostmetrics.
        "system.cpu.load_average.1m", "{thread}", gauge, false
        "system.cpu.load_average.5m", "{thread}", gauge, false
        "system.cpu.load_average.15m", "{thread}", gauge, false
        "system.memory.usage", "By", upDown, true
        "system.memory.limit", "By", upDown, true
        "system.memory.utilization", "1", gauge, false
        "system.memory.linux.available", "By", upDown, true
        "system.paging.usage", "By", upDown, true
        "system.paging.utilization", "1", gauge, false
        "system.disk.io", "By", counter, true
        "system.disk.operations", "{operation}", counter, true
        "system.disk.io_time", "s", counter, false
        "system.disk.operation_time", "s", counter, false
        "system.disk.merged", "{operation}", counter, true
        "system.filesystem.usage", "By", upDown, true
        "system.filesystem.utilization", "1", gauge, false
        "system.filesystem.limit", "By", upDown, true
        "system.network.io", "By", counter, true
        "system.network.packet.count", "{packet}", counter, true
        "system.network.packet.dropped", "{packet}", counter, true
        "system.network.errors", "{error}", counter, true
        "system.process.count", "{process}", upDown, true
        "system.process.created", "{process}", counter, true
        "system.uptime", "s", gauge, false
        "hw.temperature", "Cel", gauge, false
        "hw.fan.speed", "rpm", gauge, true
        "hw.fan.speed_ratio", "1", gauge, false
        "hw.power", "W", gauge, false
        "hw.energy", "J", counter, false
        "hw.errors", "{error}", counter, true
        "hw.gpu.utilization", "1", gauge, false
        "hw.gpu.memory.limit", "By", upDown, true
        "hw.gpu.memory.usage", "By", upDown, true
        "hw.gpu.memory.utilization", "1", gauge, false
    ]

/// The machine with swap, of which a quarter is used, and with shares of CPU time.
let private withMore: MachineReading =
    { machine with
        Sample =
            { machine.Sample with
                CpuUser = ValueSome 12.5<percent>
                CpuSystem = ValueSome 2.5<percent>
                CpuIowait = ValueSome 0.0<percent>
                CpuSteal = ValueSome 50.0<percent>
                SwapTotal = ValueSome 4000UL<B>
                Swap =
                    ValueSome
                        {
                            Used = 1000UL<B>
                            Percent = 25.0<percent>
                        }
            }
    }

let private metrics =
    testList
        "metrics"
        [
            testCase "names, units, kinds and types are those of the semantic conventions, each with a description"
            <| fun () ->
                let all = pointsWith sender withMore

                let found =
                    all
                    |> List.map (fun point -> point.Name, point.Unit, point.Kind, point.Value.IsWhole)
                    |> List.distinct

                Expect.equal found conventions "every metric, in the order of the rows"

                for point in all do
                    Expect.isNotEmpty point.Description point.Name

            testCase "times are the sample's; what the kernel counts begins with the machine, XID events with the agent, and gauges never"
            <| fun () ->
                for point in points.Value do
                    Expect.equal point.Time 1795475488250000000UL point.Name

                    let expected =
                        match point.Kind, point.Name, point.Attribute "error.type" with
                        | Gauge, _, _ -> 0UL
                        | _, "hw.errors", "xid" -> 1795473000000000000UL
                        // They are of the board's whole life, whenever that began.
                        | _, "hw.errors", _ -> 0UL
                        | _ -> 1795471888000000000UL

                    Expect.equal point.Start expected $"{point.Name} %A{point.Attributes}"

            testCase "a machine that starts after the sample, by a clock that was set back, has no start and no uptime"
            <| fun () ->
                let before =
                    pointsWith
                        sender
                        { machine with
                            Sample =
                                { machine.Sample with
                                    CollectedAt = DateTimeOffset.FromUnixTimeSeconds 1795471000L
                                }
                        }

                Expect.all before (fun point -> point.Start = 0UL) "starts"
                Expect.isFalse (before |> List.exists (fun point -> point.Name = "system.uptime")) "uptime"

            testCase "the points of a metric differ in their attributes, and no attribute is there twice or empty"
            <| fun () ->
                for name, same in points.Value |> List.groupBy _.Name do
                    let sets = same |> List.map (fun point -> Set.ofList point.Attributes)
                    Expect.equal (List.distinct sets).Length sets.Length name

                    for point in same do
                        let keys = point.Attributes |> List.map fst
                        Expect.equal (List.distinct keys) keys name
                        Expect.isFalse (point.Attributes |> List.exists (snd >> (=) "")) name

            told
                "system.cpu.time"
                [ "cpu.mode" ]
                [
                    [ "user" ], 86.5
                    [ "nice" ], 0.0
                    [ "system" ], 31.58
                    [ "idle" ], 3356.39
                    [ "iowait" ], 25.89
                    // 0 ticks of hardware interrupts and 77 of software interrupts.
                    [ "interrupt" ], 0.77
                    [ "steal" ], 8.94
                ]
            told
                "system.memory.usage"
                [ "system.memory.state" ]
                [
                    [ "used" ], 369524736.0
                    [ "free" ], 24752631808.0
                    [ "cached" ], 292208640.0
                    [ "buffers" ], 24367104.0
                ]
            told "system.memory.limit" [] [ [], 25276514304.0 ]
            told "system.memory.linux.available" [] [ [], 24906989568.0 ]
            told "system.memory.utilization" [ "system.memory.state" ] [ [ "used" ], 0.014619291709 ]
            told "system.paging.usage" [ "system.paging.state" ] [ [ "used" ], 0.0; [ "free" ], 0.0 ]
            told
                "system.disk.io"
                [ "system.device"; "disk.io.direction" ]
                [ [ "vda"; "read" ], 1836819456.0; [ "vda"; "write" ], 650883072.0 ]
            told
                "system.disk.operations"
                [ "system.device"; "disk.io.direction" ]
                [ [ "vda"; "read" ], 77272.0; [ "vda"; "write" ], 5911.0 ]
            told "system.disk.io_time" [ "system.device" ] [ [ "vda" ], 29.016 ]
            told
                "system.disk.operation_time"
                [ "system.device"; "disk.io.direction" ]
                [ [ "vda"; "read" ], 42.228; [ "vda"; "write" ], 2.808 ]
            told "system.disk.merged" [ "system.device"; "disk.io.direction" ] [ [ "vda"; "read" ], 24269.0; [ "vda"; "write" ], 14927.0 ]
            told
                "system.filesystem.usage"
                [
                    "system.device"
                    "system.filesystem.mountpoint"
                    "system.filesystem.type"
                    "system.filesystem.mode"
                    "system.filesystem.state"
                ]
                [
                    [ "/dev/vda1"; "/"; "ext4"; "rw"; "used" ], 600.0
                    [ "/dev/vda1"; "/"; "ext4"; "rw"; "free" ], 350.0
                    [ "/dev/vda1"; "/"; "ext4"; "rw"; "reserved" ], 50.0
                    [ "filer:/scratch"; "/scratch"; "nfs4"; "ro"; "used" ], 1000.0
                    [ "filer:/scratch"; "/scratch"; "nfs4"; "ro"; "free" ], 3000.0
                ]
            told "system.filesystem.utilization" [ "system.filesystem.mountpoint" ] [ [ "/" ], 0.6; [ "/scratch" ], 0.25 ]
            told
                "system.filesystem.limit"
                [ "system.filesystem.mountpoint"; "system.filesystem.state" ]
                [ [ "/"; "" ], 1000.0; [ "/scratch"; "" ], 4000.0 ]
            told
                "system.network.io"
                [ "network.interface.name"; "network.io.direction" ]
                [ [ "eth0"; "receive" ], 64950419.0; [ "eth0"; "transmit" ], 133488.0 ]
            told
                "system.network.packet.count"
                [ "system.device"; "network.io.direction" ]
                [ [ "eth0"; "receive" ], 1921.0; [ "eth0"; "transmit" ], 1393.0 ]
            told "system.process.count" [] [ [], 123.0 ]
            told "system.process.created" [] [ [], 5653.0 ]
            told "system.uptime" [] [ [], 3600.25 ]
            told "system.cpu.load_average.1m" [] [ [], 0.23 ]
            told "system.cpu.load_average.5m" [] [ [], 0.17 ]
            told "system.cpu.load_average.15m" [] [ [], 0.07 ]
            told "system.cpu.logical.count" [] [ [], 2.0 ]
            told "system.cpu.physical.count" [] [ [], 2.0 ]
            told "system.cpu.frequency" [] [ [], 2300000000.0 ]
            told
                "hw.temperature"
                [ "hw.id"; "hw.parent"; "hw.sensor_location" ]
                [
                    [ "cpu"; ""; "cpu" ], 61.0
                    [ "GPU-4444/die"; "GPU-4444"; "die" ], 65.0
                    [ "GPU-4444/memory"; "GPU-4444"; "memory" ], 71.0
                ]
            told "hw.fan.speed" [ "hw.id"; "hw.name" ] [ [ "fan/FAN \"1\""; "FAN \"1\"" ], 1180.0 ]
            told "hw.fan.speed_ratio" [ "hw.id"; "hw.parent" ] [ [ "GPU-4444/fan"; "GPU-4444" ], 0.3 ]
            told "hw.power" [ "hw.id"; "hw.type" ] [ [ "GPU-4444"; "gpu" ], 433.78 ]
            told "hw.energy" [ "hw.id"; "hw.type" ] [ [ "GPU-4444"; "gpu" ], 123456789.012 ]
            told
                "hw.errors"
                [ "hw.id"; "hw.type"; "error.type" ]
                [
                    [ "GPU-4444"; "gpu"; "corrected" ], 12.0
                    [ "GPU-4444"; "gpu"; "uncorrected" ], 1.0
                    [ "GPU-4444"; "gpu"; "xid" ], 3.0
                ]
            told
                "hw.gpu.utilization"
                [ "hw.id"; "hw.gpu.task" ]
                [
                    [ "GPU-4444"; "general" ], 0.97
                    [ "GPU-4444"; "encoder" ], 0.1
                    [ "GPU-4444"; "decoder" ], 0.2
                ]
            told
                "hw.gpu.memory.limit"
                [ "hw.id"; "hw.name"; "hw.model"; "hw.vendor" ]
                [ [ "GPU-4444"; "nvidia1"; "NVIDIA H100 80GB HBM3"; "NVIDIA" ], 85899345920.0 ]
            told "hw.gpu.memory.usage" [ "hw.id" ] [ [ "GPU-4444" ], 17179869184.0 ]
            told "hw.gpu.memory.utilization" [ "hw.id" ] [ [ "GPU-4444" ], 0.2 ]

            testCase "swap and shares of CPU time, where they are known"
            <| fun () ->
                let all = pointsWith sender withMore

                let shares name key =
                    all
                    |> List.filter (fun point -> point.Name = name)
                    |> List.map (fun point -> point.Attribute key, point.Figure)

                Expect.equal
                    (shares "system.cpu.utilization" "cpu.mode")
                    [ "user", 0.125; "system", 0.025; "iowait", 0.0; "steal", 0.5 ]
                    "CPU"

                Expect.equal (shares "system.paging.utilization" "system.paging.state") [ "used", 0.25; "free", 0.75 ] "swap"
                Expect.equal (shares "system.paging.usage" "system.paging.state") [ "used", 1000.0; "free", 3000.0 ] "bytes"

            testCase "a board without an UUID goes by its address, else by its index"
            <| fun () ->
                for gpu, id in
                    [
                        { board with
                            Uuid = ""
                            PciBusId = "00000000:65:00.0"
                        },
                        "00000000:65:00.0"
                        { board with Uuid = ""; PciBusId = "" }, "gpu1"
                    ] do
                    let found =
                        pointsWith
                            sender
                            { machine with
                                Sample = { machine.Sample with Gpus = [| gpu |] }
                            }
                        |> List.filter (fun point -> point.Name = "hw.gpu.memory.usage")
                        |> List.map (fun point -> point.Attribute "hw.id")

                    Expect.equal found [ id ] "identity"
        ]

let private resources =
    testList
        "resource"
        [
            testCase "says who sends and what machine it is, by which conventions"
            <| fun () ->
                let point = points.Value.Head

                Expect.equal
                    point.Resource
                    [
                        "service.name", "ai-dashboard-agent"
                        "service.version", "1.2.3"
                        "service.instance.id", "box-7"
                        "host.name", "gpu-box-01"
                        "host.id", "0123456789abcdef0123456789abcdef"
                        "host.arch", "amd64"
                        "os.type", "linux"
                        "os.description", "Linux 6.1.0-18-amd64 #1 SMP Debian 6.1.76-1"
                    ]
                    "resource"

                Expect.equal point.Scope ("ai-dashboard-agent", "1.2.3") "scope"
                Expect.equal point.SchemaUrl "https://opentelemetry.io/schemas/1.44.0" "schema"

            testCase "labels of the user go along and take the place of what is said otherwise; half a character is none"
            <| fun () ->
                let found =
                    (pointsWith
                        { sender with
                            HostId = ""
                            Labels = [| struct ("rack", "7\ud800"); struct ("service.instance.id", "mine") |]
                        }
                        machine)
                        .Head.Resource

                Expect.equal
                    (found
                     |> List.filter (fun (name, _) -> name.StartsWith("service.instance", StringComparison.Ordinal)))
                    [ "service.instance.id", "mine" ]
                    "once"

                Expect.contains found ("rack", "7\ufffd") "a label"
                Expect.isFalse (found |> List.exists (fst >> (=) "host.id")) "what is not known is absent"
        ]

/// A receiver of OTLP, and what it was sent, request by request.
type private Receiver(answer: int -> Point list -> int * byte[]) =
    let requests = ResizeArray<Point list>()

    member _.Requests: Point list list = List.ofSeq requests

    member _.Deliver(records: ReadOnlyMemory<byte> list) : OtlpOutcome =
        let send (body: ReadOnlyMemory<byte>) =
            let points = pointsOf (decompress (body.ToArray()))
            requests.Add points

            match answer (requests.Count - 1) points with
            | 0, _ -> Exchange.Failed(NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0))
            | status, body ->
                Exchange.Answered
                    {
                        Status = status
                        RetryAfter = if status = 503 then "7" else ""
                        Location = if status = 308 then "https://elsewhere/" else ""
                        Date = ""
                        Body = ReadOnlyMemory body
                        SamplesWritten = ValueNone
                        WasSentTwice = false
                    }

        OtlpDelivery.deliver (Func<_, _> send) (Func<_>(fun () -> at)) (Array.ofList records)

let private always (status: int) (body: byte[]) = Receiver(fun _ _ -> status, body)

let private text (words: string) : byte[] = Encoding.UTF8.GetBytes words

let private five = [ 0..4 ] |> List.map (after >> recordOf)

let private timesOf (points: Point list) : uint64 list =
    points |> List.map _.Time |> List.distinct

/// The times of the five.
let private timesOfFive =
    [ 0UL .. 4UL ]
    |> List.map (fun second -> 1795475488250000000UL + second * 1000000000UL)

let private fates (outcome: OtlpOutcome) : string list =
    outcome.Fates
    |> Array.map (fun fate ->
        match fate with
        | RecordFate.Delivered -> ""
        | RecordFate.Unconfirmed -> "unconfirmed"
        | RecordFate.Refused reason -> reason)
    |> List.ofArray

let private outcome (outcome: OtlpOutcome) : string =
    match outcome.Outcome with
    | Outcome.Delivered _ -> "delivered"
    | Outcome.RetryAfter(ValueNone, reason) -> $"retry: {reason}"
    | Outcome.RetryAfter(ValueSome delay, reason) -> $"retry after {delay.TotalSeconds} s: {reason}"
    | Outcome.Crash(_, reason) -> $"crash: {reason}"
    | Outcome.Hold reason -> $"hold: {reason}"
    | Outcome.Reject reason -> $"reject: {reason}"

let private delivery =
    testList
        "delivery"
        [
            testCase "records go in one request, in their order, each with its time"
            <| fun () ->
                let receiver = always 200 [||]
                let found = receiver.Deliver five
                Expect.equal (fates found, outcome found) (List.replicate 5 "", "delivered") "delivered"
                Expect.equal (receiver.Requests |> List.map timesOf) [ timesOfFive ] "one request"
                Expect.equal receiver.Requests.Head ([ 0..4 ] |> List.collect (after >> pointsWith sender)) "every point"

            testCase "a single record is sent as it was kept"
            <| fun () ->
                let receiver = always 200 [||]
                receiver.Deliver [ five.Head ] |> ignore
                Expect.equal receiver.Requests [ points.Value ] "its points"

            for status, body, expected in
                [
                    429, text "slow down", "retry: HTTP 429: slow down"
                    // google.rpc.Status: field 2, 4 bytes.
                    502, Array.append [| 0x12uy; 4uy |] "down"B, "retry: HTTP 502: down"
                    503, [||], "retry after 7 s: HTTP 503"
                    504, [||], "retry: HTTP 504"
                    0, [||], "retry: no complete answer within 5 s"
                    401, [||], "hold: HTTP 401"
                    403, [||], "hold: HTTP 403"
                    404, text "404 page not found\n", "hold: HTTP 404: 404 page not found"
                    405, [||], "hold: HTTP 405"
                    407, [||], "hold: HTTP 407"
                    511, [||], "hold: HTTP 511"
                    308, [||], "hold: HTTP 308: redirected to https://elsewhere/; redirects are not followed, correct --otlp"
                    200, text "<!doctype html>", "hold: HTTP 200 with a page: something other than a receiver answers at this address"
                ] do
                testCase $"{status} finishes nothing"
                <| fun () ->
                    let receiver = always status body
                    let found = receiver.Deliver five
                    Expect.equal (fates found, outcome found) ([], expected) "all are kept"
                    Expect.equal receiver.Requests.Length 1 "one request"

            for status, words in [ 400, "bad"; 413, "bad"; 422, "bad"; 500, "too old sample" ] do
                testCase $"{status} is halved until only what is refused is left, and that is not sent again"
                <| fun () ->
                    let bad = timesOfFive[3]
                    let length = byte words.Length

                    let receiver =
                        Receiver(fun _ points ->
                            if List.contains bad (timesOf points) then
                                status, Array.append [| 8uy; 3uy; 0x12uy; length |] (text words)
                            else
                                200, [||])

                    let found = receiver.Deliver five
                    Expect.equal (fates found, outcome found) ([ ""; ""; ""; $"HTTP {status}: {words}"; "" ], "delivered") "fates"

                    Expect.equal
                        (receiver.Requests
                         |> List.filter (timesOf >> List.contains bad)
                         |> List.map (timesOf >> _.Length))
                        // Five, its second half of three, of which the second half of two, and alone.
                        [ 5; 3; 2; 1 ]
                        "requests"

            for status in [ 408; 415; 500; 501; 505 ] do
                testCase $"{status} must not be tried again, and so nothing is"
                <| fun () ->
                    let receiver = always status [||]
                    let found = receiver.Deliver five
                    Expect.equal (fates found, outcome found) (List.replicate 5 $"HTTP {status}", "delivered") "refused"
                    Expect.equal receiver.Requests.Length 1 "one request"

            testCase "what a receiver rejects of what it takes is counted, and not sent again"
            <| fun () ->
                // partial_success of 8 bytes: rejected_data_points = 300, error_message = "odd".
                let receiver = always 200 (Array.append [| 0x0Auy; 8uy; 0x08uy; 0xACuy; 0x02uy; 0x12uy; 3uy |] "odd"B)

                let found = receiver.Deliver five
                Expect.equal (fates found, outcome found) (List.replicate 5 "", "delivered") "delivered"
                Expect.equal (found.RejectedPoints, found.Message) (300L, "odd") "rejected"
                Expect.equal receiver.Requests.Length 1 "one request"

            testCase "advice about what was accepted is told, and an answer in another language is none"
            <| fun () ->
                let advised = (always 200 (Array.append [| 0x0Auy; 5uy; 0x12uy; 3uy |] "odd"B)).Deliver five

                Expect.equal (advised.RejectedPoints, advised.Message) (0L, "odd") "advice"
                let other = (always 200 (text "{\"partialSuccess\":{}}")).Deliver five
                Expect.equal (fates other, other.RejectedPoints, other.Message) (List.replicate 5 "", 0L, "") "JSON"

            testCase "an outage in the middle of pieces keeps what is not finished"
            <| fun () ->
                let receiver =
                    Receiver(fun number _ ->
                        match number with
                        | 0 -> 413, [||]
                        | 1 -> 200, [||]
                        | _ -> 503, [||])

                let found = receiver.Deliver five
                Expect.equal (fates found, outcome found) ([ ""; "" ], "retry after 7 s: HTTP 503") "the first half"

            testCase "a record of an instant at which nothing was known is sent nowhere"
            <| fun () ->
                let empty =
                    recordOf
                        { machine with
                            Sample = Sample.Empty
                            Snapshot = Snapshot.empty
                            Temperatures = [||]
                            Filesystems = [||]
                        }

                let receiver = always 200 [||]
                let found = receiver.Deliver [ empty; empty ]
                Expect.equal (fates found, receiver.Requests) ([ ""; "" ], []) "alone"
                let found = receiver.Deliver [ empty; five.Head ]
                Expect.equal (fates found, receiver.Requests) ([ ""; "" ], [ points.Value ]) "with another"

            testCase "a damaged record is refused alone, and costs no other"
            <| fun () ->
                let receiver = always 200 [||]
                let damaged = ReadOnlyMemory(text "12 00000000 AAAA")
                let found = receiver.Deliver [ five[0]; damaged; five[1] ]
                Expect.equal (fates found) [ ""; "the record is damaged"; "" ] "fates"

            testCase "a batch ends with the record at which a hundred requests are reached"
            <| fun () ->
                let receiver = always 400 [||]
                let found = receiver.Deliver(List.replicate 64 five.Head)
                // As of remote-write: 127 requests would be all, and 101 finish 49 records.
                Expect.equal (receiver.Requests.Length, found.Fates.Length) (101, 49) "the rest is a batch of its own"

            testCase "a probe carries nothing, and is gzip all the same"
            <| fun () -> Expect.equal (pointsOf (decompress (Otlp.emptyRequest ()))) [] "no point"

            testCase "a batch has a hundred records and 256 KiB of them"
            <| fun () -> Expect.equal (Otlp.MostRecords, Otlp.MostBytes, OtlpDelivery.MostRequests) (100, 262144, 100) "limits"
        ]

[<Tests>]
let tests = testList "Otlp" [ metrics; resources; delivery ]
