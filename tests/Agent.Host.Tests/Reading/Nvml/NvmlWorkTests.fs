/// What jobs do on GPUs, read from the stub: GPM, violation times, processes' shares, and who holds a GPU beside those that compute.
module Agent.Host.Tests.NvmlWorkTests

open System
open System.Diagnostics
open System.IO
open System.Threading
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// Every duration of a reader is divided by this: work is read every 100 ms.
[<Literal>]
let private Scale = 20

let private withReader (machine: Machine) (test: NvmlSource -> unit) =
    let source =
        NvmlSource(
            machine.Library,
            Path.Combine(machine.Directory, "proc"),
            Path.Combine(machine.Directory, "sys"),
            seconds 1.0,
            seconds 10.0,
            AgentClock Scale
        )

    try
        source.WatchWork()
        test source
    finally
        source.Stop()

/// Reads on until something holds.
let private eventually (source: NvmlSource) (what: string) (holds: unit -> bool) : unit =
    let watch = Stopwatch.StartNew()

    while not (holds ()) && watch.Elapsed < seconds 20.0 do
        source.Read() |> ignore
        Thread.Sleep 10

    Expect.isTrue (holds ()) $"within 20 s: {what}; %A{source.Work}"

let private until (source: NvmlSource) (what: string) (isSo: GpuWork -> bool) : GpuWork =
    let mutable found = None

    eventually source what (fun () ->
        found <- source.Work |> Array.tryFind isSo
        found.IsSome)

    found.Value

let private pause (source: NvmlSource) (milliseconds: int) : unit =
    let watch = Stopwatch.StartNew()

    while watch.ElapsedMilliseconds < int64 milliseconds do
        source.Read() |> ignore
        Thread.Sleep 10

let private calls (machine: Machine) (name: string) : int64 list =
    machine.Calls
    |> List.filter (fun (_, call, _) -> call = name)
    |> List.map (fun (time, _, _) -> time)

/// Samples that were allocated and not freed.
let private held (machine: Machine) : int =
    (calls machine "nvmlGpmSampleAlloc").Length
    - (calls machine "nvmlGpmSampleFree").Length

let private gpm =
    "gpm_sm 88\ngpm_tensor 45\ngpm_dram 30\ngpm_pcie_tx_mib 1\ngpm_pcie_rx_mib 2\ngpm_nvlink_rx_mib 3\ngpm_nvlink_tx_mib 4\n"

let private traced = "nvml_trace 1\nnvml_pcie_ms 0"

let private whole = machineOf traced 1 + gpm

/// No process is listed: none is there, or the agent's container is not told.
let private unlisted = whole.Replace("process 4711 16452157440 python\n", "")

let private divided =
    (machineOf traced 1).Replace("mig_mode 0", "mig_mode 1").Replace("process 4711 16452157440 python\n", "")
    + "mig 9 0 10468982784 524288000 MIG-a NVIDIA H100 80GB HBM3 MIG 1g.10gb\n"
    + "mig 2 0 42681237504 1048576 MIG-b NVIDIA H100 80GB HBM3 MIG 3g.40gb\n"
    + "gpm_sm 1\ngpm_sm_9 70\ngpm_tensor_9 20\ngpm_sm_2 30\n"

let private near (expected: float) (tolerance: float) (share: float<percent> voption) =
    match share with
    | ValueSome share -> abs (float share - expected) <= tolerance
    | ValueNone -> false

