/// The spool's files on a real disk.
module Agent.Host.Tests.SpoolTests

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host
open Agent.Host.Buffering
open Agent.Shell
open Agent.TestSupport
open Expecto

let private mebibyte = 1048576L

/// A spool, and what it warned of.
let private tryOpen (directory: string) (limit: int64) (capacity: int) (clock: AgentClock) =
    let warnings = List<string>()
    SpoolDirectory.Open(directory, limit, capacity, clock, (fun line -> warnings.Add line)), warnings

let private opened directory limit capacity clock =
    match tryOpen directory limit capacity clock with
    | Ok spool, warnings -> spool, warnings
    | Error error, _ -> failtest (string error)

let private openIn directory =
    opened directory mebibyte 900 (AgentClock 1)

/// A body with a number, and as many bytes more.
let private sample (number: int) (padding: int) =
    EncodedSample(Encoding.UTF8.GetBytes $"""{{"n":{number},"pad":"{String('x', padding)}"}}""")

let private numberOf (sample: EncodedSample) =
    use document = JsonDocument.Parse sample.Body
    document.RootElement.GetProperty("n").GetInt32()

let private add (spool: SpoolDirectory) (padding: int) (numbers: int seq) =
    for number in numbers do
        spool.Add(sample number padding)

/// Delivers everything that is there.
let private drain (spool: SpoolDirectory) : int list =
    [
        let mutable left = true

        while left do
            match spool.Oldest with
            | null -> left <- false
            | oldest ->
                spool.Remove oldest
                numberOf oldest
    ]

let private segmentsIn (directory: string) =
    Directory.GetFiles(directory, "*.ndjson") |> Array.sort

let private firstIn (directory: string) = Array.head (segmentsIn directory)

let private damagedIn (directory: string) =
    File.ReadAllText(Path.Combine(directory, "damaged", "damaged.v1.ndjson"))

