/// Why a label was decided, in one or two sentences with the figures that decided.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Reasons

open Agent.Core
open Agent.Core.Units

let private share (value: float<percent> voption) (text: string -> string) : string =
    match value with
    | ValueSome value -> text (Figures.percent value)
    | ValueNone -> ""

/// Why a GPU is slow.
let slowed (why: GpuCauses.Slowed) : string =
    match why with
    | GpuCauses.Slowed.No -> ""
    | GpuCauses.Slowed.Heat -> "it is too hot"
    | GpuCauses.Slowed.PowerBrake -> "the server's power supply slows it (power brake)"
    | GpuCauses.Slowed.Hardware -> "its hardware slows it, for heat or power"
    | GpuCauses.Slowed.PowerCap -> "it is held to its power limit"
    | GpuCauses.Slowed.Clock -> "its clock is low, and the driver gives no reason"

let private clock (gpu: GpuEvidence) : string =
    match gpu.ClockSm, gpu.ClockSmMax with
    | ValueSome clock, ValueSome most -> $", at {Figures.number (float clock)} of {Figures.number (float most)} MHz"
    | _ -> ""

let private heat (gpu: GpuEvidence) : string =
    match gpu.Temperature with
    | ValueSome temperature ->
        let before = if clock gpu = "" then ", at" else " and"
        $"{before} {Figures.number (float temperature)} °C"
    | ValueNone -> ""

let private throttled (scene: Scene) : string =
    match GpuCauses.slowest scene with
    | ValueSome(struct (gpu, why)) ->
        let reported =
            if gpu.ThrottleReasons.Length = 0 then
                ""
            else
                $" ({Figures.listed gpu.ThrottleReasons})"

        $"GPU {gpu.Index} is slowed: {slowed why}{clock gpu}{heat gpu}{reported}."
    | ValueNone -> ""

let private loaderCpu (scene: Scene) : string =
    let busy =
        share (scene.Job.LoadersBusy |> ValueOption.orElse scene.Job.BusiestThread) (fun busy -> $" at {busy} of a core")

    let each = if scene.Job.Loaders > 1 then " each" else ""
    $"{Figures.waiting scene} while {Figures.loadersWork scene}{busy}{each}."

let private mainThread (scene: Scene) : string =
    let busiest = scene.Job.MainThread |> ValueOption.orElse scene.Job.BusiestThread

    match busiest, scene.Busy with
    | ValueSome thread, ValueSome busy when not scene.IsHollow && thread + busy <= 115.0<percent> ->
        $"The main thread takes {Figures.percent thread} of a core and the GPU is busy {Figures.percent busy} of the time: they take turns, and together they fill it."
    | ValueSome thread, _ -> $"{Figures.waiting scene} while one thread of the trainer takes {Figures.percent thread} of a core."
    | ValueNone, _ ->
        let cpu =
            share scene.Host.BusiestCpu (fun cpu -> $" while one CPU of {scene.Host.Cpus} is busy {cpu} of the time")

        $"{Figures.waiting scene}{cpu}: one thread works, and the others wait for it."

let private contended (scene: Scene) : string =
    let others =
        match Scene.othersCores scene with
        | ValueSome cores when
            scene.Host.Cpus > 0
            && cores / float scene.Host.Cpus * 100.0<percent> >= Limits.othersUse
            ->
            $"; others use {Figures.number cores} of the {scene.Host.Cpus} cores"
        | _ when scene.Job.Threads > 0 -> $"; it has {scene.Job.Threads} threads for {scene.Host.Cpus} cores"
        | _ -> ""

    let wait =
        share scene.Job.CpuWait (fun wait -> $"Its threads wait for a CPU {wait} of their running time")

    let all =
        share scene.Host.CpuBusy (fun busy -> $"the machine's {scene.Host.Cpus} CPUs are busy {busy} of the time")

    match wait, all with
    | "", all -> $"{Figures.waiting scene}, and {all}{others}."
    | wait, "" -> $"{wait}{others}."
    | wait, all -> $"{wait}, and {all}{others}."

let private quota (scene: Scene) : string =
    let usage =
        match scene.Job.CpuCores, scene.Job.CpuCoresAllowed with
        | ValueSome used, ValueSome allowed ->
            $"It uses {Figures.number used} of the {Figures.number allowed} cores that it may use; the machine has {scene.Host.Cpus}"
        | _ -> "It has used up its CPU allowance"

    let throttled =
        share scene.Job.CpuThrottled (fun share -> $", and it was throttled in {share} of the periods")

    $"{usage}{throttled}."

let private blocked (scene: Scene) : string =
    match scene.Loaders with
    | ValueSome stage when stage.Blocked >= Limits.blocked && stage.Blocked >= scene.Main.Blocked ->
        $"Its loaders wait in {Figures.percent stage.Blocked} of all observations"
    | _ when scene.Job.MainBlocked.IsSome -> $"Its main thread waits in {Figures.percent scene.Main.Blocked} of all observations"
    | _ -> Figures.waiting scene

