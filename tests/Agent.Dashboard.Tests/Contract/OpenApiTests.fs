/// openapi.json against what the program answers: paths, methods, and the shape of each answer.
module Agent.Dashboard.Tests.OpenApiTests

open System
open System.Text
open System.Text.Json
open Agent.TestSupport
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.Shared
open Expecto

let private methods = [ "GET"; "POST"; "PUT"; "PATCH"; "DELETE" ]

/// The answer to a request with an empty body.
let private ask (method: string) (path: string) : Response =
    exchange
        (dashboard().Port)
        (request
            $"{method} {path} HTTP/1.1"
            [
                "Host", $"127.0.0.1:{dashboard().Port}"
                "Connection", "close"
                "Content-Length", "0"
            ]
            [||])

let private declared (path: JsonProperty) =
    [
        for operation in path.Value.EnumerateObject() -> operation.Name.ToUpperInvariant()
    ]

/// Whether a path takes changes from admins: where nobody logs in, it refuses them whatever the method.
let private isAdmins (path: JsonProperty) =
    path.Value.EnumerateObject()
    |> Seq.exists (fun operation -> (rawAt "tags" operation.Value).Contains "admin")

let private filled (template: string) =
    template.Replace("{slug}", (server ()).Slug).Replace("{key}", "gpu-box-01.1").Replace("{id}", "1").Replace("{name}", "mail")

/// Every reference of the file, wherever it stands.
let rec private references (element: JsonElement) : string list =
    match element.ValueKind with
    | JsonValueKind.Object ->
        [
            for entry in element.EnumerateObject() do
                if entry.Name = "$ref" then
                    entry.Value.ToString()
                else
                    yield! references entry.Value
        ]
    | JsonValueKind.Array ->
        [
            for entry in element.EnumerateArray() do
                yield! references entry
        ]
    | _ -> []

let private operations () =
    [
        for path in OpenApi.paths () do
            for operation in path.Value.EnumerateObject() -> path.Name, operation
    ]

let private post (path: string) (headers: (string * string) list) (body: string) : Response =
    let bytes = Encoding.UTF8.GetBytes body

    exchange
        (dashboard().Port)
        (request
            $"POST {path} HTTP/1.1"
            ([
                "Host", $"127.0.0.1:{dashboard().Port}"
                "Connection", "close"
                "Content-Type", "application/json"
                "Content-Length", string bytes.Length
             ]
             @ headers)
            bytes)

let private isDescribed (method: string) (status: int) (path: string) (response: Response) =
    Expect.equal response.Status status $"{method} {path}: {response.Text}"
    Expect.equal (OpenApi.faultsOf method path response) [] "as openapi.json describes it"

let tests =
    testList
        "openapi.json"
        [
            testCase "its paths are those that the program answers"
            <| fun () ->
                let routes =
                    [
                        for path in (read "/api/" |> at "endpoints").EnumerateArray() -> path.ToString()
                    ]

                Expect.equal (routes |> List.sort) (OpenApi.paths () |> List.map _.Name |> List.sort) "the same"

            testCase "each path takes the methods that the file names, and no other"
            <| fun () ->
                for path in OpenApi.paths () do
                    // A stream of events has no end.
                    if path.Name <> "/api/events/" then
                        for method in methods do
                            let response = ask method (filled path.Name)

                            if List.contains method (declared path) then
                                Expect.notEqual response.Status 405 $"{method} {path.Name}"
                            elif not (isAdmins path && response.Status = 403) then
                                refused 405 response |> ignore

            testCase "it is whole: every reference leads somewhere, and no two operations share a name"
            <| fun () ->
                for reference in references OpenApi.document.Value |> List.distinct do
                    JsonSchema.resolve OpenApi.document.Value reference |> ignore

                let names =
                    operations ()
                    |> List.map (fun (_, operation) -> textAt "operationId" operation.Value)

                Expect.equal (List.distinct names) names "each name once"

                for path, operation in operations () do
                    let parameters =
                        match operation.Value.TryGetProperty "parameters" with
                        | true, entries ->
                            [
                                for entry in entries.EnumerateArray() do
                                    if textAt "in" entry = "path" then
                                        "{" + textAt "name" entry + "}"
                            ]
                        | _ -> []

                    let placed = path.Split '/' |> List.ofArray |> List.filter _.StartsWith('{')
                    Expect.equal parameters placed $"the parameters of {path}"

            testCase "the program serves it"
            <| fun () ->
                let response = get (dashboard().Port) "/openapi.json"
                Expect.equal response.Status 200 "there"
                Expect.equal (textAt "openapi" response.Json) "3.1.0" "the version of OpenAPI"

            testCase "answers are as it says"
            <| fun () ->
                let machine = freshServer ()

                DashboardProcess.post (dashboard().Port) machine (body (sample DateTimeOffset.UtcNow))
                |> isDescribed "POST" 200 $"/api/ingest/servers/{machine.Slug}/metrics/"

                for target in
                    [
                        "/api/"
                        "/api/servers/"
                        $"/api/metrics/latest/?server={machine.Slug}"
                        $"/api/metrics/history/?server={machine.Slug}&minutes=60"
                        $"/api/metrics/history/?server={machine.Slug}&minutes=60&form=delta"
                        $"/api/metrics/history/?server={machine.Slug}&minutes=20160"
                        $"/api/verdicts/?server={machine.Slug}"
                        "/api/fleet/gpus/?minutes=60"
                        "/api/jobs/"
                        "/api/waste/"
                        "/api/waste/?format=csv"
                        "/api/timeline/"
                        "/healthz"
                        "/metrics"
                    ] do
                    get (dashboard().Port) target |> isDescribed "GET" 200 target

                let annotation = """{"text": "epoch 3"}"""

                let own = $"/api/ingest/servers/{machine.Slug}/annotations/"

                post own [ "X-Monitoring-Token", machine.Token ] annotation
                |> isDescribed "POST" 201 own


            testCase "refusals are as it says"
            <| fun () ->
                for target in
                    [
                        "/api/metrics/latest/"
                        "/api/metrics/history/?server=gpu-box-01&minutes=x"
                        "/api/verdicts/?server=gpu-box-01&at=x"
                        "/api/jobs/?minutes=x"
                        "/api/waste/?by=x"
                        "/api/timeline/?kinds=x"
                    ] do
                    get (dashboard().Port) target |> isDescribed "GET" 400 target

                for target in
                    [
                        "/api/metrics/latest/?server=nobody"
                        "/api/metrics/history/?server=nobody&minutes=60"
                        "/api/verdicts/?server=nobody"
                        "/api/jobs/?server=nobody"
                        "/api/jobs/nobody.1/"
                        "/api/timeline/?server=nobody"
                        "/api/events/?server=nobody"
                    ] do
                    get (dashboard().Port) target |> isDescribed "GET" 404 target

                post "/api/enrol/" [] "{" |> isDescribed "POST" 400 "/api/enrol/"

                // Where nobody logs in there is no admin.
                for path in [ "/api/annotations/"; "/api/servers/" ] do
                    post path [] "{" |> isDescribed "POST" 403 path

                let machine = server ()
                let ingest = $"/api/ingest/servers/{machine.Slug}/metrics/"
                post ingest [] "{}" |> isDescribed "POST" 401 ingest

                post ingest [ "X-Monitoring-Token", machine.Token ] "{"
                |> isDescribed "POST" 400 ingest
        ]
