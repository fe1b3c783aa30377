/// The looks of the last half minute, and what they say together.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Window

open System
open Agent.Core
open Agent.Core.Units

/// Looks, oldest first, at most `Limits.mostLooks`.
type Window = Evidence[]

/// How long a look was, as far as that can be true.
let lengthOf (evidence: Evidence) : float<s> =
    if Double.IsNaN(float evidence.Length) then
        Limits.shortest
    else
        max Limits.shortest (min Limits.longest evidence.Length)

/// From one instant to a later one; 0 when the clock was set back.
let since (earlier: DateTimeOffset) (later: DateTimeOffset) : float<s> =
    max 0.0<s> (LanguagePrimitives.FloatWithMeasure (later - earlier).TotalSeconds)

/// Devices in one order, so that sums and ties do not depend on the order in which they were told. Most are told in it.
let private ordered (items: 'item[]) (compare: 'item -> 'item -> int) : 'item[] =
    let mutable isOrdered = true

    for i in 1 .. items.Length - 1 do
        if compare items[i - 1] items[i] > 0 then
            isOrdered <- false

    if isOrdered then items else Array.sortWith compare items

let private byText (one: string) (other: string) = String.CompareOrdinal(one, other)

let private canonical (evidence: Evidence) : Evidence =
    { evidence with
        Gpus =
            ordered evidence.Gpus (fun one other ->
                match one.Index.CompareTo other.Index with
                | 0 -> byText one.Uuid other.Uuid
                | order -> order)
        Host =
            { evidence.Host with
                Disks = ordered evidence.Host.Disks (fun one other -> byText one.Device other.Device)
                Links = ordered evidence.Host.Links (fun one other -> byText one.Name other.Name)
                NetworkMounts = ordered evidence.Host.NetworkMounts (fun one other -> byText one.MountPoint other.MountPoint)
            }
        Jobs =
            evidence.Jobs
            |> Array.map (fun job ->
                { job with
                    Gpus =
                        ordered job.Gpus (fun one other ->
                            match one.Index.CompareTo other.Index with
                            | 0 -> byText one.Uuid other.Uuid
                            | order -> order)
                })
    }

/// The window with one look more. Looks that are too old go; so do those that the clock, set back, has made younger than now. Of more
/// than fit every other one goes, so that the window stays as long.
let add (evidence: Evidence) (looks: Window) : Window =
    let recent =
        looks
        |> Array.filter (fun look -> look.At <= evidence.At && since look.At evidence.At < Limits.window)

    let kept =
        if recent.Length < Limits.mostLooks then
            recent
        else
            recent
            |> Array.indexed
            |> Array.filter (fun (i, _) -> i % 2 = 1)
            |> Array.map snd

    Array.append kept [| canonical evidence |]

/// The looks with their weights.
let parts (looks: Window) : Means.Part<Evidence>[] =
    looks
    |> Array.map (fun look ->
        {
            Means.Weight = float (lengthOf look)
            Means.Item = look
        })

/// How long looks are together.
let seen (looks: Means.Part<'item>[]) : float<s> =
    looks |> Array.sumBy _.Weight |> LanguagePrimitives.FloatWithMeasure

/// What the machine did over the window.
let host (looks: Means.Part<Evidence>[]) : HostEvidence =
    looks
    |> Array.map (fun look ->
        {
            Means.Weight = look.Weight
            Means.Item = look.Item.Host
        })
    |> Means.host

/// What the newest look's GPUs did over the window.
let gpus (looks: Means.Part<Evidence>[]) : GpuEvidence[] =
    looks[looks.Length - 1].Item.Gpus
    |> Array.mapi (fun place mine ->
        Means.across looks _.Gpus place (fun other -> other.Index = mine.Index && other.Uuid = mine.Uuid)
        |> Means.gpu)
