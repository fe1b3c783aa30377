/// Laws of limits: whatever is sent when, nobody gets more than his share, and whoever waits as long as he is told gets it.
module Agent.PropertyTests.Dashboard.LimitLaws

open System
open Agent.Receiver
open Agent.PropertyTests.Dashboard.Reports
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// Limits so small that a few hundred requests reach each of them.
let private small: ServerLimits =
    {
        Samples = { Rate = 1.0; Capacity = 100.0 }
        SampleBurst = { Rate = 5.0; Capacity = 20.0 }
        Bytes = { Rate = 100.0; Capacity = 20000.0 }
        ByteBurst = { Rate = 1000.0; Capacity = 5000.0 }
        Layouts = { Rate = 1.0; Capacity = 10.0 }
        Jobs = { Rate = 1.0; Capacity = 10.0 }
        Events = { Rate = 1.0; Capacity = 10.0 }
        Devices = 8
    }

let private longestBody = 1500

/// Requests: milliseconds from each to the next, and how long its body is.
let private requests: Gen<(int * int)[]> =
    Gen.zip (Gen.frequency [ 8, Gen.choose (0, 50); 2, Gen.choose (0, 3000); 1, Gen.choose (0, 100_000) ]) (Gen.choose (0, longestBody))
    |> Gen.listOfLength 400
    |> Gen.map Array.ofList

/// The instants, in seconds, and lengths of those that were admitted.
let private admitted (limits: ServerLimits) (requests: (int * int)[]) : (float * int)[] =
    let mutable now = TimeSpan.Zero
    let mutable allowance = Allowance.full limits now

    [|
        for gap, length in requests do
            now <- now + TimeSpan.FromMilliseconds(float gap)
            let struct (after, wait) = Allowance.admit limits now allowance
            allowance <- after

            if wait = TimeSpan.Zero then
                allowance <- Allowance.charge length allowance
                now.TotalSeconds, length
    |]

/// Whether no stretch of time has more in it than a bucket lets through, and what one request may overdraw.
let private isWithin (size: BucketSize) (overdraft: float) (taken: (float * float)[]) : bool =
    let sums = taken |> Array.map snd |> Array.scan (+) 0.0

    seq {
        for first in 0 .. taken.Length - 1 do
            for last in first .. taken.Length - 1 do
                let seconds = fst taken[last] - fst taken[first]

                sums[last + 1] - sums[first]
                <= size.Capacity + size.Rate * seconds + overdraft + 1e-6
    }
    |> Seq.forall id

/// What is taken and given back of shares: a holder, and an amount; below zero it is given back.
let private moves: Gen<(int * int64)[]> =
    Gen.zip (Gen.choose (0, 5)) (Gen.choose64 (-40L, 40L))
    |> Gen.listOfLength 100
    |> Gen.map Array.ofList

let private namesOf (report: Report) : Set<string> =
    Set.ofSeq (
        seq {
            for disk in report.Disks -> "disk " + disk.Device
            for gpu in report.Gpus -> $"gpu {gpu.Index} {gpu.Name} {gpu.Uuid}"
            for fan in report.Fans -> "fan " + fan.Label

            for kind in 0 .. Details.all.Length - 1 do
                if Details.all[kind].IsNamed then
                    for device in report.Details[kind] -> $"{Details.all[kind].Name} {device.Name}"
        }
    )

