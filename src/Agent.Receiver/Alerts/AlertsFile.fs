/// The file of alerts as JSON: an object, whose `channels` are read by `ChannelFile`.
[<RequireQualifiedAccess>]
module Agent.Receiver.Alerts.AlertsFile

open System
open System.Collections.Generic
open System.Text.Json
open Agent.Core

/// A larger file is not read, in bytes.
[<Literal>]
let LongestFile = 1048576

let private depth = JsonDocumentOptions(MaxDepth = 32)

/// The first member that an object has twice, by its path; none where each is there once.
let rec private repeated (path: string) (element: JsonElement) : string option =
    match element.ValueKind with
    | JsonValueKind.Object ->
        let names = HashSet<string>(StringComparer.Ordinal)

        element.EnumerateObject()
        |> Seq.tryPick (fun found ->
            let here = $"{path}.{found.Name}"

            if names.Add found.Name then
                repeated here found.Value
            else
                Some here)
    | JsonValueKind.Array ->
        element.EnumerateArray()
        |> Seq.indexed
        |> Seq.tryPick (fun (index, entry) -> repeated $"{path}[{index}]" entry)
    | _ -> None

/// The object that the file's bytes are, or a sentence.
[<CompiledName "Parse">]
let parse (bytes: ReadOnlyMemory<byte>) : Result<JsonElement, string> =
    try
        let mark = bytes.Length - (Text.withoutMark bytes.Span).Length
        use document = JsonDocument.Parse(bytes.Slice mark, depth)

        match document.RootElement.ValueKind with
        | JsonValueKind.Object ->
            match repeated "$" document.RootElement with
            | Some path -> Error $"has {path} twice; write it once"
            | None -> Ok(document.RootElement.Clone())
        | _ -> Error "is not a JSON object such as {\"channels\": []}"
    with
    | :? JsonException as error ->
        let line = error.LineNumber.GetValueOrDefault() + 1L
        let place = error.BytePositionInLine.GetValueOrDefault() + 1L
        Error $"is not JSON: line {line}, byte {place}"
    // What is not Unicode shows when it is looked at.
    | :? InvalidOperationException -> Error "is not JSON: it has text that is not Unicode"