let private files =
    testList
        "files"
        [
            testCase "what is held can be read with any JSON tool and is private"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let directory = Path.Combine(parent, "state", "ingest")

                    do
                        let spool, _ = openIn directory
                        use spool = spool
                        add spool 0 [ 1; 2; 3 ]

                    let segment = Path.Combine(directory, "000000000001.v1.ndjson")

                    Expect.equal (File.ReadAllLines segment) [| for n in 1..3 -> $"""{{"n":{n},"pad":""}}""" |] "one body a line"

                    let owner = UnixFileMode.UserRead ||| UnixFileMode.UserWrite

                    for path in [ directory; Path.Combine(parent, "state") ] do
                        Expect.equal (File.GetUnixFileMode path) (owner ||| UnixFileMode.UserExecute) path

                    for path in Directory.GetFiles directory do
                        Expect.equal (File.GetUnixFileMode path) owner path)

            testCase "the newest is on disk and is delivered from the memory that it was encoded into"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let directory = Path.Combine(parent, "ingest")
                    let spool, _ = openIn directory
                    use spool = spool
                    let first, second = sample 1 10, sample 2 10
                    spool.Add first
                    Expect.equal (File.ReadAllBytes(firstIn directory).Length) (first.Body.Length + 1) "it is in the file"
                    Expect.isTrue (obj.ReferenceEquals(spool.Oldest, first)) "and not read from there"
                    spool.Add second
                    spool.Remove first
                    Expect.isTrue (obj.ReferenceEquals(spool.Oldest, second)) "nor is the next one"
                    spool.Remove second
                    add spool 10 [ 3; 4 ]
                    Expect.equal (drain spool) [ 3; 4 ] "one that others came after is read from the disk")

            testCase "segments go when they are delivered, and numbers are not used again"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    add spool 30000 [ 1..9 ]
                    Expect.equal (segmentsIn directory).Length 3 "three of them"
                    Expect.equal (drain spool) [ 1..9 ] "in order"
                    Expect.equal (segmentsIn directory).Length 1 "the last is written to"
                    spool.Dispose()
                    File.Delete(firstIn directory)
                    let spool, _ = openIn directory
                    use spool = spool
                    add spool 0 [ 10 ]
                    Expect.equal (Path.GetFileName(firstIn directory)) "000000000004.v1.ndjson" "the next number"
                    Expect.equal (drain spool) [ 10 ] "delivered")

            testCase "one agent has the directory; when it ends, however it ends, another may"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let first, _ = openIn directory
                    add first 0 [ 1 ]

                    match tryOpen directory mebibyte 900 (AgentClock 1) with
                    | Error(SpoolError.InUse path), _ -> Expect.equal path directory "it is named"
                    | other, _ -> failtest $"%A{other}"

                    first.Unlock()
                    let second, _ = openIn directory
                    use second = second
                    Expect.equal (drain second) [ 1 ] "nothing is lost")

            testCase "another version is left alone and told once"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let other = Path.Combine(directory, "000000000001.v2.ndjson")
                    File.WriteAllText(other, "whatever")
                    let spool, warnings = openIn directory
                    use spool = spool
                    add spool 0 [ 1 ]
                    Expect.equal (drain spool) [ 1 ] "delivery goes on"
                    Expect.equal (File.ReadAllText other) "whatever" "not touched"

                    Expect.equal
                        (List.ofSeq warnings)
                        [ $"{other} is in another version of the spool's format and is left alone" ]
                        "one line")

            testCase "refused samples are kept with the reason once a later one is delivered, and not before"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    use spool = spool
                    add spool 0 [ 1; 2; 3 ]
                    let rejected = Path.Combine(directory, "rejected", "rejected.v1.ndjson")

                    for reason in [ "HTTP 400: one"; "HTTP 413" ] do
                        spool.SetAside(Option.get (Option.ofObj spool.Oldest), reason)

                    Expect.isFalse (File.Exists rejected) "not settled"
                    Expect.equal spool.Count 3L "still held"
                    Expect.equal (drain spool) [ 3 ] "the good one"

                    Expect.equal
                        (File.ReadAllLines rejected)
                        [|
                            """{"reason":"HTTP 400: one","body":{"n":1,"pad":""}}"""
                            """{"reason":"HTTP 413","body":{"n":2,"pad":""}}"""
                        |]
                        "with their reasons"

                    Expect.equal (spool.Dropped, spool.Count) (DropCounts(0L, 2L, 0L), 0L) "counted")

            testCase "a crash between a refusal and the next delivery sends the refused one again"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let first, _ = openIn directory
                    add first 0 [ 1; 2 ]
                    first.SetAside(Option.get (Option.ofObj first.Oldest), "HTTP 400")
                    first.Unlock()
                    let second, _ = openIn directory
                    use second = second
                    Expect.equal (drain second) [ 1; 2 ] "both")
        ]

