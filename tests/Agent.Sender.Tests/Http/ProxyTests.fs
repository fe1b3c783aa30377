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

                    let url = valueOf (row.GetProperty "url")
                    Expect.equal (routeTo variables url) expected line

                    // The URL that is made of the base URL goes the same way.
                    let host = Uri(url.Substring(0, url.LastIndexOf '/'))
                    Expect.equal (routeTo variables (GivenUrls.endpointOf host "s1").OriginalString) expected $"as --host: {line}"

            testCase "the port and the address count as they are written in --host"
            <| fun () ->
                for host, noProxy, isDirect in
                    [
                        "http://dash.own.test:80", "own.test:80", true
                        "http://dash.own.test:80/prefix/", "own.test:80", true
                        "https://dash.own.test:443", "own.test:443", true
                        "http://dash.own.test:080", "own.test:80", true
                        "http://dash.own.test", "own.test:80", false
                        "http://dash.own.test:", "own.test:80", false
                        "https://dash.own.test:80", "own.test:443", false
                        "http://127.1:8000", "127.1", true
                        "http://127.1:8000", "127.0.0.1", false
                    ] do
                    let endpoint = GivenUrls.endpointOf (Uri host) "s1"

                    let expected =
                        if isDirect then
                            Route.Direct
                        else
                            through "http://proxy:3128"

                    Expect.equal
                        (routeTo
                            [
                                "http_proxy", "http://proxy:3128"
                                "https_proxy", "http://proxy:3128"
                                "NO_PROXY", noProxy
                            ]
                            endpoint.OriginalString)
                        expected
                        $"{host} with {noProxy}"

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

            testCase "what stands before the last @ is a user name and a password, whatever they hold"
            <| fun () ->
                // What requests 2.32 sends in Proxy-Authorization, decoded.
                for proxy, user, password in
                    [
                        "http://user:p@ss@proxy:3128", "user", "p@ss"
                        "http://us@er:p@@proxy:3128/", "us@er", "p@"
                        "user:p@ss@proxy:3128", "user", "p@ss"
                        "http://user:a:b%2Fc@proxy:3128", "user", "a:b/c"
                        "http://proxy:3128/?a@b", "", ""
                        "//proxy:3128", "", ""
                        "//user:x@proxy:3128", "user", "x"
                    ] do
                    match routeTo [ "http_proxy", proxy ] "http://dash.test/" with
                    | Route.Through(uri, foundUser, foundPassword) ->
                        Expect.equal (uri.Host, uri.Port, foundUser, foundPassword) ("proxy", 3128, user, password) proxy
                        Expect.isFalse (uri.AbsoluteUri.Contains "ss") proxy
                    | route -> failtest $"{proxy}: {route}"

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
