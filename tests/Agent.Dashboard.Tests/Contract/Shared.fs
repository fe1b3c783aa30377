/// The one dashboard that most contract tests talk to, and the instants and servers they use there.
module Agent.Dashboard.Tests.Shared

open System
open System.IO
open System.Text.Json
open System.Threading
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Expecto

let private started: Lazy<Dashboard * DirectoryInfo> =
    lazy
        (let directory = Directory.CreateTempSubdirectory "dashboard-tests-"
         let database = Path.Combine(directory.FullName, "dashboard.db")
         new Dashboard(database, []), directory)

/// The dashboard; it starts when the first test needs it.
let dashboard () : Dashboard = fst started.Value

let private mainServer: Lazy<Registered> = lazy (dashboard().Register("gpu-box-01", []))

/// The server that most samples are posted for.
let server () : Registered = mainServer.Value

let mutable private servers = 0

/// A server that nothing was posted for yet.
let freshServer () : Registered =
    dashboard().Register($"fresh-{Interlocked.Increment &servers}", [])

let private firstSlot =
    let now = DateTimeOffset.UtcNow.AddHours -40.0
    DateTimeOffset(now.Year, now.Month, now.Day, now.Hour, 0, 0, TimeSpan.Zero)

let mutable private slots = 0

/// A whole minute for one test's samples, later than every one before, within the time for which raw samples are kept.
let freshInstant () : DateTimeOffset =
    firstSlot.AddMinutes(float (2 * Interlocked.Increment &slots))

/// Posts a body for the main server.
let send (body: string) : Response =
    post (dashboard().Port) (server ()) body

/// Posts a sample for the main server, with an agent.
let sendSample (sample: Members) : Response = send (body sample)

/// The answer, which must be 200, `ok`, and have no warnings unless told otherwise.
let accepted (response: Response) : JsonElement =
    Expect.equal response.Status 200 $"accepted: {response.Text}"
    Expect.isTrue (response.Json.GetProperty("ok").GetBoolean()) "ok"
    response.Json

/// Posts bodies over one connection; every one has to be accepted.
let postAll (port: int) (server: Registered) (bodies: byte[] seq) : unit =
    use conversation = new Conversation(port)

    for bytes in bodies do
        conversation.Send(
            request
                $"POST /api/ingest/servers/{server.Slug}/metrics/ HTTP/1.1"
                [
                    "Host", "127.0.0.1"
                    "X-Monitoring-Token", server.Token
                    "Content-Length", string bytes.Length
                ]
                bytes
        )

        conversation.Read() |> accepted |> ignore

/// The `snapshot` of an answer that accepted the sample.
let snapshotOf (response: Response) : JsonElement =
    (accepted response).GetProperty "snapshot"

/// The warnings of an answer that accepted the sample; an answer without the key has none.
let warningsOf (response: Response) : string list =
    match (accepted response).TryGetProperty "warnings" with
    | true, warnings -> [ for warning in warnings.EnumerateArray() -> string (warning.GetString()) ]
    | false, _ -> []

/// The member of an object; one that is not there fails the test.
let rec at (path: string) (element: JsonElement) : JsonElement =
    (element, path.Split '.')
    ||> Array.fold (fun element name ->
        match element.ValueKind, element.TryGetProperty name with
        | JsonValueKind.Object, (true, found) -> found
        | _ -> failtest $"no {name} (of {path}) in {element.GetRawText()}")

/// The text of a member.
let textAt (path: string) (element: JsonElement) : string =
    match (at path element).GetString() with
    | null -> failtest $"{path} is null in {element.GetRawText()}"
    | text -> text

/// The number of a member.
let numberAt (path: string) (element: JsonElement) : float = (at path element).GetDouble()

/// The JSON text of a member.
let rawAt (path: string) (element: JsonElement) : string = (at path element).GetRawText()

/// What a dashboard's read API says of this path, which must be 200 and JSON as openapi.json describes it.
let readFrom (dashboard: Dashboard) (target: string) : JsonElement =
    let response = get dashboard.Port target
    Expect.equal response.Status 200 $"{target}: {response.Text}"
    Expect.equal (OpenApi.faultsOf "GET" target response) [] "as openapi.json describes it"
    response.Json

/// The same of the one dashboard.
let read (target: string) : JsonElement = readFrom (dashboard ()) target

/// The newest snapshot of a server.
let latestOf (server: Registered) : JsonElement =
    read $"/api/metrics/latest/?server={server.Slug}" |> at "snapshot"

/// The newest snapshot of the main server.
let latest () : JsonElement = latestOf (server ())

/// An error's JSON: status, content type, `ok` and `error`.
let refused (status: int) (response: Response) : JsonElement =
    Expect.equal response.Status status $"refused: {response.Text}"

    match response.Header "content-type" with
    | Some kind -> Expect.stringStarts kind "application/json" "errors are JSON"
    | None -> failtest "no content type"

    Expect.isFalse ((at "ok" response.Json).GetBoolean()) "ok"
    Expect.isNonEmpty (textAt "error" response.Json) "error"
    response.Json

let mutable private isOver = false

/// Ends the dashboard where a run of a few tests has left it.
let abandon () : unit =
    if started.IsValueCreated && not isOver then
        isOver <- true
        let dashboard, directory = started.Value
        (dashboard :> IDisposable).Dispose()
        directory.Delete true

/// Stops the dashboard, which must have lived through all tests, and end in good order.
let stop () : unit =
    if started.IsValueCreated then
        isOver <- true
        let dashboard, directory = started.Value

        try
            Expect.isFalse dashboard.Process.HasEnded $"still there; {dashboard.Process.Said}"
            dashboard.Stop()

            for line in dashboard.Process.Output @ dashboard.Process.AllErrors do
                for word in [ "Exception"; "   at "; "Unhandled" ] do
                    Expect.isFalse (line.Contains word) $"nothing unexpected in the log: {line}"
        finally
            (dashboard :> IDisposable).Dispose()
            directory.Delete true
