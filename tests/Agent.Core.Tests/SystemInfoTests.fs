module Agent.Core.Tests.SystemInfoTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private info: SystemInfo =
    {
        OsName = "Linux"
        OsRelease = "6.1.0-18-amd64"
        OsVersion = "#1 SMP Debian 6.1.76-1"
        Machine = "x86_64"
        LibC = "glibc2.36"
        CpuModel = ""
        Hostname = "node1"
        CpuCountLogical = ValueNone
        CpuCountPhysical = ValueNone
        MemoryTotal = ValueNone
        SwapTotal = ValueNone
        BootTime = ValueNone
        Uptime = ValueNone
        Partitions = [||]
        Interfaces = [||]
    }

let private mount: Mounts.Mount =
    {
        Device = "/dev/vda"
        MountPoint = "/"
        Path = "/"B
        FsType = "ext4"
        IsReadOnly = false
        Place = ValueNone
    }

let private statOf seconds : Stat.CpuStat voption =
    ValueSome
        {
            Total = ValueNone
            Cpus = [||]
            Online = ValueNone
            BootTime = seconds
            ContextSwitches = ValueNone
            Forks = ValueNone
            Interrupts = ValueNone
            Running = ValueNone
            Blocked = ValueNone
        }

let private now = DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero)

[<Tests>]
let tests =
    testList
        "SystemInfo"
        [
            testCase "the captured root is as full as df says"
            <| fun () ->
                let row =
                    words "vm-2core-6.18/second/df-B1.txt"
                    |> Array.find (fun row -> row[0] = "/dev/vda")

                Expect.equal (row[2], row[3], row[4], row[5]) ("270553174016", "13408157696", "85692485632", "14%") "df"

                // free is the total less what df calls used
                Expect.equal
                    (SystemInfo.partitionOf mount 270553174016UL<B> 257145016320UL<B> 85692485632UL<B>)
                    {
                        Device = "/dev/vda"
                        MountPoint = "/"
                        FsType = "ext4"
                        Total = 270553174016UL<B>
                        Used = 13408157696UL<B>
                        Free = 85692485632UL<B>
                        // 13408157696 of 13408157696 + 85692485632: 13.5298…, which df rounds up to 14
                        Percent = 13.5<percent>
                    }
                    "partition"

            testCase "a file system that is full for users is full, whatever root may still write"
            <| fun () -> Expect.equal (SystemInfo.partitionOf mount 1000UL<B> 50UL<B> 0UL<B>).Percent 100.0<percent> "full"

            testCase "an empty file system of no size is not full"
            <| fun () ->
                let partition = SystemInfo.partitionOf mount 0UL<B> 0UL<B> 0UL<B>
                Expect.equal (partition.Used, partition.Percent) (0UL<B>, 0.0<percent>) "empty"

            testCase "more free than there is makes nothing used"
            <| fun () -> Expect.equal (SystemInfo.partitionOf mount 100UL<B> 200UL<B> 200UL<B>).Used 0UL<B> "used"

            testCase "blocks count in f_frsize"
            <| fun () ->
                let partition = (SystemInfo.partitionOfBlocks mount 4096UL 1000UL 500UL 400UL).Value
                Expect.equal (partition.Total, partition.Used, partition.Free) (4096000UL<B>, 2048000UL<B>, 1638400UL<B>) "bytes"
                // 500 of 500 + 400
                Expect.equal partition.Percent 55.6<percent> "percent"

            testCase "2^64 bytes and more give the largest, and a sane share"
            <| fun () ->
                let partition = (SystemInfo.partitionOfBlocks mount 4096UL (1UL <<< 52) (1UL <<< 51) (1UL <<< 51)).Value
                Expect.equal (partition.Total, partition.Free) (18446744073709551615UL<B>, 9223372036854775808UL<B>) "sizes"
                Expect.equal partition.Percent 50.0<percent> "half"

                let just = (SystemInfo.partitionOfBlocks mount 4096UL ((1UL <<< 52) - 1UL) 0UL 0UL).Value
                Expect.equal just.Total 18446744073709547520UL<B> "2^64 - 4096 is itself"

            testCase "a file system without blocks is none"
            <| fun () -> Expect.isTrue (SystemInfo.partitionOfBlocks mount 4096UL 0UL 0UL 0UL).IsNone "none"

            testCase "a count of available blocks below zero is none available"
            <| fun () ->
                // -1000 as an unsigned number: root has used what was reserved.
                let partition = (SystemInfo.partitionOfBlocks mount 4096UL 1000UL 10UL 18446744073709550616UL).Value
                Expect.equal (partition.Free, partition.Percent) (0UL<B>, 100.0<percent>) "full"

            testCase "a count of free blocks below zero is none free, and the file system is full"
            <| fun () ->
                // An XFS whose counters say that 20 blocks less than none are free.
                let below = 18446744073709551596UL
                let partition = (SystemInfo.partitionOfBlocks mount 4096UL 1000UL below below).Value

                Expect.equal
                    (partition.Used, partition.Free, partition.Percent)
                    (4096000UL<B>, 0UL<B>, 100.0<percent>)
                    "full, and not empty"

            testCase "the captured boot time is an instant in UTC"
            <| fun () ->
                let stat =
                    want (
                        Stat.parse (ReadOnlySpan(bytes "vm-2core-6.18/first/proc/stat"))
                        |> Parsed.strict
                    )

                // date -u -d @1795471888
                Expect.equal
                    (SystemInfo.bootTime now ValueNone false (ValueSome stat))
                    (ValueSome(DateTimeOffset(2026, 11, 23, 22, 11, 28, TimeSpan.Zero)))
                    "boot"

            testCase "a boot time outside 2000 to 9999 is none"
            <| fun () ->
                let bootTime seconds =
                    SystemInfo.bootTime now ValueNone false (statOf seconds)

                Expect.equal (bootTime ValueNone) ValueNone "not told"
                Expect.equal (bootTime (ValueSome -1L<s>)) ValueNone "before 1970"
                Expect.equal (bootTime (ValueSome 946684799L<s>)) ValueNone "1999"
                Expect.equal (bootTime (ValueSome 946684800L<s>)) (ValueSome(DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero))) "2000"

                Expect.equal
                    (bootTime (ValueSome 253402300799L<s>))
                    (ValueSome(DateTimeOffset(9999, 12, 31, 23, 59, 59, TimeSpan.Zero)))
                    "9999"

                Expect.equal (bootTime (ValueSome 253402300800L<s>)) ValueNone "the year 10000"
                Expect.equal (bootTime (ValueSome 9223372036854775807L<s>)) ValueNone "2^63-1"

            testCase "a container of LXC started when its own uptime says, and its host when btime does"
            <| fun () ->
                // A hundred days ago.
                let host = now.AddDays -100.0
                let stat = statOf (ValueSome(LanguagePrimitives.Int64WithMeasure(host.ToUnixTimeSeconds())))
                let hour = ValueSome 3600.4<s>
                Expect.equal (SystemInfo.bootTime now hour true stat) (ValueSome(now.AddSeconds -3601.0)) "the container, in whole seconds"
                Expect.equal (SystemInfo.bootTime now hour false stat) (ValueSome host) "a machine"
                Expect.equal (SystemInfo.bootTime now ValueNone true stat) (ValueSome host) "without an uptime"

            testCase "where the clock was not set when the machine started, its uptime says when"
            <| fun () ->
                let stat = statOf (ValueSome 12L<s>)
                Expect.equal (SystemInfo.bootTime now (ValueSome 60.0<s>) false stat) (ValueSome(now.AddSeconds -60.0)) "a minute ago"
                Expect.equal (SystemInfo.bootTime now (ValueSome 60.0<s>) false ValueNone) (ValueSome(now.AddSeconds -60.0)) "no btime"

                Expect.equal
                    (SystemInfo.bootTime (DateTimeOffset.UnixEpoch.AddSeconds 72.0) (ValueSome 60.0<s>) false stat)
                    ValueNone
                    "never set"

            testCase "the platform reads as Python writes it"
            <| fun () -> Expect.equal info.Platform "Linux-6.1.0-18-amd64-x86_64-with-glibc2.36" "platform"

            testCase "a platform whose C library is not known ends with the machine"
            <| fun () -> Expect.equal { info with LibC = "" }.Platform "Linux-6.1.0-18-amd64-x86_64" "platform"
        ]
