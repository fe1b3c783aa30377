/// The dashboard as a service: what systemd hears of it, and the secrets that it is handed.
module Agent.Dashboard.Tests.NotifyTests

open System.IO
open Agent.Receiver
open Agent.TestSupport.Waiting
open Agent.TestSupport.Notifications
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

[<Tests>]
let tests =
    testList
        "Service"
        [
            testCase "systemd hears when it is ready, that it lives, how it is, and that it stops"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "notify"
                use socket = new NotifySocket(path)

                use dashboard =
                    new Dashboard(place.File "dashboard.db", [], [ "NOTIFY_SOCKET", path; "WATCHDOG_USEC", "3000000" ])

                dashboard.Register("gpu-box-01", []) |> ignore
                eventually patience "ready" (fun () -> socket.Count "READY=1" = 1)
                eventually patience "it lives" (fun () -> socket.Count "WATCHDOG=1" >= 3)
                eventually patience "how it is" (fun () -> List.contains "0 of 1 servers live" socket.States)
                dashboard.Stop()
                eventually patience "it stops" (fun () -> socket.Count "STOPPING=1" = 1)

            testCase "the watchdog starves while the disk does not answer"
            <| fun () ->
                // A stopped process is as good as one whose disk hangs: the thread that stores does not come round.
                use place = new TemporaryDirectory()
                let path = place.File "notify"
                use socket = new NotifySocket(path)

                use dashboard =
                    new Dashboard(place.File "dashboard.db", [], [ "NOTIFY_SOCKET", path; "WATCHDOG_USEC", "1000000" ])

                eventually patience "it lives" (fun () -> socket.Count "WATCHDOG=1" >= 2)
                dashboard.Process.Signal 19
                let before = socket.Count "WATCHDOG=1"
                System.Threading.Thread.Sleep 2500
                Expect.isLessThanOrEqual (socket.Count "WATCHDOG=1") (before + 1) "silence"
                dashboard.Process.Signal 18
                eventually patience "it lives again" (fun () -> socket.Count "WATCHDOG=1" >= before + 2)
                dashboard.Stop()

            testCase "a credential is named by the variable that systemd sets"
            <| fun () ->
                use place = new TemporaryDirectory()
                File.WriteAllText(place.File "viewer-password", "correct horse\n")

                use dashboard =
                    new Dashboard(
                        place.File "dashboard.db",
                        [ "--viewer-password-file=${CREDENTIALS_DIRECTORY}/viewer-password" ],
                        [ "CREDENTIALS_DIRECTORY", place.Path ]
                    )

                Expect.equal (get dashboard.Port "/api/servers/").Status 401 "it asks for the password"
                dashboard.Stop()

            testCase "names of credentials are put in at the beginning of words and values alone"
            <| fun () ->
                Expect.equal
                    (ServiceCredentials.expand
                        "/run/c"
                        [|
                            "serve"
                            "--tls-key"
                            "${CREDENTIALS_DIRECTORY}/key"
                            "--a=${CREDENTIALS_DIRECTORY}/b"
                            "x${CREDENTIALS_DIRECTORY}/y"
                            "${CREDENTIALS_DIRECTORY}"
                        |])
                    [|
                        "serve"
                        "--tls-key"
                        "/run/c/key"
                        "--a=/run/c/b"
                        "x${CREDENTIALS_DIRECTORY}/y"
                        "${CREDENTIALS_DIRECTORY}"
                    |]
                    "words"
        ]
