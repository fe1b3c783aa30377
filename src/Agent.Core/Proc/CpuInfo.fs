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
[<Struct; NoComparison>]
type Processor =
    {
        /// Its clock at this moment: `cpu MHz`, on POWER `clock`, on s390 `cpu MHz dynamic`.
        Clock: float<MHz> voption
        /// `physical id`: its socket.
        Socket: uint64 voption
        /// `core id`: its core within the socket.
        Core: uint64 voption
        /// `CPU implementer`, on Arm: who designed it. Older kernels say it and the part once for all processors.
        Implementer: uint64 voption
        /// `CPU part`, on Arm: the implementer's number for the design.
        Part: uint64 voption
    }

/// What the text says.
[<NoComparison>]
type CpuInfo =
    {
        /// The first `model name`, none on architectures that give none.
        ModelName: string voption
        /// What other architectures have in its place: `cpu` on POWER and SPARC, `cpu model` on MIPS, `Model Name` on LoongArch,
        /// `uarch`, else `isa`, on RISC-V, the machine type on s390.
        OtherName: string voption
        /// One entry for each `processor` block, in the order of the text.
        Processors: Processor[]
    }

/// The slowest clock that is believed. Less is what virtual machines and sleeping drivers print instead of one.
let internal slowestClock = 1.0<MHz>

/// The fastest clock that is believed, twice what any processor has reached.
let internal fastestClock = 20_000.0<MHz>

/// The clock, unless no processor can have it.
let internal clockOf (clock: float<MHz>) : float<MHz> voption =
    if clock >= slowestClock && clock <= fastestClock then
        ValueSome clock
    else
        ValueNone

/// The keys that are read.
[<RequireQualifiedAccess; Struct>]
type private Key =
    | Processor
    | ModelName
    | Clock
    | Socket
    | Core
    | Implementer
    | Part
    | OtherName
    | Isa

// A byte literal in an expression is allocated each time; these are made once.
let private keys =
    [|
        struct ("processor"B, Key.Processor)
        "cpu number"B, Key.Processor
        "model name"B, Key.ModelName
        "cpu MHz"B, Key.Clock
        "CPU MHz"B, Key.Clock
        "clock"B, Key.Clock
        "cpu MHz dynamic"B, Key.Clock
        "physical id"B, Key.Socket
        "core id"B, Key.Core
        "CPU implementer"B, Key.Implementer
        "CPU part"B, Key.Part
        "cpu"B, Key.OtherName
        "cpu model"B, Key.OtherName
        "Model Name"B, Key.OtherName
        "uarch"B, Key.OtherName
        "isa"B, Key.Isa
    |]

let private unknownClock = "Unknown"B
let private clockUnit = "MHz"B
let private processorOfS390 = "processor "B
let private machineOfS390 = "machine = "B

let private tryKey (name: ReadOnlySpan<byte>) : Key voption =
    let mutable i = 0
    let mutable found = ValueNone

    while found.IsNone && i < keys.Length do
        let struct (key, meaning) = keys[i]

        if name.SequenceEqual(ReadOnlySpan key) then
            found <- ValueSome meaning

        i <- i + 1

    found

let private nothingKnown =
    {
        Clock = ValueNone
        Socket = ValueNone
        Core = ValueNone
        Implementer = ValueNone
        Part = ValueNone
    }

/// A number as Arm writes it, `0x41`, or in decimal digits.
let private tryNumber (text: ReadOnlySpan<byte>, value: byref<uint64>) : bool =
    if text.Length > 2 && text[0] = '0'B && text[1] = 'x'B then
        UInt64.TryParse(text.Slice 2, Globalization.NumberStyles.AllowHexSpecifier, Globalization.CultureInfo.InvariantCulture, &value)
    else
        Text.tryUInt64 (text, &value)

/// A name up to the first of these, which are not part of it.
let private upTo (stop: string) (name: string) : string =
    let words = name.Split stop
    words[0].Trim()

