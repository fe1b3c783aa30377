namespace Agent.Core.Causes

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// What one stage of a job does with its time. The main thread and the GPU that it waits for are one stage, the loaders another: in
/// one stage the parts share the time, between stages the most occupied one is the limit.
[<NoComparison>]
type internal Stage =
    {
        /// On a CPU.
        Cpu: float<percent>
        /// Ready, but no CPU was free.
        Waiting: float<percent>
        /// Held by a CPU quota.
        Throttled: float<percent>
        /// In uninterruptible sleep.
        Blocked: float<percent>
        /// While the GPU worked.
        Gpu: float<percent>
    }

    /// Everything that a CPU would shorten.
    member stage.CpuSide = stage.Cpu + stage.Waiting + stage.Throttled

    /// How much of the time is accounted for.
    member stage.Total: float<percent> = min 100.0<percent> (stage.CpuSide + stage.Blocked + stage.Gpu)

    /// A part of everything that the stage does.
    member stage.PartOf(part: float<percent>) : float =
        let all = stage.CpuSide + stage.Blocked + stage.Gpu
        if all > 0.0<percent> then min 1.0 (part / all) else 1.0

    /// How strong a limit a part is: all of the stage's occupation for the largest part, less for smaller ones.
    member stage.StrengthOf(part: float<percent>) : float<percent> =
        let largest = max stage.CpuSide (max stage.Blocked stage.Gpu)

        if largest > 0.0<percent> then
            stage.Total * min 1.0 (part / largest)
        else
            0.0<percent>

/// Everything that decides about one job, over the window.
[<NoComparison>]
type internal Scene =
    {
        /// The job.
        Job: Job
        /// True for GPUs that are in use by nobody knows whom: the machine's CPU figures stand in for the job's.
        IsAnonymous: bool
        /// Its GPUs.
        Gpus: GpuEvidence[]
        /// The machine.
        Host: HostEvidence
        /// Utilisation of its GPUs, mean; SM activity where utilisation is unknown, as on MIG instances.
        Busy: float<percent> voption
        /// Power as a share of the limit.
        Power: float<percent> voption
        /// SM activity, mean.
        Sm: float<percent> voption
        /// Use of the device memory's bandwidth, mean.
        Dram: float<percent> voption
        /// The loaders; none without any, or where nothing is known of them.
        Loaders: Stage voption
        /// The main thread and the GPUs.
        Main: Stage
        /// True when the GPUs are busy and hardly compute: they wait for each other, or for the next tiny kernel.
        IsHollow: bool
        /// True where it may communicate: several GPUs, or bytes that go both ways.
        CanCommunicate: bool
    }

    /// What the GPUs wait for something else; none where utilisation is unknown.
    member scene.Waits: float<percent> voption =
        match scene.Busy with
        | ValueSome _ when scene.IsHollow -> ValueSome 100.0<percent>
        | ValueSome busy -> ValueSome(100.0<percent> - busy)
        | ValueNone -> ValueNone

    /// What a stage that runs beside the GPU is worth as a limit: nothing while the GPU does not wait.
    member scene.Feeding: float =
        match scene.Waits with
        | ValueSome waits -> Clue.ramp 0.0<percent> Limits.waits waits
        | ValueNone -> 1.0

    /// The GPU waits, as a witness.
    member scene.WaitClue: Clue list =
        if scene.IsHollow then
            Clue.share
                "GPU power"
                Limits.lowPower
                (fun power -> Clue.ramp Limits.highPower (0.5 * Limits.lowPower) power)
                (ValueOption.orElse scene.Sm scene.Power)
        else
            Clue.share
                "GPU busy"
                (100.0<percent> - Limits.waits)
                (fun busy -> Clue.ramp 95.0<percent> (100.0<percent> - 2.0 * Limits.waits) busy)
                scene.Busy

