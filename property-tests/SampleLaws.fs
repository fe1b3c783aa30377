/// Laws of the sample: what it promises whatever was read.
module Agent.PropertyTests.SampleLaws

open System
open System.Text
open Agent.Core
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Snapshots
open Agent.PropertyTests.Sys
open Expecto
open FsCheck
open FsCheck.FSharp

let private largest = uint64 Int64.MaxValue

let private isTenth (value: float<percent>) =
    value >= 0.0<percent>
    && value <= 100.0<percent>
    && Math.Round(float value, 1) = float value

let private known (values: 'a voption list) =
    values |> List.choose ValueOption.toOption

let private percentages (sample: Sample) : float<percent> list =
    [
        yield!
            known
                [
                    sample.CpuUsage
                    sample.CpuUser
                    sample.CpuSystem
                    sample.CpuIowait
                    sample.CpuSteal
                ]
        yield! known (List.ofArray sample.CpuCores)
        yield!
            known
                [
                    sample.Memory |> ValueOption.map (fun m -> m.Percent)
                    sample.Swap |> ValueOption.map (fun s -> s.Percent)
                ]
    ]

let private counters (sample: Sample) : uint64 list =
    [
        for bytes in known [ sample.NetworkReceived; sample.NetworkSent ] do
            uint64 bytes
        for total in known [ sample.MemoryTotal; sample.SwapTotal ] do
            uint64 total
        for m in known [ sample.Memory ] do
            yield! [ uint64 m.Used; uint64 m.Available ]
        for s in known [ sample.Swap ] do
            uint64 s.Used
        for d in sample.Disks do
            for counter in
                [
                    d.Reads
                    d.Writes
                    ValueOption.map uint64 d.ReadBytes
                    ValueOption.map uint64 d.WrittenBytes
                ] do
                match counter with
                | ValueSome value -> value
                | ValueNone -> ()

            yield! known [ d.BusyTime ] |> List.map uint64
        for g in sample.Gpus do
            yield!
                known [ g.MemoryTotal; g.MemoryUsed; g.NvlinkReceived; g.NvlinkSent ]
                |> List.map uint64

            yield! known [ g.Energy ] |> List.map uint64
            yield! known [ g.EccUncorrected; g.EccCorrected; g.XidCount ]

            for processes in known [ g.ComputeProcesses ] do
                for p in processes do
                    yield! known [ p.MemoryUsed ] |> List.map uint64

            for devices in known [ g.MigDevices ] do
                for d in devices do
                    yield! known [ d.MemoryTotal; d.MemoryUsed ] |> List.map uint64
        for i in sample.Interfaces do
            for t in [ i.Counters.Received; i.Counters.Sent ] do
                yield! [ uint64 t.Bytes; t.Packets; t.Errors; t.Dropped ]
        for p in sample.Infiniband do
            yield! known [ p.Received; p.Sent ] |> List.map uint64
        for p in known [ sample.Pressure ] do
            for stall in known [ p.CpuSome; p.IoSome; p.IoFull; p.MemorySome; p.MemoryFull ] do
                uint64 stall.Total
    ]

let private build =
    gen {
        let! options = sampleOptions
        let! previous, current = pair
        return struct (options, previous, current)
    }

let private lawOfSamples name (holds: Sample -> bool) = lawOf wholeCases name sample holds

let private isLabel (text: string) =
    text.Length <= 64
    && text = text.Trim()
    && Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text) = text

/// Labels with everything that makes them collide: blanks, long texts, numbers at the end.
let private labels: Gen<string[]> =
    let stem =
        Gen.frequency
            [
                3, Gen.elements [ ""; " "; "2"; "fan"; "fan 2"; " fan"; "fan  3" ]
                1, anyText
            ]

    let long = Gen.choose (58, 66) |> Gen.map (fun length -> String.replicate length "x")

    upTo
        6
        (Gen.frequency
            [
                3, stem
                2, Gen.map2 (+) long (Gen.elements [ ""; " y"; " 2"; "😀"; "😀😀"; "  😀" ])
                1, Gen.map2 (+) long anyText
            ])

