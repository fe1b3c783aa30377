/// The ingest API as HTTP: routes, methods, tokens, framing, encodings, sizes.
module Agent.Dashboard.Tests.RequestTests

open System
open System.IO
open System.IO.Compression
open System.Text
open System.Threading
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

let private port () = dashboard().Port

let private path (slug: string) = $"/api/ingest/servers/{slug}/metrics/"

let private host () = "Host", $"127.0.0.1:{port ()}"

let private token () = "X-Monitoring-Token", server().Token

let private json = "Content-Type", "application/json"

let private lengthOf (bytes: byte[]) = "Content-Length", string bytes.Length

/// A body that can be stored, one of its own for each call.
let private freshBody () : byte[] = utf8 (body (sample (freshInstant ())))

let private postLine (slug: string) = $"POST {path slug} HTTP/1.1"

/// Posts a fresh body with these headers beside the host's and the length.
let private postWith (slug: string) (headers: (string * string) list) : Response =
    let bytes = freshBody ()
    exchange (port ()) (request (postLine slug) ([ host (); lengthOf bytes; json ] @ headers) bytes)

/// Posts a body with these headers beside the host's and the token.
let private postBytes (headers: (string * string) list) (bytes: byte[]) : Response =
    exchange (port ()) (request (postLine (server().Slug)) ([ host (); token (); json ] @ headers) bytes)

let private errorOf (status: int) (response: Response) =
    textAt "error" (refused status response)

// ---- Who may post ----------------------------------------------------------------------------------------------------

let private invalidToken = "Invalid ingest token."

/// Headers, and whether they let a sample in.
let private tokens: (string * (string -> (string * string) list) * bool) list =
    [
        "the token in its header", (fun token -> [ "X-Monitoring-Token", token ]), true
        "the header's name in any case", (fun token -> [ "x-MONITORING-token", token ]), true
        "white space around the token", (fun token -> [ "X-Monitoring-Token", $"  {token} \t " ]), true
        "Bearer", (fun token -> [ "Authorization", $"Bearer {token}" ]), true
        "bearer in lower case", (fun token -> [ "Authorization", $"bearer {token}" ]), true
        "BEARER in upper case", (fun token -> [ "Authorization", $"BEARER {token}" ]), true
        "white space around a bearer's token", (fun token -> [ "Authorization", $"Bearer   {token}  " ]), true
        "Bearer beside an empty header", (fun token -> [ "X-Monitoring-Token", ""; "Authorization", $"Bearer {token}" ]), true
        "Bearer beside a blank header", (fun token -> [ "X-Monitoring-Token", "  "; "Authorization", $"Bearer {token}" ]), true
        "a wrong Bearer beside the token", (fun token -> [ "X-Monitoring-Token", token; "Authorization", "Bearer no" ]), true
        "Bearer beside a wrong token", (fun token -> [ "X-Monitoring-Token", "no"; "Authorization", $"Bearer {token}" ]), false
        "no token", (fun _ -> []), false
        "an empty token", (fun _ -> [ "X-Monitoring-Token", "" ]), false
        "a wrong token", (fun _ -> [ "X-Monitoring-Token", "no" ]), false
        "the token and one character more", (fun token -> [ "X-Monitoring-Token", token + "x" ]), false
        "the token less one character", (fun token -> [ "X-Monitoring-Token", token.Substring 1 ]), false
        "the token in another case",
        (fun token ->
            [
                "X-Monitoring-Token",
                String.map
                    (fun c ->
                        if Char.IsUpper c then
                            Char.ToLowerInvariant c
                        else
                            Char.ToUpperInvariant c)
                    token
            ]),
        false
        "a blank inside the token", (fun token -> [ "X-Monitoring-Token", token.Insert(4, " ") ]), false
        "the token twice in one header", (fun token -> [ "X-Monitoring-Token", $"{token}, {token}" ]), false
        "two headers, one of them wrong", (fun token -> [ "X-Monitoring-Token", token; "X-Monitoring-Token", "no" ]), false
        "Basic", (fun token -> [ "Authorization", $"Basic {Convert.ToBase64String(utf8 token)}" ]), false
        "the token without a scheme", (fun token -> [ "Authorization", token ]), false
        "Bearer without a token", (fun _ -> [ "Authorization", "Bearer" ]), false
        "Bearer and nothing but white space", (fun _ -> [ "Authorization", "Bearer   " ]), false
        "a token that is not ASCII", (fun token -> [ "X-Monitoring-Token", token + "\u00e9" ]), false
    ]

