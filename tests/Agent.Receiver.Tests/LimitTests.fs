/// Every limit of the dashboard's rules at its edge: what is just allowed, and what is just not. Figures are written out, so
/// that a limit that is changed fails here.
module Agent.Receiver.Tests.LimitTests

open System
open System.Diagnostics
open System.Text
open Agent.Core
open Agent.Receiver
open Expecto

let private now = DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)

let private read (body: string) =
    Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes body)) now

let private taken (body: string) : Intake =
    match read body with
    | Ok intake -> intake
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

/// A sample whose list has these entries.
let private sampleWith (list: string) (entries: string seq) : string =
    let entries = String.Join(",", entries)
    $"{{\"collected_at\":\"2026-11-24T11:59:58Z\",\"{list}\":[{entries}]}}"

let private second = TimeSpan.FromSeconds 1.0
let private tick = TimeSpan.FromTicks 1L

/// A second and a minute in the microseconds of keys.
let private secondOfKeys, minuteOfKeys = 1_000_000L, 60_000_000L

/// Noon of a day, in the microseconds of keys.
let private noon = RowKey.microseconds now

let private isLive (interval: float voption) (silence: TimeSpan) =
    Attention.stateOf true (ValueSome(now - silence)) interval now = ServerState.Live

let private intakeTests =
    [
        for list, entry, count in
            [
                "disks", (fun (i: int) -> $"{{\"device\":\"d{i}\"}}"), (fun (report: Report) -> report.Disks.Length)
                "gpus", (fun i -> $"{{\"gpu_index\":{i}}}"), _.Gpus.Length
                "fans", (fun i -> $"{{\"label\":\"f{i}\"}}"), _.Fans.Length
            ] do
            testCase $"of {list} 256 entries are taken, and no more"
            <| fun () ->
                let all = taken (sampleWith list (Seq.init 256 entry))
                Expect.equal (count all.Report, all.Warnings) (256, [||]) "256"
                let more = taken (sampleWith list (Seq.init 257 entry))
                Expect.equal (count more.Report, more.Warnings) (256, [| $"{list}[256]: more than 256 entries; left out" |]) "257"

            testCase $"a body full of {list} is read in no time, with twenty warnings"
            <| fun () ->
                let body = sampleWith list (Seq.init 50000 entry)
                let watch = Stopwatch.StartNew()
                let full = taken body
                Expect.equal (count full.Report, full.Warnings.Length) (256, 20) "entries and warnings"
                // A look at each of the entries before would be ten.
                Expect.isLessThan watch.Elapsed.TotalSeconds 3.0 "seconds"

        testCase "an agent of 128 KiB is kept, of a byte more it is not"
        <| fun () ->
            let agent (length: int) =
                let head, tail = "{\"a\":\"", "\"}"

                Encoding.ASCII.GetBytes(head + String('x', length - head.Length - tail.Length) + tail)
                |> ReadOnlyMemory
                |> Intake.keptAgent

            Expect.isTrue (agent 131072).IsSome "just"
            Expect.isTrue (agent 131073).IsNone "too long"

        testCase "of an agent 25 members are kept"
        <| fun () ->
            let members = String.Join(",", [ for i in 1..26 -> $"\"k{i}\":{i}" ])
            let kept = Intake.keptAgent (ReadOnlyMemory(Encoding.ASCII.GetBytes $"{{{members}}}"))
            Expect.stringEnds kept.Value ",\"k25\":25}" "the 26th is not"

        testCase "a body has a mebibyte at most"
        <| fun () -> Expect.equal Intake.longestBody 1048576 "bytes"

        testCase "samples from the first instant of 2000 to five minutes ahead are taken"
        <| fun () ->
            let isTaken (instant: string) =
                (read $"{{\"collected_at\":\"{instant}\"}}").IsOk

            Expect.isFalse (isTaken "1999-12-31T23:59:59.999999Z") "a microsecond too early"
            Expect.isTrue (isTaken "2000-01-01T00:00:00Z") "the first"
            Expect.isTrue (isTaken "2026-11-24T12:05:00Z") "five minutes ahead"
            Expect.isFalse (isTaken "2026-11-24T12:05:00.000001Z") "a microsecond more"
    ]

