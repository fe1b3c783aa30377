/// `/sys/block`: the whole block devices, and which of them are disks of their own.
/// See Documentation/ABI/stable/sysfs-block: `device` leads to the hardware, `queue/iostats` says whether I/O is counted.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.BlockDevices

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units

/// What /sys says of the machine's block devices.
[<NoComparison>]
type Table =
    {
        /// Every whole device by its name in /proc/diskstats, and whether it is a disk. For what is not in it names decide: a
        /// disk that has just been plugged in, and all of them where there is no /sys.
        Disks: IReadOnlyDictionary<string, bool>
        /// Devices whose I/O the kernel has been told not to count.
        Uncounted: IReadOnlySet<string>
    }

/// Nothing is known.
[<CompiledName "Unknown">]
let unknown: Table =
    {
        Disks = Dictionary<string, bool>(StringComparer.Ordinal)
        Uncounted = HashSet<string>(StringComparer.Ordinal)
    }

let private isDigits (text: ReadOnlySpan<char>) =
    text.Length > 0 && not (text.ContainsAnyExceptInRange('0', '9'))

let private isLetters (text: ReadOnlySpan<char>) =
    text.Length > 0 && not (text.ContainsAnyExceptInRange('a', 'z'))

/// What follows the prefix; empty without it.
let private after (prefix: string) (name: string) : ReadOnlySpan<char> =
    if name.StartsWith(prefix, StringComparison.Ordinal) then
        name.AsSpan prefix.Length
    else
        ReadOnlySpan<char>.Empty

/// `0n1`, which follows `nvme`.
let private isNamespace (text: ReadOnlySpan<char>) =
    let between = text.IndexOf 'n'

    between >= 0
    && isDigits (text.Slice(0, between))
    && isDigits (text.Slice(between + 1))

/// Where /sys does not tell: true for `nvme0n1`, `sda`, `vda`, `xvda`, `hda`, `mmcblk0`, which are whole physical disks by
/// their names.
[<CompiledName "IsDiskByName">]
let isDiskByName (name: string) : bool =
    // By their first letter most of what a machine has is told apart at once, and all of it is asked at every sample.
    match (if name = "" then ' ' else name[0]) with
    | 'n' -> isNamespace (after "nvme" name)
    | 's' -> isLetters (after "sd" name)
    | 'v' -> isLetters (after "vd" name)
    | 'x' -> isLetters (after "xvd" name)
    | 'h' -> isLetters (after "hd" name)
    | 'm' -> isDigits (after "mmcblk" name)
    | _ -> false

/// Disks whose drivers give them no `device` although their bytes appear on no other disk: networks' (Ceph, NBD, RNBD, ATA
/// over Ethernet, PowerFlex, user space), persistent memory, mainframes' and flash without a controller.
[<CompiledName "IsDiskWithoutDevice">]
let isDiskWithoutDevice (name: string) : bool =
    isDigits (after "rbd" name)
    || isDigits (after "nbd" name)
    || isDigits (after "rnbd" name)
    || isDigits (after "ublkb" name)
    || name.StartsWith("etherd/", StringComparison.Ordinal)
    || isLetters (after "scini" name)
    || name.StartsWith("pmem", StringComparison.Ordinal)
    || isLetters (after "dasd" name)
    || name.StartsWith("ubiblock", StringComparison.Ordinal)

/// Devices that hold discs and diskettes: hardware, but not what anything is trained from.
let private isChanger (name: string) : bool =
    isDigits (after "sr" name) || isDigits (after "fd" name)

/// The head of a path of native NVMe multipath, `nvme0n1` of `nvme0c1n1`; empty for any other name.
[<CompiledName "HeadOf">]
let headOf (name: string) : string =
    // Asked of every device at every sample.
    if not (name.StartsWith("nvme", StringComparison.Ordinal)) then
        ""
    else
        let controller = name.IndexOf('c', "nvme".Length)
        let space = if controller < 0 then -1 else name.IndexOf('n', controller)

        if
            space > 0
            && isDigits (name.AsSpan("nvme".Length, controller - "nvme".Length))
            && isDigits (name.AsSpan(controller + 1, space - controller - 1))
            && isDigits (name.AsSpan(space + 1))
        then
            String.Concat(name.AsSpan(0, controller), name.AsSpan space)
        else
            ""

