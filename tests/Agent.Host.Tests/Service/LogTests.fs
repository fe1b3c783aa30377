/// What the log prints, where and when.
module Agent.Host.Tests.LogTests

open System.IO
open Agent.Core
open Agent.Sender
open Agent.Host.Service
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

[<Tests>]
let tests =
    testList
        "Host.Log"
        [
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
