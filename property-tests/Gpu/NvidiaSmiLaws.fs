/// Laws of the table that nvidia-smi prints.
module Agent.PropertyTests.Gpu.NvidiaSmiLaws

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private absentSpellings =
    [
        "[N/A]"
        "N/A"
        "[Not Supported]"
        "[Unknown Error]"
        "[GPU requires reset]"
        "[Insufficient Permissions]"
        "[Requested functionality has been deprecated]"
        "[Function Not Found]"
        ""
    ]

let private columns =
    [|
        "index", ""
        "name", ""
        "uuid", ""
        "utilization.gpu", "%"
        "utilization.memory", "%"
        "memory.total", "MiB"
        "memory.used", "MiB"
        "temperature.gpu", ""
        "fan.speed", "%"
        "power.draw", "W"
        "power.limit", "W"
    |]

/// A number as a cell shows it, or one of the spellings of its absence.
let private cell (numbers: Gen<struct (float * string)>) : Gen<struct (float voption * string)> =
    Gen.frequency
        [
            3,
            numbers
            |> Gen.map (fun (struct (value, text)) -> struct (ValueSome value, text))
            1, Gen.elements absentSpellings |> Gen.map (fun text -> struct (ValueNone, text))
        ]

let private whole most =
    Gen.choose (0, most) |> Gen.map (fun n -> struct (float n, string n))

let private measured<[<Measure>] 'u> (value: float voption) : float<'u> voption =
    value |> ValueOption.map LanguagePrimitives.FloatWithMeasure<'u>

let private bytes (mebibytes: float voption) : uint64<B> voption =
    mebibytes
    |> ValueOption.map (fun n -> LanguagePrimitives.UInt64WithMeasure(saturated (uint64 n) 1048576))

/// A GPU and its cells in the order of `columns`.
let private row index : Gen<Gpu * string[]> =
    gen {
        let! name =
            Gen.frequency
                [
                    3, phrase
                    1, Gen.elements [ "NVIDIA A100-SXM4-80GB"; "GRID A100, 4C"; "Quadro, RTX, 8000" ]
                ]

        let! uuid = word
        let! struct (utilization, utilizationText) = cell (whole 100)
        let! struct (memoryUtilization, memoryUtilizationText) = cell (whole 100)
        let! struct (total, totalText) = cell (whole 200_000)
        let! struct (used, usedText) = cell (whole 200_000)
        let! struct (temperature, temperatureText) = cell (whole 110)
        let! struct (fan, fanText) = cell (whole 100)
        let! struct (power, powerText) = cell (hundredths 100_000)
        let! struct (limit, limitText) = cell (hundredths 100_000)

        return
            { Gpu.OfIndex index with
                Name = name
                Uuid = uuid
                Utilization = measured utilization
                MemoryUtilization = measured memoryUtilization
                MemoryTotal = bytes total
                MemoryUsed = bytes used
                Temperature = measured temperature
                FanSpeed = measured fan
                Power = measured power
                PowerLimit = measured limit
            },
            [|
                string index
                name
                uuid
                utilizationText
                memoryUtilizationText
                totalText
                usedText
                temperatureText
                fanText
                powerText
                limitText
            |]
    }

let private rows =
    upTo 3 (Gen.constant ())
    |> Gen.bind (fun found -> Gen.collectToArray row [| 0 .. found.Length - 1 |])

let private rendered (withHeader: bool) (withUnits: bool) (order: int[]) (found: (Gpu * string[])[]) : Rendered<Gpu[]> =
    let joined (cells: string[]) =
        String.Join(", ", order |> Array.map (fun i -> cells[i]))

    let withUnit (cells: string[]) =
        cells
        |> Array.mapi (fun i text ->
            let unit = snd columns[i]

            if withUnits && unit <> "" && text <> "" && Char.IsAsciiDigit text[0] then
                $"{text} {unit}"
            else
                text)

    let names =
        columns
        |> Array.map (fun (name, unit) -> if unit = "" then name else $"{name} [{unit}]")

    {
        Value = Array.map fst found
        Lines =
            [|
                if withHeader then
                    joined names
                for _, cells in found do
                    joined (withUnit cells)
            |]
    }

/// Tables as the driver prints them: with a header, which may come in any order, or without one.
let private texts: Gen<Rendered<Gpu[]>> =
    gen {
        let! found = rows
        let! withHeader = Gen.frequency [ 4, Gen.constant true; 1, Gen.constant false ]
        let! withUnits = Gen.elements [ true; false ]
        let inOrder = [| 0 .. columns.Length - 1 |]
        let! order = Gen.oneof [ Gen.constant inOrder; Gen.shuffle inOrder ]
        return rendered withHeader withUnits (if withHeader then order else inOrder) found
    }

/// GPUs that a table may say.
let gpus: Gen<Gpu[]> = texts |> Gen.map (fun text -> text.Value)

let private problems (reading: GpuReading) : ParseError list =
    [
        for fault in reading.Faults do
            match fault with
            | SourceError.Garbled error -> error
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

let private plainTable = rows |> Gen.map (rendered true false [| 0 .. columns.Length - 1 |])

let tests =
    testList
        "Gpu.NvidiaSmi"
        [
            yield! ParserLaws.all format
            ParserLaws.unknownLines format (fun text -> text.Lines.Length) (Gen.elements [ ""; "  "; "\t"; "\r" ])
            law "columns that the header names and nobody knows are ignored" (Gen.zip plainTable word) (fun (table, extra) ->
                let lines =
                    table.Lines
                    |> Array.mapi (fun i line -> if i = 0 then $"{line}, x{extra}" else $"{line}, {extra}")

                same (parsed lines).Gpus table.Value)
            law "an absent spelling in any cell is unknown, never 0, and no fault" rows (fun found ->
                absentSpellings
                |> List.forall (fun spelling ->
                    let table =
                        found
                        |> Array.map (fun (gpu, cells) -> gpu, Array.append cells[..2] (Array.create (cells.Length - 3) spelling))
                        |> rendered true true [| 0 .. columns.Length - 1 |]

                    let reading = parsed table.Lines

                    reading.Faults = [||]
                    && reading.Gpus.Length = found.Length
                    && reading.Gpus
                       |> Array.forall (fun gpu ->
                           gpu.Utilization.IsNone
                           && gpu.MemoryUtilization.IsNone
                           && gpu.MemoryTotal.IsNone
                           && gpu.MemoryUsed.IsNone
                           && gpu.MemoryPercent.IsNone
                           && gpu.Temperature.IsNone
                           && gpu.FanSpeed.IsNone
                           && gpu.Power.IsNone
                           && gpu.PowerLimit.IsNone)))
            law
                "a garbled cell costs its own field and is told"
                (Gen.zip3 (row 0) (Gen.choose (3, columns.Length - 1)) (Gen.map (fun w -> "x" + w) word))
                (fun ((gpu, cells), place, garbage) ->
                    let cells = Array.updateAt place garbage cells
                    let reading = parsed (rendered true false [| 0 .. columns.Length - 1 |] [| gpu, cells |]).Lines
                    let blank = Array.updateAt place "N/A" cells
                    let expected = parsed (rendered true false [| 0 .. columns.Length - 1 |] [| gpu, blank |]).Lines
                    reading.Faults.Length = 1 && same reading.Gpus expected.Gpus)
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