/// `processor 0: version = FF,  identification = 123456,  machine = 3906` of s390; none for any other line.
let private machineName (line: ReadOnlySpan<byte>) : string voption =
    let at = line.IndexOf(ReadOnlySpan machineOfS390)

    if at < 0 || not (line.StartsWith(ReadOnlySpan processorOfS390)) then
        ValueNone
    else
        let machine = Text.toString (Text.trim (line.Slice(at + machineOfS390.Length)))

        match machine with
        | "2817"
        | "2818" -> ValueSome $"IBM z196 ({machine})"
        | "2827"
        | "2828" -> ValueSome $"IBM zEC12 ({machine})"
        | "2964"
        | "2965" -> ValueSome $"IBM z13 ({machine})"
        | "3906"
        | "3907" -> ValueSome $"IBM z14 ({machine})"
        | "8561"
        | "8562" -> ValueSome $"IBM z15 ({machine})"
        | "3931"
        | "3932" -> ValueSome $"IBM z16 ({machine})"
        | "9175"
        | "9176" -> ValueSome $"IBM z17 ({machine})"
        | _ -> ValueSome $"IBM Z ({machine})"

/// Reads the keys that are of interest; unknown keys are ignored. A value that does not read as it should costs its own
/// field. A text that ends inside a block has a fault, and what was read of that block counts.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<CpuInfo>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let processors = ResizeArray<Processor>()
    let mutable model = ValueNone
    let mutable other = ValueNone
    let mutable isa = ValueNone
    let mutable current = nothingKnown
    // Of all processors: older kernels for Arm say it once, in a block of its own.
    let mutable common = nothingKnown
    let mutable isOpen = false

    while cursor.NextLine() do
        let colon = cursor.Line.IndexOf ':'B

        if colon < 0 then
            if isOpen && cursor.Rest.IsEmpty then
                processors.Add current
                isOpen <- false
        else
            let name = Text.trim (cursor.Line.Slice(0, colon))
            cursor.Skip(colon + 1)

            match tryKey name with
            | ValueSome Key.Processor ->
                // Two blocks without a blank line between them are still two.
                if isOpen then
                    processors.Add current

                current <- nothingKnown
                isOpen <- true
            | ValueSome Key.ModelName ->
                if model.IsNone then
                    model <- ValueSome(Text.toString cursor.Rest)
            | ValueSome Key.OtherName ->
                if other.IsNone then
                    // `POWER9 (raw), altivec supported`
                    other <- ValueSome(upTo ", " (Text.toString cursor.Rest))
            | ValueSome Key.Isa ->
                if isa.IsNone then
                    // `rv64imafdc_zicntr_zicsr` goes on for hundreds of characters.
                    isa <- ValueSome("RISC-V " + upTo "_" (Text.toString cursor.Rest))
            | ValueSome Key.Clock when isOpen ->
                let mutable clock = 0.0
                // On POWER the unit sticks to the number.
                let isUnknown = cursor.Rest.SequenceEqual(ReadOnlySpan unknownClock)
                let field = cursor.Field()

                let number =
                    if field.EndsWith(ReadOnlySpan clockUnit) then
                        field.Slice(0, field.Length - clockUnit.Length)
                    else
                        field

                // Unknown is what x86 prints when the frequency of a CPU cannot be determined.
                if isUnknown then
                    ()
                elif Text.tryDecimal (number, &clock) && clock >= 0.0 then
                    current <-
                        { current with
                            Clock = clockOf (LanguagePrimitives.FloatWithMeasure clock)
                        }
                else
                    faults.Add(cursor.Bad("cpu MHz", "a decimal number"))
            | ValueSome key when isOpen ->
                let mutable number = 0UL
                let isNumber = tryNumber (cursor.Field(), &number)

                match key with
                | _ when not isNumber -> faults.Add(cursor.Bad(Text.toString name, "a whole number"))
                | Key.Socket ->
                    current <-
                        { current with
                            Socket = ValueSome number
                        }
                | Key.Core -> current <- { current with Core = ValueSome number }
                | Key.Implementer ->
                    current <-
                        { current with
                            Implementer = ValueSome number
                        }
                | _ -> current <- { current with Part = ValueSome number }
            | ValueSome(Key.Implementer | Key.Part as key) ->
                let mutable number = 0UL

                if not (tryNumber (cursor.Field(), &number)) then
                    faults.Add(cursor.Bad(Text.toString name, "a whole number"))
                elif key = Key.Implementer then
                    common <-
                        { common with
                            Implementer = ValueSome number
                        }
                else
                    common <- { common with Part = ValueSome number }
            | ValueSome _ -> ()
            | ValueNone ->
                if other.IsNone then
                    other <- machineName cursor.Line

    if isOpen then
        processors.Add current

    if not cursor.AtEnd then
        faults.Add(cursor.NoLine "the last line")
    elif isOpen then
        faults.Add(cursor.NoLine "the blank line after a processor")

    Ok(
        faults.Around
            {
                ModelName = model
                OtherName = if other.IsSome then other else isa
                Processors =
                    if common.Implementer.IsNone && common.Part.IsNone then
                        processors.ToArray()
                    else
                        processors.ToArray()
                        |> Array.map (fun one ->
                            { one with
                                Implementer = ValueOption.orElse common.Implementer one.Implementer
                                Part = ValueOption.orElse common.Part one.Part
                            })
            }
    )

