module Agent.Core.Tests.Sys.BlockDevicesTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private disk name reads readBytes busy : DiskStats.DiskCounters =
    {
        Device = name
        Reads = ValueSome reads
        ReadBytes = ValueSome readBytes
        Writes = ValueSome(reads * 2UL)
        WrittenBytes = ValueSome(readBytes * 2UL)
        BusyTime = ValueSome busy
        Detail = ValueNone
    }

/// A disk of which nothing is counted.
let private uncounted name : DiskStats.DiskCounters =
    {
        Device = name
        Reads = ValueNone
        ReadBytes = ValueNone
        Writes = ValueNone
        WrittenBytes = ValueNone
        BusyTime = ValueNone
        Detail = ValueNone
    }

/// Devices by name, where their `device` leads ("" for no such link), and more files of them.
let private table (devices: (string * string * (string * string) list) list) : BlockDevices.Table =
    BlockDevices.parse
        [|
            for name, device, more in devices do
                sysText $"/sys/block/{name}" "\n"

                if device <> "" then
                    sysText $"/sys/block/{name}/device" (device + "\n")

                for file, content in more do
                    sysText $"/sys/block/{name}/{file}" content
        |]

let private tracked (table: BlockDevices.Table) (names: string list) =
    [
        for name in names do
            if Devices.isDisk table name then
                name
    ]

