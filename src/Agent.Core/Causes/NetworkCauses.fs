/// Data over sockets: loaders that sleep while bytes keep coming in, and links that are full.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.NetworkCauses

open Agent.Core
open Agent.Core.Units

/// How full a link is, the fuller way; none where its speed is unknown.
let fullness (link: LinkEvidence) : float<percent> voption =
    match link.Speed with
    | ValueSome speed when speed > 0.0<B / s> -> ValueSome(percentOf (max link.Received link.Sent) speed)
    | _ -> ValueNone

/// The fullest link.
let fullest (host: HostEvidence) : struct (LinkEvidence * float<percent>) voption =
    let known =
        host.Links
        |> Array.choose (fun link ->
            match fullness link with
            | ValueSome full -> Some(struct (link, full))
            | ValueNone -> None)

    if known.Length = 0 then
        ValueNone
    else
        ValueSome(known |> Array.maxBy (fun struct (_, full) -> float full))

/// What came in for the job, or for the machine where the job's own is unknown. Ports of a fabric carry collectives.
let received (scene: Scene) : float<B / s> voption =
    match scene.Job.NetworkReceived with
    | ValueSome own -> ValueSome own
    | ValueNone when scene.Host.Links.Length = 0 -> ValueNone
    | ValueNone ->
        scene.Host.Links
        |> Array.filter (fun link -> not link.IsFabric)
        |> Array.sumBy _.Received
        |> ValueSome

/// What nothing else accounts for.
let private unexplained (scene: Scene) : float<percent> =
    match Imbalance.workOfWaiting scene with
    | ValueSome work ->
        Scene.unexplained
            { scene with
                Main = { scene.Main with Gpu = work }
            }
    | ValueNone -> Scene.unexplained scene

/// Everything that the network can be.
let find (scene: Scene) : Finding list =
    let left = unexplained scene * scene.Feeding
    let received = received scene

    let loadersBusy =
        match scene.Loaders with
        | ValueSome stage -> ValueSome stage.Total
        | ValueNone -> ValueNone

    let full =
        match fullest scene.Host with
        | ValueSome(struct (link, full)) when full >= Limits.linkFull -> ValueSome(struct (link, full))
        | _ -> ValueNone

    let isFed =
        match received with
        | ValueSome bytes -> bytes >= Limits.trickle
        | ValueNone -> false

    let sleeps =
        match loadersBusy with
        | ValueSome busy -> busy < Limits.asleep
        | ValueNone -> true

    // Mounts of network storage get their data over the same links.
    let mounted =
        scene.Host.NetworkMounts
        |> Array.sumBy (fun mount -> mount.Read + mount.Written)

    let isStorage =
        match received with
        | ValueSome bytes -> scene.Job.NetworkReceived.IsNone && mounted >= 0.5 * bytes
        | ValueNone -> false

    if not sleeps || isStorage || not (isFed || full.IsSome) || scene.IsHollow then
        []
    else
        let link =
            match full with
            | ValueSome(struct (link, full)) ->
                Clue.share $"{link.Name} of its speed" Limits.linkFull (Clue.ramp (0.6 * Limits.linkFull) Limits.linkFull) (ValueSome full)
            | ValueNone -> []

        let own = scene.Job.NetworkReceived.IsSome

        // Bytes of the whole machine may be somebody else's, and loaders sleep for many reasons: two halves are no witness.
        let trust = if own || full.IsSome then 1.0 else 0.45
        let both = Scene.bothWays scene.Host

        // Collectives send about what they receive; data only comes in.
        let isExchange =
            scene.CanCommunicate
            && both >= Limits.movingNetwork
            && (match scene.Job.NetworkReceived with
                | ValueSome bytes -> bytes >= Limits.movingNetwork
                | ValueNone -> true)
            && both
               >= 0.5
                  * (scene.Host.Links |> Array.sumBy (fun link -> max link.Received link.Sent))

        [
            {
                Label =
                    if isExchange then
                        VerdictLabel.Communication
                    else
                        VerdictLabel.Network
                Strength = left
                Part = 1.0
                Clues =
                    Clue.bytes
                        (if own then
                             "bytes received"
                         else
                             "bytes received by the machine")
                        Limits.trickle
                        (fun bytes -> trust * Clue.ramp 0.0<B / s> (5.0 * Limits.trickle) bytes)
                        received
                    @ link
                    @ Clue.share
                        "loaders busy or blocked"
                        Limits.asleep
                        (fun busy -> trust * Clue.swing Limits.asleep 20.0<percent> busy)
                        loadersBusy
                    @ scene.WaitClue
            }
        ]