let private disk (scene: Scene) (disk: DiskEvidence voption) (latency: DiskEvidence -> float<ms> voption) (rate: string) : string =
    match disk with
    | ValueNone -> $"{blocked scene}{rate}."
    | ValueSome disk ->
        let busy = share disk.Busy (fun busy -> $" is busy {busy} of the time")

        let queue =
            match disk.Queue with
            | ValueSome queue -> $", with {Figures.number queue} requests"
            | ValueNone -> ""

        let taking =
            match latency disk with
            | ValueSome time -> $", {Figures.milliseconds time} each"
            | ValueNone -> ""

        if busy = "" then
            $"{blocked scene}{rate}."
        else
            $"{blocked scene}{rate}; {disk.Device}{busy}{queue}{taking}."

let private diskRead (scene: Scene) : string =
    let device = StorageCauses.mostRead scene.Host

    let rate =
        scene.Job.Read
        |> ValueOption.orElse (device |> ValueOption.map _.Read)
        |> function
            | ValueSome rate -> $" for reads of {Figures.bytes rate}"
            | ValueNone -> " for reads"

    disk scene device _.ReadLatency rate

let private diskWrite (scene: Scene) : string =
    let device = StorageCauses.mostWritten scene.Host

    let rate =
        scene.Job.Written
        |> ValueOption.orElse (device |> ValueOption.map _.Written)
        |> function
            | ValueSome rate -> $" for writes of {Figures.bytes rate}"
            | ValueNone -> " for writes"

    disk scene device _.WriteLatency rate

let mountFigures (mount: NetworkMountEvidence) : string =
    let taking =
        match mount.Execution, mount.RoundTrip with
        | ValueSome time, ValueSome wire -> $" take {Figures.milliseconds time} each, {Figures.milliseconds wire} of it the server's"
        | ValueSome time, ValueNone
        | ValueNone, ValueSome time -> $" take {Figures.milliseconds time} each"
        | ValueNone, ValueNone -> " are under way"

    $"{Figures.number (float mount.Operations)} operations a second on {mount.MountPoint} ({mount.Kind}){taking}"

let private networkStorage (scene: Scene) : string =
    match StorageCauses.busiestMount scene.Host with
    | ValueSome mount -> $"{blocked scene} for network storage; {mountFigures mount}."
    | ValueNone -> $"{blocked scene} for network storage."

let private network (scene: Scene) : string =
    let coming =
        match NetworkCauses.received scene with
        | ValueSome bytes -> $" while {Figures.bytes bytes} come in over the network"
        | ValueNone -> ""

    let link =
        match NetworkCauses.fullest scene.Host with
        | ValueSome(struct (link, full)) when full >= Limits.linkFull -> $"; {link.Name} is at {Figures.percent full} of its speed"
        | _ -> ""

    let asleep =
        match scene.Loaders with
        | ValueSome stage -> $", and its loaders are busy only {Figures.percent stage.Total} of the time"
        | ValueNone -> ""

    $"{Figures.waiting scene}{coming}{link}{asleep}."

let private memory (scene: Scene) : string =
    let stall =
        ValueOption.orElse scene.Host.MemoryStall scene.Job.MemoryStall
        |> fun stall -> share stall (fun stall -> $"Tasks stall for memory {stall} of the time")

    let swap =
        match scene.Host.SwapIn with
        | ValueSome rate when rate >= Limits.swapIn -> $"{Figures.bytes rate} come back from swap"
        | _ -> ""

    let limit =
        match StorageCauses.limitUse scene.Job with
        | ValueSome used when used >= Limits.memoryFull -> $"{Figures.percent used} of the memory limit is in use"
        | _ -> ""

    let killed =
        if scene.Job.OutOfMemoryKills > 0UL then
            "the kernel killed a process for lack of memory"
        else
            ""

    match [ stall; swap; limit; killed ] |> List.filter (fun text -> text <> "") with
    | [] -> "Memory is short."
    | first :: rest ->
        let sentence = first.Substring(0, 1).ToUpperInvariant() + first.Substring 1
        System.String.Join("; ", sentence :: rest) + "."

let private communication (scene: Scene) : string =
    let moved =
        let nvlink = scene.Gpus |> Array.map _.Nvlink |> Scene.total
        let pcie = scene.Gpus |> Array.map Scene.pcie |> Scene.total
        let network = Scene.bothWays scene.Host

        if network >= Limits.movingNetwork then
            $", and {Figures.bytes network} go each way over the network"
        else
            match nvlink, pcie with
            | ValueSome bytes, _ when bytes > 0.0<B / s> -> $", and {Figures.bytes bytes} go over NVLink"
            | _, ValueSome bytes -> $", and {Figures.bytes bytes} go over PCIe"
            | _ -> ""

    if scene.IsHollow then
        $"{Figures.gpusAre scene} {Figures.busyAndPower scene}: most of it waits inside collectives{moved}."
    else
        $"{Figures.waiting scene}{moved}."

