namespace Agent.Receiver.Cluster

open System.Text
open Agent.Outbound

/// The file of headers that a cluster of metrics asks for: `Authorization`, `X-Scope-OrgID`. Its values are secrets, and in no message.
[<RequireQualifiedAccess>]
module ClusterHeaders =
    /// A larger file is not read, in bytes.
    [<Literal>]
    let LongestFile = 65536

    /// Headers that a file may have.
    [<Literal>]
    let MostHeaders = 32

    let private words (fault: HeaderFault) : string =
        match fault with
        | HeaderFault.NotAHeader line -> $"line {line} is no header: expected NAME: VALUE"
        | HeaderFault.Reserved(line, name) -> $"line {line} sets {name}, which the request itself has"
        | HeaderFault.NoValue(line, name) -> $"line {line} has no value for {name}"
        | HeaderFault.BadValue(line, name) -> $"line {line} has a value for {name} that is not ASCII"
        | HeaderFault.Repeated name -> $"has the header {name} twice"
        | HeaderFault.NoHeader -> "has no header"

    /// The headers of a file, as `HeaderLines` has them. The error ends a sentence that begins with the file's name.
    [<CompiledName "Parse">]
    let parse (bytes: byte[]) : Result<(struct (string * string))[], string> =
        match HeaderLines.parse (Encoding.UTF8.GetString(bytes).TrimStart('\uFEFF')) with
        | Error fault -> Error(words fault)
        | Ok headers when headers.Length > MostHeaders -> Error $"has more than {MostHeaders} headers"
        | Ok headers -> Ok headers
