module Agent.Tests.Proc.CpuInfoTests

open System
open System.Text
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Tests.Fixtures
open Expecto

let private parse (text: byte[]) =
    CpuInfo.parse (ReadOnlySpan text) |> Parsed.strict

let private lscpu (name: string) =
    (text "vm-2core-6.18/first/lscpu.txt").Split '\n'
    |> Array.find (fun line -> line.StartsWith(name + ":", StringComparison.Ordinal))
    |> fun line -> line.Substring(name.Length + 1).Trim()

[<Tests>]
let tests =
    testList
        "Proc.CpuInfo"
        [
            testCase "the captured text says what lscpu says"
            <| fun () ->
                let info = want (parse (bytes "vm-2core-6.18/first/proc/cpuinfo"))
                Expect.equal info.ModelName (ValueSome(lscpu "Model name")) "model"
                Expect.equal info.Processors.Length (int (lscpu "CPU(s)")) "CPUs"

                Expect.equal (CpuInfo.physicalCores info) (ValueSome(int (lscpu "Core(s) per socket") * int (lscpu "Socket(s)"))) "cores"

            testCase "the captured text names model, clock, socket and core"
            <| fun () ->
                let info = want (parse (bytes "vm-2core-6.18/first/proc/cpuinfo"))
                Expect.equal info.ModelName (ValueSome "Intel(R) Xeon(R) Processor") "model"

                Expect.equal
                    info.Processors[1]
                    {
                        Clock = ValueSome 2300.0<MHz>
                        Socket = ValueSome 0UL
                        Core = ValueSome 1UL
                    }
                    "the second CPU"

            testCase "two sockets with hyper-threads have four cores and the mean of their clocks"
            <| fun () ->
                let info = want (parse (bytes "two-sockets-smt/proc/cpuinfo"))
                Expect.equal info.Processors.Length 8 "CPUs"
                Expect.equal (CpuInfo.physicalCores info) (ValueSome 4) "cores"
                // (2200 + 2400.5 + 3000 + 3399.5) / 4
                Expect.equal (CpuInfo.meanClock info) (ValueSome 2750.0<MHz>) "clock"

            testCase "a processor that names its socket and not its core leaves the number of cores unknown"
            <| fun () ->
                let info = want (parse (bytes "kernel-2.6/proc/cpuinfo"))
                Expect.equal (CpuInfo.physicalCores info) ValueNone "cores"
                Expect.equal (CpuInfo.meanClock info) (ValueSome 2798.737<MHz>) "clock"

            testCase "one processor without a core leaves the number of cores unknown"
            <| fun () ->
                let info =
                    want (parse "processor : 0\nphysical id : 0\ncore id : 0\n\nprocessor : 1\nphysical id : 0\n\n"B)

                Expect.equal (CpuInfo.physicalCores info) ValueNone "cores"

            testCase "arm64 names neither model nor clock nor cores"
            <| fun () ->
                let info = want (parse (bytes "arm64/proc/cpuinfo"))
                Expect.equal info.ModelName ValueNone "model"
                Expect.equal info.Processors.Length 2 "CPUs"
                Expect.equal (CpuInfo.meanClock info, CpuInfo.physicalCores info) (ValueNone, ValueNone) "unknown, not 0"

            testCase "what armv7 says of the board after its processors is no processor"
            <| fun () ->
                let info = want (parse (bytes "armv7/proc/cpuinfo"))
                Expect.equal info.ModelName (ValueSome "ARMv7 Processor rev 4 (v7l)") "model"
                Expect.equal info.Processors.Length 1 "CPUs"

            testCase "POWER writes its clock under another name, which is not read"
            <| fun () ->
                let info = want (parse (bytes "ppc64le/proc/cpuinfo"))
                Expect.equal info.Processors.Length 2 "CPUs"
                Expect.equal (info.ModelName, CpuInfo.meanClock info) (ValueNone, ValueNone) "unknown"

            testCase "the lines of s390x are no processor blocks and no error"
            <| fun () ->
                let info = want (parse (bytes "s390x/proc/cpuinfo"))
                Expect.equal (info.ModelName, info.Processors.Length) (ValueNone, 0) "nothing known"

            testCase "a clock that kernel 6.15 calls Unknown is unknown and costs nothing else"
            <| fun () ->
                let info = want (parse (bytes "kernel-6.15-clock-unknown/proc/cpuinfo"))
                Expect.equal info.ModelName (ValueSome "AMD EPYC 9575F 64-Core Processor") "model"
                Expect.equal (CpuInfo.meanClock info) (ValueSome 3300.0<MHz>) "the clock of the one that tells"
                Expect.equal (CpuInfo.physicalCores info) (ValueSome 2) "cores"

            testCase "256 processors with 128 cores"
            <| fun () ->
                let text = StringBuilder()

                for n in 0..255 do
                    text.Append(
                        $"processor\t: {n}\nmodel name\t: Big\ncpu MHz\t\t: {2000 + n}.500\nphysical id\t: {n % 128 / 64}\ncore id\t\t: {n % 64}\n\n"
                    )
                    |> ignore

                let info = want (parse (utf8 (string text)))
                Expect.equal info.Processors.Length 256 "CPUs"
                Expect.equal (CpuInfo.physicalCores info) (ValueSome 128) "cores"
                Expect.equal (CpuInfo.meanClock info) (ValueSome 2128.0<MHz>) "2000 + 127.5 + 0.5"

            testCase "of several model names the first counts, colons within it included"
            <| fun () ->
                let info = want (parse "processor : 0\nmodel name : A: B\n\nprocessor : 1\nmodel name : C\n\n"B)
                Expect.equal info.ModelName (ValueSome "A: B") "model"

            testCase "two blocks without a blank line between them are two"
            <| fun () -> Expect.equal (want (parse "processor : 0\nprocessor : 1\n\n"B)).Processors.Length 2 "CPUs"

            testCase "a clock that is no number names its line"
            <| fun () -> Expect.equal (located (parse "processor : 0\ncpu MHz : fast\n\n"B)) ("/proc/cpuinfo", 2, "cpu MHz", "fast") "place"

            testCase "a negative clock is an error"
            <| fun () -> Expect.equal (located (parse "processor : 0\ncpu MHz : -1.0\n\n"B)) ("/proc/cpuinfo", 2, "cpu MHz", "-1.0") "place"

            testCase "a core that is no number names its line"
            <| fun () ->
                Expect.equal
                    (located (parse "processor : 0\nphysical id : 0\ncore id : left\n\n"B))
                    ("/proc/cpuinfo", 3, "core id", "left")
                    "place"

            testCase "a socket that is no number names its line"
            <| fun () -> Expect.equal (located (parse "processor : 0\nphysical id :\n\n"B)) ("/proc/cpuinfo", 2, "physical id", "") "place"

            testCase "a torn last line is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "processor : 0\n\nprocessor : 1\ncpu MHz : 23"B))
                    ("/proc/cpuinfo", 4, "the last line", "cpu MHz : 23")
                    "place"

            testCase "a block that is not closed is an error: the rest of the file is missing"
            <| fun () ->
                Expect.equal
                    (located (parse "processor : 0\n\nprocessor : 1\n"B))
                    ("/proc/cpuinfo", 4, "the blank line after a processor", "")
                    "place"

            testCase "an empty text knows nothing"
            <| fun () ->
                let info = want (parse [||])
                Expect.equal (info.ModelName, info.Processors.Length) (ValueNone, 0) "nothing"
                Expect.equal (CpuInfo.meanClock info, CpuInfo.physicalCores info) (ValueNone, ValueNone) "unknown"
        ]
