/// Laws of the spool: its format, and its queue against a list.
module Agent.PropertyTests.SpoolLaws

open System
open System.IO
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host
open Agent.Host.Buffering
open Agent.Shell
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private position: Gen<SpoolPosition> =
    gen {
        let! segment = Gen.choose64 (0L, 999_999_999_999_999_999L)
        let! offset = Gen.choose64 (0L, 999_999_999_999_999_999L)
        return { Segment = segment; Offset = offset }
    }

let private anyBytes: Gen<byte[]> =
    Gen.arrayOf (
        Gen.oneof [ Gen.choose (0, 255); Gen.elements [ 10; 32; 48; 57 ] ]
        |> Gen.map byte
    )

/// The content of a position file with one byte changed, or cut.
let private nearlyPosition: Gen<SpoolPosition * byte[]> =
    gen {
        let! position = position
        let text = Spool.writePosition position
        let! index = Gen.choose (0, text.Length - 1)
        let! value = Gen.choose (0, 255)

        if value = int text[index] then
            return position, Array.truncate index text
        else
            return position, Array.mapi (fun i b -> if i = index then byte value else b) text
    }

let private body: Gen<string> =
    gen {
        let! number = Gen.choose (0, 1_000_000)
        let! pad = Gen.choose (0, 40)
        return $"""{{"n":{number},"pad":"{String('x', pad)}"}}"""
    }

/// A segment, and how many of its bytes reached the disk.
let private prefix: Gen<string list * int> =
    gen {
        let! bodies = Gen.listOf body
        let length = bodies |> List.sumBy (fun body -> body.Length + 1)
        let! cut = Gen.choose (0, length)
        return bodies, cut
    }

let rec private recordsIn (text: byte[]) : string list =
    match Spool.recordLength (ReadOnlySpan text) with
    | 0 -> []
    | length ->
        Encoding.UTF8.GetString(text, 0, length - 1)
        :: recordsIn (Array.skip length text)

let private format =
    testList
        "format"
        [
            lawOf wholeCases "reading back a position gives the position" position (fun position ->
                same (Spool.readPosition (ReadOnlySpan(Spool.writePosition position))) (ValueSome position))
            lawOf wholeCases "a position with any byte changed, or cut short, is none" nearlyPosition (fun (_, text) ->
                same (Spool.readPosition (ReadOnlySpan text)) ValueNone)
            lawOf wholeCases "any bytes at all give a position or none, never an exception" anyBytes (fun text ->
                let position = Spool.readPosition (ReadOnlySpan text)
                position.IsNone || Spool.writePosition position.Value = text)
            lawOf wholeCases "any bytes at all are a record that can be sent or not, never an exception" anyBytes (fun text ->
                let intact = Spool.isIntact (ReadOnlySpan text)
                not intact || text |> Array.exists ((=) '{'B))
            lawOf wholeCases "the name of a segment gives back its number" (Gen.choose64 (0L, 999_999_999_999_999L)) (fun number ->
                same (Spool.kindOf (Spool.nameOf number)) (Spool.FileKind.Segment number))
            lawOf wholeCases "names sort as their numbers do" (Gen.two (Gen.choose64 (0L, 999_999_999_999L))) (fun (one, other) ->
                same (sign (String.CompareOrdinal(Spool.nameOf one, Spool.nameOf other))) (compare one other |> sign))
            lawOf wholeCases "whatever reached the disk of a segment reads as the first of its records" prefix (fun (bodies, cut) ->
                let text =
                    bodies
                    |> List.map (fun body -> body + "\n")
                    |> String.concat ""
                    |> Encoding.UTF8.GetBytes
                    |> Array.truncate cut

                let records = recordsIn text
                let tally = Spool.tallyOf (ReadOnlySpan text)
                let whole = records |> List.sumBy (fun record -> record.Length + 1)

                same records (List.truncate records.Length bodies)
                && same (tally.Records, tally.Tail) (records.Length, cut - whole)
                && records
                   |> List.forall (fun r -> Spool.isIntact (ReadOnlySpan(Encoding.UTF8.GetBytes r))))
            lawOf
                wholeCases
                "delivery goes on in a segment that is there, or in one that never was"
                (Gen.zip position (Gen.listOf (Gen.choose64 (1L, 50L))))
                (fun (saved, numbers) ->
                    let segments = numbers |> List.distinct |> List.sort |> Array.ofList

                    noneOf
                        [
                            for position in
                                [
                                    ValueNone
                                    ValueSome saved
                                    ValueSome
                                        { saved with
                                            Segment = saved.Segment % 52L
                                        }
                                ] do
                                let from = Spool.resume position segments

                                if segments.Length > 0 && not (Array.contains from.Segment segments) then
                                    $"{from} is not there"

                                if segments.Length = 0 && position.IsSome && from.Segment <= position.Value.Segment then
                                    $"{from} was used before"
                        ])
            lawOf
                wholeCases
                "what stays is within the limit, and no segment goes without need"
                (Gen.zip (Gen.choose64 (0L, 100L)) (Gen.arrayOf (Gen.choose64 (0L, 20L))))
                (fun (limit, sizes) ->
                    let gone = Spool.surplus limit sizes
                    let rest count = sizes |> Array.skip count |> Array.sum

                    (rest gone <= limit || gone = sizes.Length - 1)
                    && (gone = 0 || rest (gone - 1) > limit))
        ]

