/// The tables that nvidia-smi prints with `--format=csv,nounits`: one header line, one line for each GPU or process,
/// cells between commas. See nvidia-smi(1), `nvidia-smi --help-query-gpu` and `--help-query-compute-apps`.
[<RequireQualifiedAccess>]
module Agent.Core.Gpu.NvidiaSmi

open System
open System.Globalization
open System.Runtime.CompilerServices
open System.Text
open Agent.Core
open Agent.Core.Units

/// What errors call the text.
[<Literal>]
let Source = "nvidia-smi"

/// What the code below calls a column that drivers or versions of nvidia-smi call otherwise.
let private currentName (column: string) : string =
    match column with
    | "clocks_throttle_reasons.active" -> "clocks_event_reasons.active"
    | "clocks.sm" -> "clocks.current.sm"
    | "clocks.mem" -> "clocks.current.memory"
    | "gpu_name" -> "name"
    | "gpu_uuid" -> "uuid"
    | "used_memory" -> "used_gpu_memory"
    | other -> other

/// `memory.total [MiB]` is the column memory.total.
let private columnsOf (header: string) : string[] =
    header.Split ','
    |> Array.map (fun cell -> currentName (cell.Trim().Split(' ')[0]))

/// Whether a cell holds no value. Everything in brackets is none: `[N/A]`, `[Not Supported]`, `[GPU requires reset]`, `[Unknown Error]` and
/// whatever the next driver invents.
let private isAbsent (cell: ReadOnlySpan<byte>) =
    cell.IsEmpty
    || (cell[0] = '['B && cell[cell.Length - 1] = ']'B)
    || Ascii.EqualsIgnoreCase(cell, ReadOnlySpan "N/A"B)

/// Whether it says that the board does not have the value, in the commonest words.
let private isNotSupported (cell: ReadOnlySpan<byte>) =
    Ascii.EqualsIgnoreCase(cell, ReadOnlySpan "[N/A]"B)
    || Ascii.EqualsIgnoreCase(cell, ReadOnlySpan "N/A"B)
    || Ascii.EqualsIgnoreCase(cell, ReadOnlySpan "[Not Supported]"B)

/// Which columns of a row hold a value and which were refused, a bit for each, as `Nvml.hasEndedSession` takes them.
[<Struct; NoComparison; NoEquality>]
type internal Answers = { Answered: uint32; Refused: uint32 }

/// A number that may carry its unit: `81559` or `81559 MiB`.
let private withoutUnit (cell: ReadOnlySpan<byte>) (unit: string) : ReadOnlySpan<byte> =
    if
        unit.Length > 0
        && cell.Length > unit.Length
        && Ascii.Equals(cell.Slice(cell.Length - unit.Length), unit)
    then
        Text.trim (cell.Slice(0, cell.Length - unit.Length))
    else
        cell

/// The names of the columns, and which of them may hold commas: nvidia-smi does not quote.
[<NoComparison; NoEquality>]
type internal Columns = { Names: string[]; Greedy: int }

let private greedily (names: string[]) (column: string) : Columns =
    {
        Names = names
        Greedy = Array.IndexOf(names, column)
    }

