/// `/proc/PID/cgroup`: the control groups that a process belongs to, `hierarchy:controllers:path` on each line.
/// See cgroups(7). Version 2 has the one line `0::/path`; version 1 one line for each hierarchy; hybrid systems have both.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ProcessCgroup

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/PID/cgroup"

/// One line.
[<NoComparison>]
type Membership =
    {
        /// The hierarchy's number; 0 is version 2.
        Hierarchy: int
        /// `cpu,cpuacct`, or `name=systemd`; empty for version 2.
        Controllers: string
        /// From the root of the hierarchy, as the reader's cgroup namespace shows it: `/..` leads out of that.
        Path: string
    }

    /// True for version 2.
    member membership.IsUnified: bool = membership.Hierarchy = 0 && membership.Controllers = ""

/// What the kernel appends to the path of a cgroup that was removed while the process was in it.
let private deleted = " (deleted)"

/// Reads every line. A path may contain colons, and no line ends.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<Membership[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let memberships = ResizeArray<Membership>()

    while cursor.NextLine() do
        let line = cursor.Line
        let first = line.IndexOf ':'B
        let second = if first < 0 then -1 else line.Slice(first + 1).IndexOf ':'B
        let mutable hierarchy = 0UL

        if second < 0 then
            faults.Add(cursor.Bad("controllers", "a number, controllers and a path, with colons between"))
        elif
            not (Text.tryUInt64 (line.Slice(0, first), &hierarchy))
            || hierarchy > uint64 Int32.MaxValue
        then
            faults.Add(cursor.Bad("hierarchy", "a whole number"))
        else
            let path = Text.toString (line.Slice(first + second + 2))

            if not (path.StartsWith '/') then
                faults.Add(cursor.Bad("path", "a path that starts with /"))
            else
                memberships.Add
                    {
                        Hierarchy = int hierarchy
                        Controllers = Text.toString (line.Slice(first + 1, second))
                        Path =
                            if path.EndsWith(deleted, StringComparison.Ordinal) then
                                path.Substring(0, path.Length - deleted.Length)
                            else
                                path
                    }

    faults.AddTorn &cursor
    faults.AroundAny memberships

/// The membership in the hierarchy that has a controller, such as `memory`; none where version 1 does not have it.
[<CompiledName "Of">]
let ofController (controller: string) (memberships: Membership[]) : Membership voption =
    memberships
    |> Array.tryFind (fun membership -> membership.Controllers.Split(',') |> Array.contains controller)
    |> ValueOption.ofOption

/// The membership in the hierarchy of version 2; none where there is none.
[<CompiledName "Unified">]
let unified (memberships: Membership[]) : Membership voption =
    memberships |> Array.tryFind _.IsUnified |> ValueOption.ofOption
