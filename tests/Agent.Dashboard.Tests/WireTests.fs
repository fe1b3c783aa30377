/// What goes over the line: compressed where that is asked for, and not again where it is known already.
module Agent.Dashboard.Tests.WireTests

open System
open System.IO
open System.IO.Compression
open System.Text.Json
open System.Text.RegularExpressions
open Agent.Dashboard.Web
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.TestSupport
open Expecto
open Microsoft.AspNetCore.Http
open Microsoft.Extensions.FileProviders
open Microsoft.Extensions.Primitives

let private ask (port: int) (target: string) (headers: (string * string) list) : Response =
    exchange port (request $"GET {target} HTTP/1.1" ([ "Host", $"127.0.0.1:{port}"; "Connection", "close" ] @ headers) [||])

/// The bytes that an answer stands for.
let private unpacked (answer: Response) : byte[] =
    use packed = new MemoryStream(answer.Body)

    use unpacking: Stream =
        match answer.Header "content-encoding" with
        | Some "br" -> new BrotliStream(packed, CompressionMode.Decompress)
        | Some "gzip" -> new GZipStream(packed, CompressionMode.Decompress)
        | None -> packed
        | other -> failtest $"%A{other}"

    use plain = new MemoryStream()
    unpacking.CopyTo plain
    plain.ToArray()

let private withSamples (test: Dashboard -> Registered -> unit) : unit =
    use place = new TemporaryDirectory()
    use dashboard = new Dashboard(place.File "a.db", [])
    let server = dashboard.Register("one", [])
    let start = DateTimeOffset.UtcNow.AddMinutes -5.0

    for second in 0..60 do
        let sample =
            sample (start.AddSeconds(float second))
            |> set "cpu_usage_percent" (string second)

        Expect.equal (post dashboard.Port server (body sample)).Status 200 "stored"

    test dashboard server

let private assets = Path.Combine(Fixtures.root, "src", "Agent.Dashboard", "wwwroot", "assets")

/// The chart library's own names of its kinds of series, beside which `lines` is one letter longer than what is drawn here.
let private seriesTypes (script: string) : string list =
    [
        for found in Regex.Matches(script, "\\btype:\\s*[\"'`](\\w+)[\"'`]") -> found.Groups[1].Value
    ]