let private imbalance (scene: Scene) : string =
    match Imbalance.look scene with
    | ValueNone -> ""
    | ValueSome found ->
        let own = Figures.percent found.Own
        let others = Figures.percent found.Others

        let why =
            if found.Slowed.IsNo then
                ""
            else
                $" It is behind because {slowed found.Slowed}{clock found.Gpu}."

        match found.Kind with
        | Imbalance.Kind.Unused ->
            $"{found.Unused} of its {scene.Gpus.Length} GPUs do nothing (GPU {found.Gpu.Index} first); the others are busy {others} of the time."
        | Imbalance.Kind.LateInput ->
            $"GPU {found.Gpu.Index} is busy {own} of the time, the others {others} at low power: they wait for it inside a collective, and it waits for its data.{why}"
        | Imbalance.Kind.MoreWork -> $"GPU {found.Gpu.Index} is busy {own} of the time, the others only {others}: they wait for it.{why}"
        | Imbalance.Kind.Slower ->
            $"All GPUs are busy, but only GPU {found.Gpu.Index} works hard: {own} of its power limit, the others {others}. They wait for it inside a collective.{why}"
        | Imbalance.Kind.LessWork ->
            $"GPU {found.Gpu.Index} is busy {own} of the time, the others {others}: it has less to do than they have.{why}"

let private nothing (scene: Scene) (ruledOut: Witness[]) : string =
    let figures =
        ruledOut
        |> Array.map (fun witness -> $"{witness.Name} {Figures.witness witness}")

    if figures.Length = 0 then
        $"{Figures.waiting scene}, and nothing that could explain it can be read."
    else
        $"{Figures.waiting scene}, and nothing measured explains it: {Figures.listed figures}."

/// The reason of a label; the second label is told as well.
let ofJob (scene: Scene) (label: VerdictLabel) (second: VerdictLabel voption) (ruledOut: Witness[]) : string =
    let first =
        match label with
        | VerdictLabel.Compute -> $"{Figures.gpusAre scene} {Figures.busyAndPower scene}."
        | VerdictLabel.Throttled -> throttled scene
        | VerdictLabel.LoaderCpu -> loaderCpu scene
        | VerdictLabel.MainThread -> mainThread scene
        | VerdictLabel.CpuContended -> contended scene
        | VerdictLabel.CpuQuota -> quota scene
        | VerdictLabel.DiskRead -> diskRead scene
        | VerdictLabel.DiskWrite -> diskWrite scene
        | VerdictLabel.NetworkStorage -> networkStorage scene
        | VerdictLabel.Network -> network scene
        | VerdictLabel.Memory -> memory scene
        | VerdictLabel.Communication -> communication scene
        | VerdictLabel.Imbalance -> imbalance scene
        | _ -> nothing scene ruledOut

    match second with
    | ValueSome second -> $"{first} Close behind: {second.Name}."
    | ValueNone -> first

/// A sentence of the first of the figures that decided; empty where there are none.
let ofWitnesses (evidence: Witness[]) : string =
    if evidence.Length = 0 then
        ""
    else
        let told =
            evidence
            |> Array.truncate 4
            |> Array.map (fun witness -> $"{witness.Name} {Figures.witness witness}")
            |> Figures.listed

        $"{told.Substring(0, 1).ToUpperInvariant()}{told.Substring 1}."

/// The reason of a machine's label where no GPUs are in use.
let ofHost (host: HostEvidence) (label: VerdictLabel) (second: VerdictLabel voption) (ruledOut: Witness[]) (evidence: Witness[]) : string =
    let cpus = share host.CpuBusy (fun busy -> $"The {host.Cpus} CPUs are busy {busy} of the time")

    let first =
        match label with
        | VerdictLabel.Compute -> $"{cpus}."
        | VerdictLabel.MainThread ->
            let used =
                match HostCauses.coresUsed host with
                | ValueSome used -> $"About {Figures.number used} of {host.Cpus} cores is in use"
                | ValueNone -> "One core is in use"

            $"{used}: one thread works, and nothing else does."
        | VerdictLabel.Idle -> $"{cpus}, and nothing waits for a disk."
        | VerdictLabel.Unknown when ruledOut.Length > 0 ->
            let figures =
                ruledOut
                |> Array.map (fun witness -> $"{witness.Name} {Figures.witness witness}")

            $"Nothing is near its limit: {Figures.listed figures}."
        | VerdictLabel.Unknown -> "Nothing that shows what the machine does can be read."
        | _ -> ofWitnesses evidence

    let first = first.Substring(0, 1).ToUpperInvariant() + first.Substring 1

    match second with
    | ValueSome second -> $"{first} Close behind: {second.Name}."
    | ValueNone -> first
