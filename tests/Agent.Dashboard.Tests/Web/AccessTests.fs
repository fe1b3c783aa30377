/// Who may look: passwords, sessions, proxies, and the headers of every answer.
module Agent.Dashboard.Tests.AccessTests

open System
open System.IO
open System.Net
open System.Net.Http
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.DashboardProcess
open Expecto

let private password = "correct horse battery"

let private client () =
    new HttpClient(new HttpClientHandler(AllowAutoRedirect = false, UseCookies = false, UseProxy = false))

let private get (http: HttpClient) (url: string) (headers: (string * string) list) : HttpResponseMessage =
    use request = new HttpRequestMessage(HttpMethod.Get, url)

    for name, value in headers do
        request.Headers.TryAddWithoutValidation(name, value) |> ignore

    http.SendAsync(request).Result

let private status (response: HttpResponseMessage) = int response.StatusCode

let private login (http: HttpClient) (address: string) (word: string) : HttpResponseMessage =
    http.PostAsync(address + "/login", new FormUrlEncodedContent([ Collections.Generic.KeyValuePair("password", word) ])).Result

/// Runs a test against a dashboard with a password, on loopback.
let private withPassword (test: HttpClient -> string -> unit) : unit =
    use place = new TemporaryDirectory()
    let file = place.File "password"
    File.WriteAllText(file, password + "\n")
    let dashboard, address = serve (place.File "a.db") [ "--viewer-password-file"; file ]
    use _ = dashboard
    use http = client ()
    test http address
    Expect.isFalse (dashboard.Said.Contains password) "the password is in no line"

let private guarded =
    [
        "/api/"
        "/api/servers/"
        "/api/metrics/latest/?server=x"
        "/api/metrics/history/?server=x&minutes=5"
        "/api/events/"
        "/metrics"
        "/"
        "/servers/x"
        "/index.html"
    ]

/// What `serve` says when it refuses to start.
let private refusedStart (options: string list) : string =
    use place = new TemporaryDirectory()
    let code, _, errors = run ([ "serve"; "--database"; place.File "a.db" ] @ options)
    Expect.equal code 2 $"%A{errors}"
    Expect.isFalse (File.Exists(place.File "a.db")) "no database is made"
    String.concat "\n" errors

