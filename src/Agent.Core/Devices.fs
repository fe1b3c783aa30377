/// Which block devices and network interfaces are tracked: those that exist, or those that the user names.
[<RequireQualifiedAccess>]
module Agent.Core.Devices

open System
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// What /sys says of the machine's devices.
[<NoComparison>]
type Known =
    {
        /// Of block devices.
        Blocks: BlockDevices.Table
        /// Of network interfaces.
        Interfaces: NetClass.Table
    }

/// Where /sys says nothing, names decide.
[<CompiledName "Unknown">]
let unknown: Known =
    {
        Blocks = BlockDevices.unknown
        Interfaces = NetClass.unknown
    }

/// True for the disks that are tracked where the user names none: by /sys the whole devices with hardware below them and the
/// disks of networks, by their names where /sys does not tell.
[<CompiledName "IsDisk">]
let isDisk (blocks: BlockDevices.Table) (name: string) : bool =
    match blocks.Disks.TryGetValue name with
    | true, isDisk -> isDisk
    | _ -> BlockDevices.isDiskByName name

let rec private withoutDirectory (name: string) : string =
    let trimmed = name.Trim()

    if trimmed.StartsWith("/dev/", StringComparison.Ordinal) then
        withoutDirectory (trimmed.Substring "/dev/".Length)
    else
        trimmed

/// The names as in /proc/diskstats: blanks and `/dev/` removed, repeats and empty names dropped, order kept.
[<CompiledName "NormalizeDisks">]
let normalizeDisks (names: string[]) : string[] =
    names
    |> Array.map withoutDirectory
    |> Array.filter (fun name -> name <> "")
    |> Array.distinct

/// The chosen devices and the names that the user gave and the machine does not have.
[<Struct; NoComparison>]
type Selection<'device> =
    {
        /// In the user's order, or sorted by name.
        Tracked: 'device[]
        /// Names without a device.
        Missing: string[]
    }

let private isSorted (nameOf: 'device -> string) (devices: 'device[]) =
    let mutable i = 1

    while i < devices.Length
          && String.CompareOrdinal(nameOf devices[i - 1], nameOf devices[i]) <= 0 do
        i <- i + 1

    i >= devices.Length

