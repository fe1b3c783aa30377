/// `/proc/PID/task/TID/children`: the processes that one thread started, or took over from a child that ended.
/// See proc_tid_children(5). Since kernel 3.5, with CONFIG_PROC_CHILDREN. Numbers with a blank behind each, and no line end.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ProcessChildren

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/PID/task/TID/children"

/// Reads all numbers.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<int[], ParseError> =
    let children = ResizeArray<int>()
    let mutable rest = text
    let mutable failure = ValueNone

    while failure.IsNone && not rest.IsEmpty do
        let length = rest.IndexOf ' 'B
        let mutable pid = 0UL

        if
            length > 0
            && Text.tryUInt64 (rest.Slice(0, length), &pid)
            && pid <= uint64 Int32.MaxValue
        then
            children.Add(int pid)
            rest <- rest.Slice(length + 1)
        else
            failure <-
                ValueSome
                    {
                        Source = Source
                        Line = 1
                        Field = "child"
                        Raw = Text.excerpt rest
                        Expected = "numbers of processes, each with a blank behind it"
                    }

    match failure with
    | ValueSome error -> Error error
    | ValueNone -> Ok(children.ToArray())