/// Makes sense of the files `device`, `queue/iostats`, `size` and `pid` of all devices, each below `/block/` and its name; a
/// slash in a name stands there as `!`. The text of `device`, which is a link, is where it leads.
[<CompiledName "Parse">]
let parse (files: SysText[]) : Table =
    let names = HashSet<string>(StringComparer.Ordinal)
    let devices = Dictionary<string, string>(StringComparer.Ordinal)
    let connected = HashSet<string>(StringComparer.Ordinal)
    let empty = HashSet<string>(StringComparer.Ordinal)
    let uncounted = HashSet<string>(StringComparer.Ordinal)

    for file in files do
        let at = file.Path.IndexOf("/block/", StringComparison.Ordinal)

        if at >= 0 then
            let rest = file.Path.Substring(at + "/block/".Length)
            let slash = rest.IndexOf '/'

            let name = (if slash < 0 then rest else rest.Substring(0, slash)).Replace('!', '/')
            names.Add name |> ignore

            match (if slash < 0 then "" else rest.Substring(slash + 1)) with
            | "device" ->
                let target = SysFile.text file
                devices[name] <- target.Substring(target.LastIndexOf '/' + 1)
            | "pid" -> connected.Add name |> ignore
            | "size" ->
                match SysFile.integer file "sectors" with
                | Ok 0L -> empty.Add name |> ignore
                | _ -> ()
            | "queue/iostats" ->
                match SysFile.integer file "0 or 1" with
                | Ok 0L -> uncounted.Add name |> ignore
                | _ -> ()
            | _ -> ()

    let isDisk (name: string) =
        match devices.TryGetValue name with
        // What leads to another block device is a part of that one: the boot areas of a memory card. A path of NVMe has the
        // controller below it, and its bytes are its head's.
        | true, target ->
            not (isChanger name)
            && headOf name = ""
            && not (names.Contains(target.Replace('!', '/')))
        // The driver of NBD makes sixteen devices when it is loaded, whether something is connected or not.
        | _ ->
            isDiskWithoutDevice name
            && not (empty.Contains name && not (connected.Contains name))

    let disks = Dictionary<string, bool>(StringComparer.Ordinal)

    for name in names do
        disks[name] <- isDisk name

    { Disks = disks; Uncounted = uncounted }

/// The whole device that a name would be a partition of: `sda` of `sda1`, `nvme0n1` of `nvme0n1p2`.
let private wholeOf (name: string) : string =
    let stem = name.TrimEnd([| '0' .. '9' |])

    if
        stem.Length > 1
        && stem[stem.Length - 1] = 'p'
        && Char.IsAsciiDigit stem[stem.Length - 2]
    then
        stem.Substring(0, stem.Length - 1)
    else
        stem

/// The devices without the counters of those whose I/O the kernel has been told not to count, partitions of them too: it gates all of
/// them at once, and they stand still at what they were. The same array where everything is counted.
[<CompiledName "Counted">]
let counted (table: Table) (disks: DiskStats.DiskCounters[]) : DiskStats.DiskCounters[] =
    if table.Uncounted.Count = 0 then
        disks
    else
        disks
        |> Array.map (fun disk ->
            if
                table.Uncounted.Contains disk.Device
                || table.Uncounted.Contains(wholeOf disk.Device)
            then
                { disk with
                    Reads = ValueNone
                    ReadBytes = ValueNone
                    Writes = ValueNone
                    WrittenBytes = ValueNone
                    BusyTime = ValueNone
                    Detail = ValueNone
                }
            else
                disk)

/// A sum with an unknown part is unknown.
let private sumOf (one: uint64<'u> voption) (other: uint64<'u> voption) : uint64<'u> voption = ValueOption.map2 (+) one other

let private sumOfDetail (one: DiskStats.DiskDetail) (other: DiskStats.DiskDetail) : DiskStats.DiskDetail =
    {
        ReadsMerged = one.ReadsMerged + other.ReadsMerged
        ReadTime = one.ReadTime + other.ReadTime
        WritesMerged = one.WritesMerged + other.WritesMerged
        WriteTime = one.WriteTime + other.WriteTime
        InFlight = one.InFlight + other.InFlight
        WeightedTime = one.WeightedTime + other.WeightedTime
        Discards =
            (one.Discards, other.Discards)
            ||> ValueOption.map2 (fun one other ->
                {
                    Completed = one.Completed + other.Completed
                    Merged = one.Merged + other.Merged
                    Sectors = one.Sectors + other.Sectors
                    Time = one.Time + other.Time
                })
        Flushes =
            (one.Flushes, other.Flushes)
            ||> ValueOption.map2 (fun one other ->
                {
                    Completed = one.Completed + other.Completed
                    Time = one.Time + other.Time
                })
    }

