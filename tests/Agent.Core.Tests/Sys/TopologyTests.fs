module Agent.Core.Tests.Sys.TopologyTests

open System
open Agent.Core
open Agent.Core.Sys
open Agent.TestSupport.Fixtures
open Expecto

let private cpu (content: string) =
    sysText "/sys/devices/system/cpu/cpu0/topology/core_cpus_list" content

[<Tests>]
let tests =
    testList
        "Sys.Topology"
        [
            for file in [ "core_cpus_list"; "thread_siblings_list" ] do
                testCase $"the captured {file} gives lscpu's two cores"
                <| fun () ->
                    let cores =
                        (text "vm-2core-6.18/first/lscpu.txt").Split '\n'
                        |> Array.find (fun line -> line.StartsWith("Core(s) per socket:", StringComparison.Ordinal))
                        |> fun line -> int (line.Split(':')[1])

                    Expect.equal cores 2 "lscpu"
                    Expect.equal (Topology.physicalCores (sysFiles "vm-2core-6.18/first" ("/" + file))) (ValueSome cores) "cores"

            testCase "eight CPUs that share cores in pairs have four cores"
            <| fun () -> Expect.equal (Topology.physicalCores (sysFiles "two-sockets-smt" "/core_cpus_list")) (ValueSome 4) "cores"

            testCase "ranges are lists too"
            <| fun () ->
                Expect.equal (Topology.physicalCores [| cpu "0-1\n"; cpu "0-1\n"; cpu "2-3\n"; cpu "2-3\n" |]) (ValueSome 2) "cores"

            testCase "a list that is missing leaves the number unknown"
            <| fun () -> Expect.equal (Topology.physicalCores [| cpu "0\n"; sysFailure "a" (SourceError.Absent "a") |]) ValueNone "unknown"

            testCase "a garbled, a torn and an empty list leave the number unknown"
            <| fun () ->
                Expect.equal (Topology.physicalCores [| cpu "0\n"; cpu "0x1\n" |]) ValueNone "garbled"
                Expect.equal (Topology.physicalCores [| cpu "0\n"; cpu "1" |]) ValueNone "torn"
                Expect.equal (Topology.physicalCores [| cpu "0\n"; cpu "\n" |]) ValueNone "empty"

            testCase "no lists, no number"
            <| fun () -> Expect.equal (Topology.physicalCores [||]) ValueNone "unknown"

            testCase "a list that is none is a fault, a CPU without a list is not"
            <| fun () ->
                Expect.equal (Topology.faults [| cpu "0-1\n"; sysFailure "a" (SourceError.Absent "a") |]) [||] "none"

                match Topology.faults [| cpu "0\n"; cpu "0x1\n"; cpu "y\n" |] with
                | [| SourceError.Garbled error |] -> Expect.equal error.Raw "0x1" "the first"
                | other -> failtest $"expected one fault, got %A{other}"
        ]