let tests =
    testList
        "Limits"
        [
            lawOf (wholeCases / 10) "in no stretch of time are more samples taken than the limits let through" requests (fun requests ->
                let ones = admitted small requests |> Array.map (fun (at, _) -> at, 1.0)

                isWithin small.Samples 0.0 ones && isWithin small.SampleBurst 0.0 ones)

            lawOf (wholeCases / 10) "nor more bytes, but for the body that overdraws" requests (fun requests ->
                let bytes = admitted small requests |> Array.map (fun (at, length) -> at, float length)

                isWithin small.Bytes (float longestBody) bytes
                && isWithin small.ByteBurst (float longestBody) bytes)

            lawOf wholeCases "whoever waits as long as he is told is admitted" requests (fun requests ->
                let mutable now = TimeSpan.Zero
                let mutable allowance = Allowance.full small now
                let mutable holds = true

                for gap, length in requests do
                    now <- now + TimeSpan.FromMilliseconds(float gap)
                    let struct (after, wait) = Allowance.admit small now allowance

                    if wait > TimeSpan.Zero then
                        now <- now + TimeSpan.FromSeconds(float (Allowance.retryAfter wait))
                        let struct (later, second) = Allowance.admit small now after
                        holds <- holds && (second = TimeSpan.Zero || wait > TimeSpan.FromSeconds 600.0)
                        allowance <- Allowance.charge length later
                    else
                        allowance <- Allowance.charge length after

                holds)

            lawOf wholeCases "a clock that goes back gives nothing" requests (fun requests ->
                let start = TimeSpan.FromHours 1.0
                let mutable allowance = Allowance.full small start
                let mutable taken = 0

                for gap, _ in requests do
                    let struct (after, wait) =
                        Allowance.admit small (start - TimeSpan.FromMilliseconds(float gap)) allowance

                    allowance <- after
                    taken <- taken + (if wait = TimeSpan.Zero then 1 else 0)

                taken = 20)

            lawOf wholeCases "nobody holds more than a share, nor all together more than there is, and nothing is lost" moves (fun moves ->
                let shares = Shares<string>(100L, 40L)
                let held: int64[] = Array.zeroCreate 6
                let mutable holds = true

                for holder, amount in moves do
                    if amount >= 0L then
                        let fits = held[holder] + amount <= 40L && Array.sum held + amount <= 100L
                        holds <- holds && shares.TryTake(string holder, amount) = fits
                        held[holder] <- held[holder] + (if fits then amount else 0L)
                    else
                        let back = min (held[holder]) (-amount)
                        shares.Return(string holder, back)
                        held[holder] <- held[holder] - back

                    holds <- holds && shares.All = Array.sum held

                held |> Array.iteri (fun holder amount -> shares.Return(string holder, amount))

                holds && shares.All = 0L && shares.Holders = 0)

            lawOf
                wholeCases
                "no more devices are known than may be, those of the sample before stay, and nothing is made up"
                (Gen.listOfLength 12 (Gen.zip report (Gen.choose (0, 90))))
                (fun reports ->
                    let known = KnownDevices 8
                    let mutable now = TimeSpan.Zero
                    let mutable before = Set.empty
                    let mutable holds = true

                    for report, minutes in reports do
                        now <- now + TimeSpan.FromMinutes(float minutes)
                        let struct (kept, leftOut) = known.Admit(report, now)
                        let all, some = namesOf report, namesOf kept

                        holds <-
                            holds
                            && known.Count <= 8
                            && Set.isSubset some all
                            && some.Count + leftOut = all.Count
                            && (minutes >= 60 || Set.isSubset (Set.intersect before all) some)

                        before <- some

                    holds)

            lawOf
                wholeCases
                "a choice of devices and what it leaves out are all there are"
                (Gen.zip (Gen.listOfLength 6 report) (Gen.choose (1, 20)))
                (fun (reports, most) ->
                    let census = DeviceCensus()
                    let layouts = reports |> List.map Layout.ofReport

                    for layout in layouts do
                        census.See(layout, 1L)

                    let choice = census.Choose most
                    let chosen = choice.Devices
                    let count = chosen.Disks.Length + chosen.Gpus.Length + chosen.Fans.Length
                    let all = layouts |> List.fold Rollup.joinLayouts Layout.empty

                    count = min most census.Count
                    && count + choice.LeftOut = all.Disks.Length + all.Gpus.Length + all.Fans.Length
                    && Array.forall (fun disk -> Array.contains disk all.Disks) chosen.Disks
                    && Array.forall (fun gpu -> Array.contains gpu all.Gpus) chosen.Gpus
                    && Array.forall (fun fan -> Array.contains fan all.Fans) chosen.Fans)

            lawOf
                wholeCases
                "however many figures there are, an axis has no more cells than may be, and still covers all of its time"
                (Gen.zip
                    (Gen.zip time (Gen.choose64 (60_000_000L, 20_160L * 60_000_000L)))
                    (Gen.zip (Gen.choose (0, 5000)) (Gen.choose (29, 2077))))
                (fun ((from, length), (samples, slots)) ->
                    let check (axis: Axis) =
                        let narrow = Axis.within slots axis

                        narrow.Count * slots <= 200_000
                        && (narrow.Step = 0L
                            || narrow.Start + int64 narrow.Count * narrow.Step > from + length)

                    check (Axis.ofMinutes from (from + length))
                    && check (Axis.ofSamples from (from + length) samples))
        ]
