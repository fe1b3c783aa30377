module Agent.Core.Tests.Proc.DiskStatsTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    DiskStats.parse (ReadOnlySpan text) |> Parsed.strict

let private disk name (disks: DiskStats.DiskCounters[]) =
    let found = disks |> Array.find (fun disk -> disk.Device = name)
    { found with Detail = ValueNone }

let private detail name (disks: DiskStats.DiskCounters[]) =
    (disks |> Array.find (fun disk -> disk.Device = name)).Detail

let private counters name reads readBytes writes writtenBytes busy : DiskStats.DiskCounters =
    {
        Device = name
        Reads = ValueSome reads
        ReadBytes = ValueSome readBytes
        Writes = ValueSome writes
        WrittenBytes = ValueSome writtenBytes
        BusyTime = busy
        Detail = ValueNone
    }

[<Tests>]
let tests =
    testList
        "Proc.DiskStats"
        [
            testCase "the captured disk counts sectors of 512 bytes"
            <| fun () ->
                let disks = want (parse (bytes "vm-2core-6.18/first/proc/diskstats"))
                Expect.equal disks.Length 10 "eight loop devices, vda and zram0"

                // 3587538 and 1271256 sectors
                Expect.equal (disk "vda" disks) (counters "vda" 77272UL 1836819456UL<B> 5911UL 650883072UL<B> (ValueSome 29016UL<ms>)) "vda"

            testCase "the columns that a sample does not carry are kept as well"
            <| fun () ->
                // 254 0 vda 77272 24269 3587538 42228 5911 14927 1271256 2808 0 29016 45408 3364 55 787744 366 83 4
                Expect.equal
                    (detail "vda" (want (parse (bytes "vm-2core-6.18/first/proc/diskstats"))))
                    (ValueSome
                        {
                            ReadsMerged = 24269UL
                            ReadTime = 42228UL<ms>
                            WritesMerged = 14927UL
                            WriteTime = 2808UL<ms>
                            InFlight = 0UL
                            WeightedTime = 45408UL<ms>
                            Discards =
                                ValueSome
                                    {
                                        Completed = 3364UL
                                        Merged = 55UL
                                        Sectors = 787744UL<sector>
                                        Time = 366UL<ms>
                                    }
                            Flushes = ValueSome { Completed = 83UL; Time = 4UL<ms> }
                        })
                    "vda"

                let older kernel name =
                    (detail name (want (parse (bytes $"kernel-{kernel}/proc/diskstats")))).Value

                Expect.isTrue (older "2.6" "hda").Discards.IsNone "no discards before 4.18"
                Expect.isTrue (older "4.18" "sda").Discards.IsSome "discards since 4.18"
                Expect.isTrue (older "4.18" "sda").Flushes.IsNone "no flushes before 5.5"
                Expect.equal (older "5.4" "sda").InFlight 2UL "two in flight"

            testCase "fourteen columns of kernel 2.6"
            <| fun () ->
                let disks = want (parse (bytes "kernel-2.6/proc/diskstats"))

                Expect.equal
                    (disk "hda" disks)
                    (counters "hda" 446216UL 4889952256UL<B> 424847UL 3032090624UL<B> (ValueSome 3376340UL<ms>))
                    "hda"

            testCase "seven columns of a partition of kernel 2.6 do not count busy time"
            <| fun () ->
                let disks = want (parse (bytes "kernel-2.6/proc/diskstats"))

                Expect.equal
                    (disk "hda2" disks)
                    (counters "hda2" 1102UL 4513792UL<B> 407UL 1667072UL<B> ValueNone)
                    "reads, sectors, writes, sectors"

            testCase "eighteen columns of kernel 4.18: discards are not writes"
            <| fun () ->
                let disks = want (parse (bytes "kernel-4.18/proc/diskstats"))

                Expect.equal
                    (disk "sda" disks)
                    (counters "sda" 21443UL 924677120UL<B> 98222UL 4718239744UL<B> (ValueSome 48210UL<ms>))
                    "sda"

            testCase "eighteen columns of kernel 5.4 with requests in flight"
            <| fun () ->
                let disks = want (parse (bytes "kernel-5.4/proc/diskstats"))
                Expect.equal (disk "sda" disks).BusyTime (ValueSome 260144UL<ms>) "not the two in flight"

            testCase "twenty columns of kernel 6.8, in the order of the text"
            <| fun () ->
                let disks = want (parse (bytes "kernel-6.8/proc/diskstats"))

                Expect.equal
                    (disks |> Array.map (fun disk -> disk.Device))
                    [|
                        "loop0"
                        "nvme1n1"
                        "nvme0n1"
                        "nvme0n1p1"
                        "nvme0n1p2"
                        "dm-0"
                        "md127"
                        "zram0"
                        "mmcblk0"
                        "mmcblk0boot0"
                        "nbd0"
                    |]
                    "names"

                Expect.equal
                    (disk "nvme0n1" disks)
                    (counters "nvme0n1" 1420334UL 87549137920UL<B> 5501220UL 210034352128UL<B> (ValueSome 1309981UL<ms>))
                    "nvme0n1"

            testCase "columns that a later kernel adds are ignored"
            <| fun () ->
                let disks = want (parse "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 new 19\n"B)
                Expect.equal (disk "sda" disks) (counters "sda" 1UL 1536UL<B> 5UL 3584UL<B> (ValueSome 10UL<ms>)) "sda"

            testCase "names may hold slashes, dashes and digits"
            <| fun () ->
                let disks = want (parse (bytes "odd-names/proc/diskstats"))

                Expect.equal
                    (disks |> Array.map (fun disk -> disk.Device))
                    [| "cciss/c0d0"; "cciss/c0d0p1"; "dm-0"; "dasda"; "mtdblock0" |]
                    "names"

            testCase "a negative number of requests in flight, as old kernels print it, costs nothing"
            <| fun () ->
                let disks = want (parse "8 0 sda 1 2 3 4 5 6 7 8 -1 10 11\n"B)
                Expect.equal disks[0].BusyTime (ValueSome 10UL<ms>) "busy time"
                Expect.equal (detail "sda" disks).Value.InFlight 0UL "in flight"

            testCase "a name with a byte that is not UTF-8 reads with a replacement character"
            <| fun () ->
                let disks = want (parse (latin1 "8 0 s\u00ffa 1 2 3 4 5 6 7 8 9 10 11\n"))
                Expect.equal disks[0].Device "s\uFFFDa" "name"

            testCase "sectors beyond 64 bits of bytes give the largest and do not wrap"
            <| fun () ->
                let disks = want (parse "8 0 sda 1 2 18446744073709551615 4 5 6 7 8 9 10 11\n"B)
                Expect.equal disks[0].ReadBytes (ValueSome 18446744073709551615UL<B>) "2^64-1"

            testCase "a counter that is no number names its line and its column"
            <| fun () ->
                Expect.equal
                    (located (parse "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 16 sdb 1 2 3 4 5 6 7x 8 9 10 11\n"B))
                    ("/proc/diskstats", 2, "sectors written of sdb", "7x")
                    "place"

            testCase "busy time that is no number names its column"
            <| fun () ->
                Expect.equal
                    (located (parse "8 0 sda 1 2 3 4 5 6 7 8 9 ten 11\n"B))
                    ("/proc/diskstats", 1, "time doing I/Os of sda", "ten")
                    "place"

            testCase "a short line's counter that is no number has its own column names"
            <| fun () -> Expect.equal (located (parse "3 1 hda1 1 2 - 4\n"B)) ("/proc/diskstats", 1, "writes of hda1", "-") "place"

            testCase "a device number that is none is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "8 zero sda 1 2 3 4 5 6 7 8 9 10 11\n"B))
                    ("/proc/diskstats", 1, "minor of sda", "zero")
                    "place"

            testCase "a line of thirteen columns shows the whole line"
            <| fun () ->
                Expect.equal
                    (located (parse "8 0 sda 1 2 3 4 5 6 7 8 9 10\n"B))
                    ("/proc/diskstats", 1, "columns of sda", "8 0 sda 1 2 3 4 5 6 7 8 9 10")
                    "place"

            testCase "a blank line is a located error"
            <| fun () -> Expect.equal (located (parse "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n\n"B)) ("/proc/diskstats", 2, "columns", "") "place"

            testCase "a torn last line is an error, complete as it may look"
            <| fun () ->
                Expect.equal
                    (located (parse "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 16 sdb 1 2 3 4 5 6 7 8 9 10 11"B))
                    ("/proc/diskstats", 2, "the last line", "8 16 sdb 1 2 3 4 5 6 7 8 9 10 11")
                    "place"

            testCase "an empty text is a machine without disks"
            <| fun () -> Expect.equal (parse [||]) (Ok [||]) "no disks"

            testCase "line ends of another system are told as what they are"
            <| fun () ->
                Expect.equal
                    (located (parse "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\r\n"B))
                    ("/proc/diskstats", 1, "weighted time of sda", "11\\x0d")
                    "place"

            testCase "a device with a line of its own form costs itself"
            <| fun () ->
                let read =
                    want (
                        DiskStats.parse (
                            ReadOnlySpan
                                "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n252 0 vendor/v1 1 2 3 -4 5 6 7 8 9 10 11\n8 16 sdb 1 2 3 4 5 6 7 8 9 10 11\n"B
                        )
                    )

                Expect.equal (read.Value |> Array.map _.Device) [| "sda"; "sdb" |] "the others"

                Expect.equal
                    (read.Faults |> Array.map (fun fault -> fault.Line, fault.Field, fault.Raw))
                    [| 2, "time reading of vendor/v1", "-4" |]
                    "reported"
        ]
