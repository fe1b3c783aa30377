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

    if cursor.FindLine namespacesName then
        let mutable count = 0
        let mutable pid = 0UL

        while cursor.UInt64 &pid do
            count <- count + 1

        if count > 0 && cursor.Last.IsEmpty then
            Ok(ValueSome count)
        else
            Error(cursor.Bad("NSpid", "the numbers of a process"))
    else
        cursor.Missing "NSpid"

let private capabilitiesName = "CapEff:"B

/// What the process may do beyond its user: its effective capabilities, a bit for each by its number in capabilities(7). None where the line
/// `CapEff` is missing.
[<CompiledName "Capabilities">]
let capabilities (text: ReadOnlySpan<byte>) : Result<uint64 voption, ParseError> =
    let mutable cursor = Cursor(Source, text)

    if cursor.FindLine capabilitiesName then
        let mutable bits = 0UL

        if
            UInt64.TryParse(cursor.Field(), Globalization.NumberStyles.AllowHexSpecifier, Globalization.CultureInfo.InvariantCulture, &bits)
        then
            Ok(ValueSome bits)
        else
            Error(cursor.Bad("CapEff", "a mask in hexadecimal"))
    else
        cursor.Missing "CapEff"

/// Who a process is and what its main thread did.
[<Struct; NoComparison>]
type Status =
    {
        /// The real user; a number of 32 bits without a sign, of which FreeIPA gives the upper half to containers.
        Uid: int64
        /// How many CPUs it may run on (taskset, numactl, Slurm's affinity); none where the kernel does not tell, as before 2.6.24.
        CpusAllowed: int voption
        /// Times that its main thread gave up the CPU to wait; none where the kernel does not count, as before 2.6.23.
        VoluntarySwitches: uint64 voption
        /// Times that the CPU was taken from it.
        InvoluntarySwitches: uint64 voption
    }

/// How many CPUs a list such as `0-3,8` has; -1 for what is no list.
let internal countOfList (list: ReadOnlySpan<byte>) : int =
    let mutable rest = list
    let mutable count = 0L
    let mutable good = true

    while good && not rest.IsEmpty do
        let comma = rest.IndexOf ','B
        let part = if comma < 0 then rest else rest.Slice(0, comma)

        rest <-
            if comma < 0 then
                ReadOnlySpan<byte>.Empty
            else
                rest.Slice(comma + 1)

        let hyphen = part.IndexOf '-'B
        let mutable first = 0UL
        let mutable last = 0UL

        if hyphen < 0 then
            good <- Text.tryUInt64 (part, &first)
            last <- first
        else
            good <-
                Text.tryUInt64 (part.Slice(0, hyphen), &first)
                && Text.tryUInt64 (part.Slice(hyphen + 1), &last)

        // No machine has more CPUs than that, and their sum must not overflow.
        good <- good && first <= last && last < 1000000UL && not (comma >= 0 && rest.IsEmpty)

        if good then
            count <- count + int64 (last - first) + 1L

    if good && count <= 1000000L then int count else -1

let private uidName = "Uid:"B
let private cpusName = "Cpus_allowed_list:"B
let private voluntaryName = "voluntary_ctxt_switches:"B
let private involuntaryName = "nonvoluntary_ctxt_switches:"B

/// Reads the lines `Uid`, `Cpus_allowed_list`, `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches`. The kernel escapes line ends in a process's
/// name, so no name can look like one of them.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Status, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable uid = ValueNone
    let mutable cpus = ValueNone
    let mutable voluntary = ValueNone
    let mutable involuntary = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let name = cursor.Field()
        let mutable number = 0UL

        if name.SequenceEqual(ReadOnlySpan uidName) then
            if cursor.UInt64 &number && number <= uint64 UInt32.MaxValue then
                uid <- ValueSome(int64 number)
            else
                failure <- ValueSome(cursor.Bad("Uid", "the number of a user"))
        elif name.SequenceEqual(ReadOnlySpan cpusName) then
            let count = countOfList (cursor.Field())

            if count > 0 then
                cpus <- ValueSome count
            else
                failure <- ValueSome(cursor.Bad("Cpus_allowed_list", "a list of CPUs such as 0-3,8"))
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
                CpusAllowed = cpus
                VoluntarySwitches = voluntary
                InvoluntarySwitches = involuntary
            }
    | ValueNone, _ -> Error(cursor.NoLine "Uid")
