/// What systemd hears, over a real socket and in virtual time.
module Agent.Host.Tests.SystemdTests

open System
open System.IO
open Agent.Core
open Agent.Sender
open Agent.Host.Service
open Agent.Shell
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.Notifications
open Agent.Host.Tests.ScheduledClock
open Expecto

let private pid = 4711

/// A manager with these variables; null for those that are not there.
let private opened (variables: (string * string) list) : Systemd =
    let environment name : string | null =
        match variables |> List.tryFind (fun (key, _) -> key = name) with
        | Some(_, value) -> value
        | None -> null

    Systemd.Open(Func<string, string | null> environment, pid)

let private withSocket (test: string -> NotifySocket -> unit) : unit =
    World.withDirectory (fun directory ->
        let path = Path.Combine(directory, "notify")
        use socket = new NotifySocket(path)
        test path socket)

let private hears (socket: NotifySocket) (expected: string list) : unit =
    eventually patience $"{expected.Length} messages: %A{socket.Messages}" (fun () -> socket.Messages.Length >= expected.Length)
    Expect.equal socket.Messages expected "what systemd heard"

/// The agent's state with a watchdog of 20 s and an interval of 30 s.
let private withState (test: NotifySocket -> ScheduledClock -> ServiceState -> int ref -> unit) : unit =
    withSocket (fun path socket ->
        let clock = ScheduledClock()
        let waiting = ref 0
        use systemd = opened [ "NOTIFY_SOCKET", path; "WATCHDOG_USEC", "20000000" ]

        let state =
            ServiceState(systemd, TimeSpan.FromSeconds 30.0, Func<int64>(fun () -> int64 waiting.Value), clock)

        state.WatchOver clock.Scheduler
        test socket clock state waiting)

let private socketTests =
    testList
        "socket"
        [
            testCase "one datagram for each assignment, over a path"
            <| fun () ->
                withSocket (fun path socket ->
                    use systemd = opened [ "NOTIFY_SOCKET", path ]
                    Expect.isTrue (systemd.Notify "READY=1") "sent"
                    Expect.isTrue (systemd.Notify "STATUS=größer") "sent"
                    hears socket [ "READY=1"; "STATUS=größer" ])

            testCase "an abstract name begins with @"
            <| fun () ->
                let address = $"@agent-tests-{Guid.NewGuid()}"
                use socket = new NotifySocket(address)
                use systemd = opened [ "NOTIFY_SOCKET", address ]
                Expect.isTrue (systemd.Notify "READY=1") "sent"
                hears socket [ "READY=1" ]

            testCase "without a usable address nothing is sent and nothing fails"
            <| fun () ->
                for value in [ ""; "relative"; "@"; "/"; "vsock:2:1234"; "/" + String('x', 200) ] do
                    use systemd = opened [ "NOTIFY_SOCKET", value; "WATCHDOG_USEC", "1000000" ]
                    Expect.isFalse systemd.IsListening value
                    Expect.isFalse (systemd.Notify "READY=1") value
                    Expect.isFalse systemd.Watchdog.HasValue value

                use systemd = opened []
                Expect.isFalse (systemd.Notify "READY=1") "unset"

            testCase "a manager that is gone costs the message and nothing else"
            <| fun () ->
                use systemd = opened [ "NOTIFY_SOCKET", "/run/agent-tests/nobody" ]
                Expect.isFalse (systemd.Notify "READY=1") "not sent"

            testCase "a manager that does not listen for a while is not waited for"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "notify")

                    use deaf =
                        new Net.Sockets.Socket(
                            Net.Sockets.AddressFamily.Unix,
                            Net.Sockets.SocketType.Dgram,
                            Net.Sockets.ProtocolType.Unspecified
                        )

                    deaf.Bind(Net.Sockets.UnixDomainSocketEndPoint path)
                    use systemd = opened [ "NOTIFY_SOCKET", path ]

                    let sent =
                        Seq.initInfinite id
                        |> Seq.find (fun n -> n > 5000 || not (systemd.Notify "STATUS=x"))

                    Expect.isLessThan sent 5000 "its queue was full at some time, and the call returned")

            testCase "the watchdog is ours when the pid says so or nobody does"
            <| fun () ->
                let watchdog variables =
                    use systemd = opened (("NOTIFY_SOCKET", "/run/x") :: variables)
                    Option.ofNullable systemd.Watchdog |> Option.map _.TotalSeconds

                Expect.equal (watchdog [ "WATCHDOG_USEC", "30000000" ]) (Some 30.0) "no pid"
                Expect.equal (watchdog [ "WATCHDOG_USEC", "1500000"; "WATCHDOG_PID", "4711" ]) (Some 1.5) "our pid"
                Expect.equal (watchdog [ "WATCHDOG_USEC", "30000000"; "WATCHDOG_PID", "1" ]) None "another's"
                Expect.equal (watchdog []) None "unset"

                for bad in [ ""; "0"; "-1"; "soon"; "1e6"; "99999999999999999999" ] do
                    Expect.equal (watchdog [ "WATCHDOG_USEC", bad ]) None bad
        ]