/// The cells of one line. A value that does not read as its column says is a fault and counts as unknown.
[<Struct; IsByRefLike; NoEquality; NoComparison>]
type private Row(line: int, columns: Columns, text: ReadOnlySpan<byte>, starts: int[], faults: ResizeArray<SourceError>) =
    /// Splits the line into as many cells as there are columns. A name with a comma makes the row too long; what is
    /// too much belongs to the name.
    static member Split(line: int, columns: Columns, text: ReadOnlySpan<byte>, faults: ResizeArray<SourceError>) =
        let starts = Array.zeroCreate (text.Count ','B + 2)
        let mutable next = 0

        for i in 1 .. starts.Length - 2 do
            next <- next + text.Slice(next).IndexOf ','B + 1
            starts[i] <- next

        starts[starts.Length - 1] <- text.Length + 1
        Row(line, columns, text, starts, faults)

    member _.Garbled(column: string, raw: ReadOnlySpan<byte>, expected: string) : unit =
        faults.Add(
            SourceError.Garbled
                {
                    Source = Source
                    Line = line
                    Field = column
                    Raw = Text.excerpt raw
                    Expected = expected
                }
        )

    /// Reports a row that is too short, once.
    member row.CheckLength() : unit =
        let count = starts.Length - 1

        if count < columns.Names.Length then
            // The header is as foreign as the rows: its words are shown like theirs.
            let missing = Text.excerpt (ReadOnlySpan(System.Text.Encoding.UTF8.GetBytes columns.Names[count]))
            row.Garbled((if missing = "" then "the last cell" else missing), text, $"{columns.Names.Length} cells")

    /// True for a line that is no row: without commas, or with fewer than a row has, as a warning may be.
    member _.IsText: bool =
        let count = starts.Length - 1
        count < columns.Names.Length || count = 1 && not (Text.isDigit text[0])

    /// The cell as it stands there; empty when the row or the header does not have it.
    member _.Raw(column: string) : ReadOnlySpan<byte> =
        let place = Array.IndexOf(columns.Names, column)
        let surplus = starts.Length - 1 - columns.Names.Length
        let surplus = if columns.Greedy < 0 then 0 else max surplus 0
        let first = if place > columns.Greedy then place + surplus else place

        let past =
            if place = columns.Greedy then
                place + surplus + 1
            else
                first + 1

        if place < 0 || past >= starts.Length then
            ReadOnlySpan<byte>.Empty
        else
            Text.trim (text.Slice(starts[first], starts[past] - 1 - starts[first]))

    /// The cell; empty when it says that there is no value.
    member row.Cell(column: string) : ReadOnlySpan<byte> =
        let cell = row.Raw column
        if isAbsent cell then ReadOnlySpan<byte>.Empty else cell

    /// Text, without the quotes around it that a table of comma-separated values may have.
    member row.Text(column: string) : string =
        let text = Text.toString (row.Cell column)

        if text.Length >= 2 && text[0] = '"' && text[text.Length - 1] = '"' then
            text.Substring(1, text.Length - 2).Replace("\"\"", "\"")
        else
            text

    member private row.Decimal(column: string, unit: string, least: float) : float voption =
        let cell = row.Cell column
        let mutable number = 0.0

        if cell.IsEmpty then
            ValueNone
        elif Text.tryDecimal (withoutUnit cell unit, &number) && number >= least then
            ValueSome number
        else
            row.Garbled(column, cell, "a number or [N/A]")
            ValueNone

    member row.Number(column: string, unit: string) : float voption = row.Decimal(column, unit, 0.0)

    /// A plausible value; any other is a fault, and none.
    member row.Measure<[<Measure>] 'u>(column: string, unit: string, isPossible: float<'u> -> bool) : float<'u> voption =
        match row.Decimal(column, unit, Double.NegativeInfinity) with
        | ValueSome number when not (isPossible (LanguagePrimitives.FloatWithMeasure<'u> number)) ->
            row.Garbled(column, row.Cell column, "a plausible value")
            ValueNone
        | ValueSome number -> ValueSome(LanguagePrimitives.FloatWithMeasure<'u> number)
        | ValueNone -> ValueNone

    /// True when the cell holds a number, whatever it says.
    member row.IsNumber(column: string, unit: string) : bool =
        let mutable number = 0.0
        Text.tryDecimal (withoutUnit (row.Cell column) unit, &number)

    /// Mebibytes, as bytes; memory that cannot be is a fault, and none.
    member row.Memory(column: string, expected: string, isPossible: uint64<B> -> bool) : uint64<B> voption =
        match row.Number(column, "MiB") with
        | ValueNone -> ValueNone
        | ValueSome mebibytes ->
            let bytes =
                // Beyond what 64 bits hold a conversion has no defined result.
                if mebibytes < 1e12 then
                    bytesOfMib (LanguagePrimitives.UInt64WithMeasure(uint64 (Math.Round mebibytes)))
                else
                    UInt64.MaxValue * 1UL<B>

            if isPossible bytes then
                ValueSome bytes
            else
                row.Garbled(column, row.Cell column, expected)
                ValueNone

    /// A part of the memory, which cannot be more than all of it; none where the whole was told and cannot be.
    member row.Part(column: string, isNone: bool, total: uint64<B> voption) : uint64<B> voption =
        if isNone then
            ValueNone
        else
            row.Memory(column, "no more than memory.total", Plausible.memoryPart total)

    /// True when the cell says that the board does not have the value at all, as opposed to being ill or not allowed to tell it.
    member row.IsNotSupported(column: string) : bool = isNotSupported (row.Raw column)

    /// Why the cell could not be read, as `NvidiaSmiFailure.reasonOf` says it; empty for a value, and for one that the board does not have.
    member row.Refusal(column: string) : string =
        let cell = row.Raw column

        if cell.IsEmpty || cell[0] <> '['B || not (isAbsent cell) || isNotSupported cell then
            ""
        else
            NvidiaSmiFailure.reasonOf (Text.excerpt cell)

    /// What the row answers. Each reason for which cells could not be read is a fault, once; the loss of the board is the board's.
    member row.Answers(index: int) : Answers =
        let reasons = ResizeArray<string>()
        let columnsOf = ResizeArray<ResizeArray<string>>()
        let mutable answered = 0u
        let mutable refused = 0u

        for place in 0 .. columns.Names.Length - 1 do
            let column = columns.Names[place]
            let bit = 1u <<< min place 31

            match row.Refusal column with
            | "" ->
                if not (row.Cell column).IsEmpty then
                    answered <- answered ||| bit
            | reason ->
                if NvidiaSmiFailure.mayEndSession reason then
                    refused <- refused ||| bit

                match reasons.IndexOf reason with
                | -1 ->
                    reasons.Add reason
                    columnsOf.Add(ResizeArray [ column ])
                | known -> columnsOf[known].Add column

        for i in 0 .. reasons.Count - 1 do
            let what =
                if NvidiaSmiFailure.isLoss reasons[i] then ""
                elif columnsOf[i].Count = 1 then $" {columnsOf[i][0]}"
                else $" {columnsOf[i][0]} (and other fields)"

            faults.Add(SourceError.Unreadable($"{Source} GPU {index}{what}", reasons[i]))

        {
            Answered = answered
            Refused = refused
        }

    member row.Whole(column: string) : uint64 voption =
        let cell = row.Cell column
        let mutable number = 0UL

        if cell.IsEmpty then
            ValueNone
        elif Text.tryUInt64 (cell, &number) then
            // All ones are the library's "not available".
            if number = UInt64.MaxValue then
                ValueNone
            else
                ValueSome number
        else
            row.Garbled(column, cell, "a whole number or [N/A]")
            ValueNone

    member row.Int(column: string) : int voption =
        match row.Whole column with
        | ValueSome number when number <= uint64 Int32.MaxValue -> ValueSome(int number)
        | ValueSome _ ->
            row.Garbled(column, row.Cell column, "a number of at most ten digits")
            ValueNone
        | ValueNone -> ValueNone

    /// A plausible whole number; any other is a fault, and none.
    member row.Small(column: string, isPossible: int -> bool) : int voption =
        match row.Int column with
        | ValueSome number when not (isPossible number) ->
            row.Garbled(column, row.Cell column, "a plausible value")
            ValueNone
        | number -> number

    /// The link of a board on a PCIe bus: 0 is none, and what a GPU on the processor's own bus says of it is made up.
    member row.Link(column: string, isShared: bool, isPossible: int -> bool) : int voption =
        match row.Small(column, isPossible) with
        | ValueSome value when value = 0 || isShared -> ValueNone
        | value -> value

    member row.Mask(column: string) : uint64 voption =
        let cell = row.Cell column
        let mutable mask = 0UL

        if cell.IsEmpty then
            ValueNone
        elif
            cell.Length > 2
            && cell[0] = '0'B
            && cell[1] = 'x'B
            && UInt64.TryParse(cell.Slice 2, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, &mask)
        then
            ValueSome mask
        else
            row.Garbled(column, cell, "a bit mask such as 0x0000000000000004")
            ValueNone

    /// True for the one word, false for the other.
    member row.Either(column: string, yes: string, no: string) : bool voption =
        let cell = row.Cell column

        if cell.IsEmpty then
            ValueNone
        elif Ascii.EqualsIgnoreCase(cell, yes) then
            ValueSome true
        elif Ascii.EqualsIgnoreCase(cell, no) then
            ValueSome false
        else
            row.Garbled(column, cell, $"{yes} or {no}")
            ValueNone

    /// A whole number without which the row is of no use; a row that lacks it is a fault.
    member row.Key(column: string, expected: string) : int voption =
        let mutable number = 0UL

        if Text.tryUInt64 (row.Raw column, &number) && number <= uint64 Int32.MaxValue then
            ValueSome(int number)
        else
            row.Garbled(column, text, expected)
            ValueNone

// ---- Lines -----------------------------------------------------------------------------------------------------------

/// What one line of a table is.
[<NoComparison; NoEquality>]
type internal Line =
    | Blank
    /// The names of the columns.
    | Header of Columns
    /// "No devices were found", in the place of a table.
    | NoDevices
    /// A warning before, between or after the rows, or a complaint in the place of a table.
    | Message of SourceError
    /// That a GPU is lost, in the place of its row or of the table; and what is wrong with a text that has no table because of it.
    | Lost of SourceError * ParseError
    /// A GPU, how many there are, if the table has that column, and what its row answers.
    | Board of Gpu * count: int voption * faults: ResizeArray<SourceError> * Answers

let private gpuOf (row: Row) (index: int) : Gpu =
    let powerLimit =
        let asked = row.Measure("power.limit", "W", Plausible.powerLimit)

        // The limit in force may be below the one that was asked for.
        match row.Measure("enforced.power.limit", "W", Plausible.powerLimit) with
        | ValueSome enforced -> ValueSome enforced
        | ValueNone -> asked

    let name = row.Text("name")
    let isIntegrated = GpuName.isIntegrated name
    let isShared = isIntegrated || row.IsNotSupported "memory.total"

    let memoryTotal =
        if isIntegrated then
            ValueNone
        else
            row.Memory("memory.total", "more than 0, and no more than a board has", Plausible.memoryTotal)
    // No board has none: a driver that says 0 does not know, and what it says of its parts is no more worth.
    let isNone = isIntegrated || memoryTotal.IsNone && row.IsNumber("memory.total", "MiB")

    let gpu =
        {
            Index = index
            Name = name
            Uuid = row.Text("uuid")
            PciBusId = row.Text("pci.bus_id")
            DriverVersion = ""
            IsSuspended = false
            Utilization = row.Measure("utilization.gpu", "%", Plausible.utilization)
            MemoryUtilization = row.Measure("utilization.memory", "%", Plausible.utilization)
            MemoryTotal = memoryTotal
            MemoryUsed = row.Part("memory.used", isNone, memoryTotal)
            MemoryFree = row.Part("memory.free", isNone, memoryTotal)
            MemoryReserved = row.Part("memory.reserved", isNone, memoryTotal)
            IsMemoryShared = isShared
            Temperature = row.Measure("temperature.gpu", "C", Plausible.temperature)
            FanSpeed = row.Measure("fan.speed", "%", Plausible.fan)
            Power = row.Measure("power.draw", "W", Plausible.power powerLimit)
            PowerLimit = powerLimit
            ThrottleReasons = row.Mask("clocks_event_reasons.active") |> ValueOption.map Throttle.reasonsOf
            ClockSm = row.Measure("clocks.current.sm", "MHz", Plausible.smClock)
            ClockSmMax = row.Measure("clocks.max.sm", "MHz", Plausible.smClock)
            ClockMemory = row.Measure("clocks.current.memory", "MHz", Plausible.memoryClock)
            PcieReceived = ValueNone
            PcieSent = ValueNone
            PcieLinkGeneration = row.Link("pcie.link.gen.current", isShared, Plausible.pcieGeneration)
            PcieLinkWidth = row.Link("pcie.link.width.current", isShared, Plausible.pcieWidth)
            EccUncorrected = row.Whole("ecc.errors.uncorrected.aggregate.total")
            EccCorrected = row.Whole("ecc.errors.corrected.aggregate.total")
            RemappedRowsPending = row.Either("remapped_rows.pending", "Yes", "No")
            XidLast = ValueNone
            XidCount = ValueNone
            Energy = ValueNone
            Encoder = row.Measure("utilization.encoder", "%", Plausible.utilization)
            Decoder = row.Measure("utilization.decoder", "%", Plausible.utilization)
            NvlinkReceived = ValueNone
            NvlinkSent = ValueNone
            MemoryTemperature = row.Measure("temperature.memory", "C", Plausible.temperature)
            MigMode =
                row.Either("mig.mode.current", "Enabled", "Disabled")
                |> ValueOption.map (fun divided -> if divided then MigMode.Enabled else MigMode.Disabled)
            ComputeProcesses = ValueNone
            GraphicsProcesses = ValueNone
            MigDevices = ValueNone
            Counters = GpuCounters.None
        }

    gpu.WithoutUntold

/// The GPU of `Unable to determine the device handle for GPU0000:41:00.0: …` as errors name it, with a space before; empty without one.
let private gpuNamedIn (words: string) : string =
    match words.IndexOf("GPU", StringComparison.OrdinalIgnoreCase) with
    | -1 -> ""
    | start ->
        let place =
            words.Substring(start + 3).TrimStart()
            |> Seq.takeWhile (fun c -> Char.IsAsciiHexDigit c || c = ':' || c = '.')
            |> Array.ofSeq
            |> String

        // A domain, a bus, a device and a function.
        if place.Length <= 17 && place.Contains ':' && place.Contains '.' then
            " GPU " + place.TrimEnd(':', '.')
        else
            ""

/// A line of words, or the loss of a GPU that they tell.
let private wordsAs (error: ParseError) (text: ReadOnlySpan<byte>) : Line =
    let words = Text.toString text

    match NvidiaSmiFailure.lossOf words with
    | "" -> Message(SourceError.Garbled error)
    | loss -> Lost(SourceError.Unreadable(Source + gpuNamedIn words, loss), error)

/// Words beside the rows, such as a warning of a corrupted infoROM, which may come with every round: they are the same wherever they stand.
let private remark (text: ReadOnlySpan<byte>) : Line =
    wordsAs
        {
            Source = Source
            Line = 0
            Field = "text among the rows"
            Raw = Text.excerpt text
            Expected = "rows only"
        }
        text

let private message (line: int) (text: ReadOnlySpan<byte>) : Line =
    wordsAs
        {
            Source = Source
            Line = line
            Field = "header"
            Raw = Text.excerpt text
            Expected = "the names of the columns"
        }
        text

/// Reads a line under the columns of the header before it, if there was one; else by the position of these fields.
let internal lineOf (number: int) (header: Columns voption) (fields: string[]) (text: ReadOnlySpan<byte>) : Line =
    let text = Text.trim (if number = 1 then Text.withoutMark text else text)

    if text.IsEmpty then
        Blank
    else
        let startsWithDigit = Text.isDigit text[0]

        let names =
            if startsWithDigit || text.IndexOf(ReadOnlySpan "index"B) < 0 then
                [||]
            else
                columnsOf (Text.toString text)

        if Array.contains "index" names then
            Header(greedily names "name")
        elif text.StartsWith(ReadOnlySpan "No devices were found"B) then
            NoDevices
        elif header.IsNone && not startsWithDigit then
            message number text
        else
            let columns = header |> ValueOption.defaultValue (greedily fields "name")
            let faults = ResizeArray<SourceError>()
            let row = Row.Split(number, columns, text, faults)

            match row.Key("index", "the index of a GPU") with
            | ValueNone when row.IsText -> remark text
            | ValueNone -> Message faults[0]
            | ValueSome index ->
                row.CheckLength()
                let gpu = gpuOf row index
                let count = row.Int("count")
                Board(gpu, count, faults, row.Answers index)

/// The fault of a text that ends within a line.
let internal torn (line: int) (text: ReadOnlySpan<byte>) : SourceError =
    SourceError.Garbled
        {
            Source = Source
            Line = line
            Field = "the last line"
            Raw = Text.excerpt text
            Expected = "a line end after the last line"
        }

/// The fault of a line that is too long for a row.
let internal tooLong (line: int) (text: ReadOnlySpan<byte>) : SourceError =
    SourceError.Garbled
        {
            Source = Source
            Line = line
            Field = "the whole line"
            Raw = Text.excerpt text
            Expected = "a row of at most 65536 bytes"
        }

// ---- Whole tables ----------------------------------------------------------------------------------------------------

let private firstGarbled (faults: ResizeArray<SourceError>) : ParseError option =
    faults
    |> Seq.tryPick (fun fault ->
        match fault with
        | SourceError.Garbled error -> Some error
        | SourceError.Absent _
        | SourceError.Unreadable _ -> None)

/// Reads the answer to any query whose header names these columns. Columns are found by the header; without one by
/// the position that they have in `NvidiaSmiQuery.basic`. Blank lines are skipped, and so is a row without an index, which is a
/// fault. The whole text is an error when it holds a message in place of a table.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<GpuReading, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let gpus = ResizeArray<Gpu>()
    let faults = ResizeArray<SourceError>()
    let mutable header = ValueNone
    let mutable isTable = false
    let mutable refused = ValueNone
    let mutable line = 0

    while cursor.NextLine() do
        line <- line + 1

        match lineOf line header NvidiaSmiQuery.basic cursor.Line with
        | Blank -> ()
        | Header columns ->
            header <- ValueSome columns
            isTable <- true
        | NoDevices -> isTable <- true
        | Message fault -> faults.Add fault
        | Lost(fault, error) ->
            faults.Add fault
            refused <- refused |> ValueOption.orElse (ValueSome error)
        | Board(gpu, _, found, _) ->
            isTable <- true
            gpus.Add gpu
            faults.AddRange found

    match firstGarbled faults, refused with
    | Some error, _
    | None, ValueSome error when not isTable -> Error error
    | _ ->
        // Half a line at the end would read as other numbers than were meant.
        if not cursor.AtEnd then
            faults.Add(torn (line + 1) cursor.Line)

        Ok
            {
                Gpus = gpus.ToArray()
                Faults = faults.ToArray()
            }

/// Which processes compute on which GPU.
[<NoComparison>]
type ProcessReading =
    {
        /// Each with the UUID of its GPU.
        Processes: struct (string * ComputeProcess)[]
        /// Values that could not be read or understood.
        Faults: SourceError[]
    }

/// The file name of `/usr/bin/python3.11 train.py`: the driver reports a path, and at times the arguments, which may hold secrets.
let private fileName (path: string) : string =
    let program = path.Split(' ', 2)[0]
    program.Substring(program.LastIndexOf '/' + 1)

/// Reads the answer to `NvidiaSmiQuery.processArguments`, or any query of compute processes whose header names its
/// columns. What stands before the header is a fault; without a header the text is an error, if it says anything.
[<CompiledName "ParseProcesses">]
let parseProcesses (text: ReadOnlySpan<byte>) : Result<ProcessReading, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let processes = ResizeArray()
    let faults = ResizeArray<SourceError>()

    // Of processes the loss of a GPU is words like any others: the reading of the GPUs tells it.
    let addWords line =
        match line with
        | Message fault -> faults.Add fault
        | Lost(_, error) -> faults.Add(SourceError.Garbled error)
        | _ -> ()

    let mutable header = ValueNone
    let mutable line = 0

    while cursor.NextLine() do
        line <- line + 1

        let text =
            Text.trim (
                if line = 1 then
                    Text.withoutMark cursor.Line
                else
                    cursor.Line
            )

        match header with
        | _ when text.IsEmpty -> ()
        | ValueNone ->
            let names = columnsOf (Text.toString text)

            if Array.contains "pid" names then
                header <- ValueSome(greedily names "process_name")
            elif not (text.StartsWith(ReadOnlySpan "No devices were found"B)) then
                addWords (message line text)
        | ValueSome columns ->
            let found = ResizeArray<SourceError>()
            let row = Row.Split(line, columns, text, found)

            match row.Key("pid", "the number of a process") with
            | ValueNone when row.IsText -> addWords (remark text)
            | ValueNone -> faults.AddRange found
            // Nobody: a process that this PID namespace does not have.
            | ValueSome 0 -> ()
            | ValueSome pid ->
                row.CheckLength()

                processes.Add(
                    struct (row.Text("uuid"),
                            {
                                Pid = pid
                                MemoryUsed = row.Memory("used_gpu_memory", "no more than a board has", Plausible.memoryPart ValueNone)
                                Name = fileName (row.Text("process_name"))
                            })
                )

                faults.AddRange found

    match firstGarbled faults with
    | Some error when header.IsNone -> Error error
    | _ ->
        if not cursor.AtEnd then
            faults.Add(torn (line + 1) cursor.Line)

        Ok
            {
                Processes = processes.ToArray()
                Faults = faults.ToArray()
            }

/// The processes by these names; one that the function does not know, for which it gives an empty text, keeps its own.
[<CompiledName "Named">]
let named (nameOf: Func<int, string>) (reading: ProcessReading) : ProcessReading =
    { reading with
        Processes =
            reading.Processes
            |> Array.map (fun (struct (uuid, p)) ->
                match nameOf.Invoke p.Pid with
                | "" -> struct (uuid, p)
                | name -> struct (uuid, { p with Name = name }))
    }

/// The GPUs with those who compute on them, most memory first; a GPU whose UUID is not known, or is another's as well, keeps what it has.
[<CompiledName "WithProcesses">]
let withProcesses (processes: ProcessReading) (reading: GpuReading) : GpuReading =
    let faults = ResizeArray<SourceError>()

    let isAlone (gpu: Gpu) =
        gpu.Uuid <> ""
        && reading.Gpus
           |> Array.forall (fun other -> other.Index = gpu.Index || other.Uuid <> gpu.Uuid)

    // A process on a MIG instance is listed by that one's UUID, and whose instance it is nobody tells.
    let hasInstances =
        processes.Processes
        |> Array.exists (fun (struct (uuid, _)) -> uuid.StartsWith("MIG-", StringComparison.Ordinal))

    let gpus =
        reading.Gpus
        |> Array.map (fun gpu ->
            if not (isAlone gpu) then
                gpu
            elif hasInstances && gpu.MigMode = ValueSome MigMode.Enabled then
                { gpu with
                    ComputeProcesses = ValueNone
                }
            else
                let struct (known, hasImpossible) =
                    processes.Processes
                    |> Array.filter (fun (struct (uuid, _)) -> uuid = gpu.Uuid)
                    // Rows do not say which instance they are of: equal ones are one that is listed twice.
                    |> Array.map (fun (struct (_, p)) ->
                        struct (p.MemoryUsed
                                |> ValueOption.map uint64
                                |> ValueOption.defaultValue UInt64.MaxValue,
                                p))
                    |> ComputeProcess.joined
                    |> ComputeProcess.limited
                    |> ComputeProcess.within gpu.MemoryTotal

                if hasImpossible then
                    faults.Add(
                        SourceError.Unreadable($"{Source} GPU {gpu.Index} memory of processes", "the driver reports an impossible value")
                    )

                { gpu with
                    ComputeProcesses = ValueSome known
                })

    { reading with
        Gpus = gpus
        Faults = Array.append reading.Faults (faults.ToArray())
    }
