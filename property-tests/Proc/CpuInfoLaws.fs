/// Laws of `/proc/cpuinfo`.
module Agent.PropertyTests.Proc.CpuInfoLaws

open System
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

/// A key, a tab, a colon and a value; and what all the lines of one CPU say.
let private block: Gen<struct (CpuInfo.Processor * string voption * string[])> =
    gen {
        let! model = maybe phrase
        let! clock = maybe (hundredths 500_000)
        let! socket = maybe (Gen.choose (0, 3))
        let! core = maybe (Gen.choose (0, 9))
        let! design = maybe (Gen.two (Gen.choose (0, 0xfff)))
        let! flags = maybe phrase

        let lines =
            [|
                "processor\t: 0"
                match model with
                | ValueSome name -> $"model name\t: {name}"
                | ValueNone -> "vendor_id\t: GenuineIntel"
                match clock with
                | ValueSome(struct (_, text)) -> $"cpu MHz\t\t: {text}"
                | ValueNone -> ()
                match socket with
                | ValueSome id -> $"physical id\t: {id}"
                | ValueNone -> ()
                match core with
                | ValueSome id -> $"core id\t\t: {id}"
                | ValueNone -> ()
                match design with
                | ValueSome(implementer, part) ->
                    $"CPU implementer\t: 0x%02x{implementer}"
                    $"CPU part\t: 0x%03x{part}"
                | ValueNone -> ()
                match flags with
                | ValueSome words -> $"flags\t\t: {words}"
                | ValueNone -> ()
                ""
            |]

        let processor: CpuInfo.Processor =
            {
                Clock =
                    // Below 1 MHz it is no clock; above 20 GHz there is none here.
                    clock
                    |> ValueOption.bind (fun (struct (value, _)) ->
                        if value >= 1.0 then
                            ValueSome(LanguagePrimitives.FloatWithMeasure value)
                        else
                            ValueNone)
                Socket = socket |> ValueOption.map uint64
                Core = core |> ValueOption.map uint64
                Implementer = design |> ValueOption.map (fun (implementer, _) -> uint64 implementer)
                Part = design |> ValueOption.map (fun (_, part) -> uint64 part)
            }

        return struct (processor, model, lines)
    }

let private texts: Gen<Rendered<CpuInfo.CpuInfo>> =
    upTo 3 block
    |> Gen.map (fun blocks ->
        let models =
            blocks
            |> Array.choose (fun (struct (_, model, _)) -> ValueOption.toOption model)

        {
            Value =
                {
                    ModelName = if models.Length > 0 then ValueSome models[0] else ValueNone
                    OtherName = ValueNone
                    Processors = blocks |> Array.map (fun (struct (processor, _, _)) -> processor)
                }
            Lines = blocks |> Array.collect (fun (struct (_, _, lines)) -> lines)
        })

let private parse (text: ReadOnlyMemory<byte>) = CpuInfo.parse text.Span

let private format =
    ParserLaws.formatOfLines texts parse (fun part whole ->
        ParserLaws.isUnknownOr whole.ModelName part.ModelName
        && ParserLaws.isStart part.Processors whole.Processors)

let private isNumeric (line: string) =
    line.StartsWith("cpu MHz", StringComparison.Ordinal)
    || line.StartsWith("physical id", StringComparison.Ordinal)
    || line.StartsWith("core id", StringComparison.Ordinal)
    || line.StartsWith("CPU ", StringComparison.Ordinal)

let tests =
    testList
        "Proc.CpuInfo"
        [
            yield! ParserLaws.all format
            ParserLaws.extraColumns format (fun _ line -> isNumeric line) word
            ParserLaws.unknownLines format (fun _ -> 0) (Gen.map2 (fun key value -> $"x{key}\t: {value}") word phrase)
            yield!
                ParserLaws.badLines texts parse 0 (fun line ->
                    if isNumeric line then
                        ValueSome(line.Replace(": ", ": -"))
                    else
                        ValueNone)
            law "the mean clock lies between the slowest and the fastest" texts (fun text ->
                let clocks = text.Value.Processors |> Array.choose (fun p -> ValueOption.toOption p.Clock)

                match CpuInfo.meanClock text.Value with
                | ValueNone -> clocks.Length = 0
                | ValueSome mean -> mean >= Array.min clocks - 1e-6<MHz> && mean <= Array.max clocks + 1e-6<MHz>)
            law
                "what is told once behind the processors is of all that do not tell it"
                (Gen.zip texts (Gen.two (Gen.choose (0, 0xfff))))
                (fun (text, (implementer, part)) ->
                    let common = $"CPU implementer\t: 0x%02x{implementer}\nCPU part\t: 0x%03x{part}\n\n"

                    let lines = String.concat "" (text.Lines |> Array.map (fun line -> line + "\n"))

                    match CpuInfo.parse (ReadOnlySpan(Text.Encoding.UTF8.GetBytes(lines + common))) with
                    | Ok read ->
                        same
                            (read.Value.Processors
                             |> Array.map (fun one -> struct (one.Implementer, one.Part)))
                            (text.Value.Processors
                             |> Array.map (fun one ->
                                 struct (ValueOption.orElse (ValueSome(uint64 implementer)) one.Implementer,
                                         ValueOption.orElse (ValueSome(uint64 part)) one.Part)))
                    | Error _ -> false)
            law "there are no more cores than processors, and none are counted unless all are known" texts (fun text ->
                let processors = text.Value.Processors

                match CpuInfo.physicalCores text.Value with
                | ValueSome cores ->
                    cores >= 1
                    && cores <= processors.Length
                    && processors |> Array.forall (fun p -> p.Socket.IsSome && p.Core.IsSome)
                | ValueNone ->
                    processors.Length = 0
                    || processors |> Array.exists (fun p -> p.Socket.IsNone || p.Core.IsNone))
        ]
