/// Laws of what a looping nvidia-smi prints, of the query that a driver accepts, and of the processes on the GPUs.
module Agent.PropertyTests.Gpu.NvidiaSmiStreamLaws

open System
open System.Text
open Agent.Core
open Agent.Sender
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

// ---- Rounds ----------------------------------------------------------------------------------------------------------

/// A row of a round, told by three columns.
let private row (index: int) : Gen<Gpu * string> =
    gen {
        let! name = Gen.elements [ "NVIDIA L4"; "GRID A100, 4C"; "" ]
        let! power = maybe (Gen.choose (0, 700))

        let shown =
            match power with
            | ValueSome watts -> $"{watts}.00"
            | ValueNone -> "[N/A]"

        return
            { Gpu.OfIndex index with
                Name = name
                Power =
                    power
                    |> ValueOption.map (fun watts -> LanguagePrimitives.FloatWithMeasure(float watts))
            },
            $"{index}, {name}, {shown}"
    }

/// Rounds of the same GPUs, at least one each.
let private rounds: Gen<(Gpu * string)[][]> =
    gen {
        let! gpus = Gen.choose (1, 4)
        let! count = Gen.choose (1, 5)
        return! Gen.arrayOfLength count (Gen.collectToArray row [| 0 .. gpus - 1 |])
    }

[<NoComparison>]
type private Loop = { Expected: Gpu[][]; Text: byte[] }

/// What a loop prints: the header once or before each round, other systems' line ends, blank lines.
let private loopOf (withCount: bool) (rounds: (Gpu * string)[][]) : Gen<Loop> =
    gen {
        let! repeated = Gen.elements [ true; false ]
        let! lineEnd = Gen.elements [ "\n"; "\r\n" ]
        let! blank = Gen.elements [ ""; lineEnd; "  " + lineEnd ]
        let count = if withCount then $", {rounds[0].Length}" else ""
        let header = "index, name, power.draw [W]" + if withCount then ", count" else ""

        let lines =
            [
                for i in 0 .. rounds.Length - 1 do
                    if i = 0 || repeated then
                        header + lineEnd

                    for _, cells in rounds[i] do
                        cells + count + lineEnd

                    blank
            ]

        return
            {
                Expected = rounds |> Array.map (Array.map fst)
                Text = Encoding.UTF8.GetBytes(String.concat "" lines)
            }
    }

/// The bytes in pieces of any length.
let private cut (text: byte[]) : Gen<byte[] list> =
    gen {
        let! places = Gen.listOf (Gen.choose (0, text.Length))
        let places = List.sort (0 :: text.Length :: places)
        return places |> List.pairwise |> List.map (fun (from, past) -> text[from .. past - 1])
    }

/// What comes out of the pieces: the rounds that were handed out, and the one that the end cut short.
let private fed (pieces: byte[] list) =
    let mutable stream = NvidiaSmiStream.start NvidiaSmiQuery.full
    let handedOut = ResizeArray<GpuReading>()

    for piece in pieces do
        let struct (next, rounds) = NvidiaSmiStream.feed (ReadOnlySpan piece) stream
        stream <- next
        handedOut.AddRange rounds

    List.ofSeq handedOut, NvidiaSmiStream.finish stream

let private gpusOf (readings: GpuReading seq) =
    readings |> Seq.map _.Gpus |> Array.ofSeq

let private noise: Gen<Bytes> =
    let real =
        rounds
        |> Gen.bind (loopOf true)
        |> Gen.map (fun loop ->
            {
                Value = ()
                Lines = Encoding.UTF8.GetString(loop.Text).Split('\n')
            })

    Gen.oneof [ anyBytes; damaged real ]

let private inPieces =
    gen {
        let! bytes = noise
        let! pieces = cut bytes.Content
        return bytes, pieces
    }

