/// What tests of logins have in common: commands that read a password, users, and requests with a session or a token.
module Agent.TestSupport.LoginClient

open System.Collections.Generic
open System.Diagnostics
open System.Net.Http
open Agent.TestSupport.Waiting
open Agent.TestSupport.DashboardProcess
open Expecto

/// Runs a command with this on its standard input: exit code, output and errors.
let runWith (input: string) (words: string list) : int * string * string =
    let start =
        ProcessStartInfo(binary.Value, words, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true)

    start.Environment["DOTNET_ROOT"] <- World.dotnetRoot

    use running =
        match Process.Start start with
        | null -> failtest "it does not start"
        | running -> running

    running.StandardInput.Write input
    running.StandardInput.Close()
    let output = running.StandardOutput.ReadToEndAsync()
    let errors = running.StandardError.ReadToEndAsync()

    if not (running.WaitForExit patience) then
        running.Kill()
        failtest $"%A{words} does not end"

    running.ExitCode, output.Result, errors.Result

/// Adds a user to a file.
let addUser (file: string) (name: string) (role: string) (password: string) : unit =
    match runWith (password + "\n") [ "users"; "add"; name; "--role"; role; "--users-file"; file ] with
    | 0, _, _ -> ()
    | failed -> failtest $"%A{failed}"

/// Makes a token in a file, and returns it.
let addToken (file: string) (name: string) (role: string) : string =
    printedBy "API_TOKEN" [ "tokens"; "add"; name; "--role"; role; "--tokens-file"; file ]

/// A client that follows no redirect and keeps no cookie.
let client () : HttpClient =
    new HttpClient(new SocketsHttpHandler(AllowAutoRedirect = false, UseCookies = false, UseProxy = false))

/// Sends a request with these headers and, for a POST, these fields of a form.
let send (http: HttpClient) (method: HttpMethod) (url: string) (headers: (string * string) list) (fields: (string * string) list) =
    use request = new HttpRequestMessage(method, url)

    for name, value in headers do
        request.Headers.TryAddWithoutValidation(name, value) |> ignore

    if method = HttpMethod.Post then
        request.Content <- new FormUrlEncodedContent([ for name, value in fields -> KeyValuePair(name, value) ])

    http.SendAsync(request).Result

/// GETs with these headers.
let get (http: HttpClient) (url: string) (headers: (string * string) list) : HttpResponseMessage = send http HttpMethod.Get url headers []

/// The status of an answer.
let status (response: HttpResponseMessage) : int = int response.StatusCode

/// Tries to log in, with these headers.
let loginWith (http: HttpClient) (address: string) (headers: (string * string) list) (name: string) (password: string) =
    send http HttpMethod.Post (address + "/login") headers [ "name", name; "password", password ]

/// Tries to log in.
let login (http: HttpClient) (address: string) (name: string) (password: string) : HttpResponseMessage =
    loginWith http address [] name password

/// The header of the session that a log-in opened, which must have succeeded.
let sessionOf (answer: HttpResponseMessage) : string * string =
    Expect.equal (status answer) 303 (answer.Content.ReadAsStringAsync().Result)

    "Cookie",
    answer.Headers.GetValues "Set-Cookie"
    |> Seq.find _.StartsWith("ai-dashboard-session=")
    |> fun cookie -> cookie.Split(';')[0]

/// The header by which the browser of a log-in is known again.
let deviceOf (answer: HttpResponseMessage) : string * string =
    "Cookie",
    answer.Headers.GetValues "Set-Cookie"
    |> Seq.find _.StartsWith("ai-dashboard-device=")
    |> fun cookie -> cookie.Split(';')[0]

/// Logs out.
let logout (http: HttpClient) (address: string) (session: string * string) : HttpResponseMessage =
    send http HttpMethod.Post (address + "/logout") [ session ] []
