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

/// A file that tells nothing, to be filled in.
let private nothing: Stat.CpuStat =
    {
        Total = ValueNone
        Cpus = [||]
        Online = ValueNone
        BootTime = ValueNone
        ContextSwitches = ValueNone
        Forks = ValueNone
        Interrupts = ValueNone
        Running = ValueNone
        Blocked = ValueNone
    }

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

/// What may become of a CPU between two readings.
[<RequireQualifiedAccess>]
type private Fate =
    | Stays
    | Comes
    | Goes
    | Garbled
    | Resets

let private fates = [ Fate.Stays; Fate.Stays; Fate.Comes; Fate.Goes; Fate.Garbled; Fate.Resets ]

/// By the rule of docs/sources.md: nothing falls by more than two ticks; but iowait may by as much as idle grew, give or take a tick.
let private isContinued (before: Stat.CpuTimes) (after: Stat.CpuTimes) : bool =
    let fall (column: Stat.CpuTimes -> uint64<tick>) =
        bigint (uint64 (column before)) - bigint (uint64 (column after))

    [
        fall _.User
        fall _.Nice
        fall _.System
        fall _.Idle
        fall _.Irq
        fall _.Softirq
        fall _.Steal
    ]
    |> List.forall (fun fallen -> fallen <= 2I)
    && (fall _.Iowait <= 2I || fall _.Iowait <= 1I - fall _.Idle)

let private known (values: 'a voption[]) =
    values |> Array.choose ValueOption.toOption

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
                "each CPU has its share, in its order, or none when it came or its counters fell"
                (Gen.zip (maybe (StatLaws.stat 5)) (StatLaws.stat 5))
                (fun (before, after) ->
                    let expected =
                        after.Cpus
                        |> Array.map (fun cpu ->
                            match before with
                            | ValueNone -> ValueSome (CpuUsage.between CpuUsage.sinceBoot cpu.Times.Value).Busy
                            | ValueSome stat ->
                                match stat.Cpus |> Array.tryFind (fun other -> other.Id = cpu.Id) with
                                | Some other when isContinued other.Times.Value cpu.Times.Value ->
                                    ValueSome (CpuUsage.between other.Times.Value cpu.Times.Value).Busy
                                | _ -> ValueNone)

                    let cores = CpuUsage.cores ValueNone before after
                    same cores expected && Array.forall isPercentage (known cores))
            law
                "what becomes of some CPUs, and of the line of all, leaves the others' time as the usage"
                (Gen.zip (Gen.arrayOfLength 6 (Gen.zip growing (Gen.elements fates))) (Gen.two StatLaws.times))
                (fun (cpus, (totalBefore, totalAfter)) ->
                    let statOf total lines : Stat.CpuStat =
                        { nothing with
                            Total = ValueSome total
                            Cpus = lines |> Array.choose id
                            Online = ValueNone
                        }

                    let line id times : Stat.CpuLine option = Some { Id = id; Times = times }

                    let before, after =
                        cpus
                        |> Array.mapi (fun id ((before, after), fate) ->
                            match fate with
                            | Fate.Stays -> line id (ValueSome before), line id (ValueSome after)
                            | Fate.Comes -> None, line id (ValueSome after)
                            | Fate.Goes -> line id (ValueSome before), None
                            | Fate.Garbled -> line id (ValueSome before), line id ValueNone
                            | Fate.Resets ->
                                line
                                    id
                                    (ValueSome
                                        { after with
                                            Idle = after.Idle + 3UL<tick>
                                        }),
                                line id (ValueSome after))
                        |> Array.unzip

                    let staying = cpus |> Array.filter (fun (_, fate) -> fate = Fate.Stays) |> Array.map fst

                    // One CPU at the least has another fate, so that the line of all is not to be trusted.
                    staying.Length = cpus.Length
                    || (let usage = CpuUsage.since ValueNone (statOf totalBefore before) (statOf totalAfter after)

                        match usage with
                        | ValueNone -> staying.Length = 0
                        | ValueSome usage ->
                            let sum (column: Stat.CpuTimes -> uint64<tick>) =
                                staying
                                |> Array.sumBy (fun (before, after) -> float (column after - column before))

                            let idle = sum (fun t -> t.Idle) + sum (fun t -> t.Iowait)

                            let all = idle + sum (fun t -> t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal)

                            staying.Length > 0
                            && isNear usage.Busy (if all = 0.0 then 0.0 else (all - idle) / all * 100.0)))
            law
                "a CPU that leaps beyond the time that passed leaves the usage to the others, and none of it is 100 for that"
                (Gen.zip3 (Gen.arrayOfLength 4 growing) (Gen.choose (0, 3)) (Gen.choose64 (1L <<< 40, System.Int64.MaxValue)))
                (fun (cpus, place, leap) ->
                    let statOf
                        (pick: Stat.CpuTimes * Stat.CpuTimes -> Stat.CpuTimes)
                        (change: Stat.CpuTimes -> Stat.CpuTimes)
                        : Stat.CpuStat =
                        { nothing with
                            Total = ValueSome(change (pick cpus[place]))
                            Cpus =
                                cpus
                                |> Array.mapi (fun id cpu ->
                                    {
                                        Id = id
                                        Times = ValueSome(if id = place then change (pick cpu) else pick cpu)
                                    })
                            Online = ValueSome 4
                        }

                    let leaping (times: Stat.CpuTimes) =
                        { times with
                            Steal = times.Steal + LanguagePrimitives.UInt64WithMeasure(uint64 leap)
                        }

                    // A million ticks of each of eight columns, at most.
                    let elapsed = ValueSome 80_000.0<s>
                    let before, after = statOf fst id, statOf snd leaping

                    let others (stat: Stat.CpuStat) =
                        { stat with
                            Total = ValueNone
                            Cpus = Array.removeAt place stat.Cpus
                        }

                    let cores = CpuUsage.cores elapsed (ValueSome before) after

                    cores[place].IsNone
                    && same (Array.removeAt place cores) (CpuUsage.cores elapsed (ValueSome(others before)) (others after))
                    && same (CpuUsage.since elapsed before after) (CpuUsage.since elapsed (others before) (others after)))
            law
                "while the same CPUs go on, the usage is that of the line of all"
                (Gen.zip growing (Gen.arrayOfLength 3 growing))
                (fun (total, cpus) ->
                    let statOf (pick: Stat.CpuTimes * Stat.CpuTimes -> Stat.CpuTimes) : Stat.CpuStat =
                        { nothing with
                            Total = ValueSome(pick total)
                            Cpus = cpus |> Array.mapi (fun id cpu -> { Id = id; Times = ValueSome(pick cpu) })
                            Online = ValueSome 3
                        }

                    same (CpuUsage.since ValueNone (statOf fst) (statOf snd)) (ValueSome(CpuUsage.between (fst total) (snd total))))
        ]