let private attentionTests =
    [
        testCase "a server is stale after five of its intervals, and not before"
        <| fun () ->
            for interval in [ 7.0; 10.0; 3600.0; 863999.0 ] do
                let allowed = TimeSpan.FromSeconds(interval * 5.0)
                Expect.isTrue (isLive (ValueSome interval) allowed) $"five of {interval} s"
                Expect.isFalse (isLive (ValueSome interval) (allowed + tick)) $"more than five of {interval} s"

        testCase "and not before half a minute"
        <| fun () ->
            for interval in
                [
                    ValueNone
                    ValueSome 0.5
                    ValueSome 6.0
                    ValueSome 0.0
                    ValueSome -1.0
                    ValueSome nan
                    ValueSome 864000.0
                ] do
                Expect.isTrue (isLive interval (30.0 * second)) $"30 s of {interval}"
                Expect.isFalse (isLive interval (30.0 * second + tick)) $"more than 30 s of {interval}"

            Expect.isTrue (isLive (ValueSome 6.1) (30.5 * second)) "five of 6.1 s are 30.5"

        testCase "scores"
        <| fun () ->
            let live label =
                Attention.score ServerState.Live (ValueSome label)

            Expect.equal (Attention.score ServerState.Stale (ValueSome VerdictLabel.GpuFault)) 90 "stale"
            Expect.equal (live VerdictLabel.GpuFault, live VerdictLabel.Hang) (80, 80) "a fault"
            Expect.equal (live VerdictLabel.DiskRead, live VerdictLabel.Throttled) (60, 60) "held back"
            Expect.equal (live VerdictLabel.HeldIdle) 40 "held idle"
            Expect.equal (live VerdictLabel.Compute, live VerdictLabel.Starting, live VerdictLabel.Unknown) (0, 0, 0) "healthy"
            Expect.equal (live VerdictLabel.Idle) -10 "idle"

            Expect.equal
                (Attention.score ServerState.Never ValueNone, Attention.score ServerState.Disabled ValueNone)
                (-20, -30)
                "never, disabled"
    ]

let private retentionTests =
    [
        testCase "samples are kept for 48 hours, in whole minutes"
        <| fun () ->
            Expect.equal (Retention.firstSample noon 48) (noon - 2880L * minuteOfKeys) "on the minute"
            Expect.equal (Retention.firstSample (noon + minuteOfKeys - 1L) 48) (noon - 2880L * minuteOfKeys) "a microsecond before the next"
            Expect.equal (Retention.firstSample (noon + minuteOfKeys) 48) (noon - 2879L * minuteOfKeys) "the next"
            Expect.equal (Retention.firstSample 1L 48) 0L "never before the first instant"

        testCase "minutes are kept for so many days of 1440"
        <| fun () ->
            Expect.equal (Retention.firstMinute (20000L * minuteOfKeys) 2) (20000L - 2880L) "two days"
            Expect.equal (Retention.firstMinute (2880L * minuteOfKeys) 2) 0L "just none"
            Expect.equal (Retention.firstMinute (2879L * minuteOfKeys) 2) 0L "never below none"

        testCase "what came too late is left for ten minutes"
        <| fun () -> Expect.equal (Retention.lastArrival (3600L * secondOfKeys)) 3000_000L "an hour less ten minutes, in ms"

        testCase "samples are read for a range below two hours that begins in the last 48"
        <| fun () ->
            let hours count = int64 count * 60L * minuteOfKeys
            Expect.isTrue (Axis.prefersRaw (noon - hours 2 + 1L) noon noon 48) "just below two hours"
            Expect.isFalse (Axis.prefersRaw (noon - hours 2) noon noon 48) "two"
            Expect.isTrue (Axis.prefersRaw (noon - hours 48) (noon - hours 47) noon 48) "48 hours ago"
            Expect.isFalse (Axis.prefersRaw (noon - hours 48 - 1L) (noon - hours 47) noon 48) "a microsecond before"

        testCase "1500 samples have a point each, 4000 are read, more are minutes"
        <| fun () ->
            let axis samples =
                Axis.ofSamples (noon - 60L * minuteOfKeys) noon samples

            Expect.equal ((axis 1500).Step, (axis 1500).Count) (0L, 1500) "1500"
            Expect.isGreaterThan (axis 1501).Step 0L "1501"
            Expect.isTrue (axis 4000).IsRaw "4000"
            Expect.isFalse (axis 4001).IsRaw "4001"

        testCase "750 buckets are one axis, 751 another"
        <| fun () ->
            let axis seconds =
                let axis = Axis.ofSamples (noon - int64 seconds * secondOfKeys) noon 2000
                axis.Step / secondOfKeys, axis.Count

            Expect.equal (axis 749) (1L, 750) "seconds"
            Expect.equal (axis 750) (2L, 376) "twice as long"

        testCase "a sample speaks for a minute at most, and the longest range is 14 days"
        <| fun () -> Expect.equal (Point.LongestCover, Axis.LongestMinutes) (60.0, 14 * 1440) "figures"
    ]

