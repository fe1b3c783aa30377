/// Where the dashboard listens: on what --listen says, and on nothing else.
module Agent.Dashboard.Tests.ListenTests

open System
open System.IO
open System.Net.Http
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.DashboardProcess
open Expecto

/// The TCP ports on which a process listens, from the kernel's own tables.
let private listeningPorts (pid: int) : Set<int> =
    let sockets =
        Directory.GetFiles $"/proc/{pid}/fd"
        |> Array.choose (fun fd ->
            match FileInfo(fd).LinkTarget with
            | null -> None
            | target when target.StartsWith "socket:[" -> Some(target.Substring(8).TrimEnd(']'))
            | _ -> None)
        |> Set.ofArray

    [ "tcp"; "tcp6" ]
    |> List.collect (fun table ->
        File.ReadAllLines $"/proc/{pid}/net/{table}"
        |> Array.skip 1
        |> Array.choose (fun line ->
            let fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)

            // The local address, the state (0A is LISTEN) and the inode.
            if fields[3] = "0A" && sockets.Contains fields[9] then
                Some(Convert.ToInt32(fields[1].Split(':')[1], 16))
            else
                None)
        |> List.ofArray)
    |> set

[<Tests>]
let tests =
    testList
        "Listen"
        [
            testCase "no variable of ASP.NET Core opens a listener beside the one that was asked for"
            <| fun () ->
                use place = new TemporaryDirectory()

                let variables =
                    [
                        "ASPNETCORE_URLS", "http://127.0.0.1:38471"
                        "ASPNETCORE_HTTP_PORTS", "38472"
                        "DOTNET_URLS", "http://127.0.0.1:38473"
                        "URLS", "http://127.0.0.1:38474"
                        "HTTP_PORTS", "38475"
                        "Kestrel__Endpoints__X__Url", "http://127.0.0.1:38476"
                        "ASPNETCORE_Kestrel__Endpoints__X__Url", "http://127.0.0.1:38477"
                    ]

                let dashboard, address = serveWith variables (place.File "a.db") []
                use dashboard = dashboard
                Expect.equal (listeningPorts dashboard.Id) (set [ Uri(address).Port ]) "the ports"

            testCase "it answers /healthz, and ends in good order on SIGTERM"
            <| fun () ->
                use place = new TemporaryDirectory()
                let dashboard, address = serve (place.File "a.db") []
                use dashboard = dashboard
                use http = new HttpClient()
                let body = http.GetStringAsync(address + "/healthz").Result
                Expect.stringContains body "\"ok\":true" "the body"
                dashboard.Signal SigTerm
                Expect.equal (dashboard.WaitForEnd patience) 0 dashboard.Said
        ]