let private tokenTests =
    testList
        "tokens"
        [
            for name, headers, letsIn in tokens do
                testCase name
                <| fun () ->
                    let response = postWith (server().Slug) (headers (server().Token))

                    if letsIn then
                        accepted response |> ignore
                    else
                        Expect.equal (errorOf 401 response) invalidToken "error"

            testCase "the token of another server"
            <| fun () ->
                let other = freshServer ()
                let response = postWith (server().Slug) [ "X-Monitoring-Token", other.Token ]
                Expect.equal (errorOf 401 response) invalidToken "error"

            testCase "a rotated token: the new one works at once, the old one no longer, while the dashboard serves"
            <| fun () ->
                let before = freshServer ()
                accepted (post (port ()) before (body (sample (freshInstant ())))) |> ignore
                let after = dashboard().Register(before.Slug, [ "--rotate-token" ])
                Expect.notEqual after.Token before.Token "another token"

                Expect.equal (errorOf 401 (post (port ()) before (body (sample (freshInstant ()))))) invalidToken "the old one"

                accepted (post (port ()) after (body (sample (freshInstant ())))) |> ignore

            testCase "a disabled server is told so whatever its token, and is let in again when it is active"
            <| fun () ->
                let server = freshServer ()

                let change (option: string) =
                    let code, output, errors =
                        run [ "register-server"; server.Slug; option; "--database"; dashboard().Database ]

                    Expect.equal (code, errors) (0, []) $"{option}: %A{output}"

                change "--inactive"

                for token in [ server.Token; "wrong"; "" ] do
                    let response = post (port ()) { server with Token = token } (body (sample (freshInstant ())))
                    Expect.equal (errorOf 403 response) "Server is disabled." "error"

                change "--active"
                accepted (post (port ()) server (body (sample (freshInstant ())))) |> ignore

            testCase "an answer never repeats a token"
            <| fun () ->
                let response = postWith (server().Slug) [ "X-Monitoring-Token", "gues5ed-t0ken" ]
                Expect.isFalse (response.Text.Contains "gues5ed-t0ken") response.Text
        ]

// ---- Routes and methods ----------------------------------------------------------------------------------------------

