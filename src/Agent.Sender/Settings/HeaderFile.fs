namespace Agent.Sender

open Agent.Core
open Agent.Outbound

/// A file of headers that go along with every request to a receiver.
[<RequireQualifiedAccess>]
module HeaderFile =
    let private words (fault: HeaderFault) : string =
        match fault with
        | HeaderFault.NotAHeader line -> $"line {line} is not a header of the form Name: value"
        | HeaderFault.Reserved(line, name) -> $"line {line} sets {name}, which the agent sets itself; remove it"
        | HeaderFault.NoValue(line, name) -> $"line {line} has no value for {name}"
        | HeaderFault.BadValue(line, name) -> $"line {line} has a value with control or non-ASCII characters for {name}"
        | HeaderFault.Repeated name -> $"the header {name} is given twice"
        | HeaderFault.NoHeader -> "there is no header in the file"

    /// The headers in the text of a file, as `HeaderLines` has them. Values may be secrets, so errors name lines and headers only. `origin`
    /// names the file.
    [<CompiledName "Read">]
    let read (origin: string) (text: string) : Result<(struct (string * Secret))[], ConfigError> =
        match HeaderLines.parse text with
        | Ok headers -> Ok(headers |> Array.map (fun (struct (name, value)) -> struct (name, Secret value)))
        | Error fault ->
            Error
                {
                    Origin = origin
                    Message = $"{origin}: {words fault}"
                }
