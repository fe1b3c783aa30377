module Agent.Core.Tests.Proc.MemInfoTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    MemInfo.parse (ReadOnlySpan text) |> Parsed.strict

/// The row of `free -b` that starts with this word: total, used, free, shared, cache, available.
let private free (instant: string) (row: string) : uint64[] =
    words $"vm-2core-6.18/{instant}/free-b.txt"
    |> Array.find (fun line -> line[0] = row)
    |> Array.skip 1
    |> Array.map UInt64.Parse

[<Tests>]
let tests =
    testList
        "Proc.MemInfo"
        [
            for instant in [ "first"; "second" ] do
                testCase $"the {instant} capture says what free -b says"
                <| fun () ->
                    let memory = want (parse (bytes $"vm-2core-6.18/{instant}/proc/meminfo"))
                    let ram = free instant "Mem:"
                    let swap = free instant "Swap:"
                    Expect.equal (uint64 memory.Total.Value) ram[0] "total"
                    Expect.equal (uint64 memory.Free.Value) ram[2] "free"
                    Expect.equal (MemInfo.available memory |> ValueOption.map uint64) (ValueSome ram[5]) "available"
                    Expect.equal (memory.SwapTotal |> ValueOption.map uint64) (ValueSome swap[0]) "swap"
                    Expect.equal (memory.SwapFree |> ValueOption.map uint64) (ValueSome swap[2]) "free swap"

            testCase "the captured text counts kibibytes of 1024 bytes"
            <| fun () ->
                let memory = want (parse (bytes "vm-2core-6.18/second/proc/meminfo"))
                Expect.equal memory.Total (ValueSome 25276514304UL<B>) "24684096 kB"
                Expect.equal memory.Available (ValueSome 24916692992UL<B>) "24332708 kB"
                Expect.equal memory.Buffers (ValueSome 12996608UL<B>) "12692 kB"
                Expect.equal memory.Cached (ValueSome 290738176UL<B>) "283924 kB"
                Expect.equal memory.SwapTotal (ValueSome 0UL<B>) "no swap is 0, not unknown"

            testCase "before kernel 3.14 available is free, buffers and page cache"
            <| fun () ->
                let memory = want (parse (bytes "kernel-2.6/proc/meminfo"))
                Expect.equal memory.Available ValueNone "no such line"
                // 35420 + 112936 + 602404 kB = 750760 kB
                Expect.equal (MemInfo.available memory) (ValueSome 768778240UL<B>) "available"

            testCase "a container that claims more than it has counts its free memory"
            <| fun () ->
                let memory = want (parse (bytes "lxc/proc/meminfo"))
                Expect.equal (MemInfo.available memory) (ValueSome 1610612736UL<B>) "1572864 kB"

            testCase "available that equals the total is believed"
            <| fun () ->
                let memory = want (parse "MemTotal: 100 kB\nMemFree: 40 kB\nMemAvailable: 100 kB\n"B)
                Expect.equal (MemInfo.available memory) (ValueSome 102400UL<B>) "100 kB"

            testCase "free memory beyond the total counts as the total"
            <| fun () ->
                let memory = want (parse "MemTotal: 100 kB\nMemFree: 300 kB\nMemAvailable: 200 kB\n"B)
                Expect.equal (MemInfo.available memory) (ValueSome 102400UL<B>) "100 kB"

            testCase "two lines alone leave available and swap unknown"
            <| fun () ->
                let memory = want (parse (bytes "lxc-few-lines/proc/meminfo"))
                Expect.equal (memory.Total, memory.Free) (ValueSome 536870912UL<B>, ValueSome 134217728UL<B>) "total and free"
                Expect.equal (MemInfo.available memory) ValueNone "available"
                Expect.equal (memory.SwapTotal, memory.SwapFree) (ValueNone, ValueNone) "swap"

            testCase "the order of the lines does not matter"
            <| fun () ->
                let memory = want (parse "Novel: 1\nMemFree: 2 kB\nMemTotal: 4 kB\n"B)
                Expect.equal (memory.Total, memory.Free) (ValueSome 4096UL<B>, ValueSome 2048UL<B>) "total and free"

            testCase "a figure beyond 64 bits of bytes gives the largest and does not wrap"
            <| fun () ->
                let memory = want (parse "MemTotal: 18446744073709551615 kB\nMemFree: 1 kB\n"B)
                Expect.equal memory.Total (ValueSome 18446744073709551615UL<B>) "2^64-1"

            testCase "a figure that is no number names its line and its key"
            <| fun () ->
                Expect.equal (located (parse "MemTotal: 4 kB\nMemFree: lots kB\n"B)) ("/proc/meminfo", 2, "MemFree", "lots") "place"

            testCase "another unit than kB is an error"
            <| fun () -> Expect.equal (located (parse "MemTotal: 4 MB\nMemFree: 2 kB\n"B)) ("/proc/meminfo", 1, "MemTotal", "MB") "place"

            testCase "a missing unit is an error"
            <| fun () -> Expect.equal (located (parse "MemTotal: 4\nMemFree: 2 kB\n"B)) ("/proc/meminfo", 1, "MemTotal", "") "place"

            testCase "garbage in a line that is not read costs nothing"
            <| fun () ->
                let memory = want (parse "MemTotal: 4 kB\nMemFree: 2 kB\nActive: ?? kB\n\n"B)
                Expect.equal memory.Free (ValueSome 2048UL<B>) "free"

            testCase "a text without MemFree is an error"
            <| fun () -> Expect.equal (located (parse "MemTotal: 4 kB\n"B)) ("/proc/meminfo", 2, "MemFree", "") "place"

            testCase "a torn last line is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "MemTotal: 4 kB\nMemFree: 2 kB\nMemAvailable: 1"B))
                    ("/proc/meminfo", 3, "the last line", "MemAvailable: 1")
                    "place"

            testCase "an empty text is an error"
            <| fun () -> Expect.equal (located (parse [||])) ("/proc/meminfo", 1, "MemTotal", "") "place"

            testCase "line ends of another system are told as what they are"
            <| fun () ->
                Expect.equal (located (parse "MemTotal: 4 kB\r\nMemFree: 2 kB\r\n"B)) ("/proc/meminfo", 1, "MemTotal", "kB\\x0d") "place"

            testCase "one garbled line costs itself"
            <| fun () ->
                let read =
                    want (MemInfo.parse (ReadOnlySpan "MemTotal: 8 kB\nMemFree: 4\nMemAvailable: 6 kB\nSwapTotal: x kB\nSwapFree: 0 kB\n"B))

                Expect.equal (read.Value.Total, read.Value.Free) (ValueSome 8192UL<B>, ValueNone) "total and free"
                Expect.equal (MemInfo.available read.Value) (ValueSome 6144UL<B>) "available"
                Expect.equal (read.Value.SwapTotal, read.Value.SwapFree) (ValueNone, ValueSome 0UL<B>) "swap"
                Expect.equal (read.Faults |> Array.map (fun fault -> fault.Line, fault.Field)) [| 2, "MemFree"; 4, "SwapTotal" |] "reported"

            testCase "a line MemAvailable that cannot be read is not replaced by the formula of kernels without it"
            <| fun () ->
                for line in
                    [
                        "MemAvailable: 6x0 kB"
                        "MemAvailable: 600"
                        "MemAvailable:"
                        "MemAvailable: -1 kB"
                    ] do
                    let text = $"MemTotal: 1000 kB\nMemFree: 200 kB\n{line}\nBuffers: 10 kB\nCached: 300 kB\n"
                    let read = want (MemInfo.parse (ReadOnlySpan(System.Text.Encoding.UTF8.GetBytes text)))
                    Expect.equal (MemInfo.available read.Value) ValueNone line
                    Expect.equal (read.Faults |> Array.map _.Field) [| "MemAvailable" |] line

                let old = want (parse "MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 10 kB\nCached: 300 kB\n"B)
                Expect.equal (MemInfo.available old) (ValueSome 522240UL<B>) "510 kB before 3.14"

            testCase "huge pages are counted, and their sizes are bytes"
            <| fun () ->
                let memory =
                    want (
                        parse
                            "MemTotal: 8 kB\nMemFree: 4 kB\nHugePages_Total:    1024\nHugePages_Free:      512\nHugepagesize:       2048 kB\nHugetlb:         3145728 kB\n"B
                    )

                Expect.equal (memory.HugePages, memory.HugePagesFree) (ValueSome 1024UL, ValueSome 512UL) "pages"
                Expect.equal (memory.HugePageSize, memory.Hugetlb) (ValueSome 2097152UL<B>, ValueSome 3221225472UL<B>) "bytes"

            testCase "a cache of ZFS as large as the memory in use counts; one byte more is not in this memory"
            <| fun () ->
                // 6144 bytes are in use.
                let memory = want (parse "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\n"B)

                let arc size : ArcStats.Arc voption =
                    ValueSome { Size = size; Minimum = 1024UL<B> }

                Expect.equal (MemInfo.availableWithArc (arc 6144UL<B>) memory) (ValueSome 7168UL<B>) "2048 and 5120"
                Expect.equal (MemInfo.availableWithArc (arc 6145UL<B>) memory) (ValueSome 2048UL<B>) "a container's view of its host"

            testCase "a cache of ZFS at or below its minimum gives nothing back"
            <| fun () ->
                let memory = want (parse "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\n"B)

                let arc size : ArcStats.Arc voption =
                    ValueSome { Size = size; Minimum = 1024UL<B> }

                Expect.equal (MemInfo.availableWithArc (arc 1024UL<B>) memory) (ValueSome 2048UL<B>) "at it"
                Expect.equal (MemInfo.availableWithArc (arc 1025UL<B>) memory) (ValueSome 2049UL<B>) "one byte above"
                Expect.equal (MemInfo.availableWithArc ValueNone memory) (ValueSome 2048UL<B>) "no ZFS"
        ]