let private damage =
    testList
        "damage"
        [
            testCase "a torn last line is set aside and counted, the rest is delivered"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    add spool 0 [ 1; 2 ]
                    spool.Dispose()
                    File.AppendAllText(firstIn directory, """{"n":3,"pa""")
                    let spool, warnings = openIn directory
                    use spool = spool
                    Expect.equal (spool.Count, spool.Dropped) (2L, DropCounts(0L, 0L, 1L)) "counted"
                    Expect.equal (damagedIn directory) "{\"n\":3,\"pa\n" "kept"
                    Expect.equal warnings.Count 1 "told"
                    add spool 0 [ 4 ]
                    Expect.equal (drain spool) [ 1; 2; 4 ] "the rest")

            testCase "a damaged line in the middle is set aside and counted, the rest is delivered"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    add spool 0 [ 1; 2; 3 ]
                    spool.Dispose()
                    let segment = firstIn directory
                    let lines = File.ReadAllLines segment
                    lines[1] <- String('\000', lines[1].Length)
                    File.WriteAllText(segment, String.concat "\n" lines + "\n")
                    let spool, warnings = openIn directory
                    use spool = spool
                    Expect.equal spool.Count 3L "not read yet"
                    Expect.equal (drain spool) [ 1; 3 ] "the rest"
                    Expect.equal (spool.Count, spool.Dropped) (0L, DropCounts(0L, 0L, 1L)) "counted"
                    Expect.equal (damagedIn directory).Length (lines[1].Length + 1) "kept"
                    Expect.equal warnings.Count 1 "told")

            testCase "a damaged line between refused ones that are taken back counts once"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    add spool 0 [ 1; 2; 3; 4 ]
                    spool.Dispose()
                    let segment = firstIn directory
                    File.WriteAllText(segment, (File.ReadAllText segment).Replace("{\"n\":2", "??????"))
                    let spool, _ = openIn directory
                    use spool = spool

                    for _ in 1..2 do
                        spool.SetAside(Option.get (Option.ofObj spool.Oldest), "HTTP 400")

                    Expect.equal (spool.Oldest |> Option.ofObj |> Option.map numberOf) (Some 4) "the third refusal"
                    spool.TakeBack()
                    Expect.equal (drain spool) [ 1; 3; 4 ] "the rest, in order"
                    Expect.equal (spool.Count, spool.Dropped) (0L, DropCounts(0L, 0L, 1L)) "once")

            testCase "the newest is at hand once one was added, keeps its place, and is none once it was set aside"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    add spool 0 [ 1; 2 ]
                    spool.Dispose()
                    let spool, _ = openIn directory
                    use spool = spool

                    let newest () =
                        spool.Newest |> Option.ofObj |> Option.map numberOf

                    let setAside () =
                        spool.SetAside(Option.get (Option.ofObj spool.Oldest), "HTTP 400")

                    Expect.equal (newest ()) None "an earlier run's is not read"
                    add spool 0 [ 3 ]
                    Expect.equal (newest ()) (Some 3) "the one that was added"
                    setAside ()
                    setAside ()
                    Expect.equal (newest ()) (Some 3) "the only one"
                    setAside ()
                    Expect.equal (newest ()) None "set aside"
                    spool.TakeBack()
                    Expect.equal (newest ()) None "it is on disk"
                    add spool 0 [ 4 ]
                    Expect.equal (newest ()) (Some 4) "the next"
                    Expect.equal (drain spool) [ 1; 2; 3; 4 ] "in order")

            testCase "a segment that cannot be read costs that segment alone"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, warnings = openIn directory
                    use spool = spool
                    add spool 30000 [ 1..9 ]
                    let second = (segmentsIn directory)[1]
                    // What reading a directory gives is not EIO, but as good an error as that.
                    File.Delete second
                    Directory.CreateDirectory second |> ignore
                    Expect.equal (drain spool) [ 1; 2; 3; 7; 8; 9 ] "the others"
                    Expect.equal (spool.Count, spool.Dropped) (0L, DropCounts(0L, 0L, 3L)) "counted"
                    Expect.equal warnings.Count 2 $"told %A{List.ofSeq warnings}")

            testCase "a damaged position costs duplicates and no sample"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for damage in
                        [
                            "nonsense"
                            Encoding.ASCII.GetString(Spool.writePosition { Segment = 1L; Offset = 5L })
                        ] do
                        let spool, _ = openIn directory
                        drain spool |> ignore
                        add spool 0 [ 1; 2 ]
                        Expect.equal (spool.Oldest |> Option.ofObj |> Option.map numberOf) (Some 1) "the first"
                        spool.Remove(Option.get (Option.ofObj spool.Oldest))
                        spool.Dispose()
                        File.WriteAllText(Path.Combine(directory, Spool.PositionName), damage)
                        let spool, _ = openIn directory
                        Expect.equal (drain spool |> List.last) 2 "both again"
                        spool.Dispose())
        ]

/// Fails the test that another user's id cannot be had in, and tells what a command printed.
let private tryRun (program: string) (arguments: string list) =
    let start = ProcessStartInfo(program, arguments)
    start.RedirectStandardError <- true
    start.RedirectStandardOutput <- true

    match Process.Start start with
    | null -> failtest $"{program} does not start"
    | child ->
        use child = child
        let said = child.StandardError.ReadToEnd()
        child.WaitForExit()
        child.ExitCode, said.Trim()