let private flagsKey = "flags"B
let private hypervisorFlag = "hypervisor"B

/// True where the processor's `flags` say `hypervisor`: this is a virtual machine. x86 alone has the flag.
[<CompiledName "IsGuest">]
let isGuest (text: ReadOnlySpan<byte>) : Result<bool, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable isFound = false
    let mutable isGuest = false

    while not isFound && cursor.NextLine() do
        // All processors have the same.
        if cursor.Field().SequenceEqual(ReadOnlySpan flagsKey) then
            isFound <- true

            while not (cursor.Field().IsEmpty) do
                isGuest <- isGuest || cursor.Last.SequenceEqual(ReadOnlySpan hypervisorFlag)

    Ok isGuest

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

/// The implementers of Arm cores, as in the main ID register; see arch/arm64/include/asm/cputype.h.
let private implementerName (implementer: uint64) : string =
    match implementer with
    | 0x41UL -> "Arm"
    | 0x42UL -> "Broadcom"
    | 0x43UL -> "Cavium"
    | 0x44UL -> "DEC"
    | 0x46UL -> "Fujitsu"
    | 0x48UL -> "HiSilicon"
    | 0x49UL -> "Infineon"
    | 0x4dUL -> "Freescale"
    | 0x4eUL -> "NVIDIA"
    | 0x50UL -> "APM"
    | 0x51UL -> "Qualcomm"
    | 0x53UL -> "Samsung"
    | 0x56UL -> "Marvell"
    | 0x61UL -> "Apple"
    | 0x66UL -> "Faraday"
    | 0x69UL -> "Intel"
    | 0x6dUL -> "Microsoft"
    | 0x70UL -> "Phytium"
    | 0xc0UL -> "Ampere"
    | other -> $"implementer 0x%02x{other}"

