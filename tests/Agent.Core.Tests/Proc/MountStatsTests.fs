module Agent.Core.Tests.Proc.MountStatsTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = MountStats.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.MountStats"
        [
            testCase "mounts of NFS by TCP and UDP, and no others"
            <| fun () ->
                Expect.equal
                    (want (parse (bytes "jobs/mountstats"))).Value
                    [|
                        {
                            Device = "filer:/export/data"
                            MountPoint = "/mnt/data"
                            FsType = "nfs4"
                            Read = 52428800UL<B>
                            Written = 1048576UL<B>
                            // 2 + 60 + 8 + 0 + 30
                            Operations = 100UL
                            // 0 + 90 + 4 + 0 + 1
                            QueueTime = 95UL<ms>
                            // 1 + 1200 + 64 + 0 + 15
                            RoundTrip = 1280UL<ms>
                            // 1 + 1500 + 72 + 0 + 17
                            Execution = 1590UL<ms>
                            // of two connections
                            Backlog = 42UL
                        }
                        {
                            Device = "old filer:/home"
                            MountPoint = "/home"
                            FsType = "nfs"
                            Read = 0UL<B>
                            Written = 0UL<B>
                            Operations = 20UL
                            QueueTime = 2UL<ms>
                            RoundTrip = 40UL<ms>
                            Execution = 44UL<ms>
                            Backlog = 9UL
                        }
                    |]
                    "mounts"

            testCase "a machine without NFS has no mounts and no faults"
            <| fun () ->
                let parsed = want (parse "device proc mounted on /proc with fstype proc\n"B)
                Expect.equal (parsed.Value, parsed.FaultCount) ([||], 0) "none"

            testCase "a line that does not read costs what it counts"
            <| fun () ->
                let parsed =
                    want (
                        parse
                            "device f:/x mounted on /x with fstype nfs statvers=1.1\n\tbytes:\t1 2 3 4 x 6\n\txprt:\ttcp 1 1 1 0 4 4 4 0 12 y\n\tper-op statistics\n\tREAD: 1 1 0 1 1 2 3\n\tWRITE: 5 1 0 1 1 2 3 4 0\n"B
                    )

                Expect.equal parsed.Value[0].Operations 5UL "the good operation"

                Expect.equal
                    (parsed.Faults |> Array.map (fun fault -> fault.Line, fault.Field, fault.Raw))
                    [| 2, "bytes", "x"; 3, "xprt", "y"; 5, "operations", "" |]
                    "faults"
        ]
