/// Which requests go through a proxy, as Python's requests decides it: tests/fixtures/proxies/requests.jsonl is what requests 2.34.2 said.
module Agent.Sender.Tests.ProxyTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open Agent.Core
open Agent.Sender
open Agent.TestSupport.Fixtures
open Expecto

let private valueOf (value: JsonElement) =
    value.GetString() |> Option.ofObj |> Option.defaultValue ""

let private routeTo (variables: (string * string) list) (url: string) =
    Proxy.routeTo [| for name, value in variables -> KeyValuePair(name, value) |] (Uri url)

let private through (url: string) = Route.Through(Uri url, "", "")

/// The proxy as a URL, which requests takes without a scheme too.
let private normal (proxy: string) =
    Uri(if proxy.Contains "://" then proxy else "http://" + proxy)

[<Tests>]
let tests =
    testList
        "Proxies"
        [
            testCase "every request goes where requests sends it"
            <| fun () ->
                let lines = File.ReadAllLines(pathOf "proxies/requests.jsonl")
                Expect.isGreaterThan lines.Length 800 "the fixture is whole"

                for line in lines do
                    use document = JsonDocument.Parse line
                    let row = document.RootElement

                    let variables =
                        [
                            for entry in row.GetProperty("environment").EnumerateObject() -> entry.Name, valueOf entry.Value
                        ]

                    let expected =
                        match valueOf (row.GetProperty "proxy") with
                        | "" -> Route.Direct
                        | proxy -> Route.Through(normal proxy, "", "")

                    Expect.equal (routeTo variables (valueOf (row.GetProperty "url"))) expected line

            testCase "a user name and a password are taken out of the URL"
            <| fun () ->
                Expect.equal
                    (routeTo [ "https_proxy", "http://user:p%40ss@proxy:3128" ] "https://dash.test/api")
                    (Route.Through(Uri "http://proxy:3128", "user", "p@ss"))
                    "both"

                Expect.equal
                    (routeTo [ "https_proxy", "http://user@proxy:3128" ] "https://dash.test/api")
                    (Route.Through(Uri "http://proxy:3128", "user", ""))
                    "a user name alone"

            testCase "an unusable proxy is one sentence that names the variable and shows no password"
            <| fun () ->
                for proxy, shown in
                    [
                        "ftp://proxy:21", "\"ftp://proxy:21\""
                        "http://", "\"http://\""
                        "http://user:secret@:x", "a URL with a user name"
                    ] do
                    match routeTo [ "http_proxy", proxy ] "http://dash.test/" with
                    | Route.Unusable error ->
                        Expect.equal error.Origin "http_proxy" proxy
                        Expect.stringContains error.Message shown proxy
                        Expect.isFalse (error.Message.Contains "secret") proxy
                    | route -> failtest $"{proxy}: {route}"

            testCase "socks5h leaves names to the proxy, and so does the class library's socks5"
            <| fun () ->
                Expect.equal (routeTo [ "all_proxy", "socks5h://proxy:1080" ] "http://dash.test/") (through "socks5://proxy:1080") "socks"
        ]
