module Agent.Sender.Tests.ScrapeTests

open System
open System.Text
open Agent.Core
open Agent.Sender
open Agent.TestSupport.Fixtures
open Expecto

let private read (text: string) : ScrapeInput = Scrape.read (ReadOnlySpan(latin1 text))

let private request (text: string) : ScrapeRequest =
    match read text with
    | ScrapeInput.Request request -> request
    | other -> failtest $"{text}: {other}"

let private status (text: string) : int =
    match read text with
    | ScrapeInput.Bad(status, _) -> status
    | other -> failtest $"{text}: {other}"

[<Tests>]
let tests =
    testList
        "Scrape"
        [
            testCase "a request as Prometheus sends it"
            <| fun () ->
                let text =
                    "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9835\r\nUser-Agent: Prometheus/2.42.0\r\n"
                    + "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n"
                    + "Accept-Encoding: gzip\r\nauthorization: bearer s3cret\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"

                Expect.equal
                    (request (text + "GET /"))
                    {
                        Length = text.Length
                        IsHead = false
                        Path = ScrapePath.Metrics
                        Format = ExpositionFormat.OpenMetrics
                        TakesGzip = true
                        Bearer = "s3cret"
                        KeepsAlive = true
                    }
                    "request"

            testCase "which clients take gzip"
            <| fun () ->
                for accepted, expected in
                    [
                        "gzip", true
                        "deflate, GZIP;q=0.5", true
                        "gzip;q=0", false
                        "identity", false
                        "", false
                        "*", false
                        "xgzip", false
                    ] do
                    Expect.equal (request $"GET /metrics HTTP/1.1\r\nAccept-Encoding: {accepted}\r\n\r\n").TakesGzip expected accepted

                Expect.stringContains
                    (Encoding.ASCII.GetString(Scrape.head 200 "text/plain" true 12 true))
                    "\r\nContent-Encoding: gzip\r\n"
                    "the answer says so"

            testCase "every beginning of a request is incomplete"
            <| fun () ->
                let text = "GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"

                for length in 0 .. text.Length - 1 do
                    Expect.equal (read (text.Substring(0, length))) ScrapeInput.Incomplete $"{length} bytes"

                let whole = request text
                Expect.equal whole.Path ScrapePath.Health "path"
                Expect.isTrue whole.KeepsAlive "kept alive"

            testCase "lines without carriage returns, and empty ones before the request"
            <| fun () ->
                let bare = "GET /metrics HTTP/1.1\nAuthorization: Bearer s3cret\nConnection: close\n\n"

                for text in
                    [
                        bare
                        "\r\n" + bare
                        "\n" + bare
                        bare.Replace("\n", "\r\n")
                        "\r\n" + bare.Replace("close\n", "close\r\n")
                    ] do
                    let read = request (text + "GET /")

                    Expect.equal
                        (read.Length, read.Path, read.Bearer, read.KeepsAlive)
                        (text.Length, ScrapePath.Metrics, "s3cret", false)
                        text

                Expect.equal (status "GET /metrics HTTP/1.1\nContent-Length: 3\n\nabc") 400 "a body"
                Expect.equal (read "\r\n") ScrapeInput.Incomplete "nothing yet"
                Expect.equal (status (String('\n', 100))) 400 "nothing but them"

            testCase "which connections stay open"
            <| fun () ->
                let keeps version connection =
                    (request $"GET /metrics {version}\r\nConnection: {connection}\r\n\r\n").KeepsAlive

                Expect.isTrue (keeps "HTTP/1.1" "TE") "1.1"
                Expect.isFalse (keeps "HTTP/1.1" "TE, Close") "1.1, close"
                Expect.isFalse (keeps "HTTP/1.0" "") "1.0"

            testCase "paths"
            <| fun () ->
                let path target =
                    (request $"HEAD {target} HTTP/1.1\r\n\r\n").Path

                Expect.equal (path "/metrics?collect[]=cpu") ScrapePath.Metrics "with a query"
                Expect.equal (path "/") ScrapePath.Other "root"
                Expect.equal (path "/metrics/") ScrapePath.Other "slash"
                Expect.equal (path "http://127.0.0.1:26310/metrics?x=://y") ScrapePath.Metrics "a URL"
                Expect.equal (path "HTTPS://[::1]/jobs/4711") (ScrapePath.Job("4711", false)) "a job's URL"
                Expect.equal (path "http://127.0.0.1") ScrapePath.Other "a URL without a path"
                Expect.equal (path "http://127.0.0.1?/metrics") ScrapePath.Other "nor with a query alone"
                Expect.equal (path "/metrics?http://127.0.0.1/healthz") ScrapePath.Metrics "a URL in the query"
                Expect.equal (path "/jobs/4711") (ScrapePath.Job("4711", false)) "a job"
                Expect.equal (path "/jobs/4711.json?x") (ScrapePath.Job("4711", true)) "as JSON"
                Expect.equal (path "/jobs/") ScrapePath.Other "no job"
                Expect.equal (path "/jobs/.json") ScrapePath.Other "no job as JSON"
                Expect.equal (path "/jobs/../metrics") ScrapePath.Other "no id"
                Expect.equal (path (Scrape.jobPath "4711" true)) (ScrapePath.Job("4711", true)) "as it is asked for"

            testCase "what cannot be answered, and with which status"
            <| fun () ->
                Expect.equal (status "POST /metrics HTTP/1.1\r\n\r\n") 405 "POST"
                Expect.equal (status "GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc") 400 "a body"
                Expect.equal (status "GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n") 400 "a chunked body"
                Expect.equal (status "GET /metrics HTTP/2.0\r\n\r\n") 505 "HTTP/2"
                Expect.equal (status "\x16\x03\x01 \r\n\r\n") 400 "TLS"
                Expect.equal (status "GET /metrics\r\n\r\n") 400 "HTTP/0.9"
                Expect.equal (status ("GET /metrics HTTP/1.1\r\nCookie: " + String('x', Scrape.LongestRequest))) 431 "too long"

            testCase "only the whole token is let in"
            <| fun () ->
                let allows = Scrape.isAllowed (Secret "abc123")
                Expect.isTrue (allows "abc123") "the token"

                for wrong in [ ""; "abc12"; "abc1234"; "abc123abc123"; "abc124"; "ABC123"; "abc123\000" ] do
                    Expect.isFalse (allows wrong) wrong

            testCase "the head of an answer"
            <| fun () ->
                Expect.equal
                    (Encoding.ASCII.GetString(Scrape.head 401 "text/plain" false 12 false))
                    ("HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n"
                     + "WWW-Authenticate: Bearer\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n")
                    "head"

            testCase "healthy until three intervals and five seconds"
            <| fun () ->
                let healthy (seconds: float) =
                    Scrape.isHealthy (TimeSpan.FromSeconds 2.0) (TimeSpan.FromSeconds seconds)

                Expect.isTrue (healthy 11.0) "11 s"
                Expect.isFalse (healthy 11.1) "11.1 s"
                Expect.isFalse (Scrape.isHealthy (TimeSpan.FromSeconds 2.0) TimeSpan.MaxValue) "no sample"
        ]
