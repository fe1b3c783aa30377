/// What the log prints, where and when.
module Agent.Host.Tests.LogTests

open System
open System.IO
open System.IO.Pipes
open System.Text
open System.Threading
open Agent.Core
open Agent.Sender
open Agent.Host.Service
open Agent.Shell
open Agent.TestSupport.Waiting
open Agent.Host.Tests.ScheduledClock
open Expecto

let private withLog (level: LogLevel) (journal: bool) (test: ScheduledClock -> Log -> unit) : string list * string list =
    use output = new StringWriter(NewLine = "\n")
    use errors = new StringWriter(NewLine = "\n")
    let clock = ScheduledClock()
    test clock (Log(output, errors, level, false, clock, journal))

    let lines (writer: StringWriter) =
        match string writer with
        | "" -> []
        | text -> text.TrimEnd('\n').Split '\n' |> List.ofArray

    lines output, lines errors

/// A log whose standard error is a pipe, and what has been read from it so far, once somebody reads.
type private PipedLog() =
    let pipe = new AnonymousPipeServerStream(PipeDirection.In)

    let errors =
        new StreamWriter(new StandardStream(int (pipe.ClientSafePipeHandle.DangerousGetHandle())), UTF8Encoding false, AutoFlush = true)

    let read = StringBuilder()

    let reader =
        Thread(
            (fun () ->
                let buffer = Array.zeroCreate<byte> 65536
                let mutable count = pipe.Read buffer

                while count > 0 do
                    lock read (fun () -> read.Append(Encoding.ASCII.GetString(buffer, 0, count)) |> ignore)
                    count <- pipe.Read buffer),
            IsBackground = true
        )

    let mutable isReading = false

    member val Log = Log(TextWriter.Null, errors, LogLevel.Info, false, ScheduledClock(), true)

    member _.StartReading() =
        isReading <- true
        reader.Start()

    member _.Text = lock read (fun () -> string read)

    interface IDisposable with
        member _.Dispose() =
            pipe.DisposeLocalCopyOfClientHandle()

            if isReading then
                reader.Join()

            pipe.Dispose()

/// Fails where it does not come back: who writes waits for who reads.
let private withinTwentySeconds (what: string) (action: unit -> unit) : unit =
    let thread = Thread(action, IsBackground = true)
    thread.Start()
    Expect.isTrue (thread.Join 20_000) what

