/// Bodies, heads and queries that were damaged at random: whatever comes, the answer is one that the documents know, and never 500.
module Agent.Dashboard.Tests.FuzzTests

open System
open System.Text
open System.Text.Json.Nodes
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private start = lazy (freshInstant ())
let mutable private taken = 0

/// An instant of its own for each case: there are more cases than whole minutes for which raw samples are kept.
let private nextInstant () =
    taken <- taken + 1
    // No more in a minute than are kept of one.
    start.Value.AddMilliseconds(10.0 * float taken)

// ---- Bodies ----------------------------------------------------------------------------------------------------------

/// Texts that parsers stumble over.
let private stones =
    [
        "null"
        "true"
        "NaN"
        "-Infinity"
        "1e999"
        "-0"
        "-1"
        "0.1e-400"
        "9223372036854775807"
        "9223372036854775808"
        "-9223372036854775809"
        "340282366920938463463374607431768211456"
        "00"
        "1."
        "\"\""
        "\" 12 \""
        "\"1e400\""
        "\"\\u0000\""
        "\"\\ud800\""
        "\"2026-02-30T00:00:00Z\""
        "\"0001-01-01T00:00:00+14:00\""
        "\"9999-12-31T23:59:59.9999999-14:00\""
        "{}"
        "[]"
        "[[[[[[[[]]]]]]]]"
        "{\"\":{\"\":{}}}"
        "\""
        "\\"
        "{"
        "]"
        ","
        ":"
        "\u0000"
        "\ufeff"
        "\u00ff"
    ]

let private stone = Gen.elements stones

/// One damage to the text of a body.
let private damage: Gen<string -> string> =
    let place = Gen.choose (0, 1_000_000)

    let at (position: int) (text: string) =
        if text.Length = 0 then 0 else position % text.Length

    gen {
        let! position = place
        let! other = place
        let! piece = stone
        let! character = Gen.choose (0, 255) |> Gen.map char

        return!
            Gen.elements
                [
                    // One character becomes another.
                    fun text ->
                        if text = "" then
                            text
                        else
                            let i = at position text
                            text[.. i - 1] + string character + text[i + 1 ..]
                    // A stone in between.
                    fun text -> text.Insert(at position text, piece)
                    // A stretch is missing.
                    fun text ->
                        let i = at position text
                        text.Remove(i, min (other % 40) (text.Length - i))
                    // Cut short.
                    fun text -> text[.. at position text - 1]
                    // A stretch comes twice.
                    fun text ->
                        let i = at position text
                        text.Insert(i, text.Substring(i, min (other % 200) (text.Length - i)))
                    // The value after some key becomes a stone.
                    fun text ->
                        let colon =
                            if text = "" then
                                -1
                            else
                                text.IndexOf(':', at position text)

                        let stop =
                            if colon < 0 then
                                -1
                            else
                                text.IndexOfAny([| ','; '}'; ']' |], colon)

                        if stop < 0 then
                            text
                        else
                            text[..colon] + piece + text[stop..]
                ]
    }

let private fullSample () =
    sample (nextInstant ())
    |> setAll
        [
            "gpus", list [ gpu 0 "97" "25.5"; gpu 1 "null" "null" ]
            "fans", list [ fan "FAN1" 5600 ]
            "pressure", """{"cpu_some_avg10":1.25,"io_some_avg10":2.5,"cpu_some_total_us":100,"io_some_total_us":200}"""
        ]

let private damages = Gen.resize 6 (Gen.nonEmptyListOf damage)

let private isFair (statuses: int list) (response: Response) : bool =
    let fair =
        List.contains response.Status statuses
        && (response.Json |> at "ok").GetBoolean() = (response.Status = 200)
        && (response.Status = 200 || textAt "error" response.Json <> "")

    fair || failtest $"status {response.Status}, {response.Text}"

let private bodies (server: Lazy<Registered>) =
    law "a damaged body is stored or refused with a sentence" damages (fun damages ->
        let text = damages |> List.fold (fun text damage -> damage text) (body (fullSample ()))
        // One byte for each character, so that some texts are no UTF-8.
        let bytes = Encoding.Latin1.GetBytes text

        let response =
            exchange
                (dashboard().Port)
                (request
                    $"POST /api/ingest/servers/{server.Value.Slug}/metrics/ HTTP/1.1"
                    [
                        "Host", "127.0.0.1"
                        "X-Monitoring-Token", server.Value.Token
                        "Content-Length", string bytes.Length
                        "Connection", "close"
                    ]
                    bytes)

        isFair [ 200; 400 ] response || failtest $"{text}")