[<Tests>]
let tests =
    testList
        "Sys.BlockDevices"
        [
            testCase "a whole device with hardware below it is a disk, whatever its name"
            <| fun () ->
                let devices =
                    table
                        [
                            for name in
                                [
                                    "sata1"
                                    "sda"
                                    "nvme0n1"
                                    "xvda1"
                                    "vda"
                                    "mmcblk0"
                                    "dasda"
                                    "cciss!c0d0"
                                    "rssda"
                                    "hda"
                                ] -> name, "../../../0:0:0:0", []
                        ]

                Expect.equal
                    (tracked
                        devices
                        [
                            "sata1"
                            "sata1p1"
                            "sda"
                            "sda1"
                            "nvme0n1"
                            "nvme0n1p1"
                            "xvda1"
                            "cciss/c0d0"
                            "cciss/c0d0p1"
                            "rssda"
                        ])
                    [ "sata1"; "sda"; "nvme0n1"; "xvda1"; "cciss/c0d0"; "rssda" ]
                    "not the partitions, which are not in /sys/block"

            testCase "what is made of other disks or of memory is none"
            <| fun () ->
                let names =
                    [
                        "dm-0"
                        "md0"
                        "md127"
                        "loop0"
                        "zram0"
                        "ram0"
                        "zd0"
                        "bcache0"
                        "drbd0"
                        "nullb0"
                    ]

                Expect.equal (tracked (table [ for name in names -> name, "", [] ]) names) [] "none"

            testCase "disks of networks and of persistent memory are disks without hardware"
            <| fun () ->
                let names =
                    [
                        "rbd0"
                        "nbd3"
                        "rnbd0"
                        "ublkb0"
                        "etherd!e1.1"
                        "pmem0"
                        "pmem0s"
                        "dasdb"
                        "scinia"
                        "ubiblock0_1"
                    ]

                Expect.equal
                    (tracked (table [ for name in names -> name, "", [] ]) [ yield! names; "etherd/e1.1" ])
                    [
                        "rbd0"
                        "nbd3"
                        "rnbd0"
                        "ublkb0"
                        "pmem0"
                        "pmem0s"
                        "dasdb"
                        "scinia"
                        "ubiblock0_1"
                        "etherd/e1.1"
                    ]
                    "all, by the names of /proc/diskstats"

            testCase "an NBD that nothing is connected to is none"
            <| fun () ->
                let devices =
                    table
                        [
                            "nbd0", "", [ "size", "0\n" ]
                            "nbd1", "", [ "size", "2097152\n" ]
                            "nbd2", "", [ "size", "0\n"; "pid", "4711\n" ]
                        ]

                Expect.equal (tracked devices [ "nbd0"; "nbd1"; "nbd2" ]) [ "nbd1"; "nbd2" ] "connected"

            testCase "boot areas of a memory card, discs and diskettes are none"
            <| fun () ->
                let devices =
                    table
                        [
                            "mmcblk0", "../../mmc0:0001", []
                            "mmcblk0boot0", "../../mmcblk0", []
                            "sr0", "../../1:0:0:0", []
                            "fd0", "../../floppy.0", []
                        ]

                Expect.equal (tracked devices [ "mmcblk0"; "mmcblk0boot0"; "sr0"; "fd0" ]) [ "mmcblk0" ] "the card"

            testCase "of native NVMe multipath the head is a disk, its paths are none though a controller is below them"
            <| fun () ->
                let devices =
                    table
                        [
                            "nvme0n1", "../../nvme-subsystem/nvme-subsys0", []
                            "nvme0c0n1", "../../nvme0", []
                            "nvme0c1n1", "../../nvme1", []
                        ]

                Expect.equal (tracked devices [ "nvme0c0n1"; "nvme0c1n1"; "nvme0n1" ]) [ "nvme0n1" ] "once"

            testCase "what /sys does not have goes by its name"
            <| fun () ->
                let whole =
                    [
                        "nvme0n1"
                        "nvme10n2"
                        "sda"
                        "sdz"
                        "sdaa"
                        "vda"
                        "xvda"
                        "hda"
                        "mmcblk0"
                        "mmcblk12"
                    ]

                let others =
                    [
                        "nvme0n1p1"
                        "nvme0c0n1"
                        "nvme0"
                        "nvmen1"
                        "sda1"
                        "sd"
                        "sdA"
                        "vda1"
                        "xvda1"
                        "hda1"
                        "mmcblk0p1"
                        "mmcblk0boot0"
                        "mmcblk"
                        "loop0"
                        "ram0"
                        "zram0"
                        "dm-0"
                        "md0"
                        "md127"
                        "sr0"
                        "nbd0"
                        "fd0"
                        "cciss/c0d0"
                        "dasda"
                        ""
                    ]

                Expect.equal (tracked BlockDevices.unknown (whole @ others)) whole "without /sys"
                Expect.equal (tracked (table [ "md0", "", [] ]) [ "sdb"; "md0"; "sdb1" ]) [ "sdb" ] "just plugged in"

            testCase "paths of NVMe belong to their head"
            <| fun () ->
                for name, head in
                    [
                        "nvme0c0n1", "nvme0n1"
                        "nvme12c3n45", "nvme12n45"
                        "nvme0n1", ""
                        "nvme0c0n1p1", ""
                        "nvmec0n1", ""
                        "nvme0cn1", ""
                        "nvme0c0n", ""
                        "xvme0c0n1", ""
                        "", ""
                    ] do
                    Expect.equal (BlockDevices.headOf name) head name

            testCase "a kernel that counts on the paths alone: the head has their sum"
            <| fun () ->
                let merged =
                    BlockDevices.withHeads
                        [|
                            disk "nvme0c0n1" 3UL 300UL<B> 5UL<ms>
                            disk "nvme0c1n1" 4UL 400UL<B> 7UL<ms>
                            disk "nvme0n1" 0UL 0UL<B> 0UL<ms>
                            disk "nvme1n1" 9UL 900UL<B> 9UL<ms>
                        |]

                Expect.equal
                    merged[2..]
                    [| disk "nvme0n1" 7UL 700UL<B> 12UL<ms>; disk "nvme1n1" 9UL 900UL<B> 9UL<ms> |]
                    "once, and the other disk as it was"

            testCase "the times of requests are of those that count them"
            <| fun () ->
                let detail (time: uint64<ms>) : DiskStats.DiskDetail =
                    {
                        ReadsMerged = 0UL
                        ReadTime = time
                        WritesMerged = 0UL
                        WriteTime = 0UL<ms>
                        InFlight = 1UL
                        WeightedTime = 2UL * time
                        Discards = ValueNone
                        Flushes = ValueSome { Completed = 1UL; Time = time }
                    }

                let timesOf head first second =
                    let merged =
                        BlockDevices.withHeads
                            [|
                                { head with
                                    DiskStats.Detail = ValueSome(detail (ValueOption.defaultValue 0UL<ms> head.BusyTime))
                                }
                                { disk "nvme0c0n1" 3UL 300UL<B> first with
                                    Detail = ValueSome(detail first)
                                }
                                { disk "nvme0c1n1" 4UL 400UL<B> second with
                                    Detail = ValueSome(detail second)
                                }
                            |]

                    merged[0].Detail.Value

                let ofPaths = timesOf (disk "nvme0n1" 0UL 0UL<B> 0UL<ms>) 30UL<ms> 40UL<ms>

                Expect.equal
                    (ofPaths.ReadTime, ofPaths.WeightedTime, ofPaths.InFlight, ofPaths.Flushes.Value.Time)
                    (70UL<ms>, 140UL<ms>, 2UL, 70UL<ms>)
                    "of both paths, where the head counts nothing"

                Expect.equal (timesOf (disk "nvme0n1" 7UL 700UL<B> 50UL<ms>) 30UL<ms> 40UL<ms>).ReadTime 50UL<ms> "the head's own"

            testCase "a kernel that counts on both: nothing counts twice, and overlapping busy times are the head's"
            <| fun () ->
                let merged =
                    BlockDevices.withHeads
                        [|
                            disk "nvme0n1" 7UL 700UL<B> 8UL<ms>
                            disk "nvme0c0n1" 3UL 300UL<B> 7UL<ms>
                            disk "nvme0c1n1" 4UL 400UL<B> 7UL<ms>
                        |]

                Expect.equal merged[0] (disk "nvme0n1" 7UL 700UL<B> 8UL<ms>) "the head"

            testCase "paths whose head cannot be read stand for it"
            <| fun () ->
                let selection =
                    Devices.selectDisks BlockDevices.unknown [||] [| disk "nvme0c0n1" 3UL 300UL<B> 5UL<ms> |]

                Expect.equal selection.Tracked [| disk "nvme0n1" 3UL 300UL<B> 5UL<ms> |] "by the head's name"

            testCase "a path that the user names is told as it is"
            <| fun () ->
                let selection =
                    Devices.selectDisks
                        BlockDevices.unknown
                        [| "nvme0c0n1"; "nvme0n1" |]
                        [| disk "nvme0c0n1" 3UL 300UL<B> 5UL<ms>; disk "nvme0n1" 0UL 0UL<B> 0UL<ms> |]

                Expect.equal selection.Tracked [| disk "nvme0c0n1" 3UL 300UL<B> 5UL<ms>; disk "nvme0n1" 3UL 300UL<B> 5UL<ms> |] "both"

            testCase "a disk whose busy time nobody counts has none, whatever other disks do"
            <| fun () ->
                let busy reads busy =
                    (BlockDevices.truthful
                        { disk "sdb" reads 1UL<B> busy with
                            Writes = ValueSome 0UL
                        })
                        .BusyTime

                Expect.equal (busy 999UL 0UL<ms>) (ValueSome 0UL<ms>) "few requests may take less than a tick each"
                Expect.equal (busy 1000UL 0UL<ms>) ValueNone "a thousand do not"
                Expect.equal (busy 1000UL 1UL<ms>) (ValueSome 1UL<ms>) "one tick is counted"

            testCase "where counting is switched off all counters stand still, and are none"
            <| fun () ->
                let devices =
                    table
                        [
                            "sdq", "0", [ "queue/iostats", "0\n" ]
                            "nvme7n1", "0", [ "queue/iostats", "0\n" ]
                            "sdr", "0", [ "queue/iostats", "1\n" ]
                        ]

                let all =
                    [|
                        for name in [ "sdq"; "sdq2"; "nvme7n1"; "nvme7n1p3"; "sdr"; "sdr1"; "sdqa" ] -> disk name 8UL 80UL<B> 4UL<ms>
                    |]

                let found = BlockDevices.counted devices all

                Expect.equal
                    found
                    [|
                        for name in [ "sdq"; "sdq2"; "nvme7n1"; "nvme7n1p3" ] -> uncounted name
                        for name in [ "sdr"; "sdr1"; "sdqa" ] -> disk name 8UL 80UL<B> 4UL<ms>
                    |]
                    "the partitions too, and no other disk"

                Expect.isTrue (obj.ReferenceEquals(BlockDevices.counted BlockDevices.unknown all, all)) "no copy where all is counted"

                Expect.equal
                    (Devices.selectDisks devices [||] all).Tracked
                    [|
                        uncounted "nvme7n1"
                        uncounted "sdq"
                        disk "sdqa" 8UL 80UL<B> 4UL<ms>
                        disk "sdr" 8UL 80UL<B> 4UL<ms>
                    |]
                    "as they are tracked"

            testCase "of a head and its paths those that count tell"
            <| fun () ->
                let head off (head: DiskStats.DiskCounters) paths =
                    let devices =
                        table
                            [
                                for name in "nvme4n1" :: [ for i in 0..1 -> $"nvme4c{i}n1" ] ->
                                    name, "../../nvme4", [ "queue/iostats", (if List.contains name off then "0\n" else "1\n") ]
                            ]

                    (Devices.selectDisks devices [||] (Array.append [| head |] paths)).Tracked[0]

                let still = disk "nvme4n1" 0UL 0UL<B> 0UL<ms>

                let paths =
                    [|
                        disk "nvme4c0n1" 700UL 70UL<B> 11UL<ms>
                        disk "nvme4c1n1" 500UL 50UL<B> 6UL<ms>
                    |]

                Expect.equal (head [ "nvme4n1" ] still paths) (disk "nvme4n1" 1200UL 120UL<B> 17UL<ms>) "the head has its flag at 0"

                Expect.equal
                    (head [ "nvme4c0n1" ] still paths)
                    (uncounted "nvme4n1")
                    "one path does not count, and a head that may not either"

                Expect.equal
                    (head [ "nvme4c0n1"; "nvme4c1n1" ] (disk "nvme4n1" 1300UL 130UL<B> 9UL<ms>) paths)
                    (disk "nvme4n1" 1300UL 130UL<B> 9UL<ms>)
                    "a head that counts on its own"

                Expect.equal (head [ "nvme4n1"; "nvme4c0n1"; "nvme4c1n1" ] still paths) (uncounted "nvme4n1") "none counts"
        ]
