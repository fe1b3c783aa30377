/// Laws of the choice of devices.
module Agent.PropertyTests.DevicesLaws

open System
open System.Text
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Proc
open Expecto
open FsCheck
open FsCheck.FSharp

let private wholeDisks = [ "sda"; "sdab"; "vdb"; "xvda"; "hdc"; "nvme0n1"; "nvme10n2"; "mmcblk0" ]

let private number = Gen.choose (0, 99)

/// A partition of any kind of disk, or a device whose traffic is counted on the disks below it.
let private noDisk: Gen<string> =
    gen {
        let! n = number
        let! p = Gen.choose (1, 99)
        let! letter = Gen.elements [ 'a' .. 'z' ]

        return!
            Gen.elements
                [
                    $"sd{letter}{p}"
                    $"vd{letter}{p}"
                    $"xvd{letter}{p}"
                    $"hd{letter}{p}"
                    $"nvme{n}n{n}p{p}"
                    $"nvme{n}c{n}n{n}"
                    $"mmcblk{n}p{p}"
                    $"mmcblk{n}boot{n}"
                    $"loop{n}"
                    $"ram{n}"
                    $"zram{n}"
                    $"dm-{n}"
                    $"md{n}"
                    $"md{n}p{p}"
                    $"sr{n}"
                    $"nbd{n}"
                ]
    }

let private userNames: Gen<string[]> =
    upTo
        5
        (Gen.frequency
            [
                3, Gen.elements [ "sda"; "nvme0n1"; "/dev/sda"; " sdb "; ""; " "; "/dev/"; "/dev/mapper/root" ]
                1, noDisk
                1, Gen.map2 (+) (Gen.elements [ "/dev/"; "/dev//dev/"; " /dev/ "; "/" ]) word
            ])

let private disks: Gen<DiskStats.DiskCounters[]> =
    upTo 6 (Gen.zip (Gen.frequency [ 2, Gen.elements wholeDisks; 1, noDisk; 1, word ]) DiskStatsLaws.disk)
    |> Gen.map (fun found ->
        found
        |> Array.map (fun (name, disk) -> { disk with Device = name })
        |> Array.distinctBy (fun disk -> disk.Device))

/// A namespace of NVMe with some paths, as kernels that count on the paths alone show it, and as those that count on both.
let private multipath: Gen<DiskStats.DiskCounters[] * DiskStats.DiskCounters[] * DiskStats.DiskCounters> =
    gen {
        let! paths = Gen.choose (1, 4)
        // Small enough for a sum of four of them.
        let number = Gen.choose64 (0L, 1L <<< 60) |> Gen.map uint64
        let! columns = Gen.arrayOfLength paths (Gen.arrayOfLength 5 number)

        let disk name (columns: uint64[]) : DiskStats.DiskCounters =
            {
                Device = name
                Reads = ValueSome columns[0]
                ReadBytes = ValueSome(LanguagePrimitives.UInt64WithMeasure columns[1])
                Writes = ValueSome columns[2]
                WrittenBytes = ValueSome(LanguagePrimitives.UInt64WithMeasure columns[3])
                BusyTime = ValueSome(LanguagePrimitives.UInt64WithMeasure columns[4])
                Detail = ValueNone
            }

        let ofPaths = columns |> Array.mapi (fun i columns -> disk $"nvme0c{i}n1" columns)
        let sum = Array.init 5 (fun i -> columns |> Array.sumBy (fun columns -> columns[i]))
        let whole = disk "nvme0n1" sum
        let! order = Gen.elements [ id; Array.rev ]
        return order (Array.append ofPaths [| disk "nvme0n1" (Array.zeroCreate 5) |]), order (Array.append ofPaths [| whole |]), whole
    }

/// What a machine has of interfaces, each with its files of /sys and what it counted.
type private Link =
    {
        Name: string
        Files: string list
        Bytes: uint64
    }

