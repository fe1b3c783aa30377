module Agent.Core.Tests.Proc.ProcessCgroupTests

open System
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = ProcessCgroup.parse (ReadOnlySpan text)

let private membership hierarchy controllers path : ProcessCgroup.Membership =
    {
        Hierarchy = hierarchy
        Controllers = controllers
        Path = path
    }

[<Tests>]
let tests =
    testList
        "Proc.ProcessCgroup"
        [
            testCase "version 1 has a line for each hierarchy"
            <| fun () ->
                let memberships = (want (parse (bytes "jobs/cgroup-v1"))).Value
                Expect.equal memberships.Length 10 "hierarchies"

                Expect.equal
                    (ProcessCgroup.ofController "cpuacct" memberships)
                    (ValueSome(membership 11 "cpu,cpuacct" "/slurm/uid_1000/job_4711/step_0/task_0"))
                    "of two controllers in one hierarchy"

                Expect.equal (ProcessCgroup.ofController "io" memberships) ValueNone "a controller of version 2"
                Expect.equal (ProcessCgroup.unified memberships) ValueNone "no version 2"

            testCase "version 2 has one line without controllers"
            <| fun () ->
                let memberships = (want (parse (bytes "jobs/cgroup-v2"))).Value
                Expect.equal memberships.Length 1 "one"
                Expect.isTrue memberships[0].IsUnified "unified"
                Expect.equal (ProcessCgroup.unified memberships) (ValueSome memberships[0]) "the same"

            testCase "a path may have colons, and a removed group says so"
            <| fun () ->
                Expect.equal
                    (parse "0::/system.slice/a:b:c (deleted)\n"B)
                    (Ok
                        {
                            Value = [| membership 0 "" "/system.slice/a:b:c" |]
                            Faults = [||]
                            FaultCount = 0
                        })
                    "colons"

            testCase "a line that does not read costs itself"
            <| fun () ->
                let parsed = want (parse "x:cpu:/a\n4:memory:/b\n5:pids\n6:io:c\n"B)
                Expect.equal parsed.Value [| membership 4 "memory" "/b" |] "the good one"

                Expect.equal
                    (parsed.Faults |> Array.map (fun fault -> fault.Line, fault.Field))
                    [| 1, "hierarchy"; 3, "controllers"; 4, "path" |]
                    "the others"
        ]
