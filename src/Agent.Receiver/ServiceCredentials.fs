/// Files that a service manager hands over: systemd's LoadCredential=.
[<RequireQualifiedAccess>]
module Agent.Receiver.ServiceCredentials

open System

/// How a command line names the directory of credentials, whose path is not known before the service runs.
[<Literal>]
let Variable = "${CREDENTIALS_DIRECTORY}"

/// The words, with the directory in place of the variable where an option's value, or a word, begins with it. Without a directory
/// they stay as they are.
[<CompiledName "Expand">]
let expand (directory: string) (words: string[]) : string[] =
    let path = Variable + "/"

    let expanded (word: string) =
        let start =
            if word.StartsWith("--", StringComparison.Ordinal) then
                word.IndexOf '=' + 1
            else
                0

        if String.CompareOrdinal(word, start, path, 0, path.Length) = 0 then
            $"{word.Substring(0, start)}{directory.TrimEnd '/'}/{word.Substring(start + path.Length)}"
        else
            word

    if directory = "" then words else Array.map expanded words
