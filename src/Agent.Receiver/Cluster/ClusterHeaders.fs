namespace Agent.Receiver.Cluster

open System
open System.Text

/// The file of headers that a cluster of metrics asks for: `Authorization`, `X-Scope-OrgID`. Its values are secrets, and in no message.
[<RequireQualifiedAccess>]
module ClusterHeaders =
    /// A larger file is not read, in bytes.
    [<Literal>]
    let LongestFile = 65536

    /// Headers that a file may have.
    [<Literal>]
    let MostHeaders = 32

    /// Those that the request itself has.
    let private taken =
        [
            "host"
            "content-type"
            "content-length"
            "content-encoding"
            "transfer-encoding"
            "connection"
            "accept-encoding"
        ]

    /// RFC 9110, 5.6.2.
    let private isName (text: string) =
        text <> ""
        && text
           |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || "!#$%&'*+-.^_`|~".Contains c)

    /// A header from one line; the sentence says what is wrong with it.
    let private headerOf (line: string) : Result<struct (string * string), string> =
        match line.IndexOf ':' with
        | -1 -> Error "is no header: expected NAME: VALUE"
        | colon ->
            let name = line.Substring(0, colon).Trim()
            let value = line.Substring(colon + 1).Trim()

            if not (isName name) then
                Error "has a name that is none: letters, digits and dashes"
            elif List.contains (name.ToLowerInvariant()) taken then
                Error $"sets {name}, which the request itself has"
            elif value = "" then
                Error $"has no value for {name}"
            elif value |> Seq.exists (fun c -> Char.IsControl c || c > '~') then
                Error $"has a value for {name} that is not ASCII"
            else
                Ok(struct (name, value))

    /// The headers of a file: one a line; blank lines and those that begin with # do not count. The error ends a sentence that begins with the
    /// file's name.
    [<CompiledName "Parse">]
    let parse (bytes: byte[]) : Result<(struct (string * string))[], string> =
        let lines =
            Encoding.UTF8.GetString(bytes).TrimStart('\uFEFF').Split '\n'
            |> Array.mapi (fun index line -> struct (index + 1, line.Trim()))
            |> Array.filter (fun (struct (_, line)) -> line <> "" && not (line.StartsWith '#'))

        if lines.Length > MostHeaders then
            Error $"has more than {MostHeaders} headers"
        else
            let read =
                lines
                |> Array.map (fun (struct (number, line)) -> headerOf line |> Result.mapError (fun problem -> $"line {number} {problem}"))

            match
                read
                |> Array.tryPick (fun one ->
                    match one with
                    | Error problem -> Some problem
                    | Ok _ -> None)
            with
            | Some problem -> Error problem
            | None ->
                let headers =
                    read
                    |> Array.choose (fun one ->
                        match one with
                        | Ok header -> Some header
                        | Error _ -> None)

                if headers.Length = 0 then
                    Error "has no header"
                elif
                    headers
                    |> Array.distinctBy (fun (struct (name, _)) -> name.ToLowerInvariant())
                    |> Array.length
                    <> headers.Length
                then
                    Error "has a header twice"
                else
                    Ok headers
