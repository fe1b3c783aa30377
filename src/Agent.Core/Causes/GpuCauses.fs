/// What the GPUs themselves say: they compute, are slowed, or wait for each other.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.GpuCauses

open System
open Agent.Core
open Agent.Core.Units

/// Why a GPU is slow.
[<RequireQualifiedAccess; Struct>]
type Slowed =
    /// It is not.
    | No
    /// It is too hot.
    | Heat
    /// The server's power supply told it to slow down.
    | PowerBrake
    /// Its hardware slows it, for heat or power.
    | Hardware
    /// It is held to its power limit, well below its clock.
    | PowerCap
    /// Its clock is low for no reason that it reports.
    | Clock

let private has (gpu: GpuEvidence) (reason: string) =
    Array.contains reason gpu.ThrottleReasons

let private reaches (limit: float<percent>) (value: float<percent> voption) =
    match value with
    | ValueSome value -> value >= limit
    | ValueNone -> false

let private below (limit: float<percent>) (value: float<percent> voption) =
    match value with
    | ValueSome value -> value < limit
    | ValueNone -> false

/// Whether a GPU of a job is slowed. Clocks that somebody set (applications clocks) are what they should be.
let slowed (isHollow: bool) (gpu: GpuEvidence) : Slowed =
    let clock = Scene.clockShare gpu

    if
        has gpu "hw_thermal_slowdown"
        || has gpu "sw_thermal_slowdown"
        || reaches Limits.throttled gpu.ThermalViolation
    then
        Slowed.Heat
    elif has gpu "hw_power_brake_slowdown" then
        Slowed.PowerBrake
    elif has gpu "hw_slowdown" then
        Slowed.Hardware
    elif
        (has gpu "sw_power_cap" || reaches Limits.throttled gpu.PowerViolation)
        && below Limits.cappedClock clock
    then
        Slowed.PowerCap
    elif
        not isHollow
        && reaches Limits.clockLoad gpu.Busy
        && below Limits.slowClock clock
        && not (has gpu "applications_clocks_setting")
        && not (has gpu "display_clock_setting")
    then
        Slowed.Clock
    else
        Slowed.No

/// Of a job's GPUs the one that is slowed most: the lowest clock, of equal ones the lowest index.
let slowest (scene: Scene) : struct (GpuEvidence * Slowed) voption =
    let found =
        scene.Gpus
        |> Array.map (fun gpu -> struct (gpu, slowed scene.IsHollow gpu))
        |> Array.filter (fun struct (_, why) -> not why.IsNo)
        |> Array.sortBy (fun struct (gpu, _) -> Scene.clockShare gpu |> ValueOption.defaultValue 100.0<percent> |> float)

    if found.Length = 0 then ValueNone else ValueSome found[0]

let private powerClue (scene: Scene) =
    scene.Power
    |> Clue.share "GPU power" Limits.highPower (Clue.swing Limits.lowPower Limits.highPower)

let private smClue (scene: Scene) =
    scene.Sm
    |> Clue.share "SM activity" Limits.highSm (Clue.swing Limits.lowSm Limits.highSm)

let private dramClue (scene: Scene) =
    scene.Dram
    |> Clue.share "device memory bandwidth" Limits.highDram (Clue.ramp Limits.lowSm Limits.highDram)

let private busyClue (scene: Scene) =
    scene.Busy
    |> Clue.share "GPU busy" Limits.saturated (Clue.ramp Limits.spreadBusiest Limits.saturated)

/// Its own work: what one wants.
let private compute (scene: Scene) (strength: float<percent>) : Finding =
    {
        Label = VerdictLabel.Compute
        Strength = strength
        Part = scene.Main.PartOf scene.Main.Gpu
        Clues = busyClue scene @ powerClue scene @ smClue scene @ dramClue scene
    }