let private roundLaws =
    [
        law "any cutting of the same bytes gives the same rounds" inPieces (fun (bytes, pieces) ->
            same (fed pieces) (fed [ bytes.Content ]))
        law "any bytes at all give rounds and located faults, never an exception" inPieces (fun (_, pieces) ->
            let rounds, last = fed pieces

            Seq.append rounds (ValueOption.toList last)
            |> Seq.collect _.Faults
            |> ParserLaws.areLocated)
        law "no round has an index twice, and each is in the driver's order" inPieces (fun (_, pieces) ->
            let rounds, last = fed pieces

            Seq.append rounds (ValueOption.toList last)
            |> Seq.forall (fun round ->
                round.Gpus
                |> Array.pairwise
                |> Array.forall (fun (one, next) -> one.Index < next.Index)))
        law "rounds that tell how many GPUs there are come out each with its last row" (rounds |> Gen.bind (loopOf true)) (fun loop ->
            let handedOut, last = fed [ loop.Text ]
            same (gpusOf handedOut) loop.Expected && last.IsNone)
        law
            "a round is there as soon as the line end of its last row is"
            (rounds
             |> Gen.bind (loopOf true)
             |> Gen.filter (fun loop -> loop.Expected.Length = 1))
            (fun loop ->
                let lastIndex = '0'B + byte (Array.last loop.Expected[0]).Index
                let lineEnd = Array.IndexOf(loop.Text, '\n'B, Array.LastIndexOf(loop.Text, lastIndex))
                let handedOut, _ = fed [ loop.Text[..lineEnd] ]
                let early, _ = fed [ loop.Text[.. lineEnd - 1] ]
                same (gpusOf handedOut) loop.Expected && early.IsEmpty)
        law
            "rounds that do not tell it come out too, the last one at the latest at the end"
            (rounds |> Gen.bind (loopOf false))
            (fun loop ->
                let handedOut, last = fed [ loop.Text ]
                same (Array.append (gpusOf handedOut) (gpusOf (ValueOption.toList last))) loop.Expected)
        law
            "a GPU that is lost from the first round on delays that round alone"
            (rounds
             |> Gen.filter (fun rounds -> rounds.Length > 1 && rounds[0].Length > 1)
             |> Gen.bind (fun rounds -> Gen.map (fun loop -> rounds, loop) (loopOf true (Array.map Array.tail rounds))))
            (fun (rounds, loop) ->
                // The column still counts the lost one.
                let text =
                    Encoding.UTF8.GetString(loop.Text).Replace($", {rounds[0].Length - 1}\n", $", {rounds[0].Length}\n")

                let text = text.Replace($", {rounds[0].Length - 1}\r\n", $", {rounds[0].Length}\r\n")
                let handedOut, last = fed [ Encoding.UTF8.GetBytes text ]
                same (gpusOf handedOut) loop.Expected && last.IsNone)
        law "a message between rows costs no row and is told" (rounds |> Gen.bind (loopOf true)) (fun loop ->
            let warned = Encoding.UTF8.GetString(loop.Text).Replace("\n0, ", "\nWARNING: infoROM is corrupted\n0, ")
            let handedOut, _ = fed [ Encoding.UTF8.GetBytes warned ]

            same (gpusOf handedOut) loop.Expected
            && handedOut |> List.forall (fun round -> round.Faults.Length = 1))
    ]

// ---- The query -------------------------------------------------------------------------------------------------------

let private everyField =
    Array.append (NvidiaSmiQuery.fields NvidiaSmiQuery.full) [| "clocks_throttle_reasons.active" |]

/// What some driver knows: always the index.
let private known = Gen.subListOf everyField |> Gen.map (fun fields -> set ("index" :: fields))

/// Asks, and asks again without what was complained about, at most so many times.
let rec private agreed (known: Set<string>) (times: int) (query: NvidiaSmiQuery) : NvidiaSmiQuery voption =
    match
        NvidiaSmiQuery.fields query
        |> Array.tryFind (fun field -> not (known.Contains field))
    with
    | None -> ValueSome query
    | Some _ when times = 0 -> ValueNone
    | Some field ->
        let complaint = $"Field \"{field}\" is not a valid field to query.\n\n"

        match NvidiaSmiFailure.ofOutput 2 (ReadOnlySpan(Encoding.UTF8.GetBytes complaint)) with
        | NvidiaSmiFailure.UnknownField named ->
            NvidiaSmiQuery.without named query
            |> ValueOption.bind (agreed known (times - 1))
        | other -> failtestf "%A for %s" other complaint