[<Tests>]
let tests =
    testList
        "Access"
        [
            testCase "beyond this machine it does not start without a password or a proxy's header"
            <| fun () ->
                for address in [ "http://0.0.0.0:0"; "http://[::]:0"; "http://*:0"; "http://192.0.2.7:8000" ] do
                    let sentence = refusedStart [ "--listen"; address ]
                    Expect.stringContains sentence "--viewer-password-file" address
                    Expect.stringContains sentence "--trust-proxy-user" address

            testCase "with a password, and where a proxy in front speaks TLS, it does"
            <| fun () ->
                use place = new TemporaryDirectory()
                File.WriteAllText(place.File "password", password)

                let dashboard, _ =
                    serve
                        (place.File "a.db")
                        [
                            "--listen"
                            "http://0.0.0.0:0"
                            "--viewer-password-file"
                            place.File "password"
                            "--plain-http-behind-proxy"
                        ]

                use dashboard = dashboard
                dashboard.Signal SigTerm
                Expect.equal (dashboard.WaitForEnd patience) 0 dashboard.Said

            testCase "a password file that is missing, empty or short is a usage error that does not show it"
            <| fun () ->
                use place = new TemporaryDirectory()
                let file = place.File "password"
                Expect.stringContains (refusedStart [ "--viewer-password-file"; file ]) "cannot be read" "missing"
                File.WriteAllText(file, " \n")
                Expect.stringContains (refusedStart [ "--viewer-password-file"; file ]) "has no password" "empty"
                File.WriteAllText(file, "s3cret\n")
                let sentence = refusedStart [ "--viewer-password-file"; file ]
                Expect.stringContains sentence "fewer than 8 characters" "short"
                Expect.isFalse (sentence.Contains "s3cret") "the password"

            testCase "without a session nothing is shown, and with one everything"
            <| fun () ->
                withPassword (fun http address ->
                    for path in guarded do
                        let answer = get http (address + path) []

                        if path.StartsWith "/api" || path = "/metrics" then
                            Expect.equal (status answer) 401 path
                            Expect.stringContains (answer.Content.ReadAsStringAsync().Result) "\"ok\":false" path
                        else
                            Expect.equal (status answer) 303 path
                            Expect.stringStarts (string answer.Headers.Location) "/login" path

                    Expect.equal (status (get http (address + "/healthz") [])) 200 "healthz"
                    let answer = login http address password
                    Expect.equal (status answer) 303 "log-in"

                    let cookie =
                        answer.Headers.GetValues "Set-Cookie"
                        |> Seq.find _.StartsWith("ai-dashboard-session=")

                    Expect.stringContains (cookie.ToLowerInvariant()) "httponly" "the cookie"
                    Expect.stringContains (cookie.ToLowerInvariant()) "samesite=strict" "the cookie"
                    let session = [ "Cookie", cookie.Split(';')[0] ]
                    Expect.equal (status (get http (address + "/api/servers/") session)) 200 "servers"
                    Expect.equal (status (get http (address + "/") session)) 200 "page"
                    Expect.equal (status (get http (address + "/api/servers/") [ "Cookie", "ai-dashboard-session=made-up" ])) 401 "made up"

                    use bye = new HttpRequestMessage(HttpMethod.Post, address + "/logout")
                    bye.Headers.TryAddWithoutValidation("Cookie", snd session.Head) |> ignore
                    Expect.equal (status (http.SendAsync(bye).Result)) 303 "logout"
                    Expect.equal (status (get http (address + "/api/servers/") session)) 401 "after that")

            testCase "wrong passwords are refused, and after five of them even the right one for a while"
            <| fun () ->
                withPassword (fun http address ->
                    for attempt in 1..5 do
                        Expect.equal (status (login http address $"wrong {attempt}")) 401 $"attempt {attempt}"

                    let answer = login http address password
                    Expect.equal (status answer) 429 "the sixth"
                    let wait = answer.Headers.GetValues "Retry-After" |> Seq.exactlyOne |> float
                    Expect.isTrue (wait > 0.0 && wait <= 60.0) $"wait {wait} s")

            testCase "a proxy's header lets in, and its absence does not"
            <| fun () ->
                use place = new TemporaryDirectory()

                let dashboard, address = serve (place.File "a.db") [ "--trust-proxy-user"; "X-Forwarded-User" ]

                use _ = dashboard
                use http = client ()
                let url = address + "/api/servers/"
                Expect.equal (status (get http url [ "X-Forwarded-User", "ada" ])) 200 "with"
                Expect.equal (status (get http url [ "X-Forwarded-User", " " ])) 401 "blank"
                Expect.equal (status (get http url [])) 401 "without"

            testCase "without a password a name that somebody made up for this machine is not answered"
            <| fun () ->
                use place = new TemporaryDirectory()
                let dashboard, address = serve (place.File "a.db") []
                use _ = dashboard
                use http = client ()
                let url = address + "/api/servers/"
                Expect.equal (status (get http url [ "Host", "evil.example" ])) 403 "another name"
                Expect.equal (status (get http url [ "Host", "localhost:8000" ])) 200 "localhost"
                Expect.equal (status (get http url [])) 200 "an address"

            testCase "every answer keeps the page to itself"
            <| fun () ->
                use place = new TemporaryDirectory()
                let dashboard, address = serve (place.File "a.db") []
                use _ = dashboard
                use http = client ()

                for path in [ "/"; "/api/servers/"; "/nowhere"; "/healthz" ] do
                    let answer = get http (address + path) []

                    let header name =
                        answer.Headers.GetValues name |> String.concat ","

                    let policy = header "Content-Security-Policy"
                    Expect.stringContains policy "default-src 'none'" path
                    Expect.stringContains policy "script-src 'self'" path
                    Expect.stringContains policy "frame-ancestors 'none'" path
                    Expect.isFalse (policy.Contains "unsafe") path
                    Expect.equal (header "X-Content-Type-Options") "nosniff" path
                    Expect.isFalse (answer.Headers.Contains "Server") path
        ]