[<RequireQualifiedAccess>]
module internal Scene =
    let private mean (values: float<'u> voption[]) : float<'u> voption =
        match values |> Array.choose (fun value -> ValueOption.toOption (Means.known value)) with
        | [||] -> ValueNone
        | known -> ValueSome(Array.average known)

    /// Power as a share of the limit.
    let powerShare (gpu: GpuEvidence) : float<percent> voption =
        match gpu.Power, gpu.PowerLimit with
        | ValueSome power, ValueSome limit when limit > 0.0<W> -> ValueSome(percentOf power limit)
        | _ -> ValueNone

    /// The clock as a share of its maximum.
    let clockShare (gpu: GpuEvidence) : float<percent> voption =
        match gpu.ClockSm, gpu.ClockSmMax with
        | ValueSome clock, ValueSome most when clock > 0.0<MHz> && most > 0.0<MHz> -> ValueSome(percentOf clock most)
        | _ -> ValueNone

    /// Bytes over PCIe, both ways.
    let pcie (gpu: GpuEvidence) : float<B / s> voption =
        match gpu.PcieReceived, gpu.PcieSent with
        | ValueSome received, ValueSome sent -> ValueSome(received + sent)
        | ValueSome one, ValueNone
        | ValueNone, ValueSome one -> ValueSome one
        | ValueNone, ValueNone -> ValueNone

    /// The sum of what is known; none where nothing is.
    let total (values: float<'u> voption[]) : float<'u> voption =
        match values |> Array.choose (fun value -> ValueOption.toOption (Means.known value)) with
        | [||] -> ValueNone
        | known -> ValueSome(Array.sum known)

    /// The links that data goes both ways on, as collectives do: the bytes of the smaller direction.
    let bothWays (host: HostEvidence) : float<B / s> =
        if host.Links.Length = 0 then
            0.0<B / s>
        else
            host.Links |> Array.sumBy (fun link -> min link.Received link.Sent)

    /// A job's GPU among the machine's: by its UUID, else (and for MIG instances) by its index.
    let private gpuOf (all: GpuEvidence[]) (mine: JobGpu) : GpuEvidence option =
        match
            all
            |> Array.tryFind (fun gpu -> mine.Uuid <> "" && gpu.Uuid = mine.Uuid && gpu.Index = mine.Index)
        with
        | Some gpu -> Some gpu
        | None -> all |> Array.tryFind (fun gpu -> gpu.Index = mine.Index)

    /// Both roles are in one count of looks: what loaders alone were blocked is told apart by how many of each there are.
    let private loadersBlocked (job: Job) : float<percent> voption =
        match job.Blocked, job.MainBlocked with
        | ValueSome blocked, ValueSome main when job.Loaders > 0 ->
            let loaders = float (min job.Loaders 100000)

            // One main thread for each GPU, where there are loaders enough for that; else one.
            let mains =
                if job.Gpus.Length <= job.Loaders then
                    float (max 1 job.Gpus.Length)
                else
                    1.0

            ValueSome(max 0.0<percent> (min 100.0<percent> ((blocked * (loaders + mains) - main * mains) / loaders)))
        | blocked, _ -> blocked

    let private stage (job: Job) (cpu: float<percent>) (blocked: float<percent>) (gpu: float<percent>) : Stage =
        let left = 100.0<percent> - cpu

        let waiting =
            match job.CpuWait with
            | ValueSome wait when wait < 100.0<percent> -> min left (cpu * (wait / (100.0<percent> - wait)))
            | ValueSome _ -> left
            | ValueNone -> 0.0<percent>

        // A job that is throttled now and then, and uses little of its allowance, is not held by it.
        let isFarBelow =
            match job.CpuCores, job.CpuCoresAllowed with
            | ValueSome used, ValueSome allowed when allowed > 0.0 -> used / allowed * 100.0<percent> < Limits.allowanceTouched
            | _ -> false

        let throttled =
            match job.CpuThrottled with
            | ValueSome throttled when throttled >= Limits.cpuThrottled && not isFarBelow ->
                max 0.0<percent> (min throttled (left - waiting - blocked - gpu))
            | _ -> 0.0<percent>

        {
            Cpu = cpu
            Waiting = waiting
            Throttled = throttled
            Blocked = blocked
            Gpu = gpu
        }

    let private orZero (value: float<percent> voption) =
        value |> ValueOption.defaultValue 0.0<percent>

    let private busiest (job: Job) (role: ThreadRole) : float<percent> voption =
        match job.BusiestThreadRole with
        | ValueSome other when other.Name = role.Name -> job.BusiestThread
        | _ -> ValueNone

    /// What is known of a job and its surroundings.
    let make (isAnonymous: bool) (gpus: GpuEvidence[]) (host: HostEvidence) (job: Job) : Scene =
        let mine = job.Gpus |> Array.choose (gpuOf gpus)

        // The board's own figures are the mean of all its instances, those of others included; what a job did on its own is its GpuBusy.
        let isDivided =
            job.Gpus.Length > 0
            && job.Gpus
               |> Array.forall (fun gpu -> gpu.Uuid.StartsWith("MIG-", StringComparison.Ordinal))

        let sm =
            if isDivided && job.GpuBusy.IsSome then
                job.GpuBusy
            else
                mine |> Array.map _.SmActivity |> mean

        let busy =
            job.GpuBusy
            |> ValueOption.orElse (mine |> Array.map _.Busy |> mean)
            |> ValueOption.orElse sm

        let power = job.GpuPower |> ValueOption.orElse (mine |> Array.map powerShare |> mean)

        let dram =
            if isDivided then
                ValueNone
            else
                mine |> Array.map _.DramActivity |> mean

        // Bytes that collectives would move. PCIe carries batches as well, and proves nothing.
        let moves =
            bothWays host >= Limits.movingNetwork
            || (match mine |> Array.map _.Nvlink |> total with
                | ValueSome nvlink -> nvlink >= Limits.movingBus
                | ValueNone -> false)

        let lowSm = if moves then Limits.lowSmMoving else Limits.lowSm
        let lowPower = if moves then Limits.lowPowerMoving else Limits.lowPower

        // GPM's word counts more than power's: small kernels draw little as well.
        let isHollow =
            match busy with
            | ValueSome busy when busy >= Limits.saturated ->
                match sm, power with
                | ValueSome sm, ValueSome power when power >= Limits.highPower -> false
                | ValueSome sm, _ ->
                    sm <= lowSm
                    && (match dram with
                        | ValueSome dram -> dram < Limits.highDram
                        | ValueNone -> true)
                | ValueNone, ValueSome power -> power <= lowPower
                | ValueNone, ValueNone -> false
            | _ -> false

        let canCommunicate = job.Gpus.Length >= 2 || moves

        let loaders =
            let cpu = job.LoadersBusy |> ValueOption.orElse (busiest job ThreadRole.Loader)

            match cpu, loadersBlocked job with
            | ValueNone, ValueNone -> ValueNone
            | _ when job.Loaders <= 0 && cpu.IsNone -> ValueNone
            | cpu, blocked -> ValueSome(stage job (orZero cpu) (orZero blocked) 0.0<percent>)

        let main =
            let cpu = job.MainThread |> ValueOption.orElse (busiest job ThreadRole.Main) |> orZero

            let gpu = orZero busy

            // A thread that waits for its GPU spins by default, which looks like work: beside a saturated GPU it has only the rest.
            let spins =
                gpu >= Limits.saturated
                && not (isHollow && not canCommunicate && cpu >= Limits.busyThread)

            let cpu = if spins then min cpu (100.0<percent> - gpu) else cpu
            stage job cpu (orZero job.MainBlocked) gpu

        {
            Job = job
            IsAnonymous = isAnonymous
            Gpus = mine
            Host = host
            Busy = busy
            Power = power
            Sm = sm
            Dram = dram
            Loaders = loaders
            Main = main
            IsHollow = isHollow
            CanCommunicate = canCommunicate
        }

    /// What neither the loaders nor the main thread and its GPUs account for.
    let unexplained (scene: Scene) : float<percent> =
        let loaders =
            match scene.Loaders with
            | ValueSome stage -> stage.Total
            | ValueNone -> 0.0<percent>

        100.0<percent> - max loaders scene.Main.Total

    /// Cores that neither the job nor anybody else uses, as far as the job may use them.
    let spareCores (scene: Scene) : float voption =
        let idle =
            match scene.Host.CpuBusy with
            | ValueSome busy when scene.Host.Cpus > 0 -> ValueSome(float scene.Host.Cpus * (1.0 - ratioOfPercent busy))
            | _ -> ValueNone

        let allowed =
            match scene.Job.CpuCoresAllowed, scene.Job.CpuCores with
            | ValueSome allowed, ValueSome used -> ValueSome(max 0.0 (allowed - used))
            | _ -> ValueNone

        match idle, allowed with
        | ValueSome idle, ValueSome allowed -> ValueSome(min idle allowed)
        | one, ValueNone -> one
        | ValueNone, other -> other

    /// What others use of the machine's CPUs, in cores.
    let othersCores (scene: Scene) : float voption =
        match scene.Host.CpuBusy, scene.Job.CpuCores with
        | ValueSome busy, ValueSome own when scene.Host.Cpus > 0 -> ValueSome(max 0.0 (float scene.Host.Cpus * ratioOfPercent busy - own))
        | _ -> ValueNone