/// A small file system of its own; the test is skipped where none can be mounted.
let private withSmallDisk (bytes: int) (test: string -> unit) =
    World.withDirectory (fun directory ->
        match tryRun "mount" [ "-t"; "tmpfs"; "-o"; $"size={bytes}"; "tmpfs"; directory ] with
        | 0, _ ->
            try
                test directory
            finally
                tryRun "umount" [ "-l"; directory ] |> ignore
        | _, said -> Skip.because $"no mount: {said}")

let private room =
    testList
        "room"
        [
            testCase "over the limit the oldest segment goes and is counted"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    use spool = spool
                    // 64 KiB a segment hold three of 30 kB; 1 MiB holds eleven segments and a half.
                    add spool 30000 [ 1..60 ]
                    let left = drain spool
                    Expect.equal left [ 61 - left.Length .. 60 ] "the newest"
                    Expect.isTrue (left.Length >= 31 && left.Length <= 35) $"{left.Length} of about 1 MiB"
                    Expect.equal spool.Dropped (DropCounts(60L - int64 left.Length, 0L, 0L)) "counted")

            testCase "a sample that is delivered while its segment goes is not counted as lost"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    use spool = spool
                    add spool 30000 [ 1 ]
                    let inFlight = Option.get (Option.ofObj spool.Oldest)
                    add spool 30000 [ 2..60 ]
                    spool.Remove inFlight
                    let left = drain spool
                    Expect.equal (int64 left.Length + spool.Dropped.Total + 1L) 60L "each sample once")

            testCase "a full disk: memory holds what comes, is told once, and everything is delivered in order"
            <| fun () ->
                withSmallDisk 262144 (fun directory ->
                    let spool, warnings = opened (Path.Combine(directory, "ingest")) mebibyte 10 (AgentClock 1)
                    use spool = spool
                    let mutable count = 0

                    while spool.Kept = spool.Count do
                        count <- count + 1
                        add spool 10000 [ count ]

                    add spool 10000 [ count + 1 .. count + 9 ]
                    Expect.equal (spool.Count - spool.Kept) 10L "in memory"
                    Expect.equal warnings.Count 1 "told once"
                    Expect.stringContains warnings[0] "No space left on device" "why"
                    add spool 10000 [ count + 10 ]
                    Expect.equal (spool.Dropped.Overflowed, spool.Count - spool.Kept) (1L, 10L) "memory is bounded"
                    let expected = [ 1 .. count + 11 ] |> List.filter ((<>) count)

                    // A few go, which makes room for a segment; then the next sample finds it.
                    let first =
                        [
                            for _ in 1..8 do
                                let oldest = Option.get (Option.ofObj spool.Oldest)
                                spool.Remove oldest
                                numberOf oldest
                        ]

                    add spool 10000 [ count + 11 ]
                    Expect.stringEnds warnings[1] "can be written to again" "told"
                    Expect.equal (first @ drain spool) expected "in order"
                    Expect.equal spool.Count 0L "all")

            testCase
                "a directory that is deleted while it is in use: told once, nothing counts as kept, all is delivered, and it is made anew"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let directory = Path.Combine(parent, "ingest")
                    // A second of this clock lasts a millisecond.
                    let spool, warnings = opened directory mebibyte 900 (AgentClock 1000)
                    use spool = spool

                    let flush () =
                        Threading.Thread.Sleep 5
                        spool.Flush()

                    add spool 0 [ 1; 2; 3 ]
                    flush ()
                    Expect.equal (spool.Count, spool.Kept, warnings.Count) (3L, 3L, 0) "on disk"
                    Directory.Delete(directory, true)
                    flush ()
                    add spool 0 [ 4 ]
                    flush ()
                    Expect.equal (spool.Count, spool.Kept) (4L, 0L) "held, and not kept"

                    Expect.equal
                        (List.ofSeq warnings)
                        [
                            $"{directory} was deleted while it is in use; what waits there is lost if the agent ends before it is delivered: 3"
                        ]
                        "told once"

                    Expect.equal (drain spool) [ 1; 2; 3; 4 ] "delivered all the same"
                    flush ()
                    Expect.equal (List.ofSeq warnings |> List.tail) [ $"{directory} can be used again" ] "made anew"
                    add spool 0 [ 5 ]
                    Expect.equal (spool.Count, spool.Kept) (1L, 1L) "kept again"
                    Expect.isNonEmpty (segmentsIn directory) "on disk"
                    Expect.equal (drain spool) [ 5 ] "and delivered"
                    Expect.equal spool.Dropped.Total 0L "nothing was dropped")

            testCase "a directory that cannot be used: one warning, memory, and tried again every minute"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let blocked = Path.Combine(parent, "file")
                    File.WriteAllText(blocked, "")
                    let directory = Path.Combine(blocked, "ingest")
                    // A minute of this clock lasts 60 ms.
                    let spool, warnings = opened directory mebibyte 900 (AgentClock 1000)
                    use spool = spool
                    add spool 0 [ 1; 2 ]
                    Expect.equal (spool.Count, spool.Kept, warnings.Count) (2L, 0L, 1) $"%A{List.ofSeq warnings}"
                    Expect.stringContains warnings[0] $"\"{blocked}\" is a file; name a directory" "what to do"
                    Threading.Thread.Sleep 80
                    spool.Flush()
                    Expect.equal (spool.Kept, warnings.Count) (0L, 1) "no second line"
                    File.Delete blocked

                    // What an earlier run left there goes first.
                    do
                        let earlier, _ = openIn directory
                        use earlier = earlier
                        add earlier 0 [ -1; 0 ]

                    Threading.Thread.Sleep 80
                    spool.Flush()
                    Expect.equal (spool.Count, spool.Kept, warnings.Count) (4L, 4L, 2) "on disk"
                    add spool 0 [ 3 ]
                    Expect.equal (drain spool) [ -1; 0; 1; 2; 3 ] "in order")

            testCase "memory does not grow with the backlog"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = opened directory (256L * mebibyte) 900 (AgentClock 1)
                    use spool = spool
                    let before = GC.GetTotalMemory true
                    add spool 3000 [ 1..5000 ]
                    let grown = GC.GetTotalMemory true - before
                    Expect.isLessThan grown 500_000L "15 MB of samples are on disk"
                    Expect.equal (drain spool).Length 5000 "all")
        ]