let private gpmTests =
    testList
        "GPM"
        [
            testCase "what happened between two samples, at least 100 ms apart"
            <| fun () ->
                withMachine whole (fun machine ->
                    withReader machine (fun source ->
                        let work = until source "metrics" _.SmActivity.IsSome
                        Expect.equal work.GpuUuid "GPU-04444444-0000-4000-8000-000000000000" "which"
                        Expect.equal work.SmActivity (ValueSome 88.0<percent>) "multiprocessors"
                        Expect.equal work.TensorActivity (ValueSome 45.0<percent>) "tensor cores"
                        Expect.equal work.DramActivity (ValueSome 30.0<percent>) "memory"
                        Expect.equal (work.PcieOut, work.PcieIn) (ValueSome 1048576.0<B / s>, ValueSome 2097152.0<B / s>) "PCIe"
                        Expect.equal work.NvlinkBoth (ValueSome 7340032.0<B / s>) "NVLink"
                        pause source 500

                        let gaps =
                            calls machine "nvmlGpmSampleGet"
                            |> List.pairwise
                            |> List.map (fun (one, next) -> next - one)

                        Expect.isGreaterThan gaps.Length 2 "it goes on"
                        Expect.all gaps (fun gap -> gap >= 95L) $"2 s by the reader's clock: {gaps}"
                        Expect.equal (calls machine "nvmlGpmQueryDeviceSupport").Length 1 "asked once"
                        Expect.equal (held machine) 2 "two samples are enough"))

            testCase "a program that plays a GPU is seen by GPM and by its share"
            <| fun () ->
                withMachine (machineOf "" 1) (fun machine ->
                    let file = Path.Combine(machine.Directory, "gpu0")
                    // A piece that began long ago and has no end: 800 thousandths of the multiprocessors, 400 and 300 of tensor cores and memory.
                    let played = Array.zeroCreate<byte>(8 * (32 + 1024 * 32))

                    let put (at: int) (value: byte[]) =
                        Array.blit value 0 played at value.Length

                    put 0 (BitConverter.GetBytes(uint64 Environment.ProcessId))
                    put 16 (BitConverter.GetBytes 1UL)
                    put 32 (BitConverter.GetBytes 1UL)
                    put 50 (BitConverter.GetBytes 800us)
                    put 52 (BitConverter.GetBytes 400us)
                    put 54 (BitConverter.GetBytes 300us)
                    File.WriteAllBytes(file, played)
                    machine.Play(machineOf "" 1 + gpm + $"process_utilization 0 0\nplay {file}\n")

                    withReader machine (fun source ->
                        let work = until source "both" (fun work -> work.SmActivity.IsSome && work.Shares.IsSome)
                        Expect.equal work.SmActivity (ValueSome 80.0<percent>) "multiprocessors"
                        Expect.equal work.TensorActivity (ValueSome 40.0<percent>) "tensor cores"
                        Expect.equal work.DramActivity (ValueSome 30.0<percent>) "memory"

                        Expect.equal
                            (work.Shares.Value |> Array.map (fun one -> one.Process, float one.Share))
                            [| Environment.ProcessId, 100.0 |]
                            "its share"))

            testCase "a GPU that nobody uses is not asked, and its samples are given back when nobody does any more"
            <| fun () ->
                let idle = unlisted.Replace("utilization_gpu 90", "utilization_gpu 0")

                withMachine idle (fun machine ->
                    withReader machine (fun source ->
                        pause source 800
                        Expect.isEmpty source.Work "nothing"
                        Expect.isFalse (machine.Calls |> List.exists (fun (_, call, _) -> call.StartsWith "nvmlGpm")) "not asked"
                        Expect.isEmpty (calls machine "nvmlDeviceGetProcessUtilization") "nor that"
                        machine.Play whole
                        until source "in use" _.SmActivity.IsSome |> ignore
                        machine.Play idle
                        eventually source "idle again" (fun () -> source.Work.Length = 0 && held machine = 0)))

            testCase "a busy GPU on which no process is listed is in use all the same"
            <| fun () ->
                withMachine unlisted (fun machine ->
                    withReader machine (fun source ->
                        until source "in use" _.SmActivity.IsSome |> ignore
                        machine.Play(unlisted.Replace("utilization_gpu 90", "utilization_gpu 1"))
                        pause source 400
                        until source "hardly" _.SmActivity.IsSome |> ignore
                        machine.Play(unlisted.Replace("utilization_gpu 90", "utilization_gpu 0"))
                        eventually source "idle" (fun () -> source.Work.Length = 0 && held machine = 0)))

            testCase "nobody asks where nobody watches jobs"
            <| fun () ->
                withMachine whole (fun machine ->
                    let source =
                        NvmlSource(machine.Library, machine.Directory, machine.Directory, seconds 1.0, seconds 10.0, AgentClock Scale)

                    try
                        pause source 500
                        Expect.isNonEmpty (calls machine "nvmlDeviceGetComputeRunningProcesses_v3") "the processes are known"
                        Expect.isFalse (machine.Calls |> List.exists (fun (_, call, _) -> call.StartsWith "nvmlGpm")) "GPM"
                        Expect.isEmpty (calls machine "nvmlDeviceGetGraphicsRunningProcesses_v3") "graphics"
                    finally
                        source.Stop())

            for what, line, samplesTaken in
                [
                    "does not support it", "gpm 0", 0
                    "does not know the question", "gpm !3", 0
                    "refuses samples", "nvml_no_gpm_sample 4", 1
                    "has no samples", "nvml_no_gpm_sample 3", 1
                ] do
                testCase $"a GPU that {what} is asked once, and the fields are none"
                <| fun () ->
                    withMachine (whole + line + "\nprocess_utilization 4711 60\n") (fun machine ->
                        withReader machine (fun source ->
                            until source "the rest" _.Shares.IsSome |> ignore
                            pause source 600
                            let work = source.Work[0]

                            Expect.equal
                                (work.SmActivity, work.TensorActivity, work.DramActivity)
                                (ValueNone, ValueNone, ValueNone)
                                "none"

                            Expect.equal (calls machine "nvmlGpmQueryDeviceSupport").Length 1 "asked once"
                            Expect.equal (calls machine "nvmlGpmSampleGet").Length samplesTaken "and no more"
                            Expect.equal (held machine) 0 "nothing is held"
                            Expect.equal source.WorkFaults [||] "no fault"))

            testCase "an old library without any of it costs these fields, and nothing else"
            <| fun () ->
                let missing =
                    [
                        "nvmlGpmQueryDeviceSupport"
                        "nvmlGpmSampleAlloc"
                        "nvmlGpmSampleFree"
                        "nvmlGpmSampleGet"
                        "nvmlGpmMigSampleGet"
                        "nvmlGpmMetricsGet"
                        "nvmlDeviceGetProcessUtilization"
                        "nvmlDeviceGetViolationStatus"
                        "nvmlDeviceGetFieldValues"
                        "nvmlDeviceGetMPSComputeRunningProcesses"
                        "nvmlDeviceGetMPSComputeRunningProcesses_v2"
                        "nvmlDeviceGetMPSComputeRunningProcesses_v3"
                        "nvmlDeviceGetGraphicsRunningProcesses"
                        "nvmlDeviceGetGraphicsRunningProcesses_v2"
                        "nvmlDeviceGetGraphicsRunningProcesses_v3"
                        "nvmlDeviceGetMaxClockInfo"
                    ]

                withOldMachine missing (whole + "process_utilization 4711 60\nviolation_power 100\n") (fun machine ->
                    withReader machine (fun source ->
                        let work = until source "work" (fun _ -> true)
                        pause source 300
                        Expect.equal (work.SmActivity, work.PowerViolation, work.Shares.IsNone) (ValueNone, ValueNone, true) "none"
                        Expect.equal source.WorkFaults [||] "no fault"
                        let reading = source.Read() |> nonNull
                        Expect.equal reading.Faults [||] "no fault of the GPU's"
                        Expect.equal (reading.Gpus[0].ClockSmMax, reading.Gpus[0].GraphicsProcesses) (ValueNone, ValueNone) "unknown"
                        Expect.equal (reading.Gpus[0].ComputeProcesses.Value |> Array.map _.Pid) [| 4711 |] "who computes"))

            testCase "a call that hangs holds up no reading of GPUs, is told, and comes back"
            <| fun () ->
                withMachine whole (fun machine ->
                    withReader machine (fun source ->
                        until source "metrics" _.SmActivity.IsSome |> ignore
                        machine.Play("nvml_hang nvmlGpmSampleGet\n" + whole)

                        eventually source "told" (fun () ->
                            source.Hanging
                            |> Array.exists (fun fault -> (string fault).Contains "GPM, violation times, process utilization"))

                        let watch = Stopwatch.StartNew()
                        Expect.isNotNull (source.Read()) "a reading"
                        Expect.isLessThan watch.Elapsed (seconds 2.0) "at once"
                        Expect.isEmpty source.Work "what is too old is not told"
                        machine.Play whole
                        until source "back" _.SmActivity.IsSome |> ignore
                        Expect.equal source.Hanging [||] "over"))

            testCase "samples are given back when the GPU is lost, and taken anew when it is back"
            <| fun () ->
                withMachine whole (fun machine ->
                    withReader machine (fun source ->
                        until source "metrics" _.SmActivity.IsSome |> ignore
                        machine.Play(whole + "lost 1\n")
                        eventually source "lost" (fun () -> source.Work.Length = 0 && held machine = 0)
                        Expect.equal source.WorkFaults [||] "the GPU's own reading tells of it"
                        machine.Play whole
                        until source "back" _.SmActivity.IsSome |> ignore
                        Expect.equal (held machine) 2 "two samples"))

            testCase "samples are given back before the library is shut down"
            <| fun () ->
                withMachine whole (fun machine ->
                    withReader machine (fun source ->
                        until source "metrics" _.SmActivity.IsSome |> ignore

                        // Not while a reading is under way.
                        let watch = Stopwatch.StartNew()

                        while (calls machine "nvmlShutdown").Length = 0 && watch.Elapsed < seconds 10.0 do
                            source.Release()
                            Thread.Sleep 5

                        Expect.equal (held machine) 0 "none is left"

                        let last =
                            machine.Calls
                            |> List.map (fun (_, call, _) -> call)
                            |> List.filter (fun call -> call = "nvmlShutdown" || call = "nvmlGpmSampleFree")
                            |> List.last

                        Expect.equal last "nvmlShutdown" "freed first"))

            testCase "of a divided board each instance in use has samples of its own"
            <| fun () ->
                withMachine (divided + "mig_process_0 4711 1000\n") (fun machine ->
                    withReader machine (fun source ->
                        let work = until source "metrics" _.SmActivity.IsSome

                        Expect.equal
                            (work.Instances |> Array.map (fun one -> one.Instance, one.Activity))
                            [| "MIG-a", ValueSome 70.0<percent> |]
                            "one"

                        Expect.equal
                            (work.SmActivity, work.TensorActivity)
                            (ValueSome 70.0<percent>, ValueSome 20.0<percent>)
                            "the board's"

                        machine.Play(divided + "mig_process_0 4711 1000\nmig_process_1 4712 1000\n")
                        let work = until source "both" (fun work -> near 50.0 0.01 work.SmActivity)
                        Expect.equal (work.Instances |> Array.map _.Instance) [| "MIG-a"; "MIG-b" |] "both"
                        Expect.equal (held machine) 4 "two samples for each"
                        machine.Play(divided + "mig_process_1 4712 1000\n")

                        until source "the other" (fun work -> work.SmActivity = ValueSome 30.0<percent>)
                        |> ignore

                        Expect.equal (held machine) 2 "those of the first are given back"
                        Expect.isEmpty (calls machine "nvmlGpmSampleGet") "the board itself is not asked"
                        Expect.isEmpty (calls machine "nvmlDeviceGetProcessUtilization") "nor for processes"
                        Expect.equal source.WorkFaults [||] "no fault"))
        ]

