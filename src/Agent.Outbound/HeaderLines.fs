namespace Agent.Outbound

open System
open System.Collections.Generic

/// What is wrong with a file of headers. Values may be secrets, and are in none of it.
[<RequireQualifiedAccess>]
type HeaderFault =
    /// The line is no header of the form `Name: value`.
    | NotAHeader of line: int
    /// The line sets a header that requests have by themselves.
    | Reserved of line: int * name: string
    /// The line's header has no value.
    | NoValue of line: int * name: string
    /// The line's header has a value with control or non-ASCII characters.
    | BadValue of line: int * name: string
    /// Two lines set the same header.
    | Repeated of name: string
    /// There is none.
    | NoHeader

/// The lines of a file of headers that go along with requests: `Name: value`, one a line; blank lines and those that begin with # are skipped.
[<RequireQualifiedAccess>]
module HeaderLines =
    /// Headers that requests have by themselves (RFC 9110, remote-write).
    let private reserved =
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

    /// RFC 9110, 5.6.2.
    let private isName (text: string) =
        text <> ""
        && text
           |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || "!#$%&'*+-.^_`|~".Contains c)

    /// One header (RFC 9110, 5.5).
    let private headerOf (number: int) (line: string) : Result<struct (string * string), HeaderFault> =
        let colon = line.IndexOf ':'
        let name = if colon > 0 then line.Substring(0, colon) else ""
        let value = line.Substring(colon + 1).Trim()

        if not (isName name) then
            Error(HeaderFault.NotAHeader number)
        elif reserved.Contains name then
            Error(HeaderFault.Reserved(number, name))
        elif value = "" then
            Error(HeaderFault.NoValue(number, name))
        elif value |> Seq.exists (fun c -> c < ' ' || c > '~') then
            Error(HeaderFault.BadValue(number, name))
        else
            Ok(struct (name, value))

    /// The headers in the order of their lines, or the first thing that is wrong.
    [<CompiledName "Parse">]
    let parse (text: string) : Result<(struct (string * string))[], HeaderFault> =
        let headers = List<struct (string * string)>()
        let names = HashSet<string>(StringComparer.OrdinalIgnoreCase)
        let mutable fault = ValueNone
        let mutable repeated = ValueNone
        let mutable number = 0

        for line in text.Split '\n' do
            let line = line.Trim()
            number <- number + 1

            if fault.IsNone && line <> "" && not (line.StartsWith '#') then
                match headerOf number line with
                | Error wrong -> fault <- ValueSome wrong
                | Ok(struct (name, _) as header) ->
                    headers.Add header

                    match names.TryGetValue name with
                    | true, first when repeated.IsNone -> repeated <- ValueSome(HeaderFault.Repeated first)
                    | _ -> names.Add name |> ignore

        match fault, repeated with
        | ValueSome fault, _
        | ValueNone, ValueSome fault -> Error fault
        | _ when headers.Count = 0 -> Error HeaderFault.NoHeader
        | _ -> Ok(headers.ToArray())