let private accessTests =
    [
        testCase "an address has five attempts within a minute, and the sixth waits for the first to be a minute old"
        <| fun () ->
            let after count =
                (Attempts.noneOfAddress, seq { 0 .. count - 1 })
                ||> Seq.fold (fun attempts i ->
                    let struct (_, after) = Attempts.ofAddress (float i * second) attempts
                    after)

            let wait at count =
                let struct (wait, _) = Attempts.ofAddress at (after count)
                wait

            Expect.equal (wait (4.0 * second) 4) TimeSpan.Zero "four"
            Expect.equal (wait (4.0 * second) 5) (56.0 * second) "five"
            Expect.equal (wait (60.0 * second - tick) 5) tick "just before the minute is over"
            Expect.equal (wait (60.0 * second) 5) TimeSpan.Zero "over"

        testCase "the sixth attempt on an account within a minute waits three seconds, the next from elsewhere three more"
        <| fun () ->
            let step (account, waits) address =
                let struct (wait, after) = Attempts.ofAccount TimeSpan.Zero address account
                after, waits @ [ wait ]

            let _, waits = List.fold step (Attempts.noneOfAccount, []) [ "a"; "a"; "b"; "c"; "d"; "e"; "f"; "e" ]

            Expect.equal waits (List.replicate 5 TimeSpan.Zero @ [ 3.0 * second; 6.0 * second; 3.0 * second ]) "waits"

        testCase "a password has eight characters or more"
        <| fun () ->
            Expect.equal (Access.passwordOf "p" "1234567\n").IsOk false "seven"
            Expect.equal (Access.passwordOf "p" "12345678\n").IsOk true "eight"

        testCase "a session lasts a week"
        <| fun () -> Expect.equal Access.session (TimeSpan.FromHours 168.0) "hours"

        testCase "a slug has 1 to 64 characters"
        <| fun () ->
            Expect.isFalse (Registration.isSlug "") "none"
            Expect.isTrue (Registration.isSlug "a") "one"
            Expect.isTrue (Registration.isSlug (String('a', 64))) "64"
            Expect.isFalse (Registration.isSlug (String('a', 65))) "65"

        testCase "there are 4095 servers at most, as many as fit a key"
        <| fun () -> Expect.equal Registration.MostServers 4095 "servers"

        testCase "samples are kept for 2 to 3650 days"
        <| fun () ->
            let isTaken (days: int) =
                (DashboardCli.parse [| "serve"; "--retention-days"; string days |]).IsOk

            Expect.equal ([ 1; 2; 3650; 3651 ] |> List.map isTaken) [ false; true; true; false ] "days"
    ]

[<Tests>]
let tests =
    testList
        "Limits"
        [
            testList "intake" intakeTests
            testList "attention" attentionTests
            testList "retention and axes" retentionTests
            testList "access" accessTests
        ]
