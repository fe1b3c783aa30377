/// Laws of `/proc/stat`.
module Agent.PropertyTests.Proc.StatLaws

open Agent.Core
open Agent.Sender
open Agent.Core.Proc
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private ticks (value: uint64) : uint64<tick> =
    LanguagePrimitives.UInt64WithMeasure value

let private timesOf (columns: uint64[]) : Stat.CpuTimes =
    let column i =
        if i < columns.Length then ticks columns[i] else 0UL<tick>

    {
        User = column 0
        Nice = column 1
        System = column 2
        Idle = column 3
        Iowait = column 4
        Irq = column 5
        Softirq = column 6
        Steal = column 7
        Guest = column 8
        GuestNice = column 9
    }

let private lineOf id times : Stat.CpuLine = { Id = id; Times = ValueSome times }

/// Times in every column.
let times: Gen<Stat.CpuTimes> = Gen.arrayOfLength 10 counter |> Gen.map timesOf

/// Numbers of CPUs that are on-line, with gaps.
let private cpuIds most =
    upTo most (Gen.choose (0, 3))
    |> Gen.map (fun gaps -> gaps |> Array.scan (fun id gap -> id + 1 + gap) -1 |> Array.skip 1)

/// A reading of up to that many CPUs.
let stat (most: int) : Gen<Stat.CpuStat> =
    gen {
        let! total = times
        let! ids = cpuIds most

        let! cpus =
            ids
            |> Gen.collectToArray (fun id -> times |> Gen.map (fun times -> lineOf id times))

        let! boot = maybe (Gen.choose64 (0L, 4_000_000_000L))

        return
            {
                Total = ValueSome total
                Cpus = cpus
                Online = if cpus.Length > 0 then ValueSome cpus.Length else ValueNone
                BootTime = boot |> ValueOption.map LanguagePrimitives.Int64WithMeasure
                ContextSwitches = ValueNone
                Forks = ValueNone
                Interrupts = ValueNone
                Running = ValueNone
                Blocked = ValueNone
            }
    }

let private texts (columnCounts: int list) : Gen<Rendered<Stat.CpuStat>> =
    gen {
        let! width = Gen.elements columnCounts
        let! ids = cpuIds 3
        let! total = Gen.arrayOfLength width counter
        let! cpus = Gen.arrayOfLength ids.Length (Gen.arrayOfLength width counter)
        let! boot = maybe (Gen.choose64 (-1L, 4_000_000_000L))

        let! others =
            upTo
                3
                (Gen.elements
                    [
                        "ctxt 1990473"
                        "processes 2915"
                        "procs_running 3"
                        "procs_blocked 0"
                        "softirq 183433 0 21755"
                        "page 5741 1808"
                    ])

        let among line (number: uint64) =
            if Array.contains line others then
                ValueSome number
            else
                ValueNone

        let row (columns: uint64[]) =
            columns |> Array.map string |> String.concat " "

        return
            {
                Value =
                    {
                        Total = ValueSome(timesOf total)
                        Online = if ids.Length > 0 then ValueSome ids.Length else ValueNone
                        Cpus = Array.map2 (fun id columns -> lineOf id (timesOf columns)) ids cpus
                        BootTime = boot |> ValueOption.map LanguagePrimitives.Int64WithMeasure
                        ContextSwitches = among "ctxt 1990473" 1990473UL
                        Forks = among "processes 2915" 2915UL
                        Interrupts = ValueSome 114930548UL
                        Running = among "procs_running 3" 3UL
                        Blocked = among "procs_blocked 0" 0UL
                    }
                Lines =
                    [|
                        "cpu  " + row total
                        yield! Array.map2 (fun id columns -> $"cpu{id} {row columns}") ids cpus
                        "intr 114930548 113199788 3 0 5"
                        yield! others
                        match boot with
                        | ValueSome seconds -> $"btime {seconds}"
                        | ValueNone -> ()
                    |]
            }
    }

let private parse (text: System.ReadOnlyMemory<byte>) = Stat.parse text.Span

let private format columnCounts =
    ParserLaws.formatOfLines (texts columnCounts) parse (fun part whole ->
        part.Total = whole.Total
        && part.Cpus = whole.Cpus
        && ParserLaws.isUnknownOr whole.BootTime part.BootTime
        && ParserLaws.isUnknownOr whole.ContextSwitches part.ContextSwitches
        && ParserLaws.isUnknownOr whole.Forks part.Forks
        && ParserLaws.isUnknownOr whole.Interrupts part.Interrupts
        && ParserLaws.isUnknownOr whole.Running part.Running
        && ParserLaws.isUnknownOr whole.Blocked part.Blocked)

let tests =
    testList
        "Proc.Stat"
        [
            yield! ParserLaws.all (format [ 4; 5; 7; 8; 9; 10 ])
            ParserLaws.extraColumns (format [ 10 ]) (fun _ _ -> true) word
            ParserLaws.unknownLines
                (format [ 4; 10 ])
                (fun text -> 1 + text.Value.Cpus.Length)
                (Gen.map2 (fun name number -> $"x{name} {number}") word counter)
            law
                "a garbled CPU line costs the times of that CPU: it is still counted, and the others are as they were"
                (Gen.zip (texts [ 4; 10 ] |> Gen.filter (fun text -> text.Value.Cpus.Length > 0)) (Gen.choose (0, 1000)))
                (fun (text, choice) ->
                    let place = choice % text.Value.Cpus.Length
                    let lines = Array.copy text.Lines
                    lines[place + 1] <- $"cpu{text.Value.Cpus[place].Id} 12 0x3 4 5"

                    match parse (System.ReadOnlyMemory(bytesOf lines)) with
                    | Error error -> failtestf "%O" error
                    | Ok parsed ->
                        same
                            parsed.Value
                            { text.Value with
                                Cpus =
                                    text.Value.Cpus
                                    |> Array.mapi (fun i cpu -> if i = place then { cpu with Times = ValueNone } else cpu)
                            }
                        && same (parsed.Faults |> Array.map (fun fault -> fault.Line, fault.Field)) [| place + 2, "nice" |])
            law
                "a text that is cut behind its CPUs still has all of them; one that is cut among them does not say how many there are"
                (Gen.zip (texts [ 10 ]) (Gen.choose (0, 100_000)))
                (fun (text, cut) ->
                    let whole = bytesOf text.Lines
                    // And the first letter of what follows.
                    let ofCpus = (bytesOf text.Lines[.. text.Value.Cpus.Length]).Length + 1

                    let length =
                        (bytesOf text.Lines[..0]).Length
                        + cut % (whole.Length - (bytesOf text.Lines[..0]).Length)

                    match parse (System.ReadOnlyMemory(whole, 0, length)) with
                    | Error error -> failtestf "%O" error
                    | Ok parsed when length >= ofCpus ->
                        same parsed.Value.Cpus text.Value.Cpus
                        && same parsed.Value.Online text.Value.Online
                    | Ok parsed ->
                        parsed.Value.Online.IsNone
                        && ParserLaws.isStart parsed.Value.Cpus text.Value.Cpus
                        && parsed.Faults.Length = 1)
        ]
