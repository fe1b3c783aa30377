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

/// Who a process is and what its main thread did.
[<Struct>]
type Status =
    {
        /// The real user.
        Uid: int
        /// Times that its main thread gave up the CPU to wait; none where the kernel does not count, as before 2.6.23.
        VoluntarySwitches: uint64 voption
        /// Times that the CPU was taken from it.
        InvoluntarySwitches: uint64 voption
    }

let private uidName = "Uid:"B
let private voluntaryName = "voluntary_ctxt_switches:"B
let private involuntaryName = "nonvoluntary_ctxt_switches:"B

/// Reads the lines `Uid`, `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches`. The kernel escapes line ends in a process's
/// name, so no name can look like one of them.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Status, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable uid = ValueNone
    let mutable voluntary = ValueNone
    let mutable involuntary = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let name = cursor.Field()
        let mutable number = 0UL

        if name.SequenceEqual(ReadOnlySpan uidName) then
            if cursor.UInt64 &number && number <= uint64 Int32.MaxValue then
                uid <- ValueSome(int number)
            else
                failure <- ValueSome(cursor.Bad("Uid", "the number of a user"))
        elif name.SequenceEqual(ReadOnlySpan voluntaryName) then
            if cursor.UInt64 &number then
                voluntary <- ValueSome number
            else
                failure <- ValueSome(cursor.Bad("voluntary_ctxt_switches", "a whole number"))
        elif name.SequenceEqual(ReadOnlySpan involuntaryName) then
            if cursor.UInt64 &number then
                involuntary <- ValueSome number
            else
                failure <- ValueSome(cursor.Bad("nonvoluntary_ctxt_switches", "a whole number"))

    match failure, uid with
    | ValueSome error, _ -> Error error
    | ValueNone, ValueSome uid when cursor.AtEnd ->
        Ok
            {
                Uid = uid
                VoluntarySwitches = voluntary
                InvoluntarySwitches = involuntary
            }
    | ValueNone, _ -> Error(cursor.NoLine "Uid")
