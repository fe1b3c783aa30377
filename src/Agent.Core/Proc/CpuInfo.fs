/// `/proc/cpuinfo`: what the processors are. One block of `key : value` lines for each logical CPU, closed by a blank
/// line; the keys differ from one architecture to the next.
/// See proc_cpuinfo(5).
[<RequireQualifiedAccess>]
module Agent.Core.Proc.CpuInfo

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/cpuinfo"

/// One logical CPU.
type Processor =
    {
        /// `cpu MHz`: its clock at this moment.
        Clock: float<MHz> voption
        /// `physical id`: its socket.
        Socket: uint64 voption
        /// `core id`: its core within the socket.
        Core: uint64 voption
    }

/// What the text says.
type CpuInfo =
    {
        /// The first `model name`, none on architectures that give none.
        ModelName: string voption
        /// One entry for each `processor` block, in the order of the text.
        Processors: Processor[]
    }

// A byte literal in an expression is allocated each time; these are made once.
let private processorKey = "processor"B
let private modelKey = "model name"B
let private clockKey = "cpu MHz"B
let private socketKey = "physical id"B
let private coreKey = "core id"B
let private unknownClock = "Unknown"B

let private nothingKnown =
    {
        Clock = ValueNone
        Socket = ValueNone
        Core = ValueNone
    }

/// Reads the four keys that are of interest; unknown keys are ignored. A block that no blank line closes is an error.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<CpuInfo, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let processors = ResizeArray<Processor>()
    let mutable model = ValueNone
    let mutable current = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let colon = cursor.Line.IndexOf ':'B

        let key =
            Text.trim (
                if colon < 0 then
                    cursor.Line
                else
                    cursor.Line.Slice(0, colon)
            )

        if colon < 0 then
            match current with
            | ValueSome processor when key.IsEmpty ->
                processors.Add processor
                current <- ValueNone
            | _ -> ()
        else
            cursor.Skip(colon + 1)

            if key.SequenceEqual(ReadOnlySpan processorKey) then
                // Two blocks without a blank line between them are still two.
                match current with
                | ValueSome processor -> processors.Add processor
                | ValueNone -> ()

                current <- ValueSome nothingKnown
            elif key.SequenceEqual(ReadOnlySpan modelKey) then
                if model.IsNone then
                    model <- ValueSome(Text.toString cursor.Rest)
            else
                match current with
                | ValueNone -> ()
                | ValueSome processor ->
                    let mutable number = 0UL
                    let mutable clock = 0.0

                    if key.SequenceEqual(ReadOnlySpan clockKey) then
                        if cursor.Rest.SequenceEqual(ReadOnlySpan unknownClock) then
                            // What x86 prints when the frequency of a CPU cannot be told.
                            ()
                        elif cursor.Decimal &clock && clock >= 0.0 then
                            current <-
                                ValueSome
                                    { processor with
                                        Clock = ValueSome(LanguagePrimitives.FloatWithMeasure clock)
                                    }
                        else
                            failure <- ValueSome(cursor.Bad("cpu MHz", "a decimal number"))
                    elif key.SequenceEqual(ReadOnlySpan socketKey) then
                        if cursor.UInt64 &number then
                            current <-
                                ValueSome
                                    { processor with
                                        Socket = ValueSome number
                                    }
                        else
                            failure <- ValueSome(cursor.Bad("physical id", "a whole number"))
                    elif key.SequenceEqual(ReadOnlySpan coreKey) then
                        if cursor.UInt64 &number then
                            current <-
                                ValueSome
                                    { processor with
                                        Core = ValueSome number
                                    }
                        else
                            failure <- ValueSome(cursor.Bad("core id", "a whole number"))

    match failure, current with
    | ValueSome error, _ -> Error error
    | ValueNone, _ when not cursor.AtEnd -> Error(cursor.NoLine "the last line")
    | ValueNone, ValueSome _ -> Error(cursor.NoLine "the blank line after a processor")
    | ValueNone, ValueNone ->
        Ok
            {
                ModelName = model
                Processors = processors.ToArray()
            }

/// The mean clock of the processors that report one; none when none does.
[<CompiledName "MeanClock">]
let meanClock (info: CpuInfo) : float<MHz> voption =
    let clocks = info.Processors |> Array.choose (fun p -> ValueOption.toOption p.Clock)

    if clocks.Length = 0 then
        ValueNone
    else
        ValueSome(Array.average clocks)

/// How many cores the processors belong to; none when a processor does not name its socket and core.
[<CompiledName "PhysicalCores">]
let physicalCores (info: CpuInfo) : int voption =
    let places =
        info.Processors
        |> Array.choose (fun p ->
            match p.Socket, p.Core with
            | ValueSome socket, ValueSome core -> Some(struct (socket, core))
            | _ -> None)

    if places.Length = 0 || places.Length < info.Processors.Length then
        ValueNone
    else
        ValueSome (Array.distinct places).Length
