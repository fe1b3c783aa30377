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
        Reads = reads
        ReadBytes = readBytes
        Writes = reads * 2UL
        WrittenBytes = readBytes * 2UL
        BusyTime = ValueSome busy
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
                let devices =
                    table
                        [
                            "sda", "0", [ "queue/iostats", "0\n" ]
                            "sdb", "0", [ "queue/iostats", "1\n" ]
                        ]

                let busy reads busy name =
                    let disk =
                        { disk name reads 1UL<B> busy with
                            Writes = 0UL
                        }

                    (BlockDevices.truthful devices disk).BusyTime

                Expect.equal (busy 10UL 5UL<ms> "sda") ValueNone "counting is switched off"
                Expect.equal (busy 10UL 5UL<ms> "sdb") (ValueSome 5UL<ms>) "it is on"
                Expect.equal (busy 999UL 0UL<ms> "sdb") (ValueSome 0UL<ms>) "few requests may take less than a tick each"
                Expect.equal (busy 1000UL 0UL<ms> "sdb") ValueNone "a thousand do not"
                Expect.equal (busy 1000UL 1UL<ms> "sdb") (ValueSome 1UL<ms>) "one tick is counted"
        ]