[<Tests>]
let tests =
    testList
        "On the wire"
        [
            testCase "answers are compressed as the client takes it, and say the same"
            <| fun () ->
                withSamples (fun dashboard server ->
                    let until = Uri.EscapeDataString(instant DateTimeOffset.UtcNow)

                    for target in
                        [
                            $"/api/metrics/history/?server={server.Slug}&minutes=15&to={until}"
                            "/"
                            "/assets/base.css"
                            "/_content/Vizor.ECharts/js/vizor-echarts-bundle-min.js"
                            "/metrics"
                        ] do
                        let plain = ask dashboard.Port target []
                        Expect.equal (plain.Status, plain.Header "content-encoding") (200, None) target

                        for accepted, encoding in
                            [
                                "br, gzip", Some "br"
                                "gzip, deflate", Some "gzip"
                                "gzip;q=0", None
                                "identity", None
                            ] do
                            let answer = ask dashboard.Port target [ "Accept-Encoding", accepted ]
                            Expect.equal (answer.Status, answer.Header "content-encoding") (200, encoding) $"{target} as {accepted}"

                            if target <> "/metrics" then
                                Expect.equal (unpacked answer) plain.Body $"{target}: the same bytes"

                            if encoding.IsSome then
                                Expect.isLessThan answer.Body.Length plain.Body.Length $"{target}: fewer of them"
                                Expect.equal (answer.Header "vary") (Some "Accept-Encoding") $"{target}: caches know"

                    let json = ask dashboard.Port "/api/servers/" [ "Accept-Encoding", "gzip" ]
                    Expect.equal (json.Header "content-encoding") (Some "gzip") "the fleet")

            testCase "a history of differences says the same as a plain one"
            <| fun () ->
                withSamples (fun dashboard server ->
                    // Samples as they are, and buckets with a least and a greatest.
                    for minutes in [ 15; 360 ] do
                        let until = Uri.EscapeDataString(instant DateTimeOffset.UtcNow)
                        let target = $"/api/metrics/history/?server={server.Slug}&minutes={minutes}&to={until}"
                        let plain = (ask dashboard.Port target []).Json
                        let deltas = (ask dashboard.Port (target + "&form=delta") []).Json

                        let sums (row: JsonElement) =
                            ((0L, []), row.EnumerateArray())
                            ||> Seq.fold (fun (sum, found) one ->
                                if one.ValueKind = JsonValueKind.Null then
                                    sum, None :: found
                                else
                                    sum + one.GetInt64(), Some(sum + one.GetInt64()) :: found)
                            |> snd
                            |> List.rev

                        let values (row: JsonElement) =
                            [
                                for one in row.EnumerateArray() ->
                                    if one.ValueKind = JsonValueKind.Null then
                                        None
                                    else
                                        Some(one.GetDouble())
                            ]

                        let time (history: JsonElement) = history.GetProperty "time"
                        Expect.equal (sums (time deltas) |> List.map (Option.map float)) (values (time plain)) "times"

                        for series in plain.GetProperty("series").EnumerateObject() do
                            let packed = deltas.GetProperty("series").GetProperty series.Name
                            let scale = packed.GetProperty("scale").GetDouble()
                            let mean = sums (packed.GetProperty "mean")

                            let figure (name: string) (sign: int64) =
                                List.map2
                                    (Option.map2 (fun one other -> float (one + sign * other) / scale))
                                    mean
                                    [
                                        for one in (packed.GetProperty name).EnumerateArray() ->
                                            if one.ValueKind = JsonValueKind.Null then
                                                None
                                            else
                                                Some(one.GetInt64())
                                    ]

                            let whole (name: string) = values (series.Value.GetProperty name)

                            Expect.equal
                                (mean |> List.map (Option.map (fun steps -> float steps / scale)))
                                (whole "mean")
                                $"{series.Name}: means"

                            if minutes = 360 then
                                Expect.equal (figure "below" -1L) (whole "min") $"{series.Name}: least"
                                Expect.equal (figure "above" 1L) (whole "max") $"{series.Name}: greatest"

                    let refused = ask dashboard.Port $"/api/metrics/history/?server={server.Slug}&minutes=15&form=xml" []
                    Expect.equal refused.Status 400 "a form that is none")

            testCase "a file that the browser has is not sent again, compressed or not"
            <| fun () ->
                withSamples (fun dashboard _ ->
                    for accepted in [ "identity"; "gzip"; "br" ] do
                        let first = ask dashboard.Port "/assets/chart.js" [ "Accept-Encoding", accepted ]
                        Expect.equal (first.Header "cache-control") (Some "no-cache") "asked for each time"

                        match first.Header "etag" with
                        | None -> failtest "no ETag"
                        | Some tag ->
                            let again = ask dashboard.Port "/assets/chart.js" [ "Accept-Encoding", accepted; "If-None-Match", tag ]

                            Expect.equal (again.Status, again.Body.Length) (304, 0) accepted)

            testCase "where a file lies compressed beside itself, the request is for the best that the client takes"
            <| fun () ->
                use place = new TemporaryDirectory()
                Directory.CreateDirectory(place.File "assets") |> ignore

                for name in [ "a.js"; "a.js.br"; "a.js.gz"; "b.js"; "b.js.gz"; "c.js" ] do
                    File.WriteAllText(place.File $"assets/{name}", name)

                let assets = Assets(new PhysicalFileProvider(place.Path))

                let path (name: string) (accepted: string) =
                    let context = DefaultHttpContext()
                    context.Request.Method <- "GET"
                    context.Request.Path <- PathString $"/assets/{name}"
                    context.Request.Headers.AcceptEncoding <- StringValues accepted
                    assets.Choose(context, (fun _ -> Threading.Tasks.Task.CompletedTask)).Wait()
                    string context.Request.Path

                Expect.equal (path "a.js" "gzip, br") "/assets/a.js.br" "Brotli"
                Expect.equal (path "a.js" "gzip") "/assets/a.js.gz" "gzip"
                Expect.equal (path "b.js" "gzip, br") "/assets/b.js.gz" "what there is"
                Expect.equal (path "b.js" "br") "/assets/b.js" "nothing that it takes"
                Expect.equal (path "c.js" "br") "/assets/c.js" "nothing beside it"
                Expect.equal (path "a.js" "") "/assets/a.js" "nothing asked for"

            // ECharts 6.0.0, which the package has, has a published fault in the tooltip of the series `lines`.
            testCase "no chart has a series of the kind `lines`, nor ECharts' own tooltip"
            <| fun () ->
                Expect.equal (seriesTypes """{ type: "lines", x: 1 } { type: 'line' }""") [ "lines"; "line" ] "it would be found"

                for file in Directory.GetFiles(assets, "*.js") do
                    let script = File.ReadAllText file
                    Expect.isFalse (seriesTypes script |> List.contains "lines") $"{file}: a series of the kind lines"
                    Expect.isFalse (Regex.IsMatch(script, "\\btooltip\\b")) $"{file}: a tooltip of ECharts"

            testCase "the fleet's page has no part in the chart library, and no page asks for it before its own figures stand"
            <| fun () ->
                let script (name: string) =
                    File.ReadAllText(Path.Combine(assets, name))

                let rec reached (seen: Set<string>) (name: string) : Set<string> =
                    if seen.Contains name then
                        seen
                    else
                        Regex.Matches(script name, "from \"\\./([\\w-]+\\.js)\"")
                        |> Seq.map _.Groups[1].Value
                        |> Seq.fold reached (seen.Add name)

                Expect.isFalse (reached Set.empty "fleet.js" |> Set.contains "chart.js") "the fleet's scripts"
                Expect.isTrue (reached Set.empty "machine.js" |> Set.contains "chart.js") "a machine's"

                let askers =
                    Directory.GetFiles(assets, "*.js")
                    |> Array.filter (fun file -> (File.ReadAllText file).Contains "echarts-bundle")

                Expect.equal (askers |> Array.map Path.GetFileName) [| "chart.js" |] "who asks for it"
                Expect.stringContains (script "machine.js") "shown.then(loadLibrary)" "when"
                Expect.isFalse ((File.ReadAllText(Path.Combine(assets, "..", "index.html"))).Contains "echarts") "not in the page itself"

            testCase "each page asks for all of its modules at once, and for no other page's"
            <| fun () ->
                let text (name: string) =
                    File.ReadAllText(Path.Combine(assets, name))

                let main = text "main.js"

                let names (list: string) =
                    [ for found in Regex.Matches(list, "\"([\\w-]+)\"") -> found.Groups[1].Value ]

                let shared (list: string) =
                    [
                        for found in Regex.Matches(list, "\\.\\.\\.([A-Z]+)") do
                            yield! names (Regex.Match(main, $"const {found.Groups[1].Value} = \\[([^\\]]*)\\]").Groups[1].Value)
                    ]

                let everywhere =
                    [
                        for found in Regex.Matches(File.ReadAllText(Path.Combine(assets, "..", "index.html")), "/assets/([\\w-]+)\\.js") ->
                            found.Groups[1].Value
                    ]

                let rec reached (seen: Set<string>) (name: string) : Set<string> =
                    if seen.Contains name then
                        seen
                    else
                        Regex.Matches(text $"{name}.js", "from \"\\./([\\w-]+)\\.js\"")
                        |> Seq.map _.Groups[1].Value
                        |> Seq.fold reached (seen.Add name)

                let pages =
                    [
                        for found in Regex.Matches(main, "\\[/[^\\n]*/, \"([\\w-]+)\", \\[([^\\]]*)\\], \"[^\"]*\"\\]") ->
                            found.Groups[1].Value, names found.Groups[2].Value @ shared found.Groups[2].Value
                    ]

                Expect.containsAll (List.map fst pages) [ "fleet"; "machine"; "jobs"; "job"; "waste" ] "the pages"

                for page, asked in pages do
                    let needed = reached Set.empty page

                    Expect.equal
                        (Set.difference needed (Set.ofList (page :: everywhere @ asked)))
                        Set.empty
                        $"{page}: not asked for at once"

                    Expect.equal (Set.difference (Set.ofList asked) needed) Set.empty $"{page}: asked for in vain"
        ]
