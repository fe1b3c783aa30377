/// The files of control groups, of both versions.
module Agent.Core.Tests.Sys.CgroupTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private stat (text: byte[]) =
    CgroupCpu.parseStat "/sys/fs/cgroup/a/cpu.stat" (ReadOnlySpan text)

let private maximum (text: byte[]) =
    CgroupCpu.parseMax "cpu.max" (ReadOnlySpan text)

let private list (text: byte[]) =
    CgroupCpu.parseList "cpuset.cpus.effective" (ReadOnlySpan text)

let private limit (text: byte[]) =
    CgroupMemory.parseLimit "memory.max" (ReadOnlySpan text)

let private kills (text: byte[]) =
    CgroupMemory.parseKills "memory.events" (ReadOnlySpan text)

let private bytesOf device read written : CgroupIo.DeviceBytes =
    {
        Device = device
        Read = read
        Written = written
    }

[<Tests>]
let tests =
    testList
        "Sys.Cgroup"
        [
            testCase "cpu.stat of version 2 counts microseconds"
            <| fun () ->
                Expect.equal
                    (stat (bytes "jobs/cpu.stat-v2"))
                    (Ok
                        {
                            Usage = ValueSome 8123456789UL<us>
                            Periods = ValueSome 1000UL
                            ThrottledPeriods = ValueSome 250UL
                            ThrottledTime = ValueSome 99000000UL<us>
                        })
                    "v2"

            testCase "cpu.stat of version 1 counts nanoseconds"
            <| fun () ->
                Expect.equal
                    (stat (bytes "jobs/cpu.stat-v1"))
                    (Ok
                        {
                            Usage = ValueNone
                            Periods = ValueSome 1000UL
                            ThrottledPeriods = ValueSome 250UL
                            ThrottledTime = ValueSome 99000000UL<us>
                        })
                    "v1"

            testCase "without the controller cpu.stat tells the usage alone"
            <| fun () ->
                Expect.equal
                    (stat "usage_usec 5\nuser_usec 5\n"B)
                    (Ok
                        {
                            Usage = ValueSome 5UL<us>
                            Periods = ValueNone
                            ThrottledPeriods = ValueNone
                            ThrottledTime = ValueNone
                        })
                    "usage"

            testCase "a quota is so many CPUs"
            <| fun () ->
                Expect.equal (maximum "150000 100000\n"B) (Ok(ValueSome 1.5)) "one and a half"
                Expect.equal (maximum "max 100000\n"B) (Ok ValueNone) "none"
                Expect.equal (located (maximum "x 1\n"B)) ("cpu.max", 1, "quota", "x") "quota"
                Expect.equal (located (maximum "1 0\n"B)) ("cpu.max", 1, "period", "0") "period"

            testCase "version 1 has quota and period in two files"
            <| fun () ->
                let quota quota period =
                    CgroupCpu.parseQuota (sysText "cpu.cfs_quota_us" quota) (sysText "cpu.cfs_period_us" period)

                Expect.equal (quota "400000\n" "100000\n") (Ok(ValueSome 4.0)) "four"
                Expect.equal (quota "-1\n" "100000\n") (Ok ValueNone) "none"
                Expect.isError (quota "1\n" "0\n") "no period"

            testCase "a list of CPUs is so many"
            <| fun () ->
                Expect.equal (list "0-3,8,10-11\n"B) (Ok(ValueSome 7)) "seven"
                Expect.equal (list "5\n"B) (Ok(ValueSome 1)) "one"
                Expect.equal (list "\n"B) (Ok ValueNone) "none yet"

                for bad in [ "3-1"; "0-"; "a"; "1,"; "1,,2"; "0-99999999" ] do
                    Expect.equal (located (list (utf8 (bad + "\n")))) ("cpuset.cpus.effective", 1, "CPUs", bad) bad

            testCase "a limit of memory, or none"
            <| fun () ->
                Expect.equal (limit "1073741824\n"B) (Ok(ValueSome 1073741824UL<B>)) "a gibibyte"
                Expect.equal (limit "max\n"B) (Ok ValueNone) "version 2"
                Expect.equal (limit "9223372036854771712\n"B) (Ok ValueNone) "version 1"
                Expect.equal (located (limit "-1\n"B)) ("memory.max", 1, "limit", "-1") "no number"

            testCase "kills are told by both versions"
            <| fun () ->
                Expect.equal (kills (bytes "jobs/memory.events")) (Ok(ValueSome 3UL)) "v2"
                Expect.equal (kills (bytes "jobs/memory.oom_control")) (Ok(ValueSome 3UL)) "v1"
                Expect.equal (kills "oom_kill_disable 0\nunder_oom 0\n"B) (Ok ValueNone) "before 4.13"

            testCase "pages that were evicted and read again, of a group and all below it"
            <| fun () ->
                let refaults (text: byte[]) =
                    CgroupMemory.parseRefaults "memory.stat" (ReadOnlySpan text)

                let twice = "workingset_refault_anon 1\nworkingset_refault_file 7\n"B
                Expect.equal (refaults twice) (Ok(ValueSome 7UL<page>)) "v2"
                Expect.equal (refaults (Array.append twice "total_workingset_refault_file 9\n"B)) (Ok(ValueSome 9UL<page>)) "v1"
                Expect.equal (refaults "anon 1\nworkingset_refault 5\n"B) (Ok(ValueSome 5UL<page>)) "before 5.9"
                Expect.equal (refaults "cache 1\n"B) (Ok ValueNone) "before 4.20"

                Expect.equal
                    (located (refaults "workingset_refault_file x\n"B))
                    ("memory.stat", 1, "workingset_refault_file", "x")
                    "no number"

            testCase "io.stat by device; a device without figures is left out"
            <| fun () ->
                Expect.equal
                    (want (CgroupIo.parseStat "io.stat" (ReadOnlySpan(bytes "jobs/io.stat"))))
                    {
                        Value =
                            [|
                                bytesOf "8:0" 1459200UL<B> 314773504UL<B>
                                bytesOf "253:0" 1459200UL<B> 314773504UL<B>
                            |]
                        Faults = [||]
                        FaultCount = 0
                    }
                    "v2"

            testCase "the bytes of version 1 by device"
            <| fun () ->
                Expect.equal
                    (want (CgroupIo.parseServiceBytes "blkio" (ReadOnlySpan(bytes "jobs/blkio.throttle"))))
                    {
                        Value =
                            [|
                                bytesOf "8:0" 1459200UL<B> 314773504UL<B>
                                bytesOf "259:0" 4096UL<B> 0UL<B>
                            |]
                        Faults = [||]
                        FaultCount = 0
                    }
                    "v1"

            testCase "a line that does not read costs its device"
            <| fun () ->
                let parsed =
                    want (CgroupIo.parseStat "io.stat" (ReadOnlySpan "8:0 rbytes=x wbytes=1\n8:1 rbytes=1 wbytes=2\n"B))

                Expect.equal parsed.Value [| bytesOf "8:1" 1UL<B> 2UL<B> |] "the other"
                Expect.equal (parsed.Faults[0].Line, parsed.Faults[0].Field) (1, "bytes") "the fault"

            testCase "Lustre: bytes, operations once, and the time of what is timed"
            <| fun () ->
                Expect.equal
                    (Lustre.parse "llite" (ReadOnlySpan(bytes "jobs/llite-stats")))
                    (Ok
                        {
                            // 4000 + 25 + 120 + 118 + 900
                            Operations = 5163UL
                            // 12000000 + 500000 + 36000 + 4000 + 9000
                            Time = ValueSome 12549000UL<us>
                            Read = 4194304000UL<B>
                            Written = 104857600UL<B>
                        })
                    "stats"

            testCase "Lustre: older versions count operations without times"
            <| fun () ->
                Expect.equal
                    (Lustre.parse
                        "llite"
                        (ReadOnlySpan "snapshot_time 1.2 secs.usecs\nread_bytes 2 samples [bytes] 1 9 10\nopen 3 samples [regs]\n"B))
                    (Ok
                        {
                            Operations = 5UL
                            Time = ValueNone
                            Read = 10UL<B>
                            Written = 0UL<B>
                        })
                    "stats"

                Expect.equal
                    (located (Lustre.parse "llite" (ReadOnlySpan "open x samples [regs]\n"B)))
                    ("llite", 1, "samples", "x")
                    "no number"

            testCase "Lustre: each mount has its own name, and one that nothing tells apart its directory's"
            <| fun () ->
                let mounts =
                    (want (
                        Mounts.parse (
                            ReadOnlySpan
                                "m@o2ib:/scratch2 /big lustre rw 0 0\n1@tcp:2@tcp:/scratch /fast lustre rw 0 0\nm@o2ib:/home/a /home/a lustre rw 0 0\nnas:/work /work nfs4 rw 0 0\n"B
                        )
                    ))
                        .Value

                let pointOf directories directory =
                    Lustre.mountPointOf mounts (Array.ofList directories) directory

                let two = [ "scratch-ffff8800a1"; "scratch2-ffff8800b2" ]
                Expect.equal (List.map (pointOf two) two) [ "/fast"; "/big" ] "no name that begins like another"
                Expect.equal (pointOf [ "home-ffff8800c3" ] "home-ffff8800c3") "/home/a" "a directory of the file system"
                let twice = [ "home-ffff8800c3"; "home-ffff8800d4" ]
                Expect.equal (List.map (pointOf twice) twice) twice "two of one file system"
                Expect.equal (pointOf [ "work-ffff8800e5" ] "work-ffff8800e5") "work-ffff8800e5" "none of Lustre's"

            testCase "the speed of an interface is in megabits"
            <| fun () ->
                let speed text =
                    LinkSpeed.ofInterface (sysText "/sys/class/net/eth0/speed" text)

                Expect.equal (speed "25000\n") (Ok(ValueSome 3.125e9<B / s>)) "25 Gb/s"
                Expect.equal (speed "-1\n") (Ok ValueNone) "none"
                Expect.equal (speed "4294967295\n") (Ok ValueNone) "the same without a sign"
                Expect.equal (speed "65535\n") (Ok ValueNone) "the same in 16 bits"
                Expect.equal (speed "0\n") (Ok ValueNone) "0 is none"
                Expect.isError (speed "fast\n") "garbled"

                Expect.equal
                    (LinkSpeed.ofInterface (sysFailure "speed" (SourceError.Unreadable("speed", "Invalid argument"))))
                    (Ok ValueNone)
                    "a link that is down"

            testCase "the rate of a port is in gigabits"
            <| fun () ->
                let rate text = LinkSpeed.ofPort (sysText "rate" text)
                Expect.equal (rate "100 Gb/sec (4X EDR)\n") (Ok(ValueSome 1.25e10<B / s>)) "EDR"
                Expect.equal (rate "2.5 Gb/sec (1X SDR)\n") (Ok(ValueSome 3.125e8<B / s>)) "SDR"
                Expect.isError (rate "x\n") "garbled"
        ]
