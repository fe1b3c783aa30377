namespace Agent.Core.Gpu

open System
open Agent.Core

/// What a looping nvidia-smi has printed so far. A value: feeding it bytes gives the next one.
[<NoComparison; NoEquality>]
type NvidiaSmiStream =
    private
        {
            /// The order of the columns while there is no header.
            Fields: string[]
            Header: NvidiaSmi.Columns voption
            /// Lines that have ended.
            Lines: int
            /// The beginning of the line that has not.
            Pending: byte[]
            /// The rows of the round that is under way, the newest first.
            Gpus: Gpu list
            /// What was wrong with them.
            Faults: SourceError list
            /// What was said since the newest row; it belongs to the row that follows.
            Said: SourceError list
            /// Rows that make a round whole; 0 when unknown.
            Whole: int
            /// Rows of the last round that was followed by another; 0 before the first.
            LastRows: int
            /// The round was handed out with all rows that it has so far.
            HandedOut: bool
            /// Which columns of which board ever held a value, a bit for each, by the board's index.
            Answered: uint32[]
            /// A board is refused what it told.
            HasEnded: bool
        }

/// Cutting the output of `NvidiaSmiQuery.loopArguments` into rounds, one for each interval. nvidia-smi puts nothing between two
/// rounds: a round ends with as many rows as there are GPUs, or as the round before it had, if those were fewer because one
/// GPU is lost; and at the latest when an index comes again. A round that was handed out too early is handed out again when
/// another row of it comes.
[<RequireQualifiedAccess>]
module NvidiaSmiStream =
    /// A line beyond this length is no row, and is not kept.
    [<Literal>]
    let private LongestLine = 65536

    /// Before the first byte.
    [<CompiledName "Start">]
    let start (query: NvidiaSmiQuery) : NvidiaSmiStream =
        {
            Fields = NvidiaSmiQuery.fields query
            Header = ValueNone
            Lines = 0
            Pending = [||]
            Gpus = []
            Faults = []
            Said = []
            Whole = 0
            LastRows = 0
            HandedOut = true
            Answered = [||]
            HasEnded = false
        }

    /// True once there was a table: what comes before is no part of an answer.
    [<CompiledName "HasTable">]
    let hasTable (stream: NvidiaSmiStream) : bool =
        stream.Header.IsSome || stream.LastRows > 0 || not stream.Gpus.IsEmpty

    /// True once a board is refused values that this nvidia-smi told, as after a suspend: it will not tell them again, and another start may.
    [<CompiledName "HasEndedSession">]
    let hasEndedSession (stream: NvidiaSmiStream) : bool = stream.HasEnded

    let private withAnswers (index: int) (answers: NvidiaSmi.Answers) (stream: NvidiaSmiStream) : NvidiaSmiStream =
        let ever =
            if index >= 0 && index < stream.Answered.Length then
                stream.Answered[index]
            else
                0u

        let all = ever ||| answers.Answered

        { stream with
            // What prints has no end, and its indexes need not be those of boards.
            Answered =
                if all = ever || index < 0 || index >= Nvml.MostBoards then
                    stream.Answered
                else
                    Array.init (max stream.Answered.Length (index + 1)) (fun i ->
                        if i = index then all
                        elif i < stream.Answered.Length then stream.Answered[i]
                        else 0u)
            HasEnded = stream.HasEnded || Nvml.hasEndedSession ever answers.Answered answers.Refused
        }

    let private reading (stream: NvidiaSmiStream) : GpuReading =
        {
            Gpus = Array.ofList (List.rev stream.Gpus)
            Faults = Array.ofList (List.rev stream.Faults)
        }

    let private closed (rounds: ResizeArray<GpuReading>) (stream: NvidiaSmiStream) : NvidiaSmiStream =
        if not stream.HandedOut then
            rounds.Add(reading stream)

        { stream with
            Gpus = []
            Faults = []
            LastRows =
                if stream.Gpus.IsEmpty then
                    stream.LastRows
                else
                    stream.Gpus.Length
            HandedOut = true
        }

    let private withRow (rounds: ResizeArray<GpuReading>) (gpu: Gpu) (count: int voption) (faults: ResizeArray<SourceError>) stream =
        let follows =
            match stream.Gpus with
            | [] -> true
            | last :: _ -> gpu.Index > last.Index

        let stream = if follows then stream else closed rounds stream

        let whole =
            match stream.LastRows, count with
            | 0, ValueSome count -> count
            | last, ValueSome count when count > 0 -> min last count
            | last, _ -> last

        let stream =
            { stream with
                Gpus = gpu :: stream.Gpus
                Faults = List.rev (List.ofSeq faults) @ stream.Said @ stream.Faults
                Said = []
                Whole = whole
                HandedOut = false
            }

        if whole > 0 && stream.Gpus.Length >= whole then
            rounds.Add(reading stream)
            { stream with HandedOut = true }
        else
            stream

    let private step (rounds: ResizeArray<GpuReading>) (line: ReadOnlySpan<byte>) (stream: NvidiaSmiStream) : NvidiaSmiStream =
        let stream =
            { stream with
                Lines = stream.Lines + 1
                Pending = [||]
            }

        if line.Length > LongestLine then
            { stream with
                Said = NvidiaSmi.tooLong stream.Lines line :: stream.Said
            }
        else
            match NvidiaSmi.lineOf stream.Lines stream.Header stream.Fields line with
            | NvidiaSmi.Blank -> stream
            | NvidiaSmi.Header columns ->
                { closed rounds stream with
                    Header = ValueSome columns
                }
            | NvidiaSmi.NoDevices ->
                let stream = closed rounds stream

                rounds.Add
                    {
                        Gpus = [||]
                        Faults = Array.ofList (List.rev stream.Said)
                    }

                { stream with Said = [] }
            | NvidiaSmi.Message fault
            | NvidiaSmi.Lost(fault, _) ->
                { stream with
                    Said = fault :: stream.Said
                }
            | NvidiaSmi.Board(gpu, count, faults, answers) -> stream |> withAnswers gpu.Index answers |> withRow rounds gpu count faults

    let private joined (pending: byte[]) (tail: ReadOnlySpan<byte>) : byte[] =
        // One byte more than is allowed tells that the line is too long.
        let room = LongestLine + 1 - pending.Length
        Array.append pending (tail.Slice(0, min room tail.Length).ToArray())

    /// What the bytes add, and the rounds that they complete, oldest first. How the bytes are cut makes no difference.
    [<CompiledName "Feed">]
    let feed (chunk: ReadOnlySpan<byte>) (stream: NvidiaSmiStream) : struct (NvidiaSmiStream * GpuReading[]) =
        let rounds = ResizeArray<GpuReading>()
        let mutable stream = stream
        let mutable rest = chunk
        let mutable ended = rest.IndexOf '\n'B

        while ended >= 0 do
            let line = rest.Slice(0, ended)

            stream <-
                if stream.Pending.Length = 0 then
                    step rounds line stream
                else
                    step rounds (ReadOnlySpan(joined stream.Pending line)) stream

            rest <- rest.Slice(ended + 1)
            ended <- rest.IndexOf '\n'B

        if rest.Length > 0 then
            stream <-
                { stream with
                    Pending = joined stream.Pending rest
                }

        struct (stream, rounds.ToArray())

    /// The round that the end of the output cut short, if it holds a row that was not handed out yet.
    [<CompiledName "Finish">]
    let finish (stream: NvidiaSmiStream) : GpuReading voption =
        if stream.HandedOut then
            ValueNone
        else
            let reading = reading stream
            let said = List.rev stream.Said

            let torn =
                if stream.Pending.Length > 0 then
                    [ NvidiaSmi.torn (stream.Lines + 1) (ReadOnlySpan stream.Pending) ]
                else
                    []

            ValueSome
                { reading with
                    Faults = Array.append reading.Faults (Array.ofList (said @ torn))
                }
