/// The limits of servers as they are where nobody asks for others, and what a history may hold. Figures are written out, so that a limit that is
/// changed fails here.
module Agent.Receiver.Tests.QuotaTests

open System
open System.Text.Json
open Agent.Core
open Agent.Core.Gpu
open Agent.Receiver
open Expecto

let private seconds (count: float) = TimeSpan.FromSeconds count

/// How many samples in a row are admitted at one instant.
let private atOnce (limits: ServerLimits) (now: TimeSpan) (allowance: Allowance) : int * Allowance =
    let rec go count allowance =
        let struct (after, wait) = Allowance.admit limits now allowance

        if wait > TimeSpan.Zero then
            count, after
        else
            go (count + 1) after

    go 0 allowance

let private limitTests =
    [
        testCase "a server may send 30,000 samples at once, 500 a second after that, and 86,400 before it is down to ten a second"
        <| fun () ->
            let limits = ServerLimits.standard
            let first, allowance = atOnce limits TimeSpan.Zero (Allowance.full limits TimeSpan.Zero)
            Expect.equal first 30_000 "at once"
            let second, allowance = atOnce limits (seconds 1.0) allowance
            Expect.equal second 500 "a second later"
            let third, allowance = atOnce limits (seconds 61.0) allowance
            Expect.equal third 30_000 "a minute later"
            let fourth, allowance = atOnce limits (seconds 121.0) allowance
            // 86,400 and ten for each of 121 s, less what was taken.
            Expect.equal fourth (86_400 + 1210 - 60_500) "the rest"
            let fifth, _ = atOnce limits (seconds 122.0) allowance
            Expect.equal fifth 10 "a second later"

        testCase "of bytes it may send 128 KiB a second, a gibibyte after a silence, 120 MiB of them at once"
        <| fun () ->
            let limits = ServerLimits.standard
            Expect.equal (limits.Bytes.Rate, limits.Bytes.Capacity) (131072.0, 1073741824.0) "in the long run"
            Expect.equal (limits.ByteBurst.Rate, limits.ByteBurst.Capacity) (2097152.0, 125829120.0) "within a minute"

            let overdrawn =
                Allowance.full limits TimeSpan.Zero
                |> Allowance.charge 125829120
                |> Allowance.charge 2097152

            let struct (_, wait) = Allowance.admit limits TimeSpan.Zero overdrawn
            Expect.equal (Allowance.retryAfter wait) 2 "a second for what is overdrawn, and a moment"

        testCase "limits grow with the options"
        <| fun () ->
            let limits = ServerLimits.ofRates 20 256 1000
            Expect.equal (limits.Samples.Rate, limits.Samples.Capacity) (20.0, 172800.0) "samples"
            Expect.equal (limits.SampleBurst.Rate, limits.SampleBurst.Capacity) (1000.0, 60000.0) "samples within a minute"
            Expect.equal (limits.Bytes.Rate, limits.ByteBurst.Rate, limits.Devices) (262144.0, 4194304.0, 1000) "bytes and devices"

        testCase "Retry-After is from a second to ten minutes"
        <| fun () ->
            Expect.equal
                ([ 0.001; 1.0; 1.001; 599.5; 3600.0 ]
                 |> List.map (seconds >> Allowance.retryAfter))
                [ 1; 1; 2; 600; 600 ]
                "seconds"
    ]

let private withFans (labels: string list) : Report =
    {
        CollectedAt = DateTimeOffset.UnixEpoch
        Machine = Schema.empty Schema.machine
        Disks = [||]
        Gpus = [||]
        Details = Details.none
        Fans =
            labels
            |> List.map (fun label ->
                {
                    Label = label
                    Figures = Schema.empty Schema.fan
                })
            |> Array.ofList
    }