/// The oldest and those right behind it, as a batch takes them.
let private batch (spool: SpoolDirectory) (most: int) (bytes: int) : EncodedSample list =
    match spool.Oldest with
    | null -> []
    | oldest -> oldest :: List.ofArray (spool.Behind(most - 1, bytes))

let private batches =
    testList
        "batches"
        [
            testCase "a batch goes across segments, and what was removed of it is done with"
            <| fun () ->
                World.withDirectory (fun directory ->
                    do
                        let spool, _ = openIn directory
                        use spool = spool
                        add spool 30000 [ 1..9 ]
                        let first = batch spool 5 1_000_000
                        Expect.equal (List.map numberOf first) [ 1..5 ] "five of three segments"
                        Expect.equal (batch spool 9 70_000 |> List.map numberOf) [ 1..3 ] "as many bytes"
                        let first = batch spool 5 1_000_000
                        first |> List.take 3 |> List.iter spool.Remove
                        Expect.equal spool.Count 6L "three are delivered"

                    let spool, _ = openIn directory
                    use spool = spool
                    Expect.equal (drain spool) [ 4..9 ] "the others are there after a restart")

            testCase "a batch ends before a damaged record, which goes when its turn comes"
            <| fun () ->
                World.withDirectory (fun directory ->
                    do
                        let spool, _ = openIn directory
                        use spool = spool
                        add spool 0 [ 1..4 ]

                    let path = firstIn directory
                    File.WriteAllText(path, (File.ReadAllText path).Replace("{\"n\":3", "{\"n:3"))
                    let spool, _ = openIn directory
                    use spool = spool
                    let first = batch spool 9 1_000_000
                    Expect.equal (List.map numberOf first) [ 1; 2 ] "up to it"
                    List.iter spool.Remove first
                    Expect.equal (drain spool) [ 4 ] "it is passed over"
                    Expect.equal spool.Dropped.Damaged 1L "and counted")

            testCase "those that have to go while a batch with them is sent are not lost"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // Of a megabyte in segments of 64 KiB; each sample has 30 kB.
                    let spool, _ = openIn directory
                    use spool = spool
                    add spool 30000 [ 1..30 ]
                    let before = spool.Count
                    let first = batch spool 4 1_000_000
                    add spool 30000 [ 31..40 ]
                    let gone = spool.Dropped.Overflowed
                    Expect.isGreaterThan gone 4L "all of the batch had to go, and more"
                    List.iter spool.Remove first
                    Expect.equal (spool.Dropped.Overflowed, before) (gone - 4L, 30L) "the four arrived"
                    Expect.equal (drain spool) [ int gone + 1 .. 40 ] "the others are in order")

            testCase "a batch of what waits in memory, while the disk comes back"
            <| fun () ->
                World.withDirectory (fun parent ->
                    let blocked = Path.Combine(parent, "file")
                    File.WriteAllText(blocked, "")
                    let directory = Path.Combine(blocked, "stream")
                    let spool, _ = opened directory mebibyte 900 (AgentClock 1000)
                    use spool = spool
                    add spool 0 [ 1..4 ]
                    let first = batch spool 3 1_000_000
                    Expect.equal (List.map numberOf first) [ 1; 2; 3 ] "from memory"
                    File.Delete blocked
                    Threading.Thread.Sleep 80
                    spool.Flush()
                    Expect.equal spool.Kept 4L "they are on disk now"
                    let first = batch spool 3 1_000_000
                    List.iter spool.Remove first
                    Expect.equal (drain spool) [ 4 ] "one is left")

            testCase "what is refused at once is kept aside with its reason, framed bytes as text"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let spool, _ = openIn directory
                    use spool = spool
                    let framed = Spool.frame (ReadOnlySpan "bytes"B)
                    spool.Add(EncodedSample(ReadOnlyMemory framed))
                    let first = batch spool 3 1_000_000
                    spool.SetAside(first.Head, "HTTP 400: out of bounds")
                    spool.Settle()
                    Expect.equal (spool.Count, spool.Dropped.Refused) (0L, 1L) "counted"

                    Expect.equal
                        (File.ReadAllText(Path.Combine(directory, "rejected", "rejected.v1.ndjson")))
                        $"{{\"reason\":\"HTTP 400: out of bounds\",\"body\":\"{Text.Encoding.ASCII.GetString framed}\"}}\n"
                        "kept")
        ]

