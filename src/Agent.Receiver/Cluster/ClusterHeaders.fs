namespace Agent.Receiver.Cluster

open System
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

    /// The header by which Mimir and Cortex tell tenants apart.
    [<Literal>]
    let Tenant = "X-Scope-OrgID"

    let private words (fault: HeaderFault) : string =
        match fault with
        | HeaderFault.NotAHeader line -> $"line {line} is not a header: expected NAME: VALUE"
        | HeaderFault.Reserved(line, name) -> $"line {line} sets {name}, which the request sets itself"
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

    /// The headers of a file and that of a tenant, which is empty for none. The file may not name another one.
    [<CompiledName "ParseFor">]
    let parseFor (tenant: string) (bytes: byte[]) : Result<(struct (string * string))[], string> =
        match parse bytes with
        | Ok headers when tenant <> "" ->
            if
                headers
                |> Array.exists (fun (struct (name, _)) -> String.Equals(name, Tenant, StringComparison.OrdinalIgnoreCase))
            then
                Error $"sets {Tenant}, as --metrics-tenant does; leave one of them out"
            else
                Ok(Array.append headers [| struct (Tenant, tenant) |])
        | other -> other
