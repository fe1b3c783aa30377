/// Laws of the choice of devices.
module Agent.PropertyTests.DevicesLaws

open System
open Agent.Core
open Agent.Core.Proc
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
                Devices.isPhysicalDisk name
                && Devices.normalizeDisks [| $" /dev/{name} " |] = [| name |])
            law "no partition, loop, ram, md or mapped device is a physical disk" noDisk (Devices.isPhysicalDisk >> not)
            law "without a choice only physical disks are tracked, sorted, none missing" disks (fun disks ->
                let selection = Devices.selectDisks [||] disks
                let names = selection.Tracked |> Array.map (fun disk -> disk.Device)

                let physical =
                    disks
                    |> Array.map (fun disk -> disk.Device)
                    |> Array.filter Devices.isPhysicalDisk

                selection.Missing = [||]
                && same names (Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) physical))
            law "a choice is tracked in the user's order, and what is not there is told" (Gen.zip userNames disks) (fun (wanted, disks) ->
                let wanted = Devices.normalizeDisks wanted

                wanted.Length = 0
                || (let selection = Devices.selectDisks wanted disks

                    let isThere name =
                        disks |> Array.exists (fun disk -> disk.Device = name)

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
        ]
