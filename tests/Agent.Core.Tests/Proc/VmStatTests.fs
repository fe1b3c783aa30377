module Agent.Core.Tests.Proc.VmStatTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = VmStat.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.VmStat"
        [
            testCase "a machine that never swapped"
            <| fun () ->
                Expect.equal
                    (parse (bytes "jobs/vmstat"))
                    (Ok
                        {
                            SwappedIn = ValueSome 0UL<page>
                            SwappedOut = ValueSome 0UL<page>
                        })
                    "none"

            testCase "pages in and out, among other lines"
            <| fun () ->
                Expect.equal
                    (parse "pgpgin 5\npswpin 12\npswpinx 1\npswpout 34\n"B)
                    (Ok
                        {
                            SwappedIn = ValueSome 12UL<page>
                            SwappedOut = ValueSome 34UL<page>
                        })
                    "swap"

            testCase "a kernel without swap tells nothing of it"
            <| fun () ->
                Expect.equal
                    (parse "pgpgin 5\n"B)
                    (Ok
                        {
                            SwappedIn = ValueNone
                            SwappedOut = ValueNone
                        })
                    "unknown"

            testCase "what is wrong is named"
            <| fun () -> Expect.equal (located (parse "pswpout x\n"B)) ("/proc/vmstat", 1, "pswpout", "x") "out"
        ]
