/// `/proc/PID/status`: what the kernel says of one process, a name and its values on each line.
/// See proc_pid_status(5).
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ProcessStatus

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/PID/status"

// A byte literal in an expression is allocated each time; this one is made once.
let private namespacesName = "NSpid:"B

/// In how many PID namespaces the process has a number, seen from the one whose /proc this is: 1 in its own, one more for
/// each that lies between. None where the line `NSpid` is missing, as before kernel 4.1.
[<CompiledName "PidNamespaces">]
let pidNamespaces (text: ReadOnlySpan<byte>) : Result<int voption, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable found = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        if cursor.Field().SequenceEqual(ReadOnlySpan namespacesName) then
            let mutable count = 0
            let mutable pid = 0UL

            while cursor.UInt64 &pid do
                count <- count + 1

            if count > 0 && cursor.Last.IsEmpty then
                found <- ValueSome count
            else
                failure <- ValueSome(cursor.Bad("NSpid", "the numbers of a process"))

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not cursor.AtEnd || text.IsEmpty -> Error(cursor.NoLine "NSpid")
    | ValueNone -> Ok found
