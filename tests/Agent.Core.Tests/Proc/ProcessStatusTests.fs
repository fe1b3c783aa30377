module Agent.Core.Tests.Proc.ProcessStatusTests

open System
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    ProcessStatus.pidNamespaces (ReadOnlySpan text)

let private status (text: byte[]) = ProcessStatus.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.ProcessStatus"
        [
            testCase "a process has one number in its own namespace"
            <| fun () -> Expect.equal (parse "Name:\tagent\nNSpid:\t1254\nNSpgid:\t1254\n"B) (Ok(ValueSome 1)) "one"

            testCase "a process of a container has one number more in the namespace outside"
            <| fun () -> Expect.equal (parse "Name:\tagent\nNSpid:\t48213\t7\n"B) (Ok(ValueSome 2)) "two"

            testCase "kernels before 4.1 do not tell"
            <| fun () -> Expect.equal (parse "Name:\tagent\nPid:\t7\n"B) (Ok ValueNone) "unknown"

            testCase "a process that calls itself like a line is none"
            <| fun () -> Expect.equal (parse "Name:\tNSpid: 1 2\nNSpid:\t7\n"B) (Ok(ValueSome 1)) "the kernel's line"

            testCase "a word in place of a number names the field"
            <| fun () ->
                Expect.equal (located (parse "Name:\tagent\nNSpid:\t7\tx\n"B)) ("/proc/PID/status", 2, "NSpid", "x") "place"

                Expect.equal (located (parse "NSpid:\n"B)) ("/proc/PID/status", 1, "NSpid", "") "nothing"

            testCase "the effective capabilities, of a captured text, of a service without any, and where there is no line"
            <| fun () ->
                let capabilities (text: byte[]) =
                    ProcessStatus.capabilities (ReadOnlySpan text)

                // All 41 of this kernel but CAP_SYS_RESOURCE, which is number 24.
                Expect.equal (capabilities (bytes "jobs/status")) (Ok(ValueSome(0x1FF_FFFF_FFFFUL - 0x100_0000UL))) "captured"
                Expect.equal (capabilities "Name:\tagent\nCapEff:\t0000000000080004\n"B) (Ok(ValueSome 0x80004UL)) "two of them"
                Expect.equal (capabilities "Name:\tCapEff: 1\nUid:\t0\n"B) (Ok ValueNone) "no line"
                Expect.equal (located (capabilities "CapEff:\tfull\n"B)) ("/proc/PID/status", 1, "CapEff", "full") "a word"

            testCase "the captured text tells the user and how often the CPU was given up and taken"
            <| fun () ->
                Expect.equal
                    (status (bytes "jobs/status"))
                    (Ok
                        {
                            Uid = 0
                            CpusAllowed = ValueSome 2
                            VoluntarySwitches = ValueSome 26UL
                            InvoluntarySwitches = ValueSome 17UL
                        })
                    "status"

            testCase "of the four numbers of a user the first is the real one"
            <| fun () ->
                Expect.equal
                    (status "Name:\tx\nUid:\t1000\t0\t0\t0\n"B)
                    (Ok
                        {
                            Uid = 1000
                            CpusAllowed = ValueNone
                            VoluntarySwitches = ValueNone
                            InvoluntarySwitches = ValueNone
                        })
                    "uid"

            testCase "the number of a user has 32 bits and no sign"
            <| fun () ->
                let uidOf (text: string) =
                    status (System.Text.Encoding.ASCII.GetBytes $"Name:\tx\nUid:\t{text}\t0\t0\t0\n")
                    |> Result.map _.Uid

                // What FreeIPA gives to the user 1000 of somebody's container.
                Expect.equal (uidOf "2147484647") (Ok 2147484647L) "in the upper half"
                Expect.equal (uidOf "4294967295") (Ok 4294967295L) "the last"
                Expect.isError (uidOf "4294967296") "none"

            testCase "a status without a user is an error, as is a user that is no number"
            <| fun () ->
                Expect.equal (located (status "Name:\tx\n"B)) ("/proc/PID/status", 2, "Uid", "") "none"

                Expect.equal
                    (located (status "Uid:\t1\nCpus_allowed_list:\tff\n"B))
                    ("/proc/PID/status", 2, "Cpus_allowed_list", "ff")
                    "a mask"

                Expect.equal (located (status "Uid:\tana\n"B)) ("/proc/PID/status", 1, "Uid", "ana") "a name"
        ]
