/// `/proc/PID/cmdline` and `/proc/PID/environ`: texts with a zero byte behind each.
/// See proc_pid_cmdline(5) and proc_pid_environ(5). A process may write over both, so there is no text that is wrong.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ProcessStrings

open System
open Agent.Core

/// The arguments, the program first. Empty for a kernel thread and for a process that has ended. A program that wrote a title of its own over
/// them, as sshd does, has it as the first and only one.
[<CompiledName "Arguments">]
let arguments (text: ReadOnlySpan<byte>) : string[] =
    let text = text.TrimEnd 0uy
    let found = ResizeArray<string>()
    let mutable from = 0

    while from < text.Length do
        let length = text.Slice(from).IndexOf 0uy
        let length = if length < 0 then text.Length - from else length
        found.Add(Text.toString (text.Slice(from, length)))
        from <- from + length + 1

    found.ToArray()

/// The values of these variables, in their order; empty for one that is not set. Nothing else of the environment is kept.
[<CompiledName "Variables">]
let variables (names: string[]) (environment: ReadOnlySpan<byte>) : string[] =
    let values = Array.create names.Length ""
    let mutable from = 0

    while from < environment.Length do
        let length = environment.Slice(from).IndexOf 0uy
        // What is behind the last zero byte was cut off.
        if length < 0 then
            from <- environment.Length
        else
            let entry = environment.Slice(from, length)
            let equals = entry.IndexOf '='B

            if equals > 0 then
                let mutable i = 0

                while i < names.Length do
                    if
                        names[i].Length = equals
                        && values[i] = ""
                        && Text.toString (entry.Slice(0, equals)) = names[i]
                    then
                        values[i] <- Text.toString (entry.Slice(equals + 1))

                    i <- i + 1

            from <- from + length + 1

    values
