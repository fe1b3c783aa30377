/// One GPU of a job that is behind, or that is alone at work.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Imbalance

open System
open Agent.Core
open Agent.Core.Units

/// How the others show that one is not like them.
[<RequireQualifiedAccess>]
type Kind =
    /// Some GPUs do nothing at all.
    | Unused
    /// It is less busy than the others, which wait inside a collective: its rank gets its data late.
    | LateInput
    /// It is busier than the others, which wait for it.
    | MoreWork
    /// All are busy, but only it works hard; the others wait inside a collective.
    | Slower
    /// It is less busy than the others, which work hard: it has less to do.
    | LessWork

/// What was found.
[<NoComparison>]
type Found =
    {
        /// How it shows.
        Kind: Kind
        /// The GPU in question; for unused ones the first that does nothing.
        Gpu: GpuEvidence
        /// What slows it; `No` when it reports nothing.
        Slowed: GpuCauses.Slowed
        /// Its figure.
        Own: float<percent>
        /// The mean figure of the others; for unused ones of those at work.
        Others: float<percent>
        /// How many do nothing.
        Unused: int
    }

// A GPU that does as little in a job whose others work is not used.
let private unused = 5.0<percent>

let private figures (scene: Scene) (of': GpuEvidence -> float<percent> voption) : struct (GpuEvidence * float<percent>)[] =
    let known =
        scene.Gpus
        |> Array.choose (fun gpu ->
            match of' gpu with
            | ValueSome value -> Some(struct (gpu, value))
            | ValueNone -> None)

    // What one GPU does not tell cannot be compared.
    if known.Length = scene.Gpus.Length then
        known |> Array.sortBy (fun struct (_, value) -> float value)
    else
        [||]

let private valueOf (struct (_: GpuEvidence, value: float<percent>)) = value

let private meanOf (figures: struct (GpuEvidence * float<percent>)[]) = figures |> Array.averageBy valueOf

let private isGroup (figures: struct (GpuEvidence * float<percent>)[]) =
    valueOf figures[figures.Length - 1] - valueOf figures[0] <= Limits.group

let private meanPower (gpus: struct (GpuEvidence * float<percent>)[]) : float<percent> voption =
    let known =
        gpus
        |> Array.choose (fun struct (gpu, _) -> ValueOption.toOption (Scene.powerShare gpu))

    if known.Length = 0 then
        ValueNone
    else
        ValueSome(Array.average known)

let private make (kind: Kind) (struct (gpu, own): struct (GpuEvidence * float<percent>)) others count : Found =
    {
        Kind = kind
        Gpu = gpu
        Slowed = GpuCauses.slowed false gpu
        Own = own
        Others = meanOf others
        Unused = count
    }

let private differ (all: struct (GpuEvidence * float<percent>)[]) : bool =
    let last = all.Length - 1

    all.Length >= 2
    && valueOf all[last] - valueOf all[0] >= Limits.spread
    && valueOf all[last] >= Limits.spreadBusiest

/// Busy, but at a power at which nothing is computed.
let private waitInside (gpus: struct (GpuEvidence * float<percent>)[]) : bool =
    match meanPower gpus with
    | ValueSome power -> power <= Limits.lowPower
    | ValueNone -> false

/// How much work there is for ranks that wait for each other: inside a collective they look busy, and only the one that comes last does not wait
/// there. None where they do not differ, or do compute.
let workOfWaiting (scene: Scene) : float<percent> voption =
    let all = figures scene _.Busy

    if differ all && waitInside all[1..] then
        ValueSome(valueOf all[0])
    else
        ValueNone

/// By how busy they are.
let private byBusy (scene: Scene) : Found voption =
    let all = figures scene _.Busy
    let last = all.Length - 1

    if not (differ all) then
        ValueNone
    else
        let idle = all |> Array.filter (fun figure -> valueOf figure <= unused)
        let rest = all[1..]
        let lower = all[.. last - 1]

        if idle.Length > 0 then
            ValueSome(make Kind.Unused idle[0] all[idle.Length ..] idle.Length)
        elif waitInside rest && (all.Length = 2 || isGroup rest) then
            ValueSome(make Kind.LateInput all[0] rest 0)
        elif all.Length = 2 || isGroup lower then
            ValueSome(make Kind.MoreWork all[last] lower 0)
        else
            ValueSome(make Kind.LessWork all[0] rest 0)

/// By how hard they work, where all of them are busy.
let private byPower (scene: Scene) : Found voption =
    let areBusy =
        scene.Gpus
        |> Array.forall (fun gpu ->
            match gpu.Busy with
            | ValueSome busy -> busy >= Limits.saturated
            | ValueNone -> false)

    let all = figures scene Scene.powerShare
    let last = all.Length - 1

    if
        areBusy
        && all.Length >= 2
        && valueOf all[last] - valueOf all[last - 1] >= Limits.powerSpread
        && isGroup all[.. last - 1]
        && meanOf all[.. last - 1] <= Limits.lowPower
    then
        ValueSome(make Kind.Slower all[last] all[.. last - 1] 0)
    else
        ValueNone

/// Of a job with several GPUs.
let look (scene: Scene) : Found voption =
    if scene.Gpus.Length < 2 then
        ValueNone
    else
        byBusy scene |> ValueOption.orElseWith (fun () -> byPower scene)

/// As a label. `starved` is how strong it is that ranks wait for data that comes in too slowly over the network: that holds all of them back,
/// some a little more than others.
let find (starved: float<percent>) (scene: Scene) : Finding list =
    match look scene with
    | ValueNone -> []
    | ValueSome found ->
        let gap = abs (found.Others - found.Own)
        let name = if found.Kind.IsSlower then "power" else "busy"

        // Loaders that never rest hold all ranks back, each at its own times.
        let loadersAreFull =
            match scene.Loaders with
            | ValueSome stage -> stage.Total >= 95.0<percent>
            | ValueNone -> false

        [
            {
                Label = VerdictLabel.Imbalance
                Strength =
                    if starved >= Limits.explains then 0.9 * starved
                    elif loadersAreFull then 90.0<percent>
                    else 100.0<percent>
                Part = 1.0
                Clues =
                    Clue.share $"difference between the GPUs, {name}" Limits.spread (Clue.ramp 0.0<percent> Limits.spread) (ValueSome gap)
                    @ Clue.share
                        $"{name} of the others"
                        Limits.spreadBusiest
                        (fun others ->
                            match found.Kind with
                            | Kind.MoreWork -> Clue.ramp 95.0<percent> 75.0<percent> others
                            | Kind.Slower -> Clue.ramp Limits.highPower Limits.lowPower others
                            | _ -> Clue.ramp 0.0<percent> Limits.spreadBusiest others)
                        (ValueSome found.Others)
                    @ Clue.note $"{name} of GPU {found.Gpu.Index}" "%" (ValueSome found.Own)
                    @ (if found.Slowed.IsNo then
                           []
                       else
                           Clue.share
                               "SM clock of its maximum"
                               Limits.cappedClock
                               (fun clock -> Clue.ramp 100.0<percent> Limits.cappedClock clock)
                               (Scene.clockShare found.Gpu))
            }
        ]
