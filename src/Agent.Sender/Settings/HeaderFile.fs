namespace Agent.Sender

open System
open System.Collections.Generic
open Agent.Core

/// A file of headers that go along with every request to a receiver.
[<RequireQualifiedAccess>]
module HeaderFile =
    /// Headers that the protocol sets itself (RFC 9110, remote-write 1.0).
    let private ownHeaders =
        HashSet<string>(
            [
                "Accept-Encoding"
                "Connection"
                "Content-Encoding"
                "Content-Length"
                "Content-Type"
                "Expect"
                "Host"
                "Transfer-Encoding"
                "Upgrade"
                "User-Agent"
                "X-Prometheus-Remote-Write-Version"
            ],
            StringComparer.OrdinalIgnoreCase
        )

    /// One header of a file (RFC 9110, 5.5), or what is wrong with its line. The value is repeated nowhere.
    let private headerOf (line: string) : Result<struct (string * Secret), string> =
        let colon = line.IndexOf ':'
        let name = if colon > 0 then line.Substring(0, colon) else ""
        let value = line.Substring(colon + 1).Trim()

        let isToken =
            name <> ""
            && name
               |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || "!#$%&'*+-.^_`|~".Contains c)

        if not isToken then
            Error "is not a header of the form Name: value"
        elif ownHeaders.Contains name then
            Error $"sets {name}, which the agent sets itself; remove it"
        elif value = "" then
            Error $"has no value for {name}"
        elif value |> String.exists (fun c -> c < ' ' || c > '~') then
            Error $"has a value with control or non-ASCII characters for {name}"
        else
            Ok(struct (name, Secret value))

    /// The headers in the text of a file: `Name: value`, one a line; blank lines and those that begin with # are skipped.
    /// Values may be secrets, so errors name lines and headers only. `origin` names the file.
    [<CompiledName "Read">]
    let read (origin: string) (text: string) : Result<(struct (string * Secret))[], ConfigError> =
        let fail message =
            Error
                {
                    Origin = origin
                    Message = $"{origin}: {message}"
                }

        let lines =
            text.Split '\n'
            |> Array.mapi (fun i line -> struct (i + 1, line.Trim()))
            |> Array.filter (fun (struct (_, line)) -> line <> "" && not (line.StartsWith '#'))

        let headers = List<struct (string * Secret)>()
        let mutable problem = ""

        for struct (number, line) in lines do
            match headerOf line with
            | Ok header -> headers.Add header
            | Error wrong when problem = "" -> problem <- $"line {number} {wrong}"
            | Error _ -> ()

        let repeated =
            headers
            |> Seq.countBy (fun (struct (name, _)) -> name.ToUpperInvariant())
            |> Seq.tryFind (fun (_, count) -> count > 1)

        match repeated with
        | _ when problem <> "" -> fail problem
        | Some(name, _) -> fail $"the header {name} is given twice"
        | None when headers.Count = 0 -> fail "there is no header in the file"
        | None -> Ok(headers.ToArray())