/// Ports of a machine, their bytes shared out at random over bonds, VLANs, bridges, containers and tunnels on top. The files
/// say what is stacked on what; the names say nothing.
let private network: Gen<Link list * uint64> =
    gen {
        let! ports = Gen.choose (1, 4)
        let! bytes = Gen.listOfLength ports (Gen.choose64 (0L, 1L <<< 50) |> Gen.map uint64)
        let! bonded = Gen.elements [ true; false ]
        let! hasDevice = Gen.frequency [ 3, Gen.constant true; 1, Gen.constant false ]
        let! vlans = Gen.choose (0, 3)
        let! bridged = Gen.elements [ true; false ]
        let! containers = Gen.choose (0, 3)
        let! tunnels = Gen.choose (0, 2)
        let! share = Gen.choose64 (0L, 1L <<< 50) |> Gen.map uint64
        let! shift = Gen.choose (0, 100)
        let total = List.sum bytes

        let links =
            [
                {
                    Name = "lo"
                    Files = [ "type=772" ]
                    Bytes = share
                }
                for i, bytes in List.indexed bytes do
                    {
                        Name = $"p{i}"
                        Files =
                            [
                                if hasDevice then
                                    "device=../../0000:01:00.0"
                                if bonded then
                                    "master=../b"
                            ]
                        Bytes = bytes
                    }
                if bonded then
                    {
                        Name = "b"
                        Files = "bonding=" :: [ for i in 0 .. ports - 1 -> $"lower_p{i}=" ]
                        Bytes = total
                    }
                let below = if bonded then "b" else "p0"

                for i in 0 .. vlans - 1 do
                    {
                        Name = $"v{i}"
                        Files =
                            [
                                "uevent=DEVTYPE=vlan"
                                $"lower_{below}="
                                if bridged then
                                    "master=../x"
                            ]
                        Bytes = share / 2UL
                    }

                if bridged || containers > 0 then
                    {
                        Name = "x"
                        Files = [ "bridge=" ]
                        Bytes = share
                    }

                for i in 0 .. containers - 1 do
                    {
                        Name = $"c{i}"
                        Files = [ "ifindex=7"; "iflink=8"; "master=../x" ]
                        Bytes = share / 3UL
                    }

                for i in 0 .. tunnels - 1 do
                    {
                        Name = $"t{i}"
                        Files = [ "tun_flags=0x1001" ]
                        Bytes = share / 5UL
                    }
            ]

        // In any order.
        let links = links |> List.permute (fun i -> (i + shift) % links.Length)
        return links, total
    }

let private filesOf (links: Link list) : SysText[] =
    [|
        for link in links do
            for file in "=" :: link.Files do
                let at = file.IndexOf '='

                {
                    Path = $"/sys/class/net/{link.Name}/{file.Substring(0, at)}".TrimEnd '/'
                    Content = Ok(ReadOnlyMemory(Encoding.UTF8.GetBytes(file.Substring(at + 1) + "\n")))
                }
    |]

let private countersOf (links: Link list) : NetDev.InterfaceCounters[] =
    let traffic bytes : NetDev.Traffic =
        {
            Bytes = LanguagePrimitives.UInt64WithMeasure bytes
            Packets = 0UL
            Errors = 0UL
            Dropped = 0UL
        }

    [|
        for link in links do
            {
                Name = link.Name
                Received = traffic link.Bytes
                Sent = traffic 0UL
                Detail = ValueNone
            }
    |]

let private receivedOf (interfaces: NetDev.InterfaceCounters[]) =
    interfaces |> Array.sumBy (fun i -> uint64 i.Received.Bytes)

