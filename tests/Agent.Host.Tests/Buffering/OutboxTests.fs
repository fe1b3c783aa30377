module Agent.Host.Tests.OutboxTests

open System
open Agent.Host.Buffering
open Expecto

let private sample (number: int) =
    EncodedSample(ReadOnlyMemory [| byte number |])

/// The samples in the order in which they would be sent, taken out one by one.
let private drain (outbox: Outbox) : int list =
    [
        let mutable next = outbox.Oldest

        while not (isNull next) do
            match next with
            | null -> ()
            | oldest ->
                int oldest.Body.Span[0]
                outbox.Remove oldest
                next <- outbox.Oldest
    ]

let private filled (capacity: int) (numbers: int list) =
    let outbox = new Outbox(capacity)
    let samples = numbers |> List.map sample

    for sample in samples do
        outbox.Add sample

    outbox, samples

[<Tests>]
let tests =
    testList
        "Host.Outbox"
        [
            testCase "first in, first out"
            <| fun () ->
                let outbox, _ = filled 5 [ 1; 2; 3 ]
                Expect.equal outbox.Count 3L "three"
                Expect.equal (drain outbox) [ 1; 2; 3 ] "in order"
                Expect.equal (outbox.Count, outbox.Dropped.Overflowed, outbox.Dropped.Refused) (0L, 0L, 0L) "nothing lost"

            testCase "those behind the oldest are at hand, so many and so many bytes of them"
            <| fun () ->
                let outbox, samples = filled 9 [ 1; 2; 3; 4; 5 ]

                let behind most bytes =
                    outbox.Behind(most, bytes) |> List.ofArray

                Expect.equal (behind 2 100) samples[1..2] "two"
                Expect.equal (behind 9 3) samples[1..3] "three bytes"
                Expect.equal (behind 9 100) samples[1..4] "all"
                Expect.equal outbox.Count 5L "they stay"

            testCase "those that have to go while a batch with them is sent are not lost"
            <| fun () ->
                let outbox, samples = filled 3 [ 1; 2; 3 ]
                Expect.equal outbox.Oldest samples[0] "the oldest"
                Expect.equal (outbox.Behind(1, 100)) [| samples[1] |] "and one more are sent"

                for number in [ 4; 5; 6 ] do
                    outbox.Add(sample number)

                Expect.equal outbox.Dropped.Overflowed 3L "three had to go"
                outbox.Remove samples[0]
                outbox.Remove samples[1]
                Expect.equal outbox.Dropped.Overflowed 1L "two of them arrived"

            testCase "what is refused at once is counted at once"
            <| fun () ->
                let outbox, samples = filled 3 [ 1; 2 ]
                outbox.SetAside(samples[0], "no")
                outbox.Settle()
                Expect.equal (outbox.Count, outbox.Dropped.Refused) (1L, 1L) "one is left"
                outbox.TakeBack()
                Expect.equal (drain outbox) [ 2 ] "and does not come back"

            testCase "900 samples fit by default"
            <| fun () -> Expect.equal Outbox.DefaultCapacity 900 "half an hour at 2 s"

            testCase "a full outbox drops the oldest and counts it"
            <| fun () ->
                let outbox, _ = filled 3 [ 1..5 ]
                Expect.equal (outbox.Count, outbox.Dropped.Overflowed) (3L, 2L) "counted"
                Expect.equal (drain outbox) [ 3; 4; 5 ] "the newest stay"

            testCase "what is put aside counts as held, and as refused once another is delivered"
            <| fun () ->
                let outbox, samples = filled 5 [ 1; 2; 3 ]
                outbox.SetAside(samples[0], "HTTP 400")
                Expect.equal (outbox.Count, outbox.Dropped.Refused) (3L, 0L) "held"
                outbox.Remove samples[1]
                Expect.equal (outbox.Count, outbox.Dropped.Refused) (1L, 1L) "refused"
                outbox.TakeBack()
                Expect.equal (drain outbox) [ 3 ] "gone for good"

            testCase "the newest keeps its place, and is none once it was set aside"
            <| fun () ->
                let outbox, samples = filled 5 [ 1; 2 ]
                Expect.equal outbox.Newest samples[1] "behind the oldest"
                outbox.SetAside(samples[0], "HTTP 400")
                Expect.equal outbox.Newest samples[1] "the only one"
                outbox.SetAside(samples[1], "HTTP 400")
                Expect.isNull outbox.Newest "set aside"
                outbox.TakeBack()
                Expect.equal (drain outbox) [ 1; 2 ] "in order"

            testCase "what is taken back stands at the head in its order"
            <| fun () ->
                let outbox, samples = filled 5 [ 1; 2; 3; 4 ]
                outbox.SetAside(samples[0], "HTTP 400")
                outbox.SetAside(samples[1], "HTTP 400")
                outbox.TakeBack()
                Expect.equal outbox.Dropped.Refused 0L "none refused"
                Expect.equal (drain outbox) [ 1; 2; 3; 4 ] "in order"

            testCase "a sample that overflowed while it was refused is counted once"
            <| fun () ->
                let outbox, samples = filled 2 [ 1; 2; 3 ]
                outbox.SetAside(samples[0], "HTTP 400")
                outbox.TakeBack()
                Expect.equal (outbox.Count, outbox.Dropped.Overflowed, outbox.Dropped.Refused) (2L, 1L, 0L) "dropped"
                Expect.equal (drain outbox) [ 2; 3 ] "it does not come back"

            testCase "a sample that is delivered after all does not count as dropped"
            <| fun () ->
                let outbox, samples = filled 2 [ 1; 2 ]
                let inFlight = samples[0]
                outbox.Add(sample 3)
                outbox.Remove inFlight
                Expect.equal (outbox.Dropped.Overflowed + outbox.Count + 1L) 3L "taken = dropped + held + delivered"
        ]