let private deviceTests =
    [
        testCase "a device that was in no sample for an hour makes room for a new one, and not before"
        <| fun () ->
            let known = KnownDevices 2

            let labels (minutes: float) names =
                let struct (kept, leftOut) = known.Admit(withFans names, TimeSpan.FromMinutes minutes)
                kept.Fans |> Array.map _.Label |> List.ofArray, leftOut

            Expect.equal (labels 0.0 [ "a"; "b" ]) ([ "a"; "b" ], 0) "two"
            Expect.equal (labels 10.0 [ "b"; "c" ]) ([ "b" ], 1) "a third is one too many"
            Expect.equal (labels 59.9 [ "b"; "c" ]) ([ "b" ], 1) "just before the hour is over"
            Expect.equal (labels 60.0 [ "b"; "c" ]) ([ "b"; "c" ], 0) "a is forgotten"
            Expect.equal (labels 61.0 [ "a"; "b" ]) ([ "b" ], 1) "and new when it comes back"
    ]

/// As many GPUs as a history shows, with figures as long as they get, in every bucket of an axis.
let private full (axis: Axis) : History =
    let layout =
        {
            Disks = [||]
            Gpus =
                Array.init 256 (fun index ->
                    {
                        Index = index
                        Name = String('n', 64)
                        Uuid = $"{index}" + String('u', 60)
                    })
            Fans = [||]
            Details = Details.noNames
        }

    let history =
        History(Axis.within (Series.slots layout) axis, ValueSome { Devices = layout; LeftOut = 7 })

    let inputs =
        let sample = Derivation.measure (withFans [])
        Bottleneck.inputsOf sample.Sample (Derived.from ValueNone sample.Sample)

    for minute in 0 .. int ((axis.To - axis.From) / 60_000_000L) do
        history.Add(
            layout,
            {
                At = axis.From + int64 minute * 60_000_000L
                Values = Array.init (Series.slots layout) (fun slot -> -1.2345678901234567e300 * float (1 + slot % 7 + minute % 5))
                // Each time other reasons, and all of them.
                Throttle = Array.create 256 (Int64.MaxValue - int64 minute)
                Details = [||]
                Label = minute % 2
                Covers = 60.0
            },
            inputs,
            VerdictPoint.none
        )

    history

let private historyTests =
    [
        testCase "the longest answer about 256 GPUs stays within 32 MiB"
        <| fun () ->
            // As many buckets as there may be, and the longest range.
            for minutes in [ 95L; 20160L ] do
                let from = 1_000_000_000L * 60L
                let axis = Axis.ofMinutes from (from + minutes * 60_000_000L)
                let output = Buffers.ArrayBufferWriter<byte>()
                Responses.historyInto output "one" (full axis)
                printfn $"{minutes} minutes of 256 GPUs: {output.WrittenCount >>> 20} MiB"
                Expect.isLessThanOrEqual output.WrittenCount (32 <<< 20) "bytes"
                use document = JsonDocument.Parse output.WrittenMemory
                Expect.equal (document.RootElement.GetProperty("gpus").GetArrayLength()) 256 "GPUs"
                Expect.equal (document.RootElement.GetProperty("devices_left_out").GetInt32()) 7 "left out"

        testCase "the busiest devices are chosen, and of those that do nothing the ones that are there most"
        <| fun () ->
            let layout disks : Layout =
                {
                    Disks = disks
                    Gpus = [||]
                    Fans = [||]
                    Details = Details.noNames
                }

            let census = DeviceCensus()
            let all = layout [| "idle"; "busy"; "seldom"; "often" |]
            census.See(all, 1L)
            census.See(layout [| "often" |], 5L)
            let values = Array.create (Series.slots all) nan
            // util_percent is the last of a disk's five figures.
            values[Series.firstOfDisk 1 + 4] <- 80.0
            census.Look(all, values)
            let choice = census.Choose 2
            Expect.equal (choice.Devices.Disks, choice.LeftOut) ([| "busy"; "often" |], 2) "two of four"
    ]

[<Tests>]
let tests =
    testList
        "Quotas"
        [
            testList "servers" limitTests
            testList "devices" deviceTests
            testList "histories" historyTests
        ]
