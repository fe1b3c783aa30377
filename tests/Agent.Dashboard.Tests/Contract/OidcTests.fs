/// Log-ins by an OpenID Connect provider: a small one in this process, with real keys and PKCE.
module Agent.Dashboard.Tests.OidcTests

open System
open System.Collections.Concurrent
open System.IO
open System.Net.Http
open System.Security.Cryptography
open System.Text
open System.Text.Json
open Microsoft.AspNetCore.Builder
open Microsoft.AspNetCore.Hosting
open Microsoft.AspNetCore.Http
open Microsoft.Extensions.Logging
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.LoginClient
open Expecto

let private base64Url (bytes: byte[]) =
    Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_')

let private json (value: objnull) =
    JsonSerializer.SerializeToUtf8Bytes value

/// What was asked for with a code: nonce, challenge and where to go.
type private Asked =
    {
        Nonce: string
        Challenge: string
        Redirect: string
    }

/// A provider that lets everybody in and says of them what it is told to say.
type private Provider(clientId: string, secret: string) =
    let key = RSA.Create 2048
    let other = RSA.Create 2048
    let codes = ConcurrentDictionary<string, Asked>()

    let app =
        let builder = WebApplication.CreateSlimBuilder()
        builder.Logging.ClearProviders() |> ignore
        builder.WebHost.UseUrls "http://127.0.0.1:0" |> ignore
        builder.Build()

    let answer (context: HttpContext) (body: byte[]) =
        context.Response.ContentType <- "application/json"
        context.Response.Body.WriteAsync(body, 0, body.Length)

    member val Claims: (string * objnull) list = [] with get, set

    /// Signs with a key that is not published.
    member val IsForged = false with get, set

    member _.Url: string = Seq.head app.Urls

    member private provider.Token(asked: Asked) : string =
        let now = DateTimeOffset.UtcNow.ToUnixTimeSeconds()

        let payload =
            dict (
                [
                    "iss", box provider.Url
                    "aud", box clientId
                    "sub", box "1234"
                    "nonce", box asked.Nonce
                    "iat", box now
                    "exp", box (now + 300L)
                ]
                @ provider.Claims
            )

        let head =
            base64Url (
                json
                    {|
                        alg = "RS256"
                        typ = "JWT"
                        kid = "k1"
                    |}
            )

        let signed = $"{head}.{base64Url (json payload)}"
        let signer = if provider.IsForged then other else key

        let signature =
            signer.SignData(Encoding.ASCII.GetBytes signed, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)

        $"{signed}.{base64Url signature}"

    member provider.Start() : unit =
        app.MapGet(
            "/.well-known/openid-configuration",
            RequestDelegate(fun context ->
                answer
                    context
                    (json
                        {|
                            issuer = provider.Url
                            authorization_endpoint = provider.Url + "/authorize"
                            token_endpoint = provider.Url + "/token"
                            jwks_uri = provider.Url + "/jwks"
                            response_types_supported = [| "code" |]
                            subject_types_supported = [| "public" |]
                            id_token_signing_alg_values_supported = [| "RS256" |]
                        |}))
        )
        |> ignore

        app.MapGet(
            "/jwks",
            RequestDelegate(fun context ->
                let parameters = key.ExportParameters false

                answer
                    context
                    (json
                        {|
                            keys =
                                [|
                                    {|
                                        kty = "RSA"
                                        ``use`` = "sig"
                                        alg = "RS256"
                                        kid = "k1"
                                        n = base64Url (nonNull parameters.Modulus)
                                        e = base64Url (nonNull parameters.Exponent)
                                    |}
                                |]
                        |}))
        )
        |> ignore

        app.MapGet(
            "/authorize",
            RequestDelegate(fun context ->
                let query (name: string) = string context.Request.Query[name]
                let code = Guid.NewGuid().ToString "N"

                codes[code] <-
                    {
                        Nonce = query "nonce"
                        Challenge = query "code_challenge"
                        Redirect = query "redirect_uri"
                    }

                let state = Uri.EscapeDataString(query "state")
                context.Response.Redirect $"""{query "redirect_uri"}?code={code}&state={state}"""
                Threading.Tasks.Task.CompletedTask)
        )
        |> ignore

        app.MapPost(
            "/token",
            RequestDelegate(fun context ->
                task {
                    let! form = context.Request.ReadFormAsync()
                    let field (name: string) = string form[name]

                    let verifier = base64Url (SHA256.HashData(Encoding.ASCII.GetBytes(field "code_verifier")))

                    match codes.TryRemove(field "code") with
                    | true, asked when
                        verifier = asked.Challenge
                        && field "client_secret" = secret
                        && field "redirect_uri" = asked.Redirect
                        ->
                        do!
                            answer
                                context
                                (json
                                    {|
                                        access_token = "at"
                                        token_type = "Bearer"
                                        expires_in = 300
                                        id_token = provider.Token asked
                                    |})
                    | _ ->
                        context.Response.StatusCode <- 400
                        do! answer context (json {| error = "invalid_grant" |})
                }
                :> Threading.Tasks.Task)
        )
        |> ignore

        app.StartAsync().Wait()

    interface IDisposable with
        member _.Dispose() =
            app.StopAsync().Wait()
            key.Dispose()
            other.Dispose()