/// What happens to a spool.
type private Event =
    | Add of padding: int
    | Deliver
    /// The next one is added while the request is under way.
    | DeliverLate
    | Refuse
    | TakeBack
    | Restart
    /// The process ends in the middle of a request.
    | Kill
    /// The disk takes no new segment from here on, or takes them again.
    | Block
    | Unblock

let private event (refuses: bool) : Gen<Event> =
    let often =
        [
            8, Gen.choose (0, (if refuses then 60_000 else 20_000)) |> Gen.map Add
            5, Gen.constant Deliver
            1, Gen.constant DeliverLate
            2, Gen.constant Refuse
            1, Gen.constant TakeBack
            1, Gen.constant Restart
            1, Gen.constant Kill
        ]

    Gen.frequency (
        if refuses then
            often @ [ 2, Gen.constant Block; 2, Gen.constant Unblock ]
        else
            often
    )

/// The spool beside a list that says what it should hold.
type private Run(directory: string, limit: int64, capacity: int) =
    let warnings = ResizeArray<string>()

    let openSpool () =
        match SpoolDirectory.Open(directory, limit, capacity, AgentClock 1, (fun line -> warnings.Add line)) with
        | Ok spool -> spool
        | Error error -> failtest (string error)

    let mutable spool = openSpool ()
    let mutable blocked: string list = []
    let mutable next = 0
    /// Held, oldest first; the first `aside` of them are refused and not settled.
    let mutable held: int list = []
    let mutable aside = 0
    let mutable held0 = 0
    let mutable added = 0
    let mutable delivered = 0
    let mutable dropped = DropCounts()

    let numberOf (sample: EncodedSample) =
        use document = JsonDocument.Parse sample.Body
        document.RootElement.GetProperty("n").GetInt32()

    let oldest () =
        match spool.Oldest with
        | null ->
            if held.Length > aside then
                failtest $"%A{held} are held, {aside} of them aside, and there is no oldest"

            None
        | sample ->
            if List.tryItem aside held <> Some(numberOf sample) then
                failtest $"the oldest is {numberOf sample}, and of %A{held} are {aside} aside"

            Some sample

    let add (padding: int) =
        next <- next + 1
        added <- added + 1
        spool.Add(EncodedSample(Encoding.UTF8.GetBytes $"""{{"n":{next},"pad":"{String('x', padding)}"}}"""))
        held <- held @ [ next ]
        let went = int (spool.Dropped.Overflowed - dropped.Overflowed)
        let kept = int spool.Kept

        if went > 0 && spool.Kept = spool.Count then
            // A segment went, with those in it that were aside.
            held <- List.skip went held
            aside <- max 0 (aside - went)
        elif went > 0 then
            let oldestInMemory = max aside kept
            held <- List.removeAt oldestInMemory held
        elif held.Length - max aside kept > capacity then
            failtest "more in memory than it holds"

        dropped <- spool.Dropped

    let settle () =
        held <- List.skip aside held
        aside <- 0

    let begun () =
        aside <- 0
        added <- 0
        delivered <- 0
        dropped <- DropCounts()
        spool <- openSpool ()
        held0 <- held.Length
        dropped <- spool.Dropped

    member _.Do(event: Event) : unit =
        match event with
        | Add padding -> add padding
        | Deliver ->
            oldest ()
            |> Option.iter (fun sample ->
                spool.Remove sample
                settle ()
                held <- List.tail held
                delivered <- delivered + 1)
        | DeliverLate ->
            oldest ()
            |> Option.iter (fun sample ->
                let number = numberOf sample
                add 20_000
                spool.Remove sample
                settle ()
                // It may have had to go meanwhile.
                held <- held |> List.filter ((<>) number)
                delivered <- delivered + 1)
        | Refuse ->
            oldest ()
            |> Option.iter (fun sample ->
                spool.SetAside(sample, "HTTP 400")
                aside <- aside + 1)
        | TakeBack ->
            spool.TakeBack()
            aside <- 0
        | Restart
        | Kill ->
            if event = Kill then
                oldest () |> ignore

            // What the disk does not take is lost with the process, and it is the newest.
            held <- List.truncate (int spool.Kept) held

            if event = Kill then spool.Unlock() else spool.Dispose()

            begun ()
        | Block ->
            let last =
                Directory.GetFiles(directory, "*.ndjson")
                |> Array.map (fun path ->
                    match Spool.kindOf (string (Path.GetFileName path)) with
                    | Spool.FileKind.Segment number -> number
                    | _ -> 0L)
                |> Array.fold max 0L

            let path = Path.Combine(directory, Spool.nameOf (last + 1L))

            if not (Directory.Exists path) then
                Directory.CreateDirectory path |> ignore
                blocked <- path :: blocked
        | Unblock ->
            for path in blocked do
                Directory.Delete path

            blocked <- []

        dropped <- spool.Dropped

        if spool.Count <> int64 held.Length then
            failtest $"it holds {spool.Count}, the list %A{held}"

        if int64 (held0 + added) <> int64 delivered + spool.Count + spool.Dropped.Total then
            failtest $"{held0} + {added} are not {delivered} + {spool.Count} + {spool.Dropped}"

    member run.Finish() : unit =
        run.Do Unblock
        run.Do TakeBack

        while not held.IsEmpty do
            run.Do Deliver

        oldest () |> ignore
        spool.Dispose()

    interface IDisposable with
        member _.Dispose() = spool.Dispose()