let private sum (one: DiskStats.DiskCounters) (other: DiskStats.DiskCounters) : DiskStats.DiskCounters =
    { one with
        Reads = sumOf one.Reads other.Reads
        ReadBytes = sumOf one.ReadBytes other.ReadBytes
        Writes = sumOf one.Writes other.Writes
        WrittenBytes = sumOf one.WrittenBytes other.WrittenBytes
        BusyTime = sumOf one.BusyTime other.BusyTime
        Detail = ValueOption.map2 sumOfDetail one.Detail other.Detail
    }

/// The head as its paths know it. Kernels 4.16 to 6.2 count on the paths alone, later ones on both, so the larger count is the
/// whole; where one of them does not count the other tells. The busy times of paths that work at once overlap: a head that counts its own
/// knows better. A head that has counted nothing may be one that never does, which without its paths is unknown.
let private withPaths (head: DiskStats.DiskCounters) (paths: DiskStats.DiskCounters) : DiskStats.DiskCounters =
    let isIdle (counter: uint64<'u> voption) =
        match counter with
        | ValueSome count -> uint64 count = 0UL
        | ValueNone -> true

    let isSilent =
        isIdle head.Reads
        && isIdle head.ReadBytes
        && isIdle head.Writes
        && isIdle head.WrittenBytes
        && isIdle head.BusyTime

    let larger (ofHead: uint64<'u> voption) (ofPaths: uint64<'u> voption) : uint64<'u> voption =
        match ofHead, ofPaths with
        | ValueSome one, ValueSome other -> ValueSome(max one other)
        | ValueSome _, ValueNone when isSilent -> ValueNone
        | ValueSome _, ValueNone -> ofHead
        | ValueNone, _ -> ofPaths

    { head with
        Reads = larger head.Reads paths.Reads
        ReadBytes = larger head.ReadBytes paths.ReadBytes
        Writes = larger head.Writes paths.Writes
        WrittenBytes = larger head.WrittenBytes paths.WrittenBytes
        BusyTime =
            match head.BusyTime with
            | ValueSome busy when busy > 0UL<ms> -> head.BusyTime
            | _ when paths.BusyTime.IsSome || isSilent -> paths.BusyTime
            | _ -> head.BusyTime
        // The times belong to the requests that were counted beside them.
        Detail = if isSilent then paths.Detail else head.Detail
    }

/// The devices with the counters of NVMe paths at the heads that they belong to. The same array where there are no paths.
[<CompiledName "WithHeads">]
let withHeads (disks: DiskStats.DiskCounters[]) : DiskStats.DiskCounters[] =
    let isPath (disk: DiskStats.DiskCounters) = headOf disk.Device <> ""

    if not (Array.exists isPath disks) then
        disks
    else
        let paths = Dictionary<string, DiskStats.DiskCounters>(StringComparer.Ordinal)

        for disk in disks do
            let head = headOf disk.Device

            if head <> "" then
                paths[head] <-
                    match paths.TryGetValue head with
                    | true, others -> sum others disk
                    | _ -> { disk with Device = head }

        let merged =
            disks
            |> Array.map (fun disk ->
                match paths.TryGetValue disk.Device with
                | true, ofPaths -> withPaths disk ofPaths
                | _ -> disk)

        let heads = disks |> Array.map (fun disk -> disk.Device) |> HashSet<string>
        let headless = paths.Values |> Seq.filter (fun disk -> not (heads.Contains disk.Device))
        Array.append merged (Array.ofSeq headless)

/// A device that has completed so many requests and was never busy is one whose busy time nobody counts.
[<Literal>]
let private Enough = 1000UL

/// The disk without a busy time that is none because its driver does not count it.
[<CompiledName "Truthful">]
let truthful (disk: DiskStats.DiskCounters) : DiskStats.DiskCounters =
    match disk.BusyTime, disk.Reads, disk.Writes with
    | ValueSome busy, ValueSome reads, ValueSome writes when busy = 0UL<ms> && reads + writes >= Enough ->
        { disk with BusyTime = ValueNone }
    | _ -> disk
