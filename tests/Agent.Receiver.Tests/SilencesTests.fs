/// Outages shorter than a bucket.
module Agent.Receiver.Tests.SilencesTests

open Agent.Receiver
open Expecto

/// An hour of minutes of thirty samples each, but for some.
let private hour (others: (int * int) list) : int[] =
    let counts = Array.create 60 30

    for minute, count in others do
        counts[minute] <- count

    counts

let private found (stepSeconds: float) (counts: int[]) : (int * float) list =
    Silences.ofCounts stepSeconds counts
    |> Array.map (fun seconds -> System.Math.Round(seconds, 6))
    |> Array.indexed
    |> Array.filter (fun (_, seconds) -> seconds > 0.0)
    |> List.ofArray

[<Tests>]
let tests =
    testList
        "Silences"
        [
            for name, counts, expected in
                [
                    "none", hour [], []
                    "a sample more or less in a minute is none", hour [ 10, 29; 20, 31 ], []
                    "of 46 s", hour [ 20, 7 ], [ 20, 46.0 ]
                    "two and a half intervals are the edge", hour [ 20, 28; 30, 27 ], [ 30, 6.0 ]
                    "a whole minute shows itself, what is missing on either side is told",
                    hour [ 19, 20; 20, 0; 21, 10 ],
                    [ 19, 20.0; 21, 40.0 ]
                    "nobody knows of the first and the last", hour [ 0, 3; 59, 3 ], []
                    "nor of those around what is empty at the ends", hour [ 0, 0; 1, 3; 58, 3; 59, 0 ], []
                ] do
                testCase name
                <| fun () -> Expect.equal (found 60.0 counts) expected "minutes and seconds"

            testCase "another interval from some minute on is none"
            <| fun () -> Expect.equal (found 60.0 (Array.append (Array.create 30 30) (Array.create 30 12))) [] "nothing"

            testCase "an agent that sends once a minute is never silent for less"
            <| fun () -> Expect.equal (found 60.0 (hour [ for minute in 0..59 -> minute, 1 ])) [] "nothing"

            testCase "in half hours a hundredth of the time is the edge"
            <| fun () ->
                let halfHours (count: int) =
                    let counts = Array.create 48 900
                    counts[20] <- count
                    found 1800.0 counts

                Expect.equal (halfHours 892) [] "16 s"
                Expect.equal (halfHours 890) [ 20, 20.0 ] "20 s"

            testCase "no samples at all"
            <| fun () -> Expect.equal (found 60.0 (Array.zeroCreate 60)) [] "nothing"
        ]
