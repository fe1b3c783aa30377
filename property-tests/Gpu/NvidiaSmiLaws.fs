/// Laws of the table that nvidia-smi prints.
module Agent.PropertyTests.Gpu.NvidiaSmiLaws

open System
open Agent.Core
open Agent.Sender
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Gpu.GpuLaws
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private refusedSpellings =
    [ "[Unknown Error]"; "[Insufficient Permissions]"; "[Timeout]"; "[ERR!]" ]

let private absentSpellings =
    [
        "[N/A]"
        "N/A"
        "[Not Supported]"
        "[Not Found]"
        "[Requested functionality has been deprecated]"
        "[Function Not Found]"
        ""
    ]

/// A column: its name, its unit, and cells with what they say of a GPU.
[<NoComparison; NoEquality>]
type private Column =
    {
        Name: string
        Unit: string
        Cells: Gen<struct (string * (Gpu -> Gpu))>
    }

/// A number as a cell shows it, or one of the spellings of its absence.
let private cell (numbers: Gen<struct ('a * string)>) : Gen<struct ('a voption * string)> =
    Gen.frequency
        [
            3,
            numbers
            |> Gen.map (fun (struct (value, text)) -> struct (ValueSome value, text))
            1, Gen.elements absentSpellings |> Gen.map (fun text -> struct (ValueNone, text))
        ]

let private column name unit (values: Gen<struct ('a * string)>) (set: 'a voption -> Gpu -> Gpu) : Column =
    {
        Name = name
        Unit = unit
        Cells =
            cell values
            |> Gen.map (fun (struct (value, text)) ->
                // The board has no memory of its own, which is not the same as being ill.
                let isShared =
                    name = "memory.total"
                    && List.contains text [ "[N/A]"; "N/A"; "[Not Supported]" ]

                struct (text,
                        fun gpu ->
                            { set value gpu with
                                IsMemoryShared = isShared || gpu.IsMemoryShared
                            }))
    }

let private whole most =
    Gen.choose (0, most) |> Gen.map (fun n -> struct (float n, string n))

let private count: Gen<struct (uint64 * string)> = counter |> Gen.map (fun n -> struct (n, string n))

let private number most =
    Gen.choose (0, most) |> Gen.map (fun n -> struct (n, string n))

let private word (words: (string * 'a) list) =
    Gen.elements words |> Gen.map (fun (text, value) -> struct (value, text))

/// The mask as the driver prints it: sixteen digits.
let private mask: Gen<struct (uint64 * string)> =
    Gen.oneof [ Gen.choose (0, 0x1FF) |> Gen.map uint64; anyUInt64 ]
    |> Gen.map (fun mask -> struct (mask, $"0x{mask:X16}"))

let private measured<[<Measure>] 'u> (value: float voption) : float<'u> voption =
    value |> ValueOption.map LanguagePrimitives.FloatWithMeasure<'u>

let private bytes (mebibytes: float voption) : uint64<B> voption =
    mebibytes
    |> ValueOption.map (fun n -> LanguagePrimitives.UInt64WithMeasure(saturated (uint64 n) 1048576))

/// Half of what is drawn, or more: else what is drawn is nothing that a board can.
let private limits =
    hundredths 50_000
    |> Gen.map (fun (struct (_, text)) ->
        // Five hundred more.
        let parts = text.Split '.'
        let text = String.Join('.', Array.updateAt 0 (string (int parts[0] + 500)) parts)
        struct (Double.Parse(text, Globalization.CultureInfo.InvariantCulture), text))

let private columns: Column[] =
    [|
        column "index" "" (Gen.constant (struct (0, "0"))) (fun _ gpu -> gpu)
        column
            "name"
            ""
            (Gen.frequency
                [
                    3, phrase
                    1, Gen.elements [ "NVIDIA A100-SXM4-80GB"; "GRID A100, 4C"; "Quadro, RTX, 8000"; "a \"B\" c" ]
                ]
             |> Gen.map (fun name -> struct (name, name)))
            (fun name gpu ->
                { gpu with
                    Name = ValueOption.defaultValue "" name
                })
        column "uuid" "" (Generators.word |> Gen.map (fun uuid -> struct (uuid, uuid))) (fun uuid gpu ->
            { gpu with
                Uuid = ValueOption.defaultValue "" uuid
            })
        column "utilization.gpu" "%" (whole 100) (fun value gpu ->
            { gpu with
                Utilization = measured value
            })
        column "utilization.memory" "%" (whole 100) (fun value gpu ->
            { gpu with
                MemoryUtilization = measured value
            })
        // More than any that is in use.
        column "memory.total" "MiB" (Gen.choose (100_000, 200_000) |> Gen.map (fun n -> struct (float n, string n))) (fun value gpu ->
            { gpu with MemoryTotal = bytes value })
        column "memory.used" "MiB" (whole 100_000) (fun value gpu -> { gpu with MemoryUsed = bytes value })
        column "temperature.gpu" "" (whole 110) (fun value gpu ->
            { gpu with
                Temperature = measured value
            })
        column "fan.speed" "%" (whole 100) (fun value gpu -> { gpu with FanSpeed = measured value })
        column "power.draw" "W" (hundredths 100_000) (fun value gpu -> { gpu with Power = measured value })
        column "power.limit" "W" limits (fun value gpu -> { gpu with PowerLimit = measured value })
        column "enforced.power.limit" "W" limits (fun value gpu ->
            { gpu with
                PowerLimit = measured value |> ValueOption.orElse gpu.PowerLimit
            })
        column "memory.free" "MiB" (whole 100_000) (fun value gpu -> { gpu with MemoryFree = bytes value })
        column "memory.reserved" "MiB" (whole 100_000) (fun value gpu ->
            { gpu with
                MemoryReserved = bytes value
            })
        column
            "pci.bus_id"
            ""
            (Gen.elements [ "00000000:65:00.0"; "00000001:0A:00.0" ]
             |> Gen.map (fun bus -> struct (bus, bus)))
            (fun bus gpu ->
                { gpu with
                    PciBusId = ValueOption.defaultValue "" bus
                })
        column "clocks_event_reasons.active" "" mask (fun mask gpu ->
            { gpu with
                ThrottleReasons = ValueOption.map Throttle.reasonsOf mask
            })
        column "clocks.current.sm" "MHz" (whole 4000) (fun value gpu -> { gpu with ClockSm = measured value })
        column "clocks.max.sm" "MHz" (whole 4000) (fun value gpu -> { gpu with ClockSmMax = measured value })
        column "clocks.current.memory" "MHz" (whole 20000) (fun value gpu ->
            { gpu with
                ClockMemory = measured value
            })
        column "pcie.link.gen.current" "" (number 7) (fun value gpu -> { gpu with PcieLinkGeneration = value })
        column "pcie.link.width.current" "" (number 16) (fun value gpu -> { gpu with PcieLinkWidth = value })
        column "ecc.errors.uncorrected.aggregate.total" "" count (fun value gpu -> { gpu with EccUncorrected = value })
        column "ecc.errors.corrected.aggregate.total" "" count (fun value gpu -> { gpu with EccCorrected = value })
        column "remapped_rows.pending" "" (word [ "Yes", true; "No", false ]) (fun value gpu -> { gpu with RemappedRowsPending = value })
        column "utilization.encoder" "%" (whole 100) (fun value gpu -> { gpu with Encoder = measured value })
        column "utilization.decoder" "%" (whole 100) (fun value gpu -> { gpu with Decoder = measured value })
        column "temperature.memory" "" (whole 110) (fun value gpu ->
            { gpu with
                MemoryTemperature = measured value
            })
        column "mig.mode.current" "" (word [ "Enabled", MigMode.Enabled; "Disabled", MigMode.Disabled ]) (fun value gpu ->
            { gpu with MigMode = value })
    |]

/// Columns that say something of the GPU by its words or numbers, after the three that say which one it is.
let private firstValue = 3

/// The GPU without a link where there is none or where the GPU is on the processor's own bus, without a memory sensor that is none, without
/// counters of all ones and without the zeros of a driver that knows nothing.
let private known (gpu: Gpu) : Gpu =
    let link told =
        if gpu.IsMemoryShared || told = ValueSome 0 then
            ValueNone
        else
            told

    let isNoSensor =
        gpu.MemoryTemperature = ValueSome 0.0<degC>
        && gpu.Temperature |> ValueOption.exists (fun die -> die > 20.0<degC>)

    let counted told =
        if told = ValueSome UInt64.MaxValue then ValueNone else told

    { gpu with
        EccUncorrected = counted gpu.EccUncorrected
        EccCorrected = counted gpu.EccCorrected
        PcieLinkGeneration = link gpu.PcieLinkGeneration
        PcieLinkWidth = link gpu.PcieLinkWidth
        MemoryTemperature = if isNoSensor then ValueNone else gpu.MemoryTemperature
    }
    |> withoutZeros

/// A row: its cells in the order of `columns`, and what each says of the GPU.
[<NoComparison; NoEquality>]
type private Board =
    {
        Index: int
        Cells: struct (string * (Gpu -> Gpu))[]
    }

    /// The GPU as these columns tell it.
    member board.Told(shown: int[]) : Gpu =
        (Gpu.OfIndex board.Index, Array.sort shown)
        ||> Array.fold (fun gpu i ->
            let struct (_, set) = board.Cells[i]
            set gpu)
        |> known

    /// The board with another text in one cell.
    member board.With(place: int, text: string) : Board =
        { board with
            Cells = Array.updateAt place (struct (text, id)) board.Cells
        }

let private everyColumn = [| 0 .. columns.Length - 1 |]

let private board index : Gen<Board> =
    columns
    |> Array.tail
    |> Gen.collectToArray _.Cells
    |> Gen.map (fun cells ->
        {
            Index = index
            Cells = Array.append [| struct (string index, id) |] cells
        })

let private boards =
    upTo 3 (Gen.constant ())
    |> Gen.bind (fun found -> Gen.collectToArray board [| 0 .. found.Length - 1 |])

let private rendered (withHeader: bool) (withUnits: bool) (shown: int[]) (found: Board[]) : Rendered<Gpu[]> =
    let joined (cell: int -> string) =
        String.Join(", ", shown |> Array.map cell)

    let inRow (board: Board) i =
        let struct (text, _) = board.Cells[i]
        let unit = columns[i].Unit

        if withUnits && unit <> "" && text <> "" && Char.IsAsciiDigit text[0] then
            $"{text} {unit}"
        else
            text

    let inHeader i =
        if columns[i].Unit = "" then
            columns[i].Name
        else
            $"{columns[i].Name} [{columns[i].Unit}]"

    {
        Value = found |> Array.map _.Told(shown)
        Lines =
            [|
                if withHeader then
                    joined inHeader
                for board in found do
                    joined (inRow board)
            |]
    }

/// Tables as the driver prints them: with a header, which may come in any order, or without one.
let private texts: Gen<Rendered<Gpu[]>> =
    gen {
        let! found = boards
        let! withHeader = Gen.frequency [ 4, Gen.constant true; 1, Gen.constant false ]
        let! withUnits = Gen.elements [ true; false ]
        let! order = Gen.oneof [ Gen.constant everyColumn; Gen.shuffle everyColumn ]

        // Without a header the eleven columns that every driver knows stand there in their order.
        return rendered withHeader withUnits (if withHeader then order else everyColumn[..10]) found
    }

/// GPUs that a table may say.
let gpus: Gen<Gpu[]> = texts |> Gen.map (fun text -> text.Value)

let private problems (reading: GpuReading) : ParseError list =
    [
        for fault in reading.Faults do
            match fault with
            | SourceError.Garbled error -> error
            // What could not be read is no fault of the text.
            | SourceError.Unreadable(source, _) when source.StartsWith("nvidia-smi GPU ", StringComparison.Ordinal) -> ()
            | other -> failtestf "%O is not about a text" other
    ]

/// nvidia-smi's faults cost a field or a line and not the table, so a table with faults stands for an error here.
let private format: ParserLaws.Format<Gpu[]> =
    let parse (text: ReadOnlyMemory<byte>) = NvidiaSmi.parse text.Span

    {
        Texts = texts
        Parse =
            fun text ->
                parse text
                |> Result.bind (fun reading ->
                    match problems reading with
                    | [] -> Ok reading.Gpus
                    | error :: _ -> Error error)
        Errors =
            fun text ->
                match parse text with
                | Ok reading -> problems reading
                | Error error -> [ error ]
        IsPart = ParserLaws.isStart
    }

let private parsed (lines: string[]) =
    match NvidiaSmi.parse (ReadOnlySpan(bytesOf lines)) with
    | Ok reading -> reading
    | Error error -> failtestf "%O" error

let private plainTable = boards |> Gen.map (rendered true false everyColumn)

let tests =
    testList
        "Gpu.NvidiaSmi"
        [
            yield! ParserLaws.all format
            ParserLaws.unknownLines format (fun text -> text.Lines.Length) (Gen.elements [ ""; "  "; "\t"; "\r" ])
            law "columns that the header names and nobody knows are ignored" (Gen.zip plainTable Generators.word) (fun (table, extra) ->
                let lines =
                    table.Lines
                    |> Array.mapi (fun i line -> if i = 0 then $"{line}, x{extra}" else $"{line}, {extra}")

                same (parsed lines).Gpus table.Value)
            law
                "an absent spelling in any cell is unknown, never 0, and no fault; a refusal is one fault of each board"
                boards
                (fun found ->
                    absentSpellings @ refusedSpellings
                    |> List.forall (fun spelling ->
                        let table =
                            found
                            |> Array.map (fun board ->
                                (board, [ firstValue .. columns.Length - 1 ])
                                ||> List.fold (fun board place -> board.With(place, spelling)))
                            |> rendered true true everyColumn

                        let reading = parsed table.Lines

                        reading.Faults.Length =
                            (if List.contains spelling refusedSpellings then
                                 found.Length
                             else
                                 0)
                        && reading.Gpus.Length = found.Length
                        && reading.Gpus
                           |> Array.forall (fun gpu ->
                               same
                                   gpu
                                   { Gpu.OfIndex gpu.Index with
                                       Name = gpu.Name
                                       Uuid = gpu.Uuid
                                       IsMemoryShared = List.contains spelling [ "[N/A]"; "N/A"; "[Not Supported]" ]
                                   }
                               && gpu.MemoryPercent.IsNone)))
            law
                "a garbled cell costs its own field and is told"
                (Gen.zip3
                    (board 0)
                    // Where it is plugged in is any text.
                    (Gen.choose (firstValue, columns.Length - 1)
                     |> Gen.filter (fun place -> columns[place].Name <> "pci.bus_id"))
                    (Gen.map (fun w -> "x" + w) Generators.word))
                (fun (board, place, garbage) ->
                    let readWith text =
                        parsed (rendered true false everyColumn [| board.With(place, text) |]).Lines

                    let reading = readWith garbage

                    reading.Faults.Length = 1
                    && same reading.Gpus (readWith "[Function Not Found]").Gpus)
            law
                "a name in quotes is the name without them"
                (Gen.zip (board 0) (Gen.elements [ "A, B"; "a \"b\" c"; "x" ]))
                (fun (board, name) ->
                    let quoted = "\"" + name.Replace("\"", "\"\"") + "\""
                    (parsed (rendered true false everyColumn [| board.With(1, quoted) |]).Lines).Gpus[0].Name = name)
            law
                "no memory figure is above the board's total, whatever the program says"
                (Gen.zip (board 0) (Gen.arrayOfLength 4 (Gen.oneof [ counter; Gen.choose64 (0L, 20_000_000L) |> Gen.map uint64 ])))
                (fun (board, figures) ->
                    let place name =
                        columns |> Array.findIndex (fun column -> column.Name = name)

                    let told =
                        (board, Array.zip [| "memory.total"; "memory.used"; "memory.free"; "memory.reserved" |] figures)
                        ||> Array.fold (fun board (name, figure) -> board.With(place name, string figure))

                    let gpu = (parsed (rendered true false everyColumn [| told |]).Lines).Gpus[0]
                    let most = ValueOption.defaultValue 0UL<B> gpu.MemoryTotal

                    most <= 17592186044416UL<B>
                    && [ gpu.MemoryUsed; gpu.MemoryFree; gpu.MemoryReserved ]
                       |> List.forall (ValueOption.forall (fun part -> part <= most)))
            law "memory in use is a percentage within 0-100" gpus (fun gpus ->
                gpus
                |> Array.forall (fun gpu ->
                    match gpu.MemoryPercent with
                    | ValueSome percent -> percent >= 0.0<percent> && percent <= 100.0<percent>
                    | ValueNone ->
                        gpu.MemoryUsed.IsNone
                        || gpu.MemoryTotal.IsNone
                        || gpu.MemoryTotal = ValueSome 0UL<B>))
        ]