[<Tests>]
let tests =
    testList
        "Host.Log"
        [
            testCase "a reader that stalls costs lines and nobody's time; when it reads again the log says how many"
            <| fun () ->
                // A pipe holds 65,536 bytes: lines that fit it in whole numbers, and lines of which one is cut.
                for length in [ 1000; 1024; 5000; 200_000 ] do
                    use piped = new PipedLog()
                    let filling = String('x', length - 8)
                    let said = 100

                    withinTwentySeconds "nobody waits for the reader" (fun () ->
                        for i in 1..said do
                            piped.Log.Info $"{i:D4}{filling}")

                    piped.StartReading()
                    let mutable after = 0

                    eventually patience "the log says so" (fun () ->
                        after <- after + 1
                        piped.Log.Info "after"
                        piped.Text.Contains "missing here" && piped.Text.EndsWith "<6>after\n")

                    let lines () = piped.Text.TrimEnd('\n').Split '\n'

                    let isWhole (line: string) =
                        line.Length = length - 1 && line.StartsWith "<6>0"

                    let toldOrCounted () =
                        lines ()
                        |> Array.sumBy (fun line ->
                            if isWhole line || line = "<6>after" then
                                1
                            elif line.EndsWith " line(s) missing here: nobody read this stream" then
                                int (line.Substring(3, line.IndexOf ' ' - 3))
                            else
                                0)

                    eventually patience $"each line of {length} is told or counted" (fun () -> toldOrCounted () = said + after)

                    let whole =
                        lines ()
                        |> Array.filter isWhole
                        |> Array.map (fun line -> int (line.Substring(3, 4)))

                    Expect.equal whole [| 1 .. whole.Length |] "in order"

            testCase "a time stamp and the level without the journal, the priority alone with it"
            <| fun () ->
                let each (_: ScheduledClock) (log: Log) =
                    log.Routine "started"
                    log.Debug "d"
                    log.Info "i"
                    log.Warning "w"
                    log.Error "e"
                    log.Critical "c"

                let output, errors = withLog LogLevel.Debug false each
                Expect.equal output [ "started" ] "stdout"

                Expect.equal
                    errors
                    [
                        "2026-01-01T00:00:00Z DEBUG d"
                        "2026-01-01T00:00:00Z INFO i"
                        "2026-01-01T00:00:00Z WARNING w"
                        "2026-01-01T00:00:00Z ERROR e"
                        "2026-01-01T00:00:00Z CRITICAL c"
                    ]
                    "stderr"

                let output, errors = withLog LogLevel.Debug true each
                Expect.equal output [ "started" ] "stdout"
                Expect.equal errors [ "<7>d"; "<6>i"; "<4>w"; "<3>e"; "<2>c" ] "stderr"

            testCase "one line each, whatever is in the message"
            <| fun () ->
                let _, errors =
                    withLog LogLevel.Info true (fun _ log ->
                        log.Warning "a\nb\rc\u0085d\u2028e\u001b[31mf\000g"
                        log.Info "one\r\ntwo")

                Expect.equal errors [ "<4>a b c d e [31mf g"; "<6>one  two" ] "blanks"

            testCase "what is below the level is neither printed nor counted"
            <| fun () ->
                let _, errors =
                    withLog LogLevel.Error true (fun _ log ->
                        log.Warning "w"
                        log.Warning "w"
                        log.Info "i"
                        log.Error "e"
                        log.Finish())

                Expect.equal errors [ "<3>e" ] "the error"

            testCase "an outage: at once, then once a minute with the number, and the rest when it is over"
            <| fun () ->
                let _, errors =
                    withLog LogLevel.Info true (fun clock log ->
                        for held in 1..100 do
                            log.Warning("not delivered: HTTP 503: busy", $"; {held} held, next attempt in 0.{held} s")
                            clock.Advance 1.0
                            log.Due()

                        log.Over "not delivered"
                        log.Finish())

                Expect.equal
                    errors
                    [
                        "<4>not delivered: HTTP 503: busy; 1 held, next attempt in 0.1 s"
                        "<4>not delivered: HTTP 503: busy; 60 held, next attempt in 0.60 s (59 times in the last minute)"
                        "<4>not delivered: HTTP 503: busy (40 times in the last 40 s)"
                    ]
                    "three lines"

            testCase "routine lines, information and the end are printed each time"
            <| fun () ->
                let output, errors =
                    withLog LogLevel.Info true (fun _ log ->
                        for _ in 1..3 do
                            log.Routine "r"
                            log.Info "i"
                            log.Critical "c")

                Expect.equal output [ "r"; "r"; "r" ] "stdout"
                Expect.equal errors [ "<6>i"; "<2>c"; "<6>i"; "<2>c"; "<6>i"; "<2>c" ] "stderr"

            testCase "what would end a line, move the cursor or turn the text around is a blank, on every kind of line"
            <| fun () ->
                let hostile =
                    String.concat
                        ""
                        [
                            "a\nb"
                            "\r"
                            "\u001b[2J"
                            "\u0085"
                            "\u200f"
                            "\u202e"
                            "\u2066"
                            "\u2028"
                            "é名😀"
                        ]

                let plain = "a b  [2J     é名😀"

                let output, errors =
                    withLog LogLevel.Info true (fun _ log ->
                        log.Routine hostile
                        log.Info hostile
                        log.Warning(hostile, hostile)
                        log.Critical hostile)

                Expect.equal output [ plain ] "a routine line"
                Expect.equal errors [ "<6>" + plain; "<4>" + plain + plain; "<2>" + plain ] "the others"

            testCase "the journal is known by the device and inode of standard error"
            <| fun () ->
                for value in [ ""; "0:0"; "8:"; "x" ] do
                    Expect.isFalse (Journal.HasStandardError(fun _ -> value)) value

                Expect.isFalse (Journal.HasStandardError(fun _ -> null)) "unset"
        ]
