module Agent.Sender.Tests.RepetitionTests

open System
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Expecto

type private Step =
    | Says of Remark
    | Over of string
    | Due

let private warning text =
    Says(Repetition.exactly LogLevel.Warning text)

let private outage reason figures =
    Says(Repetition.withFigures LogLevel.Warning reason figures)

/// The lines of these steps, each with the second in which it is printed; at the end what is left.
let private lines (steps: (float * Step) list) : (float * string) list =
    let mutable state = Repetition.none

    let printed =
        [
            for second, step in steps do
                let now = TimeSpan.FromSeconds second

                let struct (next, lines) =
                    match step with
                    | Says remark -> Repetition.observe now remark state
                    | Over subject -> Repetition.over now subject state
                    | Due -> Repetition.due now state

                state <- next

                for line in lines do
                    second, line.Text
        ]

    let last = fst (List.last steps)

    printed
    @ [
        for line in Repetition.finish (TimeSpan.FromSeconds last) state -> last, line.Text
    ]

[<Tests>]
let tests =
    testList
        "Repetition"
        [
            testCase "the first at once, the others together when the minute is over"
            <| fun () ->
                let steps = [ for second in 0.0..2.0..120.0 -> second, warning "no memory: gone" ]

                Expect.equal
                    (lines steps)
                    [
                        0.0, "no memory: gone"
                        60.0, "no memory: gone (29 times in the last minute)"
                        120.0, "no memory: gone (30 times in the last minute)"
                        120.0, "no memory: gone (once in the last 1 s)"
                    ]
                    "lines"

            testCase "waiting times and numbers do not make it another failure, and the newest are shown"
            <| fun () ->
                Expect.equal
                    (lines
                        [
                            0.0, outage "not delivered: 10.0.0.1:80 refuses, request 17" "; 1 held, next attempt in 0.4 s"
                            1.0, outage "not delivered: 10.0.0.1:80 refuses, request 4711" "; 2 held, next attempt in 1 s"
                            59.0, outage "not delivered: 10.0.0.1:80 refuses, request 5.25" "; 12 held, next attempt in 42.0 s"
                            61.0, Due
                        ])
                    [
                        0.0, "not delivered: 10.0.0.1:80 refuses, request 17; 1 held, next attempt in 0.4 s"
                        61.0,
                        "not delivered: 10.0.0.1:80 refuses, request 5.25; 12 held, next attempt in 42.0 s (2 times in the last minute)"
                    ]
                    "lines"

            testCase "another status is another failure, and the change tells the count"
            <| fun () ->
                Expect.equal
                    (lines
                        [
                            0.0, outage "not delivered: HTTP 500: id 1" "; 1 held"
                            2.0, outage "not delivered: HTTP 500: id 2" "; 2 held"
                            4.0, outage "not delivered: HTTP 503: id 3" "; 3 held"
                            5.0, outage "not delivered: HTTP 50" "; 4 held"
                        ])
                    [
                        0.0, "not delivered: HTTP 500: id 1; 1 held"
                        4.0, "not delivered: HTTP 500: id 2 (once in the last 4 s)"
                        4.0, "not delivered: HTTP 503: id 3; 3 held"
                        5.0, "not delivered: HTTP 50; 4 held"
                    ]
                    "lines"

            testCase "names with numbers are kept apart where the caller did not say that they vary"
            <| fun () ->
                Expect.equal
                    (lines [ 0.0, warning "hwmon0: gone"; 1.0, warning "hwmon1: gone" ])
                    [ 0.0, "hwmon0: gone"; 1.0, "hwmon1: gone" ]
                    "both"

            testCase "what another subject says does not interrupt the count"
            <| fun () ->
                Expect.equal
                    (lines
                        [
                            0.0, warning "a: x"
                            1.0, warning "a: x"
                            2.0, warning "b: x"
                            3.0, Over "b"
                            4.0, warning "a: x"
                            60.0, Due
                        ])
                    [ 0.0, "a: x"; 2.0, "b: x"; 60.0, "a: x (2 times in the last minute)" ]
                    "lines"

            testCase "the end of an outage tells the count"
            <| fun () ->
                Expect.equal
                    (lines
                        [
                            0.0, outage "not delivered: no" "; 1 held"
                            5.0, outage "not delivered: no" "; 2 held"
                            12.0, outage "not delivered: no" "; 3 held"
                            13.0, Over "not delivered"
                            14.0, Over "not delivered"
                        ])
                    [
                        0.0, "not delivered: no; 1 held"
                        13.0, "not delivered: no (2 times in the last 13 s)"
                    ]
                    "lines"

            testCase "a failure that comes and goes is not printed each time"
            <| fun () ->
                let steps =
                    [
                        for second in 0.0..4.0..200.0 do
                            second, outage "not delivered: no" ""
                            second + 2.0, Over "not delivered"
                    ]

                Expect.equal
                    (lines steps |> List.map snd)
                    [
                        "not delivered: no"
                        "not delivered: no (once in the last 6 s)"
                        "not delivered: no (15 times in the last minute)"
                        "not delivered: no (once in the last 4 s)"
                        "not delivered: no (15 times in the last minute)"
                        "not delivered: no (once in the last 4 s)"
                        "not delivered: no (15 times in the last minute)"
                        "not delivered: no (once in the last 4 s)"
                        "not delivered: no (once in the last 4 s)" // the end
                    ]
                    "two lines a minute"

            testCase "a failure that returns after a quiet minute is news"
            <| fun () -> Expect.equal (lines [ 0.0, warning "a"; 70.0, warning "a"; 71.0, Due ]) [ 0.0, "a"; 70.0, "a" ] "at once again"

            testCase "when nobody looks for long, the time it took is told"
            <| fun () ->
                Expect.equal
                    (lines [ 0.0, warning "a"; 1.0, warning "a"; 300.0, Due ])
                    [ 0.0, "a"; 300.0, "a (once in the last 5 minutes)" ]
                    "five minutes"

            testCase "what a message says does not hang on its figures, but on the status of an answer it does"
            <| fun () ->
                for message, gist in
                    [
                        "ipmitool: no answer for 12.5 s", "ipmitool: no answer for # s"
                        "ipmitool: no answer for 7 s", "ipmitool: no answer for # s"
                        "late at 12:30:05.", "late at #."
                        "HTTP 503: try 3", "HTTP 503: try #"
                        "", ""
                    ] do
                    Expect.equal (Gist.ofMessage message) gist message

            testCase "what a message says does not hang on its ids"
            <| fun () ->
                for message, gist in
                    [
                        "HTTP 400: bad request (trace d65bfda1c998)", "HTTP 400: bad request (trace #)"
                        "HTTP 400: bad request (trace 123456789012)", "HTTP 400: bad request (trace #)"
                        "HTTP 400: bad request (trace abcdefabcdef)", "HTTP 400: bad request (trace #)"
                        "<Sample object at 0x7f5e3c00>", "<Sample object at #>"
                        "id 0b8f6a4e-1c2d-4abc-9def-0123456789ab.", "id #."
                        "request 01ARZ3NDEKTSV4RRFFQ69G5FAV failed", "request # failed"
                        "Root=1-67891233-abcdef012345678912345678", "Root=#"
                        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0 of", "token #.# of"
                        "key Zm9vYmFyMTIzNDU2Nzg5MA==", "key #"
                        "HTTP 302: redirected to http://x:80/login?state=ab12&n=1; correct --host",
                        "HTTP 302: redirected to http://x:#/login?#; correct --host"
                        // Words, names and paths stay what they are.
                        "/sys/class/hwmon/hwmon3/temp1_input: gone", "/sys/class/hwmon/hwmon#/temp#_input: gone"
                        "ValidationErrorOfTheWholeSample", "ValidationErrorOfTheWholeSample"
                        "a bad face, added", "a bad face, added"
                        "api/v1beta2 on x86_64, H100", "api/v#beta# on x#_#, H#"
                        "who? me=1", "who? me=#"
                        "HTTP 422", "HTTP 422"
                    ] do
                    Expect.equal (Gist.ofMessage message) gist message
        ]
