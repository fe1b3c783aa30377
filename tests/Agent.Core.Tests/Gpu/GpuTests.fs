module Agent.Core.Tests.Gpu.GpuTests

open Agent.Core.Gpu
open Agent.Core.Units
open Expecto

let private computing pid memory : ComputeProcess =
    {
        Pid = pid
        MemoryUsed = memory
        Name = ""
    }

[<Tests>]
let tests =
    testList
        "Gpu"
        [
            // The bits stand in nvml.h (nvmlClocksEventReason…), the names in `nvidia-smi --help-query-gpu`.
            testCase "each bit of the throttle mask has nvidia-smi's name"
            <| fun () ->
                for mask, names in
                    [
                        0UL, [||]
                        0x1UL, [| "gpu_idle" |]
                        0x2UL, [| "applications_clocks_setting" |]
                        0x4UL, [| "sw_power_cap" |]
                        0x8UL, [| "hw_slowdown" |]
                        0x10UL, [| "sync_boost" |]
                        0x20UL, [| "sw_thermal_slowdown" |]
                        0x40UL, [| "hw_thermal_slowdown" |]
                        0x80UL, [| "hw_power_brake_slowdown" |]
                        0x100UL, [| "display_clock_setting" |]
                        0x48UL, [| "hw_slowdown"; "hw_thermal_slowdown" |]
                        0x204UL, [| "sw_power_cap"; "bit_9" |]
                        0x8000000000000000UL, [| "bit_63" |]
                    ] do
                    Expect.equal (Throttle.reasonsOf mask) names $"0x%x{mask}"

            testCase "processes: most memory first, unknown memory last, equal ones by their number"
            <| fun () ->
                let processes =
                    [|
                        computing 5 ValueNone
                        computing 4 (ValueSome 10UL<B>)
                        computing 3 (ValueSome 20UL<B>)
                        computing 2 (ValueSome 10UL<B>)
                        computing 1 ValueNone
                        computing 6 (ValueSome 0UL<B>)
                    |]

                Expect.equal (ComputeProcess.limited processes |> Array.map (fun p -> p.Pid)) [| 3; 2; 4; 6; 1; 5 |] "order"

            testCase "of 33 processes the one with the least memory is left out"
            <| fun () ->
                let processes = Array.init 33 (fun i -> computing (100 + i) (ValueSome(uint64 i * 1UL<B>)))

                Expect.equal (ComputeProcess.limited processes |> Array.map (fun p -> p.Pid)) [| 132..-1..101 |] "132 down to 101"
        ]
