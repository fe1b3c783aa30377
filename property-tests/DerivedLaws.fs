/// Laws of rates and roll-ups.
module Agent.PropertyTests.DerivedLaws

open System
open Agent.Core
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Snapshots
open Expecto
open FsCheck
open FsCheck.FSharp

let private known (values: 'a voption list) =
    values |> List.choose ValueOption.toOption

let private percentages (derived: Derived) =
    [
        derived.DiskUtilization
        derived.DiskUtilizationMean
        yield! known [ derived.TopGpuMemory; derived.MeanGpuMemory ]
        for disk in derived.Disks do
            disk.Utilization
    ]

let private rates (derived: Derived) : float list =
    [
        yield!
            [
                derived.DiskRead
                derived.DiskWritten
                derived.NetworkReceived
                derived.NetworkSent
            ]
            |> List.map float
        yield! [ derived.DiskReadOps; derived.DiskWriteOps ] |> List.map float
        for disk in derived.Disks do
            yield! [ float disk.Read; float disk.Written; float disk.ReadOps; float disk.WriteOps ]
    ]

/// Two samples of one disk and one network, with counters of all sizes that may go backwards.
let private oneDisk: Gen<Sample * Sample> =
    gen {
        let! _, sample = samples
        let! elapsed = Gen.oneof [ Gen.choose64 (1L, 1000L); Gen.choose64 (1_000L, 86_400_000_000L) ]
        let! numbers = Gen.arrayOfLength 14 (Gen.map (min (uint64 Int64.MaxValue)) counter)

        let at first (instant: DateTimeOffset) : Sample =
            let bytes i =
                LanguagePrimitives.UInt64WithMeasure numbers[first + i]

            { sample with
                CollectedAt = instant
                Disks =
                    [|
                        {
                            Device = "sda"
                            Reads = ValueSome numbers[first]
                            ReadBytes = ValueSome(bytes 1)
                            Writes = ValueSome(numbers[first + 2])
                            WrittenBytes = ValueSome(bytes 3)
                            BusyTime = ValueSome(LanguagePrimitives.UInt64WithMeasure numbers[first + 4])
                            Detail = ValueNone
                        }
                    |]
                NetworkReceived = ValueSome(bytes 5)
                NetworkSent = ValueSome(bytes 6)
            }

        return at 0 sample.CollectedAt, at 7 (sample.CollectedAt.AddTicks(elapsed * 10L))
    }

/// max(0, after - before) / seconds in decimal arithmetic.
let private rate (before: uint64) (after: uint64) (seconds: decimal) =
    float (max 0m (decimal after - decimal before) / seconds)

let private isNear (actual: float) (expected: float) =
    abs (actual - expected) <= 1e-9 * max 1.0 (abs expected)

let private topAndMean (top: float voption) (mean: float voption) (values: float[]) =
    if values.Length = 0 then
        top.IsNone && mean.IsNone
    else
        top = ValueSome(Array.max values)
        && mean.IsSome
        && isNear mean.Value (Array.sum values / float values.Length)

let tests =
    testList
        "Derived"
        [
            lawOf wholeCases "percentages lie within 0-100, whatever the counters and the clock" samples (fun (previous, current) ->
                percentages (Derived.from previous current)
                |> List.forall (fun p -> p >= 0.0<percent> && p <= 100.0<percent>))
            lawOf wholeCases "GPU roll-ups lie within 0-100" samples (fun (previous, current) ->
                let derived = Derived.from previous current

                known [ derived.TopGpuUtilization; derived.MeanGpuUtilization ]
                |> List.forall (fun p -> p >= 0.0<percent> && p <= 100.0<percent>))
            lawOf wholeCases "rates are finite and never negative, whatever the counters and the clock" samples (fun (previous, current) ->
                rates (Derived.from previous current)
                |> List.forall (fun rate -> Double.IsFinite rate && rate >= 0.0))
            lawOf
                wholeCases
                "without a sample before, or with one that is not earlier, there is no interval and every rate is 0"
                samples
                (fun (previous, current) ->
                    let derived = Derived.from previous current

                    match previous with
                    | ValueSome previous when previous.CollectedAt < current.CollectedAt ->
                        derived.Interval.IsSome
                        && isNear (float derived.Interval.Value) (current.CollectedAt - previous.CollectedAt).TotalSeconds
                    | _ ->
                        derived.Interval.IsNone
                        && rates derived |> List.forall (fun rate -> rate = 0.0)
                        && derived.DiskUtilization = 0.0<percent>)
            lawOf
                wholeCases
                "each rate is the growth of its own counter per second, and 0 for one that went backwards"
                oneDisk
                (fun (previous, current) ->
                    let derived = Derived.from (ValueSome previous) current
                    let seconds = decimal (current.CollectedAt - previous.CollectedAt).Ticks / 10_000_000m
                    let before = previous.Disks[0]
                    let after = current.Disks[0]
                    let disk = derived.Disks[0]

                    let busy =
                        rate (uint64 before.BusyTime.Value) (uint64 after.BusyTime.Value) (seconds * 1000m)
                        * 100.0

                    isNear (float disk.Read) (rate (uint64 before.ReadBytes.Value) (uint64 after.ReadBytes.Value) seconds)
                    && isNear (float disk.Written) (rate (uint64 before.WrittenBytes.Value) (uint64 after.WrittenBytes.Value) seconds)
                    && isNear (float disk.ReadOps) (rate before.Reads.Value after.Reads.Value seconds)
                    && isNear (float disk.WriteOps) (rate before.Writes.Value after.Writes.Value seconds)
                    && isNear (float disk.Utilization) (min 100.0 busy)
                    && isNear
                        (float derived.NetworkReceived)
                        (rate (uint64 previous.NetworkReceived.Value) (uint64 current.NetworkReceived.Value) seconds)
                    && isNear
                        (float derived.NetworkSent)
                        (rate (uint64 previous.NetworkSent.Value) (uint64 current.NetworkSent.Value) seconds))
            lawOf wholeCases "a disk that was not there before has rate 0" samples (fun (previous, current) ->
                let before =
                    match previous with
                    | ValueSome sample -> sample.Disks |> Array.map (fun disk -> disk.Device)
                    | ValueNone -> [||]

                let derived = Derived.from previous current

                same (derived.Disks |> Array.map (fun disk -> disk.Device)) (current.Disks |> Array.map (fun disk -> disk.Device))
                && derived.Disks
                   |> Array.forall (fun disk ->
                       Array.contains disk.Device before
                       || (disk.Read = 0.0<B / s> && disk.Utilization = 0.0<percent>)))
            lawOf wholeCases "roll-ups are the sums, the highest and the mean of what they roll up" samples (fun (previous, current) ->
                let derived = Derived.from previous current
                let plain (value: float<'u> voption) = value |> ValueOption.map float

                let ofGpus value =
                    current.Gpus |> Array.choose (value >> ValueOption.toOption) |> Array.map float

                let busy = derived.Disks |> Array.map (fun disk -> float disk.Utilization)

                isNear (float derived.DiskRead) (derived.Disks |> Array.sumBy (fun disk -> float disk.Read))
                && isNear (float derived.DiskWritten) (derived.Disks |> Array.sumBy (fun disk -> float disk.Written))
                && isNear (float derived.DiskReadOps) (derived.Disks |> Array.sumBy (fun disk -> float disk.ReadOps))
                && isNear (float derived.DiskWriteOps) (derived.Disks |> Array.sumBy (fun disk -> float disk.WriteOps))
                && (if busy.Length = 0 then
                        derived.DiskUtilization = 0.0<percent>
                        && derived.DiskUtilizationMean = 0.0<percent>
                    else
                        topAndMean (ValueSome(float derived.DiskUtilization)) (ValueSome(float derived.DiskUtilizationMean)) busy)
                && topAndMean (plain derived.TopGpuUtilization) (plain derived.MeanGpuUtilization) (ofGpus (fun gpu -> gpu.Utilization))
                && topAndMean (plain derived.TopGpuMemory) (plain derived.MeanGpuMemory) (ofGpus (fun gpu -> gpu.MemoryPercent))
                && topAndMean (plain derived.FastestFan) (plain derived.MeanFan) (current.Fans |> Array.map (fun fan -> float fan.Speed)))
        ]
