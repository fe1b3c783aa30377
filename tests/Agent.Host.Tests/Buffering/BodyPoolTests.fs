/// The memory that samples are encoded into.
module Agent.Host.Tests.BodyPoolTests

open Agent.Core
open Agent.Host.Buffering
open Expecto

let private keep (pool: BodyPool) (text: string) =
    let body = pool.Rent()
    body.Text text
    body, pool.Keep body

[<Tests>]
let tests =
    testList
        "Host.BodyPool"
        [
            testCase "what a delivered sample held is written to again, and the sample shows nothing of it"
            <| fun () ->
                let pool = BodyPool()
                let first, sample = keep pool "first"
                sample.Release()
                let second, next = keep pool "second"
                Expect.isTrue (obj.ReferenceEquals(first, second)) "the same memory"
                Expect.equal sample.Body.Length 0 "nothing of the next sample"
                Expect.equal (System.Text.Encoding.UTF8.GetString next.Body.Span) "\"second\"" "the next one is whole"

            testCase "a sample that waits keeps its own memory"
            <| fun () ->
                let pool = BodyPool()
                let first, waiting = keep pool "waiting"
                let second, _ = keep pool "next"
                Expect.isFalse (obj.ReferenceEquals(first, second)) "other memory"
                Expect.equal (System.Text.Encoding.UTF8.GetString waiting.Body.Span) "\"waiting\"" "untouched"

            testCase "giving back twice gives back once"
            <| fun () ->
                let pool = BodyPool()
                let _, sample = keep pool "once"
                sample.Release()
                sample.Release()
                Expect.isFalse (obj.ReferenceEquals(pool.Rent(), pool.Rent())) "nobody shares memory"

            testCase "samples that pile up take no more memory than they need"
            <| fun () ->
                let pool = BodyPool()
                let text = System.String('x', 3000)

                let held = [ for _ in 1..100 -> snd (keep pool text) ]

                let before = System.GC.GetAllocatedBytesForCurrentThread()

                let more = [ for _ in 1..100 -> snd (keep pool text) ]

                let each = (System.GC.GetAllocatedBytesForCurrentThread() - before) / 100L
                Expect.isLessThan each 3600L "3,002 bytes and what belongs to them"
                Expect.equal (held.Length + more.Length) 200 "all are held"
        ]
