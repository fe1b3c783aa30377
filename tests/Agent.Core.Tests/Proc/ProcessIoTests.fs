module Agent.Core.Tests.Proc.ProcessIoTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = ProcessIo.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.ProcessIo"
        [
            testCase "the captured text tells what came from storage, not what was asked for"
            <| fun () -> Expect.equal (parse (bytes "jobs/io")) (Ok { Read = 434176UL<B>; Written = 0UL<B> }) "io"

            testCase "what is wrong is named"
            <| fun () ->
                Expect.equal (located (parse "read_bytes: x\n"B)) ("/proc/PID/io", 1, "read_bytes", "x") "read"
                Expect.equal (located (parse "read_bytes: 1\nwrite_bytes: -1\n"B)) ("/proc/PID/io", 2, "write_bytes", "-1") "written"
                Expect.equal (located (parse "read_bytes: 1\n"B)) ("/proc/PID/io", 2, "write_bytes", "") "lacking"
        ]