let private stateTests =
    testList
        "state"
        [
            testCase "READY with the first sample and not again, STOPPING once"
            <| fun () ->
                withState (fun socket clock state _ ->
                    clock.Advance 12.0
                    state.Sampled()
                    clock.Advance 0.5
                    state.Sampled()
                    state.Stopping()
                    state.Stopping()
                    hears socket [ "READY=1"; "STATUS=nothing delivered yet, 0 waiting"; "STOPPING=1" ])

            testCase "nothing is told of deliveries before READY"
            <| fun () ->
                withState (fun socket _ state _ ->
                    state.NotDelivered "no"
                    state.Delivered()
                    state.Stopping()
                    hears socket [ "STOPPING=1" ])

            testCase "STATUS tells of each destination that is in trouble"
            <| fun () ->
                withState (fun socket clock state _ ->
                    state.Sampled()
                    clock.Advance 5.0
                    state.NotDelivered("HTTP 503", Destination.RemoteWrite)
                    clock.Advance 5.0
                    state.NotDelivered "HTTP 500"
                    clock.Advance 5.0
                    state.Delivered Destination.RemoteWrite
                    clock.Advance 5.0
                    state.NotDelivered("HTTP 429", Destination.Otlp)
                    state.Stopping()

                    hears
                        socket
                        [
                            "READY=1"
                            "STATUS=nothing delivered yet, 0 waiting"
                            "STATUS=nothing delivered yet, 0 waiting; remote-write not delivered: HTTP 503"
                            "WATCHDOG=1"
                            "STATUS=nothing delivered yet, 0 waiting; not delivered: HTTP 500; remote-write not delivered: HTTP 503"
                            "STATUS=last delivery 2026-01-01 00:00:15 UTC, 0 waiting; not delivered: HTTP 500"
                            "WATCHDOG=1"
                            "STATUS=last delivery 2026-01-01 00:00:15 UTC, 0 waiting; not delivered: HTTP 500; otlp not delivered: HTTP 429"
                            "STOPPING=1"
                        ])

            testCase "STATUS when delivery breaks and when it is back, numbers every five seconds at most"
            <| fun () ->
                withState (fun socket clock state waiting ->
                    state.Sampled()
                    clock.Advance 1.0
                    state.Delivered() // too early
                    clock.Advance 4.0
                    state.Delivered()
                    clock.Advance 1.0
                    waiting.Value <- 1
                    state.NotDelivered "HTTP 503: a\nb"
                    clock.Advance 1.0
                    waiting.Value <- 2
                    state.NotDelivered "HTTP 503: a\nb" // too early
                    clock.Advance 1.0
                    waiting.Value <- 0
                    state.Delivered()
                    clock.Advance 0.5
                    waiting.Value <- 7
                    state.Sampled() // too early
                    clock.Advance 4.5 // a watchdog's beat falls in here
                    state.Sampled()
                    clock.Advance 6.0
                    state.Sampled() // no news

                    hears
                        socket
                        [
                            "READY=1"
                            "STATUS=nothing delivered yet, 0 waiting"
                            "STATUS=last delivery 2026-01-01 00:00:05 UTC, 0 waiting"
                            "STATUS=last delivery 2026-01-01 00:00:05 UTC, 1 waiting; not delivered: HTTP 503: a b"
                            "STATUS=last delivery 2026-01-01 00:00:08 UTC, 0 waiting"
                            "WATCHDOG=1"
                            "STATUS=last delivery 2026-01-01 00:00:08 UTC, 7 waiting"
                        ])

            testCase "the watchdog is fed at half its time, also between two samples that lie further apart"
            <| fun () ->
                withState (fun socket clock state _ ->
                    state.Sampled()
                    clock.Advance 29.9
                    Expect.equal clock.Elapsed.TotalSeconds 29.9 "time passed"

                    hears
                        socket
                        [
                            "READY=1"
                            "STATUS=nothing delivered yet, 0 waiting"
                            "WATCHDOG=1"
                            "WATCHDOG=1"
                        ])

            testCase "the watchdog is not fed before the first sample"
            <| fun () ->
                withState (fun socket clock state _ ->
                    clock.Advance 60.0
                    state.Stopping()
                    hears socket [ "STOPPING=1" ])

            testCase "the watchdog is not fed once samples stay away, and again when they return"
            <| fun () ->
                withState (fun socket clock state _ ->
                    state.Sampled()
                    // One sample is due after 30 s and may be late by 10 s.
                    clock.Advance 300.0

                    hears
                        socket
                        ([ "READY=1"; "STATUS=nothing delivered yet, 0 waiting" ]
                         @ List.replicate 4 "WATCHDOG=1")

                    state.Sampled()
                    clock.Advance 10.0
                    eventually patience "fed" (fun () -> socket.Count "WATCHDOG=1" = 5))
        ]

[<Tests>]
let tests = testList "Host.Systemd" [ socketTests; stateTests ]