let private queryLaws =
    [
        law "with any driver the complaints come to an end, and every field that it knows is asked for" known (fun known ->
            match agreed known everyField.Length NvidiaSmiQuery.full with
            | ValueNone -> failtest "still complaints"
            | ValueSome query ->
                let asked = set (NvidiaSmiQuery.fields query)

                // Of two names of one field the newer one is asked for.
                let wanted =
                    if known.Contains "clocks_event_reasons.active" then
                        known.Remove "clocks_throttle_reasons.active"
                    else
                        known

                same asked wanted)
        law "a field that was not asked for is no reason to ask again" Generators.word (fun field ->
            NvidiaSmiQuery.without ("x" + field) NvidiaSmiQuery.full = ValueNone)
        law "any output at all has a cause, never an exception" (Gen.zip anyBytes (Gen.choose (-1, 256))) (fun (bytes, code) ->
            match NvidiaSmiFailure.ofOutput code (ReadOnlySpan bytes.Content) with
            | NvidiaSmiFailure.UnknownField field -> Encoding.UTF8.GetString(bytes.Content).Contains field
            | _ -> true)
    ]

// ---- Processes -------------------------------------------------------------------------------------------------------

let private uuids = [ "GPU-a"; "GPU-b"; "GPU-c" ]

let private processRow: Gen<string * ComputeProcess * string> =
    gen {
        let! uuid = Gen.elements uuids
        // Few, so that some are listed twice, or many.
        let! pid = Gen.oneof [ Gen.choose (1, 20); Gen.choose (1, 4_000_000) ]
        let! name = Gen.elements [ "python3.11"; "gpu_burn"; "a,b" ]
        let! folder = Gen.elements [ ""; "/usr/bin/"; "./"; "/opt/a,b/" ]
        let! memory = maybe (Gen.choose (0, 100_000))

        let shown =
            match memory with
            | ValueSome mebibytes -> string mebibytes
            | ValueNone -> "[N/A]"

        return
            uuid,
            {
                Pid = pid
                MemoryUsed =
                    memory
                    |> ValueOption.map (fun n -> LanguagePrimitives.UInt64WithMeasure(uint64 n * 1048576UL))
                Name = name
            },
            $"{uuid}, {pid}, {folder}{name}, {shown}"
    }

let private processTable =
    upTo 40 processRow
    |> Gen.map (fun rows ->
        {
            Value = rows |> Array.map (fun (uuid, p, _) -> struct (uuid, p))
            Lines =
                [|
                    "gpu_uuid, pid, process_name, used_gpu_memory [MiB]"
                    for _, _, line in rows do
                        line
                |]
        })

let private processFormat: ParserLaws.Format<struct (string * ComputeProcess)[]> =
    let parse (text: ReadOnlyMemory<byte>) = NvidiaSmi.parseProcesses text.Span

    let garbled (reading: NvidiaSmi.ProcessReading) =
        [
            for fault in reading.Faults do
                match fault with
                | SourceError.Garbled error -> error
                | other -> failtestf "%O is not about a text" other
        ]

    {
        Texts = processTable
        Parse =
            fun text ->
                parse text
                |> Result.bind (fun reading ->
                    match garbled reading with
                    | [] -> Ok reading.Processes
                    | error :: _ -> Error error)
        Errors =
            fun text ->
                match parse text with
                | Ok reading -> garbled reading
                | Error error -> [ error ]
        IsPart = ParserLaws.isStart
    }

let private processLaws =
    [
        yield! ParserLaws.all processFormat
        law "each GPU gets its own processes, each once, and no other's" processTable (fun table ->
            // Equal rows are one that is listed twice, others are of several instances.
            let once (rows: ComputeProcess[]) =
                let memories = rows |> Array.map _.MemoryUsed |> Array.distinct

                { rows[0] with
                    MemoryUsed =
                        if memories |> Array.exists _.IsNone then
                            ValueNone
                        else
                            ValueSome(memories |> Array.sumBy _.Value)
                }

            let gpus =
                uuids
                |> Array.ofList
                |> Array.mapi (fun i uuid -> { Gpu.OfIndex i with Uuid = uuid })

            let reading: NvidiaSmi.ProcessReading =
                {
                    Processes = table.Value
                    Faults = [||]
                }

            (NvidiaSmi.withProcesses reading { Gpus = gpus; Faults = [||] }).Gpus
            |> Array.forall (fun gpu ->
                let own =
                    table.Value
                    |> Array.filter (fun (struct (uuid, _)) -> uuid = gpu.Uuid)
                    |> Array.map (fun (struct (_, p)) -> p)
                    |> Array.groupBy _.Pid
                    |> Array.map (snd >> once)

                same gpu.ComputeProcesses (ValueSome(ComputeProcess.limited own))))
    ]

let tests = testList "Gpu.NvidiaSmiStream" (List.concat [ roundLaws; queryLaws; processLaws ])