let private violationTests =
    // Counters that grow ten times as fast as real time grow by half of the time of a reader whose clock is twenty times as fast.
    let slowed = "violation_power 1000\nviolation_thermal 200\n"

    testList
        "violation times"
        [
            testCase "shares of the time by the fields of newer drivers, heat by the counter that counts most"
            <| fun () ->
                withMachine (whole + slowed + "violation_hw_thermal 400\n") (fun machine ->
                    withReader machine (fun source ->
                        let work = until source "shares" (fun work -> near 50.0 10.0 work.PowerViolation)
                        Expect.isTrue (near 20.0 8.0 work.ThermalViolation) $"{work.ThermalViolation}"
                        Expect.isEmpty (calls machine "nvmlDeviceGetViolationStatus") "the older call is not needed"))

            testCase "an older driver is asked with the older call"
            <| fun () ->
                withOldMachine [ "nvmlDeviceGetFieldValues" ] (whole + slowed) (fun machine ->
                    withReader machine (fun source ->
                        let work = until source "shares" (fun work -> near 50.0 10.0 work.PowerViolation)
                        Expect.isTrue (near 10.0 6.0 work.ThermalViolation) $"{work.ThermalViolation}"))

            testCase "a driver that tells neither is asked once"
            <| fun () ->
                withMachine whole (fun machine ->
                    withReader machine (fun source ->
                        until source "work" _.SmActivity.IsSome |> ignore
                        pause source 500
                        Expect.equal (source.Work[0].PowerViolation, source.Work[0].ThermalViolation) (ValueNone, ValueNone) "none"
                        Expect.equal (calls machine "nvmlDeviceGetViolationStatus").Length 2 "power and heat"
                        Expect.equal source.WorkFaults [||] "no fault"))
        ]