let private secret = "a secret of the provider"

let private withProvider (options: string list) (test: Provider -> DashboardProcess -> HttpClient -> string -> unit) : unit =
    use place = new TemporaryDirectory()
    File.WriteAllText(place.File "secret", secret + "\n")
    use provider = new Provider("dashboard", secret)
    provider.Start()

    let dashboard, address =
        serve
            (place.File "a.db")
            ([
                "--oidc-authority"
                provider.Url
                "--oidc-client-id"
                "dashboard"
                "--oidc-client-secret-file"
                place.File "secret"
             ]
             @ options)

    use dashboard = dashboard
    dashboard.Secrets <- [ secret ]
    use http = client ()
    test provider dashboard http address

/// The cookies that an answer sets, as a header.
let private cookies (answer: HttpResponseMessage) : string * string =
    "Cookie",
    (answer.Headers.GetValues "Set-Cookie"
     |> Seq.map (fun cookie -> cookie.Split(';')[0])
     |> String.concat "; ")

/// Goes to the provider and back: the answer at the end, and the address with the code.
let private logIn (http: HttpClient) (address: string) (next: string) : HttpResponseMessage * string * (string * string) =
    let start = get http $"{address}/login/oidc?next={Uri.EscapeDataString next}" []
    Expect.equal (status start) 302 (start.Content.ReadAsStringAsync().Result)
    let there = get http (string start.Headers.Location) []
    Expect.equal (status there) 302 "the provider sends back"
    let back = string there.Headers.Location
    Expect.stringStarts back (address + "/login/oidc/callback?code=") "to the dashboard"
    get http back [ cookies start ], back, cookies start

let private sessionIn (answer: HttpResponseMessage) : string * string =
    "Cookie",
    (answer.Headers.GetValues "Set-Cookie"
     |> Seq.find _.StartsWith("ai-dashboard-session=")
     |> fun cookie -> cookie.Split(';')[0])

