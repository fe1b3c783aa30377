module Agent.Sender.Tests.RecurrenceTests

open System
open Agent.Sender
open Expecto

/// What is said, with its second, of a fault that is of these kinds at these seconds.
let private told (course: (float * string) seq) : (float * FaultNews) list =
    let mutable fault = Recurrence.none

    [
        for second, kind in course do
            let struct (next, news) = Recurrence.observe (TimeSpan.FromSeconds second) kind fault
            fault <- next

            if news <> FaultNews.None then
                second, news
    ]

/// A reading each second in which the fault is of the kind that the function says.
let private eachSecond (until: int) (kind: int -> string) =
    told (Seq.init (until + 1) (fun second -> float second, kind second))

[<Tests>]
let tests =
    testList
        "Recurrence"
        [
            testCase "a fault is said when it begins and when it ends"
            <| fun () ->
                Expect.equal
                    (eachSecond 2000 (fun second -> if second >= 3 && second < 90 then "x" else ""))
                    [ 3.0, FaultNews.Lost; 90.0, FaultNews.Over ]
                    "two lines"

            testCase "a fault every third second makes one line in ten minutes"
            <| fun () ->
                Expect.equal
                    (eachSecond 3600 (fun second -> if second % 3 = 0 then "x" else ""))
                    [
                        0.0, FaultNews.Lost
                        1.0, FaultNews.Over
                        601.0, FaultNews.OverAgain 200
                        1201.0, FaultNews.OverAgain 200
                        1801.0, FaultNews.OverAgain 200
                        2401.0, FaultNews.OverAgain 200
                        3001.0, FaultNews.OverAgain 200
                    ]
                    "seven lines in an hour"

            testCase "one that comes back and stays is said after a minute, and its end after the ten"
            <| fun () ->
                Expect.equal
                    (eachSecond 3000 (fun second ->
                        if second = 0 || second >= 100 && second < 300 then
                            "x"
                        else
                            ""))
                    [
                        0.0, FaultNews.Lost
                        1.0, FaultNews.Over
                        160.0, FaultNews.LostAgain 1
                        900.0, FaultNews.Over
                    ]
                    "with the truth at the end"

            testCase "ten minutes without it make it a new one"
            <| fun () ->
                Expect.equal
                    (eachSecond 700 (fun second -> if second = 0 || second = 602 then "x" else ""))
                    [
                        0.0, FaultNews.Lost
                        1.0, FaultNews.Over
                        602.0, FaultNews.Lost
                        603.0, FaultNews.Over
                    ]
                    "said anew"

                Expect.equal
                    (eachSecond 610 (fun second -> if second = 0 || second = 600 then "x" else ""))
                    [ 0.0, FaultNews.Lost; 1.0, FaultNews.Over; 601.0, FaultNews.OverAgain 1 ]
                    "a second earlier it is the same"

            testCase "each kind is said, and kinds that take turns are folded"
            <| fun () ->
                Expect.equal
                    (eachSecond 620 (fun second ->
                        if second < 2 then ""
                        elif second % 2 = 0 then "a"
                        else "b"))
                    [ 2.0, FaultNews.Lost; 3.0, FaultNews.Lost; 603.0, FaultNews.LostAgain 600 ]
                    "both once"

            testCase "kinds without end are not told apart without end"
            <| fun () ->
                let news = eachSecond 500 (fun second -> string second)
                Expect.equal news [ for second in 0..7 -> float second, FaultNews.Lost ] "eight"

            testCase "what never failed is forgotten, and so is what has not come back"
            <| fun () ->
                let struct (fault, _) = Recurrence.observe TimeSpan.Zero "x" Recurrence.none
                Expect.isFalse (Recurrence.isForgotten fault) "there"
                let struct (fault, _) = Recurrence.observe (TimeSpan.FromSeconds 1.0) "" fault
                Expect.isFalse (Recurrence.isForgotten fault) "may come back"
                let struct (fault, _) = Recurrence.observe (TimeSpan.FromSeconds 601.0) "" fault
                Expect.isTrue (Recurrence.isForgotten fault) "gone"
        ]