/// The designs by implementer and part. The names are their makers'; the numbers are those of the kernel and of lscpu(1).
let private armName (implementer: uint64) (part: uint64) : string =
    match implementer, part with
    | 0x41UL, 0xb36UL -> "ARM1136"
    | 0x41UL, 0xb56UL -> "ARM1156"
    | 0x41UL, 0xb76UL -> "ARM1176"
    | 0x41UL, 0xb02UL -> "ARM11 MPCore"
    | 0x41UL, 0xc05UL -> "Cortex-A5"
    | 0x41UL, 0xc07UL -> "Cortex-A7"
    | 0x41UL, 0xc08UL -> "Cortex-A8"
    | 0x41UL, 0xc09UL -> "Cortex-A9"
    | 0x41UL, 0xc0dUL -> "Cortex-A12"
    | 0x41UL, 0xc0eUL -> "Cortex-A17"
    | 0x41UL, 0xc0fUL -> "Cortex-A15"
    | 0x41UL, 0xd01UL -> "Cortex-A32"
    | 0x41UL, 0xd02UL -> "Cortex-A34"
    | 0x41UL, 0xd03UL -> "Cortex-A53"
    | 0x41UL, 0xd04UL -> "Cortex-A35"
    | 0x41UL, 0xd05UL -> "Cortex-A55"
    | 0x41UL, 0xd06UL -> "Cortex-A65"
    | 0x41UL, 0xd07UL -> "Cortex-A57"
    | 0x41UL, 0xd08UL -> "Cortex-A72"
    | 0x41UL, 0xd09UL -> "Cortex-A73"
    | 0x41UL, 0xd0aUL -> "Cortex-A75"
    | 0x41UL, 0xd0bUL -> "Cortex-A76"
    | 0x41UL, 0xd0cUL -> "Neoverse N1"
    | 0x41UL, 0xd0dUL -> "Cortex-A77"
    | 0x41UL, 0xd0eUL -> "Cortex-A76AE"
    | 0x41UL, 0xd40UL -> "Neoverse V1"
    | 0x41UL, 0xd41UL -> "Cortex-A78"
    | 0x41UL, 0xd42UL -> "Cortex-A78AE"
    | 0x41UL, 0xd43UL -> "Cortex-A65AE"
    | 0x41UL, 0xd44UL -> "Cortex-X1"
    | 0x41UL, 0xd46UL -> "Cortex-A510"
    | 0x41UL, 0xd47UL -> "Cortex-A710"
    | 0x41UL, 0xd48UL -> "Cortex-X2"
    | 0x41UL, 0xd49UL -> "Neoverse N2"
    | 0x41UL, 0xd4aUL -> "Neoverse E1"
    | 0x41UL, 0xd4bUL -> "Cortex-A78C"
    | 0x41UL, 0xd4cUL -> "Cortex-X1C"
    | 0x41UL, 0xd4dUL -> "Cortex-A715"
    | 0x41UL, 0xd4eUL -> "Cortex-X3"
    | 0x41UL, 0xd4fUL -> "Neoverse V2"
    | 0x41UL, 0xd80UL -> "Cortex-A520"
    | 0x41UL, 0xd81UL -> "Cortex-A720"
    | 0x41UL, 0xd82UL -> "Cortex-X4"
    | 0x41UL, 0xd83UL -> "Neoverse V3AE"
    | 0x41UL, 0xd84UL -> "Neoverse V3"
    | 0x41UL, 0xd85UL -> "Cortex-X925"
    | 0x41UL, 0xd87UL -> "Cortex-A725"
    | 0x41UL, 0xd88UL -> "Cortex-A520AE"
    | 0x41UL, 0xd89UL -> "Cortex-A720AE"
    | 0x41UL, 0xd8eUL -> "Neoverse N3"
    | 0x41UL, 0xd8fUL -> "Cortex-A320"
    | 0x42UL, 0x100UL -> "Broadcom Brahma-B53"
    | 0x42UL, 0x516UL -> "Cavium ThunderX2"
    | 0x43UL, (0xa0UL | 0xa1UL | 0xa2UL | 0xa3UL) -> "Cavium ThunderX"
    | 0x43UL, 0xafUL -> "Cavium ThunderX2"
    | 0x43UL, (0xb0UL | 0xb1UL | 0xb2UL | 0xb3UL | 0xb4UL | 0xb5UL | 0xb6UL) -> "Marvell OCTEON TX2"
    | 0x43UL, 0xb8UL -> "Marvell ThunderX3"
    | 0x46UL, 0x001UL -> "Fujitsu A64FX"
    | 0x46UL, 0x003UL -> "Fujitsu MONAKA"
    | 0x48UL, 0xd01UL -> "HiSilicon TSV110"
    | 0x48UL, 0xd02UL -> "HiSilicon TSV120"
    | 0x48UL, 0xd40UL -> "Cortex-A76"
    | 0x48UL, 0xd41UL -> "Cortex-A77"
    | 0x4eUL, 0x000UL -> "NVIDIA Denver"
    | 0x4eUL, 0x003UL -> "NVIDIA Denver 2"
    | 0x4eUL, 0x004UL -> "NVIDIA Carmel"
    | 0x4eUL, 0x010UL -> "NVIDIA Olympus"
    | 0x50UL, 0x000UL -> "APM X-Gene"
    | 0x51UL, 0x001UL -> "Qualcomm Oryon"
    | 0x51UL, (0x201UL | 0x205UL | 0x211UL) -> "Qualcomm Kryo"
    | 0x51UL, 0x800UL -> "Qualcomm Kryo 2xx Gold"
    | 0x51UL, 0x801UL -> "Qualcomm Kryo 2xx Silver"
    | 0x51UL, 0x802UL -> "Qualcomm Kryo 3xx Gold"
    | 0x51UL, 0x803UL -> "Qualcomm Kryo 3xx Silver"
    | 0x51UL, 0x804UL -> "Qualcomm Kryo 4xx Gold"
    | 0x51UL, 0x805UL -> "Qualcomm Kryo 4xx Silver"
    | 0x51UL, 0xc00UL -> "Qualcomm Falkor"
    | 0x51UL, 0xc01UL -> "Qualcomm Saphira"
    | 0x61UL, 0x022UL -> "Apple M1 Icestorm"
    | 0x61UL, 0x023UL -> "Apple M1 Firestorm"
    | 0x61UL, 0x024UL -> "Apple M1 Pro Icestorm"
    | 0x61UL, 0x025UL -> "Apple M1 Pro Firestorm"
    | 0x61UL, 0x028UL -> "Apple M1 Max Icestorm"
    | 0x61UL, 0x029UL -> "Apple M1 Max Firestorm"
    | 0x61UL, 0x032UL -> "Apple M2 Blizzard"
    | 0x61UL, 0x033UL -> "Apple M2 Avalanche"
    | 0x61UL, 0x034UL -> "Apple M2 Pro Blizzard"
    | 0x61UL, 0x035UL -> "Apple M2 Pro Avalanche"
    | 0x61UL, 0x038UL -> "Apple M2 Max Blizzard"
    | 0x61UL, 0x039UL -> "Apple M2 Max Avalanche"
    | 0x6dUL, 0xd49UL -> "Microsoft Azure Cobalt 100"
    | 0x70UL, 0x303UL -> "Phytium FTC310"
    | 0x70UL, (0x660UL | 0x661UL | 0x662UL | 0x663UL | 0x664UL) -> $"Phytium FTC%x{part}"
    | 0x70UL, 0x862UL -> "Phytium FTC862"
    | 0xc0UL, 0xac3UL -> "Ampere-1"
    | 0xc0UL, 0xac4UL -> "Ampere-1A"
    | 0xc0UL, 0xac5UL -> "Ampere-1B"
    | 0xc0UL, 0xac7UL -> "Ampere-1C"
    | _ -> $"{implementerName implementer} part 0x%03x{part}"

/// What kind of CPU this is: the model name where there is one, on Arm the cores by implementer and part (`Neoverse V2`, or
/// `4x Cortex-A55 + 4x Cortex-A76` where there are several kinds), else what the architecture has in its place.
[<CompiledName "Name">]
let name (info: CpuInfo) : string voption =
    let designs =
        info.Processors
        |> Array.choose (fun p ->
            match p.Implementer, p.Part with
            | ValueSome implementer, ValueSome part -> Some(armName implementer part)
            | _ -> None)
        |> Array.countBy id

    match info.ModelName, designs with
    | ValueSome model, _ when model <> "" -> ValueSome model
    | _, [||] -> info.OtherName
    | _, [| (design, _) |] -> ValueSome design
    | _ ->
        ValueSome(
            designs
            |> Array.map (fun (design, count) -> $"{count}x {design}")
            |> String.concat " + "
        )
