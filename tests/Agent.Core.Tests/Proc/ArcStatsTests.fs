module Agent.Core.Tests.Proc.ArcStatsTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = ArcStats.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.ArcStats"
        [
            testCase "the size and the minimum among the other figures"
            <| fun () ->
                let arc = want (parse (bytes "zfs/proc/spl/kstat/zfs/arcstats"))
                Expect.equal (arc.Size, arc.Minimum) (12884901888UL<B>, 1055883264UL<B>) "bytes"
                Expect.equal arc.Reclaimable 11829018624UL<B> "the difference"

            testCase "a cache below its minimum gives nothing back"
            <| fun () ->
                let arc = want (parse "c_min 4 200\nsize 4 100\n"B)
                Expect.equal arc.Reclaimable 0UL<B> "nothing"

            testCase "a size that is no number names its line"
            <| fun () -> Expect.equal (located (parse "c_min 4 1\nsize 4 -1\n"B)) ("/proc/spl/kstat/zfs/arcstats", 2, "size", "-1") "place"

            testCase "a text without the minimum, or cut before the end of the size, says nothing"
            <| fun () ->
                Expect.equal (located (parse "size 4 1\n"B)) ("/proc/spl/kstat/zfs/arcstats", 2, "c_min", "") "no minimum"
                Expect.equal (located (parse "c_min 4 1\nsize 4 12"B)) ("/proc/spl/kstat/zfs/arcstats", 2, "size", "size 4 12") "cut"
        ]
