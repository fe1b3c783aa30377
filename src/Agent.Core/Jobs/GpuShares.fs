/// Which share of its GPUs' time a job had.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.GpuShares

open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units

let private pids (processes: ComputeProcess[] voption) : int[] =
    match processes with
    | ValueSome processes -> processes |> Array.map _.Pid
    | ValueNone -> [||]

/// The sum over its processes; a part that is not known makes the sum unknown.
let private ofBoard (work: GpuWork) (gpu: Gpu) (drivers: int[]) : float<percent> voption =
    let listed = Array.append (pids gpu.ComputeProcesses) (pids gpu.GraphicsProcesses)
    let own = drivers |> Array.filter (fun pid -> Array.contains pid listed)

    if own.Length = 0 then
        ValueNone
    else
        let mutable sum = ValueSome 0.0<percent>

        for pid in own do
            sum <-
                match sum, GpuWork.shareOf listed pid work with
                | ValueSome sum, ValueSome share -> ValueSome(min 100.0<percent> (sum + share))
                | _ -> ValueNone

        sum

/// True for a part of the board, and not for the board itself.
let isInstance (gpu: Gpu) (uuid: string) : bool =
    match gpu.MigDevices with
    | ValueSome devices -> devices |> Array.exists (fun device -> device.Uuid = uuid)
    | ValueNone -> false

/// The activity of a MIG instance, of all processes on it together.
let instanceActivity (look: Look) (gpu: Gpu) (uuid: string) : float<percent> voption =
    match GpuWork.ofGpu gpu look.Work with
    | ValueSome work ->
        match work.Instances |> Array.tryFind (fun one -> one.Instance = uuid) with
        | Some instance -> instance.Activity
        | None -> ValueNone
    | ValueNone -> ValueNone

/// What the instance did, where nobody else computes on it or on another part of its GPU instance: the driver reports no shares of processes there.
let private ofInstance (work: GpuWork) (gpu: Gpu) (uuid: string) (drivers: int[]) : float<percent> voption =
    let devices = gpu.MigDevices |> ValueOption.defaultValue [||]

    match work.Instances |> Array.tryFind (fun one -> one.Instance = uuid), devices |> Array.tryFind (fun device -> device.Uuid = uuid) with
    | Some instance, Some device ->
        let isAlone =
            devices
            |> Array.forall (fun other ->
                other.GpuInstance <> device.GpuInstance
                || (pids other.ComputeProcesses
                    |> Array.forall (fun pid -> Array.contains pid drivers)))

        if isAlone then instance.Activity else ValueNone
    | _ -> ValueNone

/// The GPUs of a job, each with the share that it had of it; none where the driver does not say.
let ofJob (look: Look) (group: JobGroup) : JobGpu[] =
    if look.Work.Length = 0 then
        group.Gpus
    else
        let drivers = group.Drivers |> Array.map _.Pid

        group.Gpus
        |> Array.map (fun held ->
            match look.Gpus |> Array.tryFind (fun gpu -> gpu.Index = held.Index) with
            | Some gpu ->
                match GpuWork.ofGpu gpu look.Work with
                | ValueSome work when held.Uuid = gpu.Uuid ->
                    { held with
                        SmShare = ofBoard work gpu drivers
                    }
                | ValueSome work ->
                    { held with
                        SmShare = ofInstance work gpu held.Uuid drivers
                    }
                | ValueNone -> held
            | None -> held)