/// In memory where there is such a place: the laws are about order and counts, not about a disk.
let private parent =
    if Directory.Exists "/dev/shm" then
        "/dev/shm"
    else
        Path.GetTempPath()

let private holds (limit: int64) (capacity: int) (events: Event list) : bool =
    let directory = Path.Combine(parent, $"spool-laws-{Guid.NewGuid():N}")

    try
        use run = new Run(directory, limit, capacity)

        for event in events do
            run.Do event

        run.Finish()
        true
    finally
        Directory.Delete(directory, true)

let private shrink (events: Event list) : Event list seq =
    seq { for index in 0 .. events.Length - 1 -> List.removeAt index events }

let private runs refuses =
    gen {
        let! size = Gen.choose (1, 40)
        return! Gen.listOfLength size (event refuses)
    }

let private queue =
    testList
        "queue"
        [
            lawShrinkingOf
                wholeCases
                "as a list: nothing lost, in order, each sample counted once, whatever is refused, restarted or killed"
                shrink
                (runs false)
                (holds 1_000_000_000L 3)
            lawShrinkingOf
                wholeCases
                "the same while the disk takes no new segments now and then, but for what memory cannot hold"
                shrink
                (runs true)
                (holds 1_000_000_000L 3)
            lawShrinkingOf
                wholeCases
                "the same with a limit that is reached, but for the oldest segments"
                shrink
                (runs false)
                (holds 200_000L 3)
        ]

let tests = testList "Spool" [ format; queue ]