let tests =
    testList
        "Devices"
        [
            law "normalizing names twice is normalizing them once" userNames (fun names ->
                let once = Devices.normalizeDisks names
                same (Devices.normalizeDisks once) once)
            law "normalized names are trimmed, without /dev/, not empty and unique" userNames (fun names ->
                let normal = Devices.normalizeDisks names

                normal = Array.distinct normal
                && normal
                   |> Array.forall (fun name ->
                       name <> ""
                       && name = name.Trim()
                       && not (name.StartsWith("/dev/", StringComparison.Ordinal))))
            law "every whole disk is one, with or without the blanks of a user" (Gen.elements wholeDisks) (fun name ->
                Devices.isDisk BlockDevices.unknown name
                && Devices.normalizeDisks [| $" /dev/{name} " |] = [| name |])
            law "no partition, loop, ram, md or mapped device is a physical disk" noDisk (Devices.isDisk BlockDevices.unknown >> not)
            law "without a choice only physical disks are tracked, sorted, none missing" disks (fun disks ->
                let selection = Devices.selectDisks BlockDevices.unknown [||] disks
                let names = selection.Tracked |> Array.map (fun disk -> disk.Device)

                // Paths of NVMe stand for their heads.
                let physical =
                    BlockDevices.withHeads disks
                    |> Array.map (fun disk -> disk.Device)
                    |> Array.filter (Devices.isDisk BlockDevices.unknown)

                selection.Missing = [||]
                && same names (Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) physical))
            law "a choice is tracked in the user's order, and what is not there is told" (Gen.zip userNames disks) (fun (wanted, disks) ->
                let wanted = Devices.normalizeDisks wanted

                wanted.Length = 0
                || (let selection = Devices.selectDisks BlockDevices.unknown wanted disks

                    let isThere name =
                        BlockDevices.withHeads disks |> Array.exists (fun disk -> disk.Device = name)

                    same (selection.Tracked |> Array.map (fun disk -> disk.Device)) (Array.filter isThere wanted)
                    && same selection.Missing (Array.filter (isThere >> not) wanted)))
            law
                "the loopback is tracked only when it is asked for"
                (Gen.zip (upTo 4 NetDevLaws.networkInterface) NetDevLaws.networkInterface)
                (fun (others, loopback) ->
                    let all = Array.append others [| { loopback with Name = "lo" } |]
                    let byDefault = (Devices.selectInterfaces [||] all).Tracked
                    let asked = (Devices.selectInterfaces [| "lo" |] all).Tracked

                    not (byDefault |> Array.exists (fun i -> i.Name = "lo"))
                    && byDefault.Length = (others |> Array.filter (fun i -> i.Name <> "lo")).Length
                    && asked |> Array.map (fun i -> i.Name) = [| "lo" |])
            law "of NVMe paths each byte counts once, on old kernels and on new ones" multipath (fun (old, recent, whole) ->
                // As the kernel lists them: the head and each path with something below it.
                let listed =
                    BlockDevices.parse
                        [|
                            for disk in old do
                                {
                                    Path = $"/sys/block/{disk.Device}/device"
                                    Content = Ok(ReadOnlyMemory "../../nvme0\n"B)
                                }
                        |]

                let headOf blocks disks =
                    (Devices.selectDisks blocks [||] disks).Tracked

                let uncounted names =
                    { listed with
                        Uncounted = System.Collections.Generic.HashSet<string>(Seq.ofArray names)
                    }

                let paths = old |> Array.map _.Device |> Array.filter (fun name -> name <> whole.Device)

                [ BlockDevices.unknown; listed ]
                |> List.forall (fun blocks -> same (headOf blocks old) [| whole |] && same (headOf blocks recent) [| whole |])
                // Which of them does not count makes no difference while another does.
                && same (headOf (uncounted [| whole.Device |]) old) [| whole |]
                && (whole.Reads = ValueSome 0UL
                    || same (headOf (uncounted paths) recent) [| whole |])
                && (Array.head (headOf (uncounted (Array.append paths [| whole.Device |])) recent)).ReadBytes.IsNone)
            law "what came in over the ports counts once, whatever is stacked on them" network (fun (links, total) ->
                let tracked = (Devices.selectInterfaces [||] (countersOf links)).Tracked
                let counted = Devices.counted (NetClass.parse (filesOf links)) [||] tracked
                same (receivedOf counted) total)
            law
                "a reading without one line either says so or has the total all the same"
                (Gen.zip3 network (Gen.choose (0, 99)) (Gen.elements [ true; false ]))
                (fun ((links, total), place, isNamed) ->
                    let lost = links[place % links.Length].Name

                    let fault: ParseError =
                        {
                            Source = NetDev.Source
                            Line = 3
                            Field = if isNamed then $"rx bytes of {lost}" else "the last line"
                            Raw = ""
                            Expected = "a line end"
                        }

                    let known = NetClass.parse (filesOf links)

                    let tracked =
                        (Devices.selectInterfaces [||] (countersOf (links |> List.filter (fun link -> link.Name <> lost)))).Tracked

                    let counted = Devices.counted known [||] tracked
                    let isWhole = Devices.isWhole known [||] tracked counted [| fault |]

                    (not isWhole || same (receivedOf counted) total)
                    && (isNamed || not isWhole)
                    && (lost <> "lo" || not isNamed || isWhole))
            law
                "an interface that has just come adds to no total that another one follows"
                (Gen.zip network (Gen.elements [ "ens9"; "veth77"; "docker3"; "tap0"; "x.5"; "dummy1" ]))
                (fun ((links, total), name) ->
                    let known = NetClass.parse (filesOf links)
                    let earlier = (Devices.selectInterfaces [||] (countersOf links)).Tracked

                    let later =
                        countersOf (
                            {
                                Name = name
                                Files = []
                                Bytes = 1UL <<< 51
                            }
                            :: links
                        )

                    let tracked = (Devices.selectInterfaces [||] later).Tracked
                    let counted = Devices.counted known [||] tracked

                    let reading tracked : Devices.NetworkReading =
                        {
                            Known = known
                            Interfaces = tracked
                            Faults = [||]
                        }

                    // The total over no interface is unknown, and nothing grows from there.
                    Devices.counted known [||] earlier = [||]
                    || not (Devices.areContinued [||] (reading earlier) (reading tracked) counted)
                    || same (receivedOf counted) total)
            law "the interfaces that the user names are taken at the word" network (fun (links, _) ->
                let all = countersOf links
                let names = all |> Array.map (fun i -> i.Name)
                let tracked = (Devices.selectInterfaces names all).Tracked
                same (Devices.counted (NetClass.parse (filesOf links)) names tracked) all)
            law "the order of what /sys lists does not matter" network (fun (links, _) ->
                let tracked = countersOf links
                let files = filesOf links

                same
                    (Devices.counted (NetClass.parse files) [||] tracked)
                    (Devices.counted (NetClass.parse (Array.rev files)) [||] tracked))
        ]
