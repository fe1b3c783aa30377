/// Limits of what the agent decides that stand in no other test, at their edges: what is just allowed, and what is just not. Figures are
/// written out, so that a limit that is changed fails here.
module Agent.Sender.Tests.LimitTests

open System
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

let private scrape (length: int) =
    let start = "GET /metrics HTTP/1.1\r\nCookie: "
    Scrape.read (ReadOnlySpan(Encoding.ASCII.GetBytes(start + String('x', length - start.Length))))

/// What is asked of a receiver that refuses everything, and how many records one call is done with.
let private refusals (records: int) : int * int =
    let mutable requests = 0

    let refuse _ _ =
        requests <- requests + 1

        Exchange.Answered
            {
                Status = 400
                RetryAfter = ""
                Location = ""
                Date = ""
                Body = ReadOnlyMemory(Encoding.ASCII.GetBytes "out of bounds")
                SamplesWritten = ValueNone
                WasSentTwice = false
            }

    // A record without series, which is refused alone at once.
    let record = ReadOnlyMemory(Spool.frame (ReadOnlySpan(RemoteWrite.emptyRequest RemoteWriteVersion.One)))

    let outcome =
        RemoteDelivery.deliver
            (Func<_, _, _> refuse)
            (Func<_>(fun () -> DateTimeOffset.UnixEpoch))
            { RemoteDelivery.start "--remote-write" false with
                Version = RemoteWriteVersion.One
            }
            (Array.create records record)

    requests, outcome.Fates.Length

[<Tests>]
let tests =
    testList
        "Limits"
        [
            testCase "a request for metrics has 8191 bytes without an end, and no more"
            <| fun () ->
                Expect.isTrue (scrape 8191).IsIncomplete "8191"

                match scrape 8192 with
                | ScrapeInput.Bad(431, _) -> ()
                | other -> failtest $"%A{other}"

            testCase "sampling is healthy for three intervals and five seconds, to the tick"
            <| fun () ->
                for interval in [ 0.5; 2.0; 3600.0 ] do
                    let longest = seconds (3.0 * interval + 5.0)
                    Expect.isTrue (Scrape.isHealthy (seconds interval) longest) $"{interval} s"
                    Expect.isFalse (Scrape.isHealthy (seconds interval) (longest + TimeSpan.FromTicks 1L)) $"{interval} s, a tick later"

            testCase "a batch ends with the record at which a hundred requests are reached"
            <| fun () ->
                // A batch of n records that are all refused is halved down to each: 2n - 1 requests.
                Expect.equal (refusals 50) (99, 50) "99 requests: all of them"
                // Its first half is 1 + 63 requests, a quarter 1 + 31 more; the last quarter as a whole, its half, quarter, eighth
                // and first record are the 97th to the 101st, with 32 + 16 + 1 records done.
                Expect.equal (refusals 64) (101, 49) "127 would be all of them: the rest is a batch of its own"

            testCase "a segment is never below 64 KiB or above 4 MiB"
            <| fun () ->
                Expect.equal (Spool.segmentSize 1048575L) 65536L "just below a mebibyte"
                Expect.equal (Spool.segmentSize 1048592L) 65537L "just above"
                Expect.equal (Spool.segmentSize 67108848L) 4194303L "just below 64 MiB"
                Expect.equal (Spool.segmentSize 67108880L) 4194304L "just above"

            testCase "the number in a segment's name has 12 to 18 digits"
            <| fun () ->
                let isSegment (digits: int) =
                    (Spool.kindOf (String('1', digits) + ".v1.ndjson")).IsSegment

                Expect.equal ([ 11; 12; 18; 19 ] |> List.map isSegment) [ false; true; true; false ] "digits"

            testCase "a wait that a server asks for is at most ten minutes, to the second"
            <| fun () ->
                let delay (header: string) =
                    Delivery.retryDelay DateTimeOffset.UnixEpoch "" header

                Expect.equal (delay "599") (ValueSome(seconds 599.0)) "just below"
                Expect.equal (delay "600") (ValueSome(seconds 600.0)) "just"
                Expect.equal (delay "601") (ValueSome(seconds 600.0)) "just above"

            testCase "figures that are policy, and that other tests use by name"
            <| fun () ->
                Expect.equal (RemoteWrite.MostRecords, RemoteWrite.MostBytes) (100, 262144) "a batch of remote-write"

                Expect.equal
                    (RemoteDelivery.MostRequests, RemoteDelivery.HopelessAfter, RemoteDelivery.ThoroughEvery, RemoteDelivery.MostHalvings)
                    (100, 30, 16, 128)
                    "halving"

                Expect.equal
                    (Delivery.LongestBackOff, Delivery.LongestRetryAfter, Delivery.ProbeInterval)
                    (seconds 60.0, seconds 600.0, seconds 30.0)
                    "waits"

                Expect.equal
                    (Delivery.RefusalsInARow, Delivery.MostTrusted, Delivery.CrashesInARow, Delivery.CrashesOfItsOwn)
                    (3, 100, 6, 3)
                    "refusals"

                Expect.equal Advice.LargestSkew (seconds 5.0) "clocks"
                Expect.equal Repetition.Period (seconds 60.0) "repetitions"
        ]
