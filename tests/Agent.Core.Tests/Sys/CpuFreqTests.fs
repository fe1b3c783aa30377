module Agent.Core.Tests.Sys.CpuFreqTests

open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private cpu (content: string) =
    sysText "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq" content

[<Tests>]
let tests =
    testList
        "Sys.CpuFreq"
        [
            testCase "the mean of the clocks, kHz as MHz"
            <| fun () ->
                // (2200 + 2400.5 + 3000 + 3399.5) / 4
                Expect.equal (CpuFreq.meanClock (sysFiles "two-sockets-smt" "/scaling_cur_freq")) (ValueSome 2750.0<MHz>) "mean"

            testCase "a CPU whose driver cannot tell does not drag the mean down"
            <| fun () ->
                Expect.equal
                    (CpuFreq.meanClock [| cpu "<unknown>\n"; cpu "1500000\n"; cpu "0\n"; cpu "2500000\n" |])
                    (ValueSome 2000.0<MHz>)
                    "the mean of two"

            testCase "a CPU that went off-line is passed over"
            <| fun () ->
                Expect.equal
                    (CpuFreq.meanClock [| sysFailure "a" (SourceError.Absent "a"); cpu "800000\n" |])
                    (ValueSome 800.0<MHz>)
                    "the other"

            testCase "torn files alone leave the clock unknown"
            <| fun () -> Expect.equal (CpuFreq.meanClock [| cpu "15000"; cpu "" |]) ValueNone "none"

            testCase "a clock lies between 1 MHz and 20 GHz"
            <| fun () ->
                Expect.equal
                    (CpuFreq.meanClock [| cpu "1000\n" |], CpuFreq.meanClock [| cpu "20000000\n" |])
                    (ValueSome 1.0<MHz>, ValueSome 20000.0<MHz>)
                    "the edges"

                Expect.equal (CpuFreq.meanClock [| cpu "999\n"; cpu "20000001\n"; cpu "4294967295\n" |]) ValueNone "beyond them"

            testCase "a text that is no clock is a fault once; a CPU that cannot tell is none"
            <| fun () ->
                let busy = sysFailure "b" (SourceError.Unreadable("b", "Device or resource busy"))
                Expect.equal (CpuFreq.faults [| cpu "<unknown>\n"; cpu "0\n"; busy; cpu "1500000\n" |]) [||] "none"

                match CpuFreq.faults [| cpu "1500000\n"; cpu "fast\n"; cpu "slow\n" |] with
                | [| SourceError.Garbled error |] -> Expect.equal error.Raw "fast" "the first"
                | other -> failtest $"expected one fault, got %A{other}"

            testCase "no files, no clock"
            <| fun () -> Expect.equal (CpuFreq.meanClock [||]) ValueNone "none"
        ]