let private routeTests =
    testList
        "routes and methods"
        [
            for name, slug in
                [
                    "an unknown slug", "nobody"
                    "a slug of 65 characters", String('a', 65)
                    "a slug with a dot", "gpu.box"
                    "a slug with a blank", "gpu%20box"
                    "a slug with a slash in it", "gpu%2Fbox"
                    "a slug of another alphabet", "%D1%81%D0%B5%D1%80%D0%B2%D0%B5%D1%80"
                    "a slug that climbs", "..%2f..%2fhealthz"
                    "a slug with broken escapes", "%zz%"
                ] do
                testCase $"404 for {name}"
                <| fun () -> errorOf 404 (postWith slug [ token () ]) |> ignore

            testCase "a slug with a NUL is no path at all"
            <| fun () ->
                let response = postWith "gpu%00box" [ token () ]
                Expect.equal response.Status 400 response.Text

            testCase "the slug of another case is another server"
            <| fun () -> errorOf 404 (postWith (server().Slug.ToUpperInvariant()) [ token () ]) |> ignore

            testCase "the longest slug there can be"
            <| fun () ->
                let server = dashboard().Register(String('s', 62) + "_-", [])
                accepted (post (port ()) server (body (sample (freshInstant ())))) |> ignore

            for target in
                [
                    "/api/ingest/servers/gpu-box-01/"
                    "/api/ingest/servers//metrics/"
                    "/monitoring/api/ingest/servers/gpu-box-01/metrics/"
                    "/api/ingest/servers/gpu-box-01/metrics/more/"
                    "/api/nothing/"
                ] do
                testCase $"404 for POST {target}"
                <| fun () ->
                    let bytes = freshBody ()

                    exchange (port ()) (request $"POST {target} HTTP/1.1" [ host (); token (); json; lengthOf bytes ] bytes)
                    |> errorOf 404
                    |> ignore

            for method in [ "GET"; "PUT"; "DELETE"; "PATCH"; "OPTIONS"; "TRACE"; "PROPFIND" ] do
                for slug in [ "gpu-box-01"; "nobody" ] do
                    testCase $"405 for {method} of {slug}, which says that POST is allowed"
                    <| fun () ->
                        server () |> ignore
                        let response = exchange (port ()) (request $"{method} {path slug} HTTP/1.1" [ host () ] [||])
                        errorOf 405 response |> ignore
                        Expect.equal (response.Header "allow") (Some "POST") "Allow"

            testCase "HEAD is answered 405 without a body"
            <| fun () ->
                use conversation = new Conversation(port ())
                conversation.Send(request $"""HEAD {path "gpu-box-01"} HTTP/1.1""" [ host () ] [||])

                match conversation.TryRead false with
                | Some response -> Expect.equal (response.Status, response.Header "allow") (405, Some "POST") "status and Allow"
                | None -> failtest "no answer"

                // Were there a body, it would be in front of the next answer.
                conversation.Send(request "GET /healthz HTTP/1.1" [ host () ] [||])
                Expect.equal (conversation.Read().Status) 200 "the connection goes on"

            testCase "a query string does not matter"
            <| fun () ->
                let bytes = freshBody ()
                let line = $"""POST {path (server().Slug)}?x=1 HTTP/1.1"""

                exchange (port ()) (request line [ host (); token (); json; lengthOf bytes ] bytes)
                |> accepted
                |> ignore

            testCase "the target in full, as a proxy sends it"
            <| fun () ->
                let bytes = freshBody ()
                let line = $"""POST {dashboard().Url}{path (server().Slug)} HTTP/1.1"""

                exchange (port ()) (request line [ host (); token (); json; lengthOf bytes ] bytes)
                |> accepted
                |> ignore
        ]

// ---- Framing and encodings -------------------------------------------------------------------------------------------

let private gzip (bytes: byte[]) : byte[] =
    use output = new MemoryStream()

    (use zip = new GZipStream(output, CompressionLevel.Fastest)
     zip.Write(ReadOnlySpan bytes))

    output.ToArray()

/// The body as chunks of this size, with what may stand beside them.
let private chunked (size: int) (extension: string) (trailer: string) (bytes: byte[]) : byte[] =
    [|
        for part in Array.chunkBySize size bytes do
            yield! Encoding.ASCII.GetBytes $"{part.Length:x}{extension}\r\n"
            yield! part
            yield! "\r\n"B
        yield! Encoding.ASCII.GetBytes $"0\r\n{trailer}\r\n"
    |]

let private mebibyte = 1_048_576

/// A body of exactly this many bytes, by white space before its last brace.
let private padded (length: int) : byte[] =
    let text = body (sample (freshInstant ()))
    utf8 (text.Substring(0, text.Length - 1).PadRight(length - 1) + "}")

/// That the newest snapshot is the one of this body, with all its figures.
let private isStored (response: Response) : unit =
    let id = rawAt "id" (snapshotOf response)
    let newest = latest ()
    Expect.equal (rawAt "id" newest) id "the newest"
    Expect.equal (numberAt "cpu_usage_percent" newest) 33.3 "read in full"
    Expect.equal (numberAt "sample.process_count" newest) 131.0 "to its end"

let private chunkedHeader = "Transfer-Encoding", "chunked"