let private throttled (scene: Scene) (strength: float<percent>) (gpu: GpuEvidence) (why: Slowed) : Finding =
    let violation =
        match why with
        | Slowed.PowerCap -> gpu.PowerViolation
        | _ -> gpu.ThermalViolation

    let told =
        if why.IsClock then
            []
        else
            // The driver says so itself.
            Clue.number "reasons to slow down" 1.0 (min 1.0) (ValueSome(float gpu.ThrottleReasons.Length))

    {
        Label = VerdictLabel.Throttled
        Strength = strength
        Part = scene.Main.PartOf scene.Main.Gpu
        Clues =
            told
            @ Clue.share
                "SM clock of its maximum"
                Limits.cappedClock
                (fun clock -> Clue.swing 95.0<percent> Limits.cappedClock clock)
                (Scene.clockShare gpu)
            @ busyClue scene
            @ Clue.share "time slowed" Limits.throttled (Clue.ramp 0.0<percent> Limits.throttled) violation
            @ Clue.note "GPU temperature" "°C" gpu.Temperature
            @ Clue.note "GPU power" "%" (Scene.powerShare gpu)
    }

/// Busy, but hardly computing: it waits inside a collective.
let private communication (scene: Scene) (strength: float<percent>) : Finding =
    let nvlink = scene.Gpus |> Array.map _.Nvlink |> Scene.total
    let pcie = scene.Gpus |> Array.map Scene.pcie |> Scene.total
    let moving = Clue.swing (0.1 * Limits.movingBus) Limits.movingBus
    let network = Scene.bothWays scene.Host

    let isSilent (bytes: float<B / s> voption) =
        match bytes with
        | ValueSome bytes -> bytes < Limits.movingBus
        | ValueNone -> true

    // Where something moves, it does not matter that something else is quiet.
    let movement =
        if network >= Limits.movingNetwork then
            Clue.bytes
                "bytes both ways over the network"
                Limits.movingNetwork
                (Clue.ramp (0.1 * Limits.movingNetwork) Limits.movingNetwork)
                (ValueSome network)
        elif not (isSilent nvlink) then
            Clue.bytes "NVLink" Limits.movingBus moving nvlink
        elif not (isSilent pcie) then
            Clue.bytes "PCIe" Limits.movingBus moving pcie
        elif nvlink.IsSome then
            Clue.bytes "NVLink" Limits.movingBus moving nvlink
        else
            Clue.bytes "PCIe" Limits.movingBus moving pcie

    let full =
        scene.Host.Links
        |> Array.choose (fun link ->
            match link.Speed with
            | ValueSome speed when speed > 0.0<B / s> -> Some(percentOf (max link.Received link.Sent) speed)
            | _ -> None)

    {
        Label = VerdictLabel.Communication
        Strength = strength
        Part = scene.Main.PartOf scene.Main.Gpu
        Clues =
            Clue.share "GPU busy" Limits.saturated (Clue.ramp Limits.spreadBusiest Limits.saturated) scene.Busy
            @ Clue.share "GPU power" Limits.lowPower (fun power -> Clue.swing Limits.highPower Limits.lowPower power) scene.Power
            @ Clue.share "SM activity" Limits.lowSm (fun sm -> Clue.swing Limits.highSm Limits.lowSm sm) scene.Sm
            @ Clue.share "device memory bandwidth" Limits.highDram (fun dram -> -(Clue.ramp Limits.lowSm Limits.highDram dram)) scene.Dram
            @ movement
            @ (if full.Length > 0 && Array.max full >= Limits.linkFull then
                   Clue.share "fullest link" Limits.linkFull (fun _ -> 1.0) (ValueSome(Array.max full))
               else
                   [])
    }

/// Everything that the GPUs' own time can be.
let find (scene: Scene) : Finding list =
    match scene.Busy with
    | ValueSome busy when busy > 0.0<percent> ->
        let strength = Limits.ownShare * scene.Main.StrengthOf scene.Main.Gpu

        match slowest scene with
        | ValueSome(struct (gpu, why)) when busy >= Limits.spreadBusiest -> [ throttled scene strength gpu why ]
        | _ when scene.IsHollow && scene.CanCommunicate -> [ communication scene strength ]
        | _ -> [ compute scene strength ]
    | _ -> []
