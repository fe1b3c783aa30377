/// `/proc/mdstat`: the arrays of the md driver. See md(4).
[<RequireQualifiedAccess>]
module internal Agent.Sender.SoftwareRaid

open System
open Agent.Core
open Agent.Outbound

let private family labels name help =
    Family.labelled labels MetricKind.Gauge ("node_md_" + name) help

let private device = [| "device" |]
let private deviceAndState = [| "device"; "state" |]

let private disks = family deviceAndState "disks" "Number of active/failed/spare disks of device."

let private required = family device "disks_required" "Total number of disks of device."
let private blocks = family device "blocks" "Total number of blocks on device."

let private synced = family device "blocks_synced" "Number of blocks synced on device."

let private state = family deviceAndState "state" "Indicates the state of md-device."

let private states = [| "active"; "inactive"; "recovering"; "resync"; "check" |]

/// What the driver calls its work, and the state that it is.
let private works =
    [|
        "recovery", "recovering"
        "resync", "resync"
        "check", "check"
        // node_exporter has no state for it.
        "reshape", "active"
    |]

/// An array as far as it was read.
[<Sealed>]
type private MdArray(name: string, isActive: bool) =
    member _.Name: string = name
    member _.IsActive: bool = isActive
    member val State = (if isActive then "active" else "inactive") with get, set
    member val Members = 0.0 with get, set
    member val Failed = 0.0 with get, set
    member val Spare = 0.0 with get, set
    /// Not counted by a level without redundancy: all of them are needed.
    member val Required = nan with get, set
    member val Active = nan with get, set
    /// Not a number until the line that says so.
    member val Blocks = nan with get, set
    member val Synced = nan with get, set

let private orElse (other: float) (value: float) =
    if Double.IsNaN value then other else value

let private tellArray (figures: Figures) (array: MdArray) =
    if not (Double.IsNaN array.Blocks) then
        let name = [| array.Name |]

        let counted value =
            if array.IsActive then orElse array.Members value else 0.0

        figures.Add(disks, [| array.Name; "active" |], counted array.Active)
        figures.Add(disks, [| array.Name; "failed" |], array.Failed)
        figures.Add(disks, [| array.Name; "spare" |], array.Spare)
        figures.Add(required, name, counted array.Required)
        figures.Add(blocks, name, array.Blocks)
        figures.Add(synced, name, orElse array.Blocks array.Synced)

        for one in states do
            figures.Add(state, [| array.Name; one |], (if one = array.State then 1.0 else 0.0))

/// Two numbers with a slash between them, between these characters: `[8/7]`, `(1234/5678)`.
let private tryPair (line: ReadOnlySpan<byte>, opening: byte, closing: byte, first: byref<float>, second: byref<float>) : bool =
    let mutable rest = line
    let mutable isFound = false

    while not isFound && not rest.IsEmpty do
        match rest.IndexOf opening with
        | -1 -> rest <- ReadOnlySpan<byte>.Empty
        | from ->
            rest <- rest.Slice(from + 1)
            let past = rest.IndexOf closing
            let slash = if past < 0 then -1 else rest.Slice(0, past).IndexOf '/'B

            isFound <-
                slash > 0
                && Text.tryDecimal (rest.Slice(0, slash), &first)
                && Text.tryDecimal (rest.Slice(slash + 1, past - slash - 1), &second)

    isFound

/// `md0 : active raid1 sda1[0] sdb1[1](F) sdc1[2](S)`
let private readMembers (array: MdArray) (cursor: byref<Cursor>) =
    while not (cursor.Field().IsEmpty) do
        if cursor.Last.IndexOf '['B > 0 then
            if cursor.Last.EndsWith("(F)"B.AsSpan()) then
                array.Failed <- array.Failed + 1.0
            elif cursor.Last.EndsWith("(S)"B.AsSpan()) then
                array.Spare <- array.Spare + 1.0
            else
                array.Members <- array.Members + 1.0

let private tell _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "mdstat" texts).Span)
    let mutable array = MdArray("", false)

    while cursor.NextLine() do
        let line = cursor.Line
        let first = cursor.Field()
        let mutable one = 0.0
        let mutable other = 0.0

        if not line.IsEmpty && not (Text.isBlank line[0]) then
            tellArray figures array
            let hasColon = cursor.Field().SequenceEqual(":"B.AsSpan())
            let isActive = cursor.Field().SequenceEqual("active"B.AsSpan())

            // Another line is about no array, and nor is what follows it.
            array <- MdArray((if hasColon then Text.toString first else ""), isActive)
            readMembers array &cursor
        elif
            array.Name <> ""
            && cursor.Field().SequenceEqual("blocks"B.AsSpan())
            && Text.tryDecimal (first, &one)
        then
            array.Blocks <- one

            if tryPair (line, '['B, ']'B, &one, &other) then
                array.Required <- one
                array.Active <- other
        else
            for word, state in works do
                if
                    line.IndexOf '='B >= 0
                    && (Text.toString line).Contains(word, StringComparison.Ordinal)
                then
                    array.State <- state
                    // `resync=DELAYED`: it has not begun.
                    array.Synced <-
                        if tryPair (line, '('B, ')'B, &one, &other) then
                            one
                        else
                            0.0

    tellArray figures array

/// The collectors.
let all: Collector[] = [| Collector("mdadm", true, [| FileSet.Proc("", [| "mdstat" |]) |], tell) |]
