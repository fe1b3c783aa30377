module Agent.Core.Tests.Proc.CpuInfoTests

open System
open System.Text
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
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
                        Implementer = ValueNone
                        Part = ValueNone
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

            testCase "arm64 gives no model name, no clock and no cores"
            <| fun () ->
                let info = want (parse (bytes "arm64/proc/cpuinfo"))
                Expect.equal info.ModelName ValueNone "model"
                Expect.equal info.Processors.Length 2 "CPUs"
                Expect.equal (CpuInfo.meanClock info, CpuInfo.physicalCores info) (ValueNone, ValueNone) "unknown, not 0"
                Expect.equal (CpuInfo.name info) (ValueSome "Neoverse N1") "0x41 and 0xd0c"

            testCase "what armv7 says of the board after its processors is no processor"
            <| fun () ->
                let info = want (parse (bytes "armv7/proc/cpuinfo"))
                Expect.equal info.ModelName (ValueSome "ARMv7 Processor rev 4 (v7l)") "model"
                Expect.equal info.Processors.Length 1 "CPUs"

            testCase "older kernels for Arm say once, behind the processors, what all of them are"
            <| fun () ->
                let text =
                    "Processor\t: ARMv7 Processor rev 5 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 48.00\n\nprocessor\t: 1\nBogoMIPS\t: 48.00\n\n"
                    + "Features\t: swp half\nCPU implementer\t: 0x41\nCPU architecture: 7\nCPU part\t: 0xc07\n\nHardware\t: sun8i\n"

                let info = want (parse (utf8 text))
                Expect.equal (info.Processors |> Array.map _.Part) [| ValueSome 0xc07UL; ValueSome 0xc07UL |] "both"
                Expect.equal (CpuInfo.name info) (ValueSome "Cortex-A7") "0x41 and 0xc07"

                match parse (utf8 (text.Replace("0xc07", "A7"))) with
                | Error error -> Expect.equal (error.Field, error.Raw) ("CPU part", "A7") "garbled"
                | Ok _ -> failtest "a part that is no number"

            testCase "a virtual machine's processors have a flag that says so"
            <| fun () ->
                let isGuest (text: string) =
                    CpuInfo.isGuest (ReadOnlySpan(utf8 text))

                Expect.equal (isGuest "processor\t: 0\nflags\t\t: fpu hypervisor lahf_lm\n\n") (Ok true) "a guest"
                Expect.equal (isGuest "processor\t: 0\nflags\t\t: fpu lahf_lm\n\n") (Ok false) "a machine"
                Expect.equal (isGuest "processor\t: 0\nflags\t\t: fpu no_hypervisor\nvmx flags\t: hypervisor\n\n") (Ok false) "other words"
                Expect.equal (isGuest "") (Ok false) "nothing"

            testCase "POWER names its clock and its model its own way"
            <| fun () ->
                let info = want (parse (bytes "ppc64le/proc/cpuinfo"))
                Expect.equal info.Processors.Length 2 "CPUs"
                Expect.equal (CpuInfo.name info, CpuInfo.meanClock info) (ValueSome "POWER9", ValueSome 2300.0<MHz>) "model and clock"

            testCase "s390x names its machine in one line a processor, and its clocks in blocks behind them"
            <| fun () ->
                let info = want (parse (bytes "s390x/proc/cpuinfo"))
                Expect.equal (CpuInfo.name info, info.Processors.Length) (ValueSome "IBM z13 (2964)", 2) "model and CPUs"
                Expect.equal (CpuInfo.meanClock info) (ValueSome 5000.0<MHz>) "clock"

            for what, text, expected in
                [
                    "a machine type of s390 that is not known is told by its number",
                    "processor 0: version = 00,  identification = 1,  machine = 9999\n",
                    ValueSome "IBM Z (9999)"
                    "LoongArch", "processor\t: 0\nModel Name\t: Loongson-3A5000\nCPU MHz\t: 2500.00\n\n", ValueSome "Loongson-3A5000"
                    "MIPS", "processor\t: 0\ncpu model\t: Cavium Octeon III V0.2\n\n", ValueSome "Cavium Octeon III V0.2"
                    "RISC-V with its core",
                    "processor\t: 0\nisa\t: rv64imafdc_zicntr\nuarch\t: sifive,u74-mc\n\n",
                    ValueSome "sifive,u74-mc"
                    "RISC-V without", "processor\t: 0\nisa\t: rv64imafdc_zicntr\n\n", ValueSome "RISC-V rv64imafdc"
                    "x86", "processor\t: 0\nmodel name\t: Xeon\n\n", ValueSome "Xeon"
                    "nothing", "processor\t: 0\nBogoMIPS\t: 50.00\n\n", ValueNone
                ] do
                testCase $"the name of {what}"
                <| fun () -> Expect.equal (CpuInfo.name (want (parse (utf8 text)))) expected "name"

            for implementer, part, expected in
                [
                    "0x41", "0xd4f", "Neoverse V2"
                    "0x41", "0xd0c", "Neoverse N1"
                    "0x41", "0xd42", "Cortex-A78AE"
                    "0x41", "0xd03", "Cortex-A53"
                    "0x43", "0x0af", "Cavium ThunderX2"
                    "0x46", "0x001", "Fujitsu A64FX"
                    "0x48", "0xd01", "HiSilicon TSV110"
                    "0x4e", "0x004", "NVIDIA Carmel"
                    "0x61", "0x023", "Apple M1 Firestorm"
                    "0xc0", "0xac3", "Ampere-1"
                    "0x41", "0xfff", "Arm part 0xfff"
                    "0x99", "0x001", "implementer 0x99 part 0x001"
                ] do
                testCase $"arm64: implementer {implementer} and part {part} are {expected}"
                <| fun () ->
                    let text = $"processor\t: 0\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n\n"
                    Expect.equal (CpuInfo.name (want (parse (utf8 text)))) (ValueSome expected) "name"

            testCase "arm64 with two kinds of cores names both and how many there are"
            <| fun () ->
                let core part =
                    $"processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"

                let text = String.replicate 4 (core "0xd05") + String.replicate 2 (core "0xd0b")

                Expect.equal (CpuInfo.name (want (parse (utf8 text)))) (ValueSome "4x Cortex-A55 + 2x Cortex-A76") "names"

            testCase "a model name goes before implementer and part"
            <| fun () ->
                Expect.equal
                    (CpuInfo.name (want (parse "processor : 0\nmodel name : ARMv7 rev 4\nCPU implementer : 0x41\nCPU part : 0xc07\n\n"B)))
                    (ValueSome "ARMv7 rev 4")
                    "name"

            testCase "0 MHz is no clock, and the mean is of those that tell"
            <| fun () ->
                let clocks text =
                    let info = want (parse (utf8 text))
                    CpuInfo.meanClock info

                Expect.equal (clocks "processor : 0\ncpu MHz : 0.000\n\n") ValueNone "none tells"

                Expect.equal
                    (clocks "processor : 0\ncpu MHz : 0.000\n\nprocessor : 1\ncpu MHz : 2000.000\n\n")
                    (ValueSome 2000.0<MHz>)
                    "one does"

            testCase "a clock lies between 1 MHz and 20 GHz"
            <| fun () ->
                let clock text =
                    CpuInfo.meanClock (want (parse (utf8 $"processor : 0\ncpu MHz : {text}\n\n")))

                Expect.equal (clock "1.000", clock "20000.000") (ValueSome 1.0<MHz>, ValueSome 20000.0<MHz>) "the edges"
                Expect.equal (clock "0.999", clock "20000.001") (ValueNone, ValueNone) "beyond them"

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

            testCase "a value that is no number costs its own field"
            <| fun () ->
                let read =
                    want (
                        CpuInfo.parse (ReadOnlySpan "processor : 0\nmodel name : Own\ncpu MHz : 2000.0\nphysical id : 0\ncore id : -1\n\n"B)
                    )

                Expect.equal (read.Value.ModelName, CpuInfo.meanClock read.Value) (ValueSome "Own", ValueSome 2000.0<MHz>) "model and clock"
                Expect.equal (CpuInfo.physicalCores read.Value) ValueNone "cores"

                Expect.equal
                    (read.Faults |> Array.map (fun fault -> fault.Line, fault.Field, fault.Raw))
                    [| 5, "core id", "-1" |]
                    "reported"

            testCase "a torn last line costs itself"
            <| fun () ->
                let read =
                    want (CpuInfo.parse (ReadOnlySpan "processor : 0\ncpu MHz : 1000.0\n\nprocessor : 1\ncpu MHz : 23"B))

                Expect.equal (read.Value.Processors.Length, CpuInfo.meanClock read.Value) (2, ValueSome 1000.0<MHz>) "the first"
                Expect.equal (located (Parsed.strict (Ok read))) ("/proc/cpuinfo", 5, "the last line", "cpu MHz : 23") "reported"

            testCase "a block that is not closed is reported, and what it says counts"
            <| fun () ->
                let read = want (CpuInfo.parse (ReadOnlySpan "processor : 0\n\nprocessor : 1\ncpu MHz : 2300.0\n"B))
                Expect.equal (CpuInfo.meanClock read.Value) (ValueSome 2300.0<MHz>) "clock"
                Expect.equal (located (Parsed.strict (Ok read))) ("/proc/cpuinfo", 5, "the blank line after a processor", "") "reported"

            testCase "an empty text knows nothing"
            <| fun () ->
                let info = want (parse [||])
                Expect.equal (info.ModelName, info.Processors.Length) (ValueNone, 0) "nothing"
                Expect.equal (CpuInfo.meanClock info, CpuInfo.physicalCores info) (ValueNone, ValueNone) "unknown"
        ]
