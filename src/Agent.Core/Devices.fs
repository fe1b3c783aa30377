/// Which block devices and network interfaces are tracked: what is found, or what the user names.
[<RequireQualifiedAccess>]
module Agent.Core.Devices

open System
open Agent.Core.Proc

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

/// True for whole physical disks: `nvme0n1`, `sda`, `vda`, `xvda`, `hda`, `mmcblk0`. Partitions, loop, ram, zram,
/// device-mapper and md devices are none: their traffic is counted on the disks below them.
[<CompiledName "IsPhysicalDisk">]
let isPhysicalDisk (name: string) : bool =
    // By their first letter most of what a machine has is told apart at once, and all of it is asked at every sample.
    match (if name = "" then ' ' else name[0]) with
    | 'n' -> isNamespace (after "nvme" name)
    | 's' -> isLetters (after "sd" name)
    | 'v' -> isLetters (after "vd" name)
    | 'x' -> isLetters (after "xvd" name)
    | 'h' -> isLetters (after "hd" name)
    | 'm' -> isDigits (after "mmcblk" name)
    | _ -> false

let rec private withoutDirectory (name: string) : string =
    let trimmed = name.Trim()

    if trimmed.StartsWith("/dev/", StringComparison.Ordinal) then
        withoutDirectory (trimmed.Substring "/dev/".Length)
    else
        trimmed

/// The names as /proc/diskstats writes them: blanks and `/dev/` removed, repeats and empty names dropped, order kept.
[<CompiledName "NormalizeDisks">]
let normalizeDisks (names: string[]) : string[] =
    names
    |> Array.map withoutDirectory
    |> Array.filter (fun name -> name <> "")
    |> Array.distinct

/// The chosen devices and the names that the user gave and the machine does not have.
[<Struct>]
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

/// The disks to track: exactly the wanted ones in their order, or all physical ones sorted by name.
[<CompiledName "SelectDisks">]
let selectDisks (wanted: string[]) (disks: DiskStats.DiskCounters[]) : Selection<DiskStats.DiskCounters> =
    choose wanted (fun disk -> disk.Device) (fun disk -> isPhysicalDisk disk.Device) disks

/// The interfaces to track: exactly the wanted ones in their order, or all but the loopback, sorted by name.
[<CompiledName "SelectInterfaces">]
let selectInterfaces (wanted: string[]) (interfaces: NetDev.InterfaceCounters[]) : Selection<NetDev.InterfaceCounters> =
    choose wanted (fun i -> i.Name) (fun i -> i.Name <> "lo") interfaces
