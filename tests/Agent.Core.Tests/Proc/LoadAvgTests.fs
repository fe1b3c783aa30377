module Agent.Core.Tests.Proc.LoadAvgTests

open System
open System.Globalization
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = LoadAvg.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.LoadAvg"
        [
            for instant in [ "first"; "second" ] do
                testCase $"the {instant} capture says what cat says"
                <| fun () ->
                    let said =
                        (words $"vm-2core-6.18/{instant}/cat-loadavg.txt")[0]
                        |> Array.take 3
                        |> Array.map (fun word -> Double.Parse(word, CultureInfo.InvariantCulture))

                    let load = want (parse (bytes $"vm-2core-6.18/{instant}/proc/loadavg"))
                    Expect.equal [| load.One; load.Five; load.Fifteen |] said "1, 5 and 15 minutes"

            testCase "the fourth field tells how many tasks can run"
            <| fun () ->
                let runnable (text: byte[]) = LoadAvg.runnable (ReadOnlySpan text)
                Expect.equal (runnable "0.10 0.20 0.30 7/389 12345\n"B) (Ok 7) "seven"
                Expect.equal (located (runnable "0.10 0.20 0.30 x/389 1\n"B)) ("/proc/loadavg", 1, "runnable tasks", "x/389") "no number"

            testCase "the first capture reads 0.23, 0.17 and 0.07"
            <| fun () ->
                let load = want (parse (bytes "vm-2core-6.18/first/proc/loadavg"))
                Expect.equal (load.One, load.Five, load.Fifteen) (0.23, 0.17, 0.07) "averages"

            testCase "a busy machine's load has more than one digit before the point"
            <| fun () ->
                let load = want (parse "1024.50 999.00 0.00 2048/99999 4194304\n"B)
                Expect.equal (load.One, load.Five, load.Fifteen) (1024.5, 999.0, 0.0) "averages"

            testCase "fields after the third are not read"
            <| fun () -> Expect.equal (want (parse "1.00 2.00 3.00 ??\n"B)).Fifteen 3.0 "15 minutes"

            testCase "an average that is no number names its field"
            <| fun () -> Expect.equal (located (parse "0.10 0,20 0.30 1/2 3\n"B)) ("/proc/loadavg", 1, "5-minute average", "0,20") "place"

            testCase "not-a-number and infinity are no decimal numbers"
            <| fun () ->
                Expect.equal (located (parse "nan 0.1 0.1\n"B)) ("/proc/loadavg", 1, "1-minute average", "nan") "nan"
                Expect.equal (located (parse "0.1 0.1 inf\n"B)) ("/proc/loadavg", 1, "15-minute average", "inf") "inf"

            testCase "a line cut after its second field lacks the third"
            <| fun () -> Expect.equal (located (parse "0.10 0.20\n"B)) ("/proc/loadavg", 1, "15-minute average", "") "place"

            testCase "a torn line is an error, complete as it may look"
            <| fun () -> Expect.equal (located (parse "0.10 0.20 0.3"B)) ("/proc/loadavg", 1, "load averages", "0.10 0.20 0.3") "place"

            testCase "an empty text is an error"
            <| fun () -> Expect.equal (located (parse [||])) ("/proc/loadavg", 1, "load averages", "") "place"

            testCase "a blank line is an error"
            <| fun () -> Expect.equal (located (parse "\n0.1 0.2 0.3\n"B)) ("/proc/loadavg", 1, "1-minute average", "") "place"
        ]
