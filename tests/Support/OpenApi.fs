/// The dashboard's openapi.json, and what it says against an answer.
module Agent.TestSupport.OpenApi

open System
open System.IO
open System.Net.Http
open System.Text.Json
open Agent.TestSupport.RawHttp

/// The file.
let document: Lazy<JsonElement> =
    lazy
        (let text =
            File.ReadAllBytes(Path.Combine(Fixtures.root, "src", "Agent.Dashboard", "wwwroot", "openapi.json"))

         use parsed = JsonDocument.Parse(ReadOnlyMemory text)
         parsed.RootElement.Clone())

/// Its paths.
let paths () : JsonProperty list =
    [ for path in document.Value.GetProperty("paths").EnumerateObject() -> path ]

let private segments (path: string) =
    path.Split('/', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

let private isOf (path: string) (template: string) =
    let actual = segments path
    let expected = segments template

    actual.Length = expected.Length
    && List.forall2 (fun (one: string) (other: string) -> other.StartsWith '{' || one = other) actual expected

let private tryMember (name: string) (element: JsonElement) =
    match element.TryGetProperty name with
    | true, found -> Some found
    | _ -> None

let private resolved (element: JsonElement) =
    match tryMember "$ref" element with
    | Some reference -> JsonSchema.resolve document.Value (reference.ToString())
    | None -> element

/// What the file says against an answer to this method and target (path and query): nothing, or each fault with its place.
let faultsOf (method: string) (target: string) (response: Response) : string list =
    let path = target.Split('?')[0]

    let operation =
        paths ()
        |> List.tryFind (fun entry -> isOf path entry.Name)
        |> Option.bind (fun entry -> tryMember (method.ToLowerInvariant()) entry.Value)

    match operation with
    | None when response.Status = 405 -> []
    | None -> [ $"{method} {path} is not in the file" ]
    | Some operation ->
        match tryMember (string response.Status) (operation.GetProperty "responses") with
        | None -> [ $"{method} {path}: {response.Status} is not in the file" ]
        | Some answer ->
            let kind =
                response.Header "content-type"
                |> Option.map (fun kind -> kind.Split(';')[0])
                |> Option.defaultValue ""

            match tryMember "content" (resolved answer) |> Option.bind (tryMember kind) with
            | None -> [ $"{method} {path}: {response.Status} as {kind} is not in the file" ]
            | Some content when kind = "application/json" ->
                JsonSchema.strictFaultsOf document.Value (content.GetProperty "schema") response.Json
                |> List.map (fun fault -> $"{method} {path}: {fault}")
            | Some _ -> []

/// The same of an answer that an HTTP client got.
let faultsIn (method: string) (target: string) (answer: HttpResponseMessage) : string list =
    faultsOf
        method
        target
        {
            Status = int answer.StatusCode
            Headers =
                [
                    match answer.Content.Headers.ContentType with
                    | null -> ()
                    | kind -> "content-type", string kind
                ]
            Body = answer.Content.ReadAsByteArrayAsync().Result
        }
