/// `nvidia-smi --query-gpu=… --format=csv,nounits`: one header line, one line for each GPU, fields between commas.
/// See nvidia-smi(1) and `nvidia-smi --help-query-gpu`.
[<RequireQualifiedAccess>]
module Agent.Core.Gpu.NvidiaSmi

open System
open System.Globalization
open Agent.Core
open Agent.Core.Units

/// What errors call the text.
[<Literal>]
let Source = "nvidia-smi"

/// The fields that are asked for, in the order of the columns.
let private columns =
    [|
        "index"
        "name"
        "uuid"
        "utilization.gpu"
        "utilization.memory"
        "memory.total"
        "memory.used"
        "temperature.gpu"
        "fan.speed"
        "power.draw"
        "power.limit"
    |]

/// The arguments of the command whose output `parse` reads.
[<CompiledName "QueryArguments">]
let queryArguments: string[] = [| "--query-gpu=" + String.Join(',', columns); "--format=csv,nounits" |]

/// nvidia-smi's words for "not available". Everything in brackets is one of them: `[N/A]`, `[Not Supported]`,
/// `[GPU requires reset]`, `[Unknown Error]` and whatever the next driver invents.
let private isAbsent (value: string) =
    value.Length = 0
    || value.Equals("N/A", StringComparison.OrdinalIgnoreCase)
    || (value[0] = '[' && value[value.Length - 1] = ']')

/// `memory.total [MiB]` is the column memory.total.
let private columnName (header: string) = header.Trim().Split(' ')[0]

/// Splits a row into as many cells as there are columns. nvidia-smi does not quote, so a name with a comma makes the
/// row too long; what is too much belongs to the name.
let private cells (columnCount: int) (nameColumn: int) (row: string) : string[] =
    let parts = row.Split ','
    let surplus = parts.Length - columnCount

    if surplus <= 0 || nameColumn < 0 then
        parts |> Array.map (fun part -> part.Trim())
    else
        let name = String.Join(',', parts, nameColumn, surplus + 1)

        Array.concat [ parts[.. nameColumn - 1]; [| name |]; parts[nameColumn + surplus + 1 ..] ]
        |> Array.map (fun part -> part.Trim())

/// The number of a cell that may carry its unit: `81559` or `81559 MiB`.
let private tryNumber (value: string) (unit: string) : float voption =
    let digits =
        if value.EndsWith(unit, StringComparison.Ordinal) then
            value.Substring(0, value.Length - unit.Length).TrimEnd()
        else
            value

    let mutable number = 0.0

    if Text.tryDecimal (ReadOnlySpan(Text.Encoding.UTF8.GetBytes digits), &number) then
        ValueSome number
    else
        ValueNone

/// Reads the cells of one line; a value that does not read as its column says is a fault and counts as unknown.
type private Row(line: int, header: string[], cells: string[]) =
    let faults = ResizeArray<SourceError>()

    let garbled column raw expected =
        faults.Add(
            SourceError.Garbled
                {
                    Source = Source
                    Line = line
                    Field = column
                    Raw = Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes(raw: string)))
                    Expected = expected
                }
        )

    member _.Faults = faults

    member _.Text(column: string) : string =
        match Array.IndexOf(header, column) with
        | -1 -> ""
        | i when i >= cells.Length ->
            garbled column (String.Join(", ", cells)) $"{header.Length} cells"
            ""
        | i when isAbsent cells[i] -> ""
        | i -> cells[i]

    member row.Number (column: string) (unit: string) : float voption =
        match row.Text column with
        | "" -> ValueNone
        | text ->
            match tryNumber text unit with
            | ValueSome number when number >= 0.0 -> ValueSome number
            | _ ->
                garbled column text "a number or [N/A]"
                ValueNone

    member _.Index: int voption =
        let cell =
            match Array.IndexOf(header, "index") with
            | i when i >= 0 && i < cells.Length -> cells[i]
            | _ -> ""

        match Int32.TryParse(cell, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, index -> ValueSome index
        | _ ->
            garbled "index" (String.Join(", ", cells)) "the index of a GPU"
            ValueNone

let private measure<[<Measure>] 'u> (value: float voption) : float<'u> voption =
    value |> ValueOption.map LanguagePrimitives.FloatWithMeasure<'u>

let private bytes (mebibytes: float voption) : uint64<B> voption =
    mebibytes
    |> ValueOption.map (fun value -> bytesOfMib (LanguagePrimitives.UInt64WithMeasure(uint64 (Math.Round value))))

let private gpuOf (row: Row) : Gpu voption =
    row.Index
    |> ValueOption.map (fun index ->
        { Gpu.OfIndex index with
            Name = row.Text "name"
            Uuid = row.Text "uuid"
            Utilization = measure (row.Number "utilization.gpu" "%")
            MemoryUtilization = measure (row.Number "utilization.memory" "%")
            MemoryTotal = bytes (row.Number "memory.total" "MiB")
            MemoryUsed = bytes (row.Number "memory.used" "MiB")
            Temperature = measure (row.Number "temperature.gpu" "C")
            FanSpeed = measure (row.Number "fan.speed" "%")
            Power = measure (row.Number "power.draw" "W")
            PowerLimit = measure (row.Number "power.limit" "W")
        })

/// Reads the answer to `queryArguments`, or any query whose header names these columns. Columns are found by the
/// header; without one by position. Blank lines are skipped, and so is a row without an index, which is a fault. The
/// whole text is an error when it holds a message in place of a table.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<GpuReading, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let gpus = ResizeArray<Gpu>()
    let faults = ResizeArray<SourceError>()
    let mutable header = ValueNone
    let mutable message = ValueNone
    let mutable line = 0

    while cursor.NextLine() do
        line <- line + 1
        let row = (Text.toString cursor.Line).Trim()

        if row.Length > 0 then
            let names = row.Split ',' |> Array.map columnName

            match header with
            | ValueNone when Array.contains "index" names -> header <- ValueSome names
            | ValueNone when row.StartsWith("No devices were found", StringComparison.OrdinalIgnoreCase) -> header <- ValueSome columns
            | ValueNone when not (Char.IsAsciiDigit row[0]) ->
                // A warning before the table, or a complaint in its place.
                if message.IsNone then
                    message <- ValueSome(cursor.Bad("header", "the names of the columns"))
            | _ ->
                let names = header |> ValueOption.defaultValue columns
                header <- ValueSome names
                let row = Row(line, names, cells names.Length (Array.IndexOf(names, "name")) row)

                match gpuOf row with
                | ValueSome gpu -> gpus.Add gpu
                | ValueNone -> ()

                faults.AddRange row.Faults

    match header, message with
    | ValueNone, ValueSome error -> Error error
    | _ ->
        match message with
        | ValueSome warning -> faults.Insert(0, SourceError.Garbled warning)
        | ValueNone -> ()

        // Half a line at the end would read as other numbers than were meant.
        if not cursor.AtEnd then
            faults.Add(SourceError.Garbled(cursor.NoLine "the last line"))

        Ok
            {
                Gpus = gpus.ToArray()
                Faults = faults.ToArray()
            }
