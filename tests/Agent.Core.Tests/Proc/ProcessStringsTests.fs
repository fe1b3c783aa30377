module Agent.Core.Tests.Proc.ProcessStringsTests

open System
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private arguments (text: byte[]) =
    ProcessStrings.arguments (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.ProcessStrings"
        [
            testCase "each argument ends with a zero byte"
            <| fun () -> Expect.equal (arguments (bytes "jobs/cmdline")) [| "/usr/bin/python3"; "train.py"; "--lr"; "0.1" |] "arguments"

            testCase "an argument in the midst may be empty"
            <| fun () -> Expect.equal (arguments "a\000\000b\000"B) [| "a"; ""; "b" |] "empty"

            testCase "a kernel thread has none"
            <| fun () -> Expect.equal (arguments [||]) [||] "none"

            testCase "a title that a program wrote over its arguments is one text"
            <| fun () -> Expect.equal (arguments "sshd: ana@pts/0\000\000\000\000"B) [| "sshd: ana@pts/0" |] "title"

            testCase "only the variables that were asked for are kept"
            <| fun () ->
                Expect.equal
                    (ProcessStrings.variables
                        [| "SLURM_JOB_ID"; "RANK"; "HOME" |]
                        (ReadOnlySpan "PATH=/bin\000SLURM_JOB_ID=4711\000=x\000SLURM_JOB_ID_X=1\000HOME=\000RANK=3"B))
                    // The last one was cut.
                    [| "4711"; ""; "" |]
                    "values"

            testCase "the children of a thread, with a blank behind each"
            <| fun () ->
                let children (text: byte[]) =
                    ProcessChildren.parse (ReadOnlySpan text)

                Expect.equal (children "12 345 "B) (Ok [| 12; 345 |]) "two"
                Expect.equal (children [||]) (Ok [||]) "none"
                Expect.equal (located (children "12 34"B)) ("/proc/PID/task/TID/children", 1, "child", "34") "cut"
        ]