/// Each source: how it fails, and what of the sample is its own.
let private sources: (string * (SourceError -> Snapshot -> Snapshot) * (Sample -> Sample)) list =
    [
        "/proc/stat",
        (fun error snapshot -> { snapshot with Stat = Error error }),
        (fun sample ->
            { sample with
                CpuUsage = ValueNone
                CpuUser = ValueNone
                CpuSystem = ValueNone
                CpuIowait = ValueNone
                CpuSteal = ValueNone
                CpuCores = [||]
                CpuCountLogical = ValueNone
            })
        "/proc/meminfo",
        (fun error snapshot -> { snapshot with Memory = Error error }),
        (fun sample ->
            { sample with
                MemoryTotal = ValueNone
                Memory = ValueNone
                SwapTotal = ValueNone
                Swap = ValueNone
            })
        "/proc/loadavg", (fun error snapshot -> { snapshot with Load = Error error }), (fun sample -> { sample with Load = ValueNone })
        "/proc/diskstats", (fun error snapshot -> { snapshot with Disks = Error error }), (fun sample -> { sample with Disks = [||] })
        "/proc/net/dev",
        (fun error snapshot -> { snapshot with Network = Error error }),
        (fun sample ->
            { sample with
                NetworkReceived = ValueNone
                NetworkSent = ValueNone
                Interfaces = [||]
            })
        "/proc/net/snmp",
        (fun error snapshot -> { snapshot with Tcp = Error error }),
        (fun sample ->
            { sample with
                TcpSent = ValueNone
                TcpRetransmitted = ValueNone
            })
        "processes",
        (fun error snapshot ->
            { snapshot with
                Processes = Error error
            }),
        (fun sample -> { sample with ProcessCount = ValueNone })
        "pressure",
        (fun error snapshot ->
            { snapshot with
                CpuPressure = Error error
                IoPressure = Error error
                MemoryPressure = Error error
            }),
        (fun sample -> { sample with Pressure = ValueNone })
    ]