/// Every place of a body's tree, with a stone put there.
let private replaced: Gen<int * string> = Gen.zip (Gen.choose (0, 10_000)) stone

let private structured (server: Lazy<Registered>) =
    law "any value in the place of any other is stored or refused with a sentence" replaced (fun (place, stone) ->
        let text = body (fullSample ())
        let mark = "@here@"
        let root = JsonNode.Parse text

        let rec places (node: JsonNode | null) : (unit -> unit) list =
            match node with
            | :? JsonObject as members ->
                [
                    for name in [ for pair in members -> pair.Key ] do
                        yield fun () -> members[name] <- JsonValue.Create mark
                        yield! places members[name]
                ]
            | :? JsonArray as items ->
                [
                    for i in 0 .. items.Count - 1 do
                        yield fun () -> items[i] <- JsonValue.Create mark
                        yield! places items[i]
                ]
            | _ -> []

        let all = places root
        all[place % all.Length]()

        let text =
            match root with
            | null -> failtest "no body"
            | root -> root.ToJsonString().Replace(quoted mark, stone)

        isFair [ 200; 400 ] (post (dashboard().Port) server.Value text) || failtest text)

// ---- Heads and queries -----------------------------------------------------------------------------------------------

let private heads =
    law
        "a damaged head is answered below 500, with 505 for another version of HTTP, or not at all, and the server lives"
        damages
        (fun damages ->
            let bytes = utf8 (body (sample (nextInstant ())))

            let head =
                request
                    $"POST /api/ingest/servers/{server().Slug}/metrics/ HTTP/1.1"
                    [
                        "Host", "127.0.0.1"
                        "X-Monitoring-Token", server().Token
                        "Content-Type", "application/json"
                        "Content-Encoding", "identity"
                        "Content-Length", string bytes.Length
                        "Connection", "close"
                    ]
                    [||]

            let text =
                damages
                |> List.fold (fun text damage -> damage text) (Encoding.Latin1.GetString head)

            use conversation = new Conversation(dashboard().Port)
            conversation.Send(Array.append (Encoding.Latin1.GetBytes text) bytes)
            // A head that lost its end, or a length that grew, would be waited for.
            conversation.FinishSending()

            let isOfAnotherVersion = not (text.Split("\r\n").[0].EndsWith(" HTTP/1.1", StringComparison.Ordinal))

            match conversation.TryRead true with
            | Some response when response.Status = 505 && isOfAnotherVersion -> true
            | Some response when response.Status < 200 || response.Status >= 500 -> failtest $"status {response.Status} for {text}"
            | Some _
            | None -> true)

let private odd =
    Gen.elements
        [
            ""
            "0"
            "-1"
            "15"
            "20160"
            "20161"
            "2147483648"
            "1e3"
            "15.5"
            "NaN"
            "%00"
            "%ff"
            "%zz"
            "gpu-box-01"
            "nobody"
            "../../etc/passwd"
            "' OR 1=1 --"
            "2026-02-30T00:00:00Z"
            "2026-11-24T14:00:00%2B00:00"
            "0001-01-01T00:00:00Z"
            "9999-12-31T23:59:59Z"
            "9223372036854775808"
        ]
    |> Gen.map (fun text -> text.Replace(" ", "%20").Replace("'", "%27"))

let private queries =
    law
        "any query is answered with 200, 400 or 404, as JSON"
        (Gen.zip3 (Gen.elements [ "latest"; "history" ]) odd (Gen.zip odd odd))
        (fun (what, server, (minutes, until)) ->
            let target = $"/api/metrics/{what}/?server={server}&minutes={minutes}&to={until}"
            let response = get (dashboard().Port) target

            if List.contains response.Status [ 200; 400; 404 ] then
                response.Json |> ignore
                true
            else
                failtest $"{target}: {response.Status} {response.Text}")

let tests =
    let server = lazy freshServer ()

    testList
        "damaged at random"
        [
            bodies server
            structured server
            heads
            queries

            testCase "what was stored of all that can be read"
            <| fun () ->
                for target in
                    [
                        "/api/servers/"
                        $"/api/metrics/latest/?server={server.Value.Slug}"
                        $"/api/metrics/history/?server={server.Value.Slug}&minutes=20160"
                        $"/api/metrics/history/?server={server.Value.Slug}&minutes=60"
                        "/healthz"
                    ] do
                    read target |> ignore
        ]