let private framingTests =
    testList
        "framing and encodings"
        [
            for size in [ 1; 7; 1000; 100_000 ] do
                testCase $"a chunked body in chunks of {size}"
                <| fun () -> freshBody () |> chunked size "" "" |> postBytes [ chunkedHeader ] |> isStored

            testCase "chunk extensions and trailers are skipped"
            <| fun () ->
                freshBody ()
                |> chunked 100 ";name=\"value\"" "X-Trailer: 1\r\n"
                |> postBytes [ chunkedHeader ]
                |> isStored

            testCase "a gzip body with its length"
            <| fun () ->
                let bytes = gzip (freshBody ())
                postBytes [ lengthOf bytes; "Content-Encoding", "gzip" ] bytes |> isStored

            testCase "a gzip body in chunks"
            <| fun () ->
                gzip (freshBody ())
                |> chunked 100 "" ""
                |> postBytes [ chunkedHeader; "Content-Encoding", "gzip" ]
                |> isStored

            testCase "gzip in any case"
            <| fun () ->
                let bytes = gzip (freshBody ())
                postBytes [ lengthOf bytes; "Content-Encoding", "GZIP" ] bytes |> isStored

            testCase "identity is no encoding"
            <| fun () ->
                let bytes = freshBody ()
                postBytes [ lengthOf bytes; "Content-Encoding", "identity" ] bytes |> isStored

            testCase "gzip that is none, that is cut short, or whose checksum is wrong"
            <| fun () ->
                let whole = gzip (freshBody ())
                let wrong = Array.copy whole
                wrong[wrong.Length - 6] <- wrong[wrong.Length - 6] ^^^ 0xffuy

                // The last bytes are the checksum and the length; without them all of the text is there.
                let cut =
                    [ 2; whole.Length / 2 ] @ [ whole.Length - 9 .. whole.Length - 2 ]
                    |> List.map (fun last -> whole[..last])

                for bytes in cut @ [ freshBody (); [||]; wrong ] do
                    postBytes [ lengthOf bytes; "Content-Encoding", "gzip" ] bytes
                    |> refused 400
                    |> ignore

            testCase "an encoding that is not known is refused by its name"
            <| fun () ->
                let bytes = freshBody ()
                let response = postBytes [ lengthOf bytes; "Content-Encoding", "zstd" ] bytes
                let error = refused response.Status response
                Expect.isTrue (response.Status = 400 || response.Status = 415) $"status {response.Status}"
                Expect.stringContains (error.GetRawText()) "zstd" "named"

            testCase "a body without length and chunks is none"
            <| fun () ->
                use conversation = new Conversation(port ())
                conversation.Send(request (postLine (server().Slug)) [ host (); token (); json ] [||])
                conversation.Read() |> refused 400 |> ignore

            testCase "HTTP/1.0"
            <| fun () ->
                let bytes = freshBody ()
                let line = $"POST {path (server().Slug)} HTTP/1.0"

                exchange (port ()) (request line [ token (); json; lengthOf bytes ] bytes)
                |> isStored

            testCase "a body that waits for leave"
            <| fun () ->
                let bytes = freshBody ()
                use conversation = new Conversation(port ())
                let headers = [ host (); token (); json; lengthOf bytes; "Expect", "100-continue" ]
                conversation.Send(request (postLine (server().Slug)) headers [||])
                Expect.equal (conversation.Read().Status) 100 "leave"
                conversation.Send bytes
                conversation.Read() |> isStored

            testCase "a body that comes byte by byte"
            <| fun () ->
                let bytes = freshBody ()
                use conversation = new Conversation(port ())
                conversation.Send(request (postLine (server().Slug)) [ host (); token (); json; lengthOf bytes ] [||])

                for byte in bytes[..19] do
                    conversation.Send [| byte |]
                    Thread.Sleep 50

                conversation.Send bytes[20..]
                conversation.Read() |> isStored

            testCase "two requests at once on one connection are answered in their order"
            <| fun () ->
                use conversation = new Conversation(port ())

                let requests =
                    [
                        for _ in 1..3 do
                            let at = freshInstant ()
                            let bytes = utf8 (body (sample at))
                            at, request (postLine (server().Slug)) [ host (); token (); json; lengthOf bytes ] bytes
                    ]

                conversation.Send(requests |> List.map snd |> Array.concat)

                for at, _ in requests do
                    Expect.equal (textAt "collected_at" (snapshotOf (conversation.Read()))) (instant at) "in order"

            testCase "a refused body does not spoil the connection for the next request"
            <| fun () ->
                use conversation = new Conversation(port ())
                let bad = utf8 "{\"sample\": nonsense"
                conversation.Send(request (postLine (server().Slug)) [ host (); token (); json; lengthOf bad ] bad)
                conversation.Read() |> refused 400 |> ignore
                let good = freshBody ()
                conversation.Send(request (postLine (server().Slug)) [ host (); token (); json; lengthOf good ] good)
                conversation.Read() |> isStored

            testCase "a client that dies within its body stores nothing"
            <| fun () ->
                let server = freshServer ()
                let bytes = freshBody ()

                // At once, and when the dashboard waits for the rest: the two end in different ways inside.
                for part in [ 0; 1; bytes.Length / 2; bytes.Length - 1 ] do
                    for pause in [ 0; 50 ] do
                        use conversation = new Conversation(port ())
                        let headers = [ host (); "X-Monitoring-Token", server.Token; json; lengthOf bytes ]
                        conversation.Send(request (postLine server.Slug) headers bytes[.. part - 1])
                        Thread.Sleep pause
                        conversation.Abort()

                let state = read "/api/servers/"

                let mine =
                    (at "servers" state).EnumerateArray()
                    |> Seq.find (fun entry -> textAt "slug" entry = server.Slug)

                Expect.equal (rawAt "last_seen" mine) "null" "never seen"

            for name, headers in
                [
                    "two lengths that differ", [ "Content-Length", "10"; "Content-Length", "11" ]
                    "a length that is no number", [ "Content-Length", "ten" ]
                    "a negative length", [ "Content-Length", "-1" ]
                    "a length beyond 64 bits", [ "Content-Length", "99999999999999999999" ]
                    "a transfer coding that is not known", [ "Transfer-Encoding", "chunked, rot13" ]
                ] do
                testCase $"{name}: refused, and the server lives"
                <| fun () ->
                    use conversation = new Conversation(port ())
                    conversation.Send(request (postLine (server().Slug)) ([ host (); token (); json ] @ headers) (freshBody ()))

                    match conversation.TryRead true with
                    | Some response -> Expect.isTrue (response.Status >= 400 && response.Status < 500) $"status {response.Status}"
                    | None -> ()

                    Expect.equal (get (port ()) "/healthz").Status 200 "it lives"

            testCase "a chunk whose size is no number"
            <| fun () ->
                let bytes = "zz\r\n{}\r\n0\r\n\r\n"B
                let response = postBytes [ chunkedHeader ] bytes
                Expect.equal response.Status 400 response.Text

            testCase "exactly 1 MiB is read"
            <| fun () ->
                let bytes = padded mebibyte
                postBytes [ lengthOf bytes ] bytes |> isStored

            testCase "one byte more is 413"
            <| fun () ->
                let bytes = padded (mebibyte + 1)
                postBytes [ lengthOf bytes ] bytes |> refused 413 |> ignore

            testCase "one byte more in chunks is 413"
            <| fun () ->
                padded (mebibyte + 1)
                |> chunked 65_536 "" ""
                |> postBytes [ chunkedHeader ]
                |> refused 413
                |> ignore

            testCase "a small gzip body that unpacks to more is 413"
            <| fun () ->
                let bytes = gzip (padded (100 * mebibyte))
                Expect.isLessThan bytes.Length mebibyte "it is small"

                postBytes [ lengthOf bytes; "Content-Encoding", "gzip" ] bytes
                |> refused 413
                |> ignore

            testCase "a length that is too long is refused before the body comes"
            <| fun () ->
                use conversation = new Conversation(port ())
                let headers = [ host (); token (); json; "Content-Length", "1000000000" ]
                conversation.Send(request (postLine (server().Slug)) headers [||])
                conversation.Read() |> refused 413 |> ignore

            for kind in
                [
                    "text/plain"
                    "application/x-www-form-urlencoded"
                    "application/json; charset=utf-8"
                ] do
                testCase $"the body is read as JSON when it is said to be {kind}"
                <| fun () ->
                    let bytes = freshBody ()

                    exchange
                        (port ())
                        (request (postLine (server().Slug)) [ host (); token (); "Content-Type", kind; lengthOf bytes ] bytes)
                    |> isStored

            testCase "a body without Content-Type is read as JSON"
            <| fun () ->
                let bytes = freshBody ()

                exchange (port ()) (request (postLine (server().Slug)) [ host (); token (); lengthOf bytes ] bytes)
                |> isStored
        ]

let tests = testList "requests" [ tokenTests; routeTests; framingTests ]