let tests =
    testList
        "Sample"
        [
            lawOfSamples "percentages have one decimal and lie within 0-100" (fun sample -> percentages sample |> List.forall isTenth)
            lawOfSamples "GPU utilisation is a percentage with one decimal within 0-100" (fun sample ->
                sample.Gpus
                |> Seq.collect (fun gpu -> known [ gpu.Utilization; gpu.MemoryUtilization; gpu.Encoder; gpu.Decoder ])
                |> Seq.forall isTenth)
            lawOfSamples "a GPU has at most 32 processes, most memory first, with names of at most 64 characters" (fun sample ->
                sample.Gpus
                |> Seq.collect (fun gpu -> known [ gpu.ComputeProcesses ])
                |> Seq.forall (fun processes ->
                    processes.Length <= 32
                    && processes |> Array.forall (fun p -> isLabel p.Name)
                    && processes
                       |> Array.pairwise
                       |> Array.forall (fun (one, next) ->
                           match one.MemoryUsed, next.MemoryUsed with
                           | ValueSome more, ValueSome less -> more >= less
                           | _, other -> other.IsNone)))
            lawOfSamples "counters are at most 2^63-1" (fun sample -> counters sample |> List.forall (fun n -> n <= largest))
            lawOfSamples "devices, GPU indexes and fan labels are unique and at most 64 characters" (fun sample ->
                let unique (values: 'a[]) = Array.distinct values = values
                let devices = sample.Disks |> Array.map (fun d -> d.Device)
                let fans = sample.Fans |> Array.map (fun f -> f.Label)

                unique devices
                && unique fans
                && unique (sample.Gpus |> Array.map (fun g -> g.Index))
                && Array.forall isLabel devices
                && Array.forall isLabel fans)
            lawOf
                wholeCases
                "labels are made unique as the webapp compares them: trimmed, at most 64 characters, whole characters"
                labels
                (fun labels ->
                    let unique = Sample.uniqueLabels labels

                    noneOf
                        [
                            if unique.Length <> labels.Length then
                                "labels were lost"
                            if Array.distinct (unique |> Array.map (fun label -> label.Trim())) <> unique then
                                $"not unique after trimming: %A{unique}"
                            for label in unique do
                                if not (isLabel label) then
                                    $"not trimmed, too long or not Unicode: %A{label}"
                        ])
            lawOf wholeCases "labels that are good and unique stay as they are" labels (fun labels ->
                let good = labels |> Array.filter isLabel |> Array.distinct
                same (Sample.uniqueLabels good) good)
            lawOfSamples "no figure is NaN or infinite" (fun sample ->
                [
                    yield! percentages sample |> List.map float
                    yield! known [ sample.CpuFrequency ] |> List.map float
                    yield! known [ sample.CpuTemperature ] |> List.map float
                    for load in known [ sample.Load ] do
                        yield! [ load.One; load.Five; load.Fifteen ]
                    for gpu in sample.Gpus do
                        yield! known [ gpu.Utilization; gpu.MemoryUtilization; gpu.FanSpeed ] |> List.map float
                        yield! known [ gpu.Power; gpu.PowerLimit ] |> List.map float
                        yield! known [ gpu.Temperature ] |> List.map float
                ]
                |> List.forall Double.IsFinite)
            lawOf
                wholeCases
                "the instant is that of the reading, in UTC, cut to the microsecond"
                build
                (fun (struct (options, previous, current)) ->
                    let at = (Sample.build options previous current).CollectedAt

                    at.Offset = TimeSpan.Zero
                    && at.Ticks % 10L = 0L
                    && at <= current.At
                    && current.At - at < TimeSpan.FromMicroseconds 1.0)
            lawOfSamples "memory in use and available make the total, unless they do not fit" (fun sample ->
                match sample.MemoryTotal, sample.Memory with
                | ValueSome total, ValueSome m ->
                    m.Used <= total
                    && m.Available <= total
                    && (uint64 total = largest || m.Used + m.Available = total)
                | ValueNone, ValueSome _ -> false
                | _, ValueNone -> true)
            lawOfSamples "swap in use is at most the swap there is" (fun sample ->
                match sample.SwapTotal, sample.Swap with
                | ValueSome total, ValueSome s -> s.Used <= total
                | ValueNone, ValueSome _ -> false
                | _, ValueNone -> true)
            lawOf
                wholeCases
                "tracked disks are the user's in the user's order, or all physical ones"
                build
                (fun (struct (options, previous, current)) ->
                    let sample = Sample.build options previous current
                    let tracked = sample.Disks |> Array.map (fun d -> d.Device)

                    match current.Disks with
                    | Error _ -> tracked = [||]
                    | Ok disks ->
                        let names = disks |> Array.map (fun d -> d.Device) |> Array.distinct

                        let expected =
                            if options.Disks.Length > 0 then
                                options.Disks |> Array.filter (fun name -> Array.contains name names)
                            else
                                names |> Array.filter (Devices.isDisk current.Slow.Devices.Blocks) |> Array.sort

                        same tracked (expected |> Array.map (fun name -> name.Substring(0, min 64 name.Length))))
            lawOf
                wholeCases
                "network totals are the sums over the counted interfaces, at most 2^63-1, and unknown without any or with one that has just come"
                build
                (fun (struct (options, previous, current)) ->
                    let sample = Sample.build options previous current

                    let counted =
                        sample.Interfaces
                        |> Array.map (fun i -> i.Counters)
                        |> Devices.counted current.Slow.Devices.Interfaces options.Interfaces

                    let total (direction: Proc.NetDev.InterfaceCounters -> Proc.NetDev.Traffic) =
                        counted
                        |> Array.sumBy (fun i -> bigint (uint64 (direction i).Bytes))
                        |> min (bigint largest)

                    // The faults of the reading before may be about any line of it.
                    let isKnown =
                        match previous with
                        | ValueSome({ Network = Ok earlier } as before) ->
                            let tracked = (Devices.selectInterfaces options.Interfaces earlier).Tracked
                            let known = before.Slow.Devices.Interfaces
                            let countedBefore = Devices.counted known options.Interfaces tracked

                            countedBefore = [||]
                            || not (Devices.isWhole known options.Interfaces tracked countedBefore before.Faults)
                            || Set.isSubset (counted |> Array.map _.Name |> Set.ofArray) (countedBefore |> Array.map _.Name |> Set.ofArray)
                        | _ -> true

                    match sample.NetworkReceived, sample.NetworkSent with
                    | ValueSome received, ValueSome sent ->
                        isKnown
                        && counted <> [||]
                        && same (bigint (uint64 received)) (total (fun i -> i.Received))
                        && same (bigint (uint64 sent)) (total (fun i -> i.Sent))
                    | received, sent -> (counted = [||] || not isKnown) && received.IsNone && sent.IsNone)
            for name, fail, blank in sources do
                lawOf
                    wholeCases
                    $"{name} failing costs its own fields and nothing else"
                    (Gen.zip build SensorLaws.sourceError)
                    (fun (read, error) ->
                        let struct (options, previous, current) = read
                        let whole = Sample.build options previous current

                        // A GPU without memory of its own has the machine's, so that its figures are those of /proc/meminfo.
                        let told (sample: Sample) =
                            if name = "/proc/meminfo" then
                                { sample with
                                    Gpus = sample.Gpus |> Array.filter (fun gpu -> not gpu.IsMemoryShared)
                                }
                            else
                                sample

                        same (told (Sample.build options previous (fail error current))) (told (blank whole)))
        ]
