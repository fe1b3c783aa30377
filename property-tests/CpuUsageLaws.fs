/// Laws of CPU usage.
module Agent.PropertyTests.CpuUsageLaws

open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Proc
open Expecto
open FsCheck
open FsCheck.FSharp

let private isPercentage (value: float<percent>) =
    value >= 0.0<percent> && value <= 100.0<percent>

/// A reading and a later one in which no column went backwards.
let private growing: Gen<Stat.CpuTimes * Stat.CpuTimes> =
    Gen.arrayOfLength 16 (Gen.choose (0, 1_000_000))
    |> Gen.map (fun n ->
        let ticks i : uint64<tick> =
            LanguagePrimitives.UInt64WithMeasure(uint64 n[i])

        let before: Stat.CpuTimes =
            {
                User = ticks 0
                Nice = ticks 1
                System = ticks 2
                Idle = ticks 3
                Iowait = ticks 4
                Irq = ticks 5
                Softirq = ticks 6
                Steal = ticks 7
                Guest = 0UL<tick>
                GuestNice = 0UL<tick>
            }

        before,
        { before with
            User = before.User + ticks 8
            Nice = before.Nice + ticks 9
            System = before.System + ticks 10
            Idle = before.Idle + ticks 11
            Iowait = before.Iowait + ticks 12
            Irq = before.Irq + ticks 13
            Softirq = before.Softirq + ticks 14
            Steal = before.Steal + ticks 15
            Guest = ticks 8
        })

let private isNear (actual: float<percent>) (expected: float) = abs (float actual - expected) < 1e-6

let tests =
    testList
        "CpuUsage"
        [
            law "whatever the counters, every share lies within 0-100" (Gen.zip StatLaws.times StatLaws.times) (fun (before, after) ->
                let usage = CpuUsage.between before after

                [ usage.Busy; usage.User; usage.System; usage.Iowait; usage.Steal ]
                |> List.forall isPercentage)
            law
                "whatever the counters, busy time and time waiting are at most the whole"
                (Gen.zip StatLaws.times StatLaws.times)
                (fun (a, b) ->
                    let usage = CpuUsage.between a b

                    usage.Busy + usage.Iowait <= 100.000001<percent>
                    && usage.User + usage.System + usage.Steal <= usage.Busy + 0.000001<percent>)
            law "the shares are those of the time that passed" growing (fun (before, after) ->
                let grown (column: Stat.CpuTimes -> uint64<tick>) = float (column after - column before)
                let waiting = grown (fun t -> t.Iowait)
                let idle = grown (fun t -> t.Idle)

                let total =
                    grown (fun t -> t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal)
                    + idle
                    + waiting

                let share part =
                    if total = 0.0 then 0.0 else part / total * 100.0

                let usage = CpuUsage.between before after

                isNear usage.Busy (share (total - idle - waiting))
                && isNear usage.User (share (grown (fun t -> t.User)))
                && isNear usage.System (share (grown (fun t -> t.System)))
                && isNear usage.Iowait (share waiting)
                && isNear usage.Steal (share (grown (fun t -> t.Steal))))
            law "guest time is not counted twice" (Gen.zip3 StatLaws.times StatLaws.times StatLaws.times) (fun (a, b, guests) ->
                same
                    (CpuUsage.between
                        a
                        { b with
                            Guest = guests.Guest
                            GuestNice = guests.GuestNice
                        })
                    (CpuUsage.between a b))
            law "no time passed is no usage, not even of the CPU" StatLaws.times (fun times ->
                same (CpuUsage.between times times) (CpuUsage.between CpuUsage.sinceBoot CpuUsage.sinceBoot)
                && (CpuUsage.between times times).Busy = 0.0<percent>)
            law
                "each CPU has its share, in its order, whoever was plugged in or out"
                (Gen.zip (maybe (StatLaws.stat 5)) (StatLaws.stat 5))
                (fun (before, after) ->
                    let expected =
                        after.Cpus
                        |> Array.map (fun cpu ->
                            let earlier =
                                match before with
                                | ValueSome stat -> stat.Cpus |> Array.tryFind (fun other -> other.Id = cpu.Id)
                                | ValueNone -> None

                            match earlier with
                            | Some other -> (CpuUsage.between other.Times cpu.Times).Busy
                            | None -> (CpuUsage.between CpuUsage.sinceBoot cpu.Times).Busy)

                    let cores = CpuUsage.cores before after
                    same cores expected && Array.forall isPercentage cores)
        ]
