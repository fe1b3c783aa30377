namespace Agent.Core

open System
open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.Core.Proc
open Agent.Core.Units

/// Evidence from two samples, where there is nothing else: for scripts, and for the dashboard if a sender sends no verdict. It has the machine and
/// its GPUs but no jobs, so that a verdict over it cannot tell a loader from a main thread, nor whose bytes they are.
[<RequireQualifiedAccess>]
module SampleEvidence =
    let private rate (interval: float<s>) (before: uint64<'u> voption) (after: uint64<'u> voption) : float<'u / s> voption =
        Rates.grownBoth before after |> Rates.perSecond interval

    let private orZero (value: float<'u> voption) =
        value |> ValueOption.defaultValue (LanguagePrimitives.FloatWithMeasure 0.0)

    /// A stall's share of the interval, by its total; where that is unknown the kernel's own mean of the last ten seconds.
    let private stall (interval: float<s>) (before: Pressure.Stall voption) (after: Pressure.Stall voption) : float<percent> voption =
        match before, after with
        | ValueSome before, ValueSome after when after.Total > before.Total ->
            ValueSome(percentOf (secondsOfMicroseconds (after.Total - before.Total)) interval)
        | _, ValueSome after -> ValueSome after.Avg10
        | _ -> ValueNone

    let private pressure (sample: Sample) (select: PressureUse -> Pressure.Stall voption) =
        sample.Pressure |> ValueOption.bind select

    let private tryFind (isSame: 'item -> bool) (items: 'item[]) : 'item voption =
        match Array.tryFind isSame items with
        | Some item -> ValueSome item
        | None -> ValueNone

    let private diskOf (current: Sample) (rates: DiskRates) : DiskEvidence =
        {
            Device = rates.Device
            Busy =
                match current.Disks |> tryFind (fun disk -> disk.Device = rates.Device) with
                | ValueSome disk when disk.BusyTime.IsSome -> ValueSome rates.Utilization
                | _ -> ValueNone
            Queue = ValueNone
            ReadLatency = ValueNone
            WriteLatency = ValueNone
            Read = rates.Read
            Written = rates.Written
        }

    /// Devices of their own, each of whose bytes is counted once; without any, the totals as one link.
    let private linksOf (interval: float<s>) (previous: Sample) (current: Sample) (derived: Derived) : LinkEvidence[] =
        let interfaces =
            current.Interfaces
            |> Array.filter (fun one -> one.Kind = "physical")
            |> Array.map (fun one ->
                let before =
                    previous.Interfaces
                    |> tryFind (fun other -> other.Counters.Name = one.Counters.Name)
                    |> ValueOption.map _.Counters

                {
                    Name = one.Counters.Name
                    Received =
                        rate interval (before |> ValueOption.map _.Received.Bytes) (ValueSome one.Counters.Received.Bytes)
                        |> orZero
                    Sent =
                        rate interval (before |> ValueOption.map _.Sent.Bytes) (ValueSome one.Counters.Sent.Bytes)
                        |> orZero
                    Speed = ValueNone
                    IsFabric = false
                })

        let totals =
            if interfaces.Length > 0 || current.NetworkReceived.IsNone then
                interfaces
            else
                [|
                    {
                        Name = "all interfaces"
                        Received = derived.NetworkReceived
                        Sent = derived.NetworkSent
                        Speed = ValueNone
                        IsFabric = false
                    }
                |]

        let ports =
            current.Infiniband
            |> Array.map (fun (port: Sys.Infiniband.Port) ->
                let before =
                    previous.Infiniband
                    |> tryFind (fun other -> other.Device = port.Device && other.Port = port.Port)

                {
                    Name = HostLooks.portName port
                    Received =
                        rate interval (before |> ValueOption.bind (fun port -> port.Received)) port.Received
                        |> orZero
                    Sent =
                        rate interval (before |> ValueOption.bind (fun port -> port.Sent)) port.Sent
                        |> orZero
                    Speed = ValueNone
                    IsFabric = true
                })

        Array.append totals ports

    let private isSameGpu (one: Gpu) (other: Gpu) =
        one.Index = other.Index && one.Uuid = other.Uuid

    let private gpuOf (interval: float<s>) (previous: Sample) (gpu: Gpu) : GpuEvidence =
        GpuLooks.evidence interval false ValueNone (previous.Gpus |> tryFind (isSameGpu gpu)) gpu

    let private hostOf (interval: float<s>) (previous: Sample) (current: Sample) (derived: Derived) : HostEvidence =
        let cores = current.CpuCores |> Array.choose (fun core -> ValueOption.toOption core)

        let stalled select =
            stall interval (pressure previous select) (pressure current select)

        {
            Cpus = current.CpuCountLogical |> ValueOption.defaultValue current.CpuCores.Length
            CpuBusy = current.CpuUsage
            BusiestCpu =
                if cores.Length = 0 then
                    ValueNone
                else
                    ValueSome(Array.max cores)
            Iowait = current.CpuIowait
            Steal = current.CpuSteal
            Runnable = ValueNone
            CpuStall = stalled _.CpuSome
            IoStall = stalled _.IoSome
            IoFullStall = stalled _.IoFull
            MemoryStall = stalled _.MemorySome
            MemoryFullStall = stalled _.MemoryFull
            MemoryAvailable =
                match current.MemoryTotal, current.Memory with
                | ValueSome total, ValueSome memory -> ValueSome(percentOf (float memory.Available) (float total))
                | _ -> ValueNone
            SwapIn = ValueNone
            SwapOut = ValueNone
            Disks = derived.Disks |> Array.map (diskOf current)
            Links = linksOf interval previous current derived
            NetworkMounts = [||]
            DriverProblem = ""
        }

    /// What happened between two samples; none without an earlier one.
    [<CompiledName "OfSamples">]
    let ofSamples (previous: Sample voption) (current: Sample) : Evidence voption =
        let derived = Derived.from previous current

        match previous, derived.Interval with
        | ValueSome previous, ValueSome interval ->
            ValueSome
                {
                    At = current.CollectedAt
                    Length = interval
                    Host = hostOf interval previous current derived
                    Gpus = current.Gpus |> Array.map (gpuOf interval previous)
                    Jobs = [||]
                }
        | _ -> ValueNone
