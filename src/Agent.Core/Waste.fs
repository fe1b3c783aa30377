/// What a job's GPU time is lost to: counted by the agent for its metrics, and by the dashboard from samples.
[<RequireQualifiedAccess>]
module Agent.Core.Waste

open System
open Agent.Core.Jobs

let private rest (percent: float) =
    if Double.IsNaN percent then
        0.0
    else
        (100.0 - Math.Clamp(percent, 0.0, 100.0)) / 100.0

/// Whether GPU time can be lost under a label: not where a GPU does what it is there for, or where nobody knows.
[<CompiledName "IsPossible">]
let isPossible (label: VerdictLabel) : bool =
    match label with
    | VerdictLabel.Compute
    | VerdictLabel.Starting
    | VerdictLabel.Unknown
    | VerdictLabel.Idle -> false
    | _ -> true

/// The part of its GPUs' time that a job wastes, 0 to 1. All of it where it is stopped, idle or on a broken GPU; where it waits, the time in which its
/// GPUs do nothing; where it waits for other GPUs, which looks like work, what the power tells. None where it computes. Use and power are in per
/// cent, NaN when unknown.
[<CompiledName "Loss">]
let loss (label: VerdictLabel) (busy: float) (power: float) : float =
    match label with
    | VerdictLabel.GpuFault
    | VerdictLabel.Hang
    | VerdictLabel.HeldIdle -> 1.0
    | VerdictLabel.Communication when not (Double.IsNaN power) -> rest power
    | _ when isPossible label -> rest busy
    | _ -> 0.0

let private order (one: JobGpu) (other: JobGpu) : int =
    match one.Index.CompareTo other.Index with
    | 0 -> String.CompareOrdinal(one.Uuid, other.Uuid)
    | order -> order

/// The first place in an ordered array that is not before a GPU.
let private placeOf (gpus: JobGpu[]) (gpu: JobGpu) : int =
    let mutable first = 0
    let mutable past = gpus.Length

    while first < past do
        let middle = (first + past) / 2

        if order gpus[middle] gpu < 0 then
            first <- middle + 1
        else
            past <- middle

    first

/// Each once.
let private distinct (gpus: JobGpu[]) : JobGpu[] =
    let ordered = Array.sortWith order gpus

    ordered
    |> Array.filter (fun gpu -> obj.ReferenceEquals(ordered[placeOf ordered gpu], gpu))

/// How many GPUs each job has, of the GPUs of all jobs of a machine: one that several hold counts for each of them as its part.
[<CompiledName "Parts">]
let parts (gpus: JobGpu[][]) : float[] =
    let own = gpus |> Array.map distinct
    let all = own |> Array.concat |> Array.sortWith order

    let part (gpu: JobGpu) =
        let first = placeOf all gpu
        let mutable past = first

        while past < all.Length && order all[past] gpu = 0 do
            past <- past + 1

        1.0 / float (past - first)

    own |> Array.map (fun mine -> mine |> Array.sumBy part)