let private positionIn (directory: string) = Path.Combine(directory, "position.v1")

/// A spool with samples 1 to 3 on disk, none of them delivered.
let private left (directory: string) =
    let spool, _ = openIn directory
    use spool = spool
    add spool 10 [ 1..3 ]

let private hardLink (target: string) (path: string) =
    use link = Process.Start("ln", [ target; path ])
    link.WaitForExit()
    Expect.equal link.ExitCode 0 "ln"

/// What stands in a spool's directory and is not the agent's own file.
let private strangers =
    testList
        "what is not the agent's own"
        [
            for kind, what, place in
                [
                    "link",
                    "is a link, which the spool does not follow",
                    fun (path: string) (elsewhere: string) -> File.CreateSymbolicLink(path, elsewhere) |> ignore
                    "link to nothing",
                    "is a link, which the spool does not follow",
                    fun path elsewhere -> File.CreateSymbolicLink(path, elsewhere + ".not-there") |> ignore
                    "hard link", "has other names (hard links)", (fun path elsewhere -> hardLink elsewhere path)
                    "pipe",
                    "is not a regular file",
                    fun path _ ->
                        use pipe = Process.Start("mkfifo", [ path ])
                        pipe.WaitForExit()
                ] do
                testCase
                    $"a {kind} in the place of the position is told and replaced, and what is delivered is not sent again at each start"
                <| fun () ->
                    World.withDirectory (fun directory ->
                        let elsewhere = Path.Combine(directory, "elsewhere")
                        let directory = Path.Combine(directory, "ingest")
                        File.WriteAllText(elsewhere, "untouched")
                        left directory
                        File.Delete(positionIn directory)
                        place (positionIn directory) elsewhere

                        let spool, warnings = openIn directory
                        Expect.equal (drain spool) [ 1..3 ] "sent once more"
                        spool.Settle()
                        spool.Dispose()
                        Expect.equal warnings.Count 1 "one sentence"
                        Expect.stringContains warnings[0] what "why"
                        Expect.stringContains warnings[0] "it is replaced by a new file" "what follows"
                        Expect.equal (File.ReadAllText elsewhere) "untouched" "what the name led to"

                        let again, warnings = openIn directory
                        use again = again
                        Expect.equal (drain again, List.ofSeq warnings) ([], []) "not a third time")

            testCase "a directory in the place of the position is told at each start"
            <| fun () ->
                World.withDirectory (fun directory ->
                    left directory
                    File.Delete(positionIn directory)
                    Directory.CreateDirectory(positionIn directory) |> ignore
                    let spool, warnings = openIn directory
                    use spool = spool
                    Expect.equal (drain spool) [ 1..3 ] "sent"
                    Expect.stringContains (Seq.exactlyOne warnings) "it cannot be removed, and at every start" "told")

            testCase "a segment that has another name is not written to, sent or followed"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let elsewhere = Path.Combine(directory, "elsewhere")
                    let directory = Path.Combine(directory, "ingest")
                    left directory
                    File.WriteAllText(elsewhere, "untouched")
                    let segment = ((segmentsIn directory)[0]).Replace("1.v1", "2.v1")
                    hardLink elsewhere segment
                    let spool, warnings = openIn directory
                    use spool = spool
                    add spool 10 [ 4 ]
                    Expect.equal (drain spool) [ 1..4 ] "the agent's own samples"
                    Expect.stringContains (Seq.exactlyOne warnings) "has other names (hard links)" "told"
                    Expect.equal (File.ReadAllText elsewhere) "untouched" "the other name")

            testCase "a link in the place of a directory for what is damaged is not followed"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let elsewhere = Directory.CreateDirectory(Path.Combine(directory, "elsewhere")).FullName
                    let directory = Path.Combine(directory, "ingest")
                    left directory

                    Directory.CreateSymbolicLink(Path.Combine(directory, "damaged"), elsewhere)
                    |> ignore

                    use file = File.OpenWrite((segmentsIn directory)[0])
                    file.SetLength(file.Length - 5L)
                    file.Dispose()
                    let spool, warnings = openIn directory
                    use spool = spool
                    Expect.equal (drain spool) [ 1..2 ] "the whole ones"
                    Expect.equal (Directory.GetFileSystemEntries elsewhere) [||] "nothing went there"

                    Expect.equal
                        (warnings |> Seq.map (fun line -> line.Replace(directory, "D")) |> List.ofSeq)
                        [
                            "D/damaged cannot be written to: \"D/damaged\" is a link or not a directory; use a directory that belongs to the agent"
                            "D/000000000001.v1.ndjson ended in an incompletely written record; it is dropped"
                        ]
                        "told, and no more than is true")
        ]

[<Tests>]
let tests =
    testList
        "Host.Spool"
        [
            yield! List.map (testSequencedGroup "Host.Spool") [ files; damage; batches; strangers ]
            // One of these measures the memory of this process.
            testSequenced room
        ]