let private choose (wanted: string[]) (nameOf: 'device -> string) (isDefault: 'device -> bool) (all: 'device[]) =
    if wanted.Length > 0 then
        let wanted = Array.distinct wanted

        let find name =
            all |> Array.tryFind (fun device -> nameOf device = name)

        {
            Tracked = wanted |> Array.choose find
            Missing = wanted |> Array.filter (fun name -> (find name).IsNone)
        }
    else
        let tracked = all |> Array.filter isDefault

        // One needs no order, and the kernel mostly names several in theirs.
        if not (isSorted nameOf tracked) then
            Array.Sort(tracked, (fun a b -> String.CompareOrdinal(nameOf a, nameOf b)))

        { Tracked = tracked; Missing = [||] }

/// The disks to track: exactly the wanted ones in their order, or all disks of the machine sorted by name. Paths of NVMe
/// count at their heads, and what is not counted is none.
[<CompiledName "SelectDisks">]
let selectDisks (blocks: BlockDevices.Table) (wanted: string[]) (disks: DiskStats.DiskCounters[]) : Selection<DiskStats.DiskCounters> =
    let selection: Selection<DiskStats.DiskCounters> =
        choose
            wanted
            (fun disk -> disk.Device)
            (fun disk -> isDisk blocks disk.Device)
            (disks |> BlockDevices.counted blocks |> BlockDevices.withHeads)

    for i in 0 .. selection.Tracked.Length - 1 do
        selection.Tracked[i] <- BlockDevices.truthful selection.Tracked[i]

    selection

/// The interfaces to track: exactly the wanted ones in their order, or all but the loopback, sorted by name.
[<CompiledName "SelectInterfaces">]
let selectInterfaces (wanted: string[]) (interfaces: NetDev.InterfaceCounters[]) : Selection<NetDev.InterfaceCounters> =
    choose wanted (fun i -> i.Name) (fun i -> i.Name <> "lo") interfaces

/// Which of the tracked interfaces count in the totals: all that the user named; else those that carry what enters and leaves
/// the machine, each byte once.
[<CompiledName "Counted">]
let counted (interfaces: NetClass.Table) (wanted: string[]) (tracked: NetDev.InterfaceCounters[]) : NetDev.InterfaceCounters[] =
    if wanted.Length > 0 then
        tracked
    else
        let mutable first = NetClass.Layer.Never
        let mutable count = 0

        for i in tracked do
            let layer = (NetClass.ofName interfaces i.Name).Layer

            if layer < first then
                first <- layer
                count <- 1
            elif layer = first then
                count <- count + 1

        if first = NetClass.Layer.Never then
            [||]
        elif count = tracked.Length then
            tracked
        else
            tracked
            |> Array.filter (fun i -> (NetClass.ofName interfaces i.Name).Layer = first)

/// The interface in whose line a fault of /proc/net/dev is, told as `rx bytes of eth0`; empty where the line does not say.
let private ownerOf (fault: ParseError) : string =
    match fault.Field.IndexOf(" of ", StringComparison.Ordinal) with
    | -1 -> ""
    | at -> fault.Field.Substring(at + " of ".Length)

/// False when a line of /proc/net/dev that could not be read may be one of an interface that counts: a total with an unknown
/// part is unknown. Faults of other files are ignored. A line that does not say whose it is may be anybody's, and so may those beyond
/// the faults that are kept.
[<CompiledName "IsWhole">]
let isWhole
    (interfaces: NetClass.Table)
    (wanted: string[])
    (tracked: NetDev.InterfaceCounters[])
    (counted: NetDev.InterfaceCounters[])
    (faults: ParseError[])
    : bool =
    let isThere (name: string) =
        tracked |> Array.exists (fun i -> i.Name = name)

    let mayCount (name: string) =
        if wanted.Length > 0 then
            wanted
            |> Array.exists (fun one -> (name = "" || name = one) && not (isThere one))
        elif name = "" then
            true
        else
            let layer = (NetClass.ofName interfaces name).Layer

            layer <> NetClass.Layer.Never
            && counted
               |> Array.forall (fun i -> layer <= (NetClass.ofName interfaces i.Name).Layer)

    let ofNetwork = faults |> Array.filter (fun fault -> fault.Source = NetDev.Source)

    ofNetwork.Length = 0
    || not (
        (ofNetwork.Length >= Parsed.MostFaults && mayCount "")
        || ofNetwork |> Array.exists (ownerOf >> mayCount)
    )

let private areSameNames (one: NetDev.InterfaceCounters[]) (other: NetDev.InterfaceCounters[]) =
    let mutable i = 0

    while i < one.Length && i < other.Length && one[i].Name = other[i].Name do
        i <- i + 1

    i = one.Length && i = other.Length

/// What of a reading of /proc/net/dev decides its totals.
[<Struct; NoComparison; NoEquality>]
type NetworkReading =
    {
        /// What /sys said then.
        Known: NetClass.Table
        /// All interfaces.
        Interfaces: NetDev.InterfaceCounters[]
        /// The faults of the reading.
        Faults: ParseError[]
    }

/// False when one of the counted interfaces did not count in the reading before, whose total is known: it brings along all that it counted
/// elsewhere, in another network namespace or below another interface, and none of that moved since. What came after /sys was read is judged
/// by its name alone, and may carry what another one counts already.
[<CompiledName "AreContinued">]
let areContinued (wanted: string[]) (before: NetworkReading) (now: NetworkReading) (countedNow: NetDev.InterfaceCounters[]) : bool =
    // As nearly always.
    if
        Object.ReferenceEquals(before.Known, now.Known)
        && areSameNames before.Interfaces now.Interfaces
    then
        true
    else
        let tracked = (selectInterfaces wanted before.Interfaces).Tracked
        let countedBefore = counted before.Known wanted tracked

        countedBefore.Length = 0
        || not (isWhole before.Known wanted tracked countedBefore before.Faults)
        || countedNow
           |> Array.forall (fun one -> countedBefore |> Array.exists (fun other -> other.Name = one.Name))