[<Tests>]
let tests =
    testList
        "OpenID Connect"
        [
            testCase "whom the provider lets in has a session, with the name and the role that it says, and comes to the page asked for"
            <| fun () ->
                withProvider [ "--oidc-admins"; "groups=admins" ] (fun provider dashboard http address ->
                    Expect.equal (string (get http (address + "/") []).Headers.Location) "/login" "a log-in is asked for"
                    let page = (get http (address + "/login?next=%2Fservers%2Fx") []).Content.ReadAsStringAsync().Result
                    Expect.stringContains page "href=\"/login/oidc?next=%2Fservers%2Fx\"" "the page leads there"
                    Expect.isFalse (page.Contains "id=\"password\"") "and asks for no password"

                    for groups, role in [ [ "staff"; "admins" ], "admin"; [ "staff" ], "viewer" ] do
                        provider.Claims <- [ "preferred_username", box "ada lovelace"; "groups", box groups ]
                        let answer, _, _ = logIn http address "/servers/x?minutes=60"
                        let text = answer.Content.ReadAsStringAsync().Result
                        Expect.equal (status answer) 200 text
                        Expect.stringContains text "content=\"0;url=/servers/x?minutes=60\"" "goes on"
                        let session = sessionIn answer
                        let said = (get http (address + "/api/") [ session ]).Content.ReadAsStringAsync().Result
                        Expect.stringContains said $"\"user\":\"ada_lovelace\",\"role\":\"{role}\"" role
                        Expect.equal (status (logout http address session)) 303 "logout"
                        Expect.equal (status (get http (address + "/api/") [ session ])) 401 "ended"

                    dashboard.WaitForError "login: \"ada_lovelace\" from 127.0.0.1")

            testCase "who lacks the claim of a viewer, a forged token, a code that was used and an answer to nobody's question are refused"
            <| fun () ->
                withProvider [ "--oidc-viewers"; "groups=staff" ] (fun provider dashboard http address ->
                    let refused (answer: HttpResponseMessage) what =
                        Expect.equal (status answer) 403 what

                        Expect.isFalse
                            (answer.Headers.Contains "Set-Cookie"
                             && answer.Headers.GetValues "Set-Cookie"
                                |> Seq.exists (fun cookie -> cookie.StartsWith "ai-dashboard-session=" && cookie.Length > 60))
                            $"{what}: no session"

                    provider.Claims <- [ "email", box "eve@example.org"; "groups", box [ "guests" ] ]
                    let answer, _, _ = logIn http address "/"
                    refused answer "without the claim"
                    provider.Claims <- [ "groups", box [ "staff" ] ]
                    provider.IsForged <- true
                    let answer, _, _ = logIn http address "/"
                    refused answer "forged"
                    provider.IsForged <- false
                    let answer, back, cookie = logIn http address "//evil.example"
                    Expect.equal (status answer) 200 "the right one"
                    Expect.stringContains (answer.Content.ReadAsStringAsync().Result) "content=\"0;url=/\"" "which leads home"
                    refused (get http back [ cookie ]) "used twice"
                    refused (get http back []) "without the question's cookies"
                    dashboard.WaitForError "login refused")

            testCase "a provider's sessions survive a restart and end when another one is named"
            <| fun () ->
                use place = new TemporaryDirectory()
                use provider = new Provider("dashboard", "")
                provider.Start()
                provider.Claims <- [ "preferred_username", box "ada" ]
                use http = client ()

                let during (clientId: string) (test: string -> 'a) : 'a =
                    let dashboard, address =
                        serve (place.File "a.db") [ "--oidc-authority"; provider.Url; "--oidc-client-id"; clientId ]

                    use dashboard = dashboard
                    let result = test address
                    dashboard.Signal SigTerm
                    Expect.equal (dashboard.WaitForEnd patience) 0 dashboard.Said
                    result

                let session =
                    during "dashboard" (fun address ->
                        let answer, _, _ = logIn http address "/"
                        sessionIn answer)

                let asked address =
                    status (get http (address + "/api/") [ session ])

                Expect.equal (during "dashboard" asked) 200 "the same"
                Expect.equal (during "another" asked) 401 "another one"

            testCase "a log-in that begins at one of two dashboards ends at the other, and is known to both"
            <| fun () ->
                Postgres.needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres.Postgres(place.Path, "")
                use provider = new Provider("dashboard", "")
                provider.Start()
                provider.Claims <- [ "preferred_username", box "ada" ]
                use http = client ()

                let started (name: string) =
                    new Dashboard(
                        place.File $"{name}.db",
                        [
                            "--metrics-url"
                            "http://127.0.0.1:9"
                            "--state"
                            server.Url
                            "--oidc-authority"
                            provider.Url
                            "--oidc-client-id"
                            "dashboard"
                        ]
                    )

                use one = started "one"
                use other = started "other"
                let start = get http (one.Url + "/login/oidc?next=%2Fjobs") []
                let there = get http (string start.Headers.Location) []
                let back = (string there.Headers.Location).Replace(one.Url, other.Url)
                Expect.stringStarts back (other.Url + "/login/oidc/callback?code=") "as a balancer would send it"
                let ended = get http back [ cookies start ]
                Expect.equal (status ended) 200 (ended.Content.ReadAsStringAsync().Result)

                for dashboard in [ other; one ] do
                    Expect.equal (status (get http (dashboard.Url + "/api/") [ sessionIn ended ])) 200 "known"
        ]