let private processTests =
    let told (work: GpuWork) =
        match work.Shares with
        | ValueSome shares -> shares |> Array.map (fun one -> one.Process, float one.Share) |> List.ofArray
        | ValueNone -> []

    testList
        "processes"
        [
            testCase "shares since the reading before; entries of nobody, of old times and of impossible shares are no processes"
            <| fun () ->
                let lines = "process_utilization 4711 60\nprocess_utilization 4712 30\n"

                let garbage =
                    "process_utilization 0 7 99\nprocess_utilization 4713 7 99\nprocess_utilization 4714 255\n"

                withMachine (whole + lines + garbage) (fun machine ->
                    withReader machine (fun source ->
                        let work = until source "shares" _.Shares.IsSome
                        Expect.equal (told work) [ 4711, 60.0; 4712, 30.0 ] "two"))

            testCase "a GPU of which the driver never told a process says nothing by telling of none; later it says that none worked"
            <| fun () ->
                withMachine (whole + "process_utilization 0 0\n") (fun machine ->
                    withReader machine (fun source ->
                        until source "metrics" _.SmActivity.IsSome |> ignore
                        pause source 400
                        Expect.isTrue source.Work[0].Shares.IsNone "nothing is known"
                        machine.Play(whole + "process_utilization 4711 60\n")
                        until source "one" (fun work -> told work = [ 4711, 60.0 ]) |> ignore
                        machine.Play(whole + "process_utilization 0 0\n")

                        until source "none worked" (fun work -> work.Shares.IsSome && work.Shares.Value.Length = 0)
                        |> ignore))

            testCase "more processes than fit are read all the same"
            <| fun () ->
                let lines =
                    List.init 150 (fun i -> $"process_utilization {5000 + i} 1\n")
                    |> String.concat ""

                withMachine (whole + lines) (fun machine ->
                    withReader machine (fun source -> until source "150" (fun work -> (told work).Length = 150) |> ignore))

            testCase "after the machine's clock was set back shares come again"
            <| fun () ->
                let lines = "process_utilization 4711 60\n"

                withMachine (whole + lines) (fun machine ->
                    withReader machine (fun source ->
                        until source "one" (fun work -> told work = [ 4711, 60.0 ]) |> ignore
                        machine.Play("nvml_clock_back_s 3600\n" + whole + lines)

                        until source "none, by the old time" (fun work -> work.Shares.IsSome && told work = [])
                        |> ignore

                        until source "again" (fun work -> told work = [ 4711, 60.0 ]) |> ignore))

            testCase "a driver that does not tell shares is asked once"
            <| fun () ->
                withMachine whole (fun machine ->
                    withReader machine (fun source ->
                        until source "metrics" _.SmActivity.IsSome |> ignore
                        pause source 400
                        Expect.isTrue source.Work[0].Shares.IsNone "none"
                        Expect.equal (calls machine "nvmlDeviceGetProcessUtilization").Length 1 "once"
                        Expect.equal source.WorkFaults [||] "no fault"))

            testCase "clients of MPS compute, who only draws is told apart, and nobody is there twice"
            <| fun () ->
                let lines = "mps_process 4711 7\nmps_process 4712 !3\ngraphics_process 4711 7\ngraphics_process 99 8\n"

                withMachine (whole + lines) (fun machine ->
                    withReader machine (fun source ->
                        let gpu () =
                            match source.Read() with
                            | null -> Gpu.OfIndex 0
                            | reading -> reading.Gpus[0]

                        eventually source "both lists" (fun () -> (gpu ()).GraphicsProcesses.IsSome)

                        Expect.equal
                            ((gpu ()).ComputeProcesses.Value
                             |> Array.map (fun one -> one.Pid, one.MemoryUsed))
                            [| 4711, ValueSome 16452157440UL<B>; 4712, ValueNone |]
                            "who computes"

                        Expect.equal
                            ((gpu ()).GraphicsProcesses.Value
                             |> Array.map (fun one -> one.Pid, one.MemoryUsed))
                            [| 99, ValueSome 8UL<B> |]
                            "who draws"))
        ]

[<Tests>]
let tests = testList "Host.NvmlWork" [ gpmTests; violationTests; processTests ]
