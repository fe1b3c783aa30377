/// Means over looks, weighted by how long each was. What a look does not know has no weight; what cannot be true is not known.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Means

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// The part that one look has in a mean.
[<Struct>]
[<NoComparison>]
type Part<'item> =
    {
        /// Its length.
        Weight: float
        /// What it says.
        Item: 'item
    }

let private isValue (value: float) = value >= 0.0 && value <= Limits.largest

/// A value that can be true.
let known (value: float<'u> voption) : float<'u> voption =
    match value with
    | ValueSome number when isValue (float number) -> value
    | _ -> ValueNone

/// The mean of a figure. It is moved by each part in turn, so that the mean of what stays the same is exactly that: a sum divided by its
/// weights would waver around a limit that the figure happens to lie on.
let figure (parts: Part<'item>[]) (of': 'item -> float<'u> voption) : float<'u> voption =
    let mutable mean = 0.0
    let mutable weight = 0.0

    for part in parts do
        match of' part.Item with
        | ValueSome value when isValue (float value) && part.Weight > 0.0 ->
            weight <- weight + part.Weight
            mean <- mean + (float value - mean) * (part.Weight / weight)
        | _ -> ()

    if weight > 0.0 then
        ValueSome(LanguagePrimitives.FloatWithMeasure mean)
    else
        ValueNone

/// The mean of a share: at most 100.
let share (parts: Part<'item>[]) (of': 'item -> float<percent> voption) : float<percent> voption =
    figure parts (fun item ->
        match of' item with
        | ValueSome value when value > 100.0<percent> && float value <= Limits.largest -> ValueSome 100.0<percent>
        | other -> other)

/// The mean of a figure that is always there; 0 where no look has a value.
let always (parts: Part<'item>[]) (of': 'item -> float<'u>) : float<'u> =
    figure parts (fun item -> ValueSome(of' item))
    |> ValueOption.defaultValue (LanguagePrimitives.FloatWithMeasure 0.0)

/// The value with the most weight; among equals the one that comes first in the order of their names.
let most (parts: Part<'item>[]) (weightOf: 'item -> float) (of': 'item -> 'value voption) (nameOf: 'value -> string) : 'value voption =
    let weights = Dictionary<string, float>(StringComparer.Ordinal)
    let mutable best = ValueNone
    let mutable bestWeight = 0.0
    let mutable bestName = ""

    for part in parts do
        match of' part.Item with
        | ValueSome value ->
            let name = nameOf value
            let before = ref 0.0
            weights.TryGetValue(name, before) |> ignore
            weights[name] <- before.Value + part.Weight * weightOf part.Item
        | ValueNone -> ()

    for part in parts do
        match of' part.Item with
        | ValueSome value ->
            let name = nameOf value
            let weight = weights[name]

            if
                best.IsNone
                || weight > bestWeight
                || (weight = bestWeight && String.CompareOrdinal(name, bestName) < 0)
            then
                best <- ValueSome value
                bestWeight <- weight
                bestName <- name
        | ValueNone -> ()

    best

let private one (_: 'item) = 1.0

/// What one device was in every look that has it, the newest last. Devices mostly keep their place.
let across (looks: Part<'look>[]) (itemsOf: 'look -> 'item[]) (place: int) (isSame: 'item -> bool) : Part<'item>[] =
    let found = Array.zeroCreate looks.Length
    let mutable count = 0

    for look in looks do
        let items = itemsOf look.Item

        let at =
            if place < items.Length && isSame items[place] then
                place
            else
                Array.FindIndex(items, Predicate isSame)

        if at >= 0 then
            found[count] <-
                {
                    Weight = look.Weight
                    Item = items[at]
                }

            count <- count + 1

    if count = found.Length then
        found
    else
        Array.sub found 0 count

let private newest (parts: Part<'item>[]) = parts[parts.Length - 1].Item

/// A disk.
let disk (parts: Part<DiskEvidence>[]) : DiskEvidence =
    {
        Device = (newest parts).Device
        Busy = share parts _.Busy
        Queue = figure parts _.Queue
        ReadLatency = figure parts _.ReadLatency
        WriteLatency = figure parts _.WriteLatency
        Read = always parts _.Read
        Written = always parts _.Written
    }

/// An interface or a port.
let link (parts: Part<LinkEvidence>[]) : LinkEvidence =
    { newest parts with
        Received = always parts _.Received
        Sent = always parts _.Sent
        Speed = known (newest parts).Speed
    }

/// A mount.
let mount (parts: Part<NetworkMountEvidence>[]) : NetworkMountEvidence =
    { newest parts with
        Operations = always parts _.Operations
        RoundTrip = figure parts _.RoundTrip
        Execution = figure parts _.Execution
        Outstanding = figure parts _.Outstanding
        Read = always parts _.Read
        Written = always parts _.Written
    }

/// The reasons that held for a good part of the time, in alphabetical order.
let private reasons (parts: Part<GpuEvidence>[]) : string[] =
    let total = parts |> Array.sumBy _.Weight

    parts
    |> Array.collect (fun part -> part.Item.ThrottleReasons)
    |> Array.distinct
    |> Array.filter (fun reason ->
        let held =
            parts
            |> Array.sumBy (fun part ->
                if Array.contains reason part.Item.ThrottleReasons then
                    part.Weight
                else
                    0.0)

        held * 100.0 >= total * float Limits.throttled)
    |> Array.sortWith (fun one other -> String.CompareOrdinal(one, other))

/// A GPU. Its faults are those of the newest look; Faults keeps older ones.
let gpu (parts: Part<GpuEvidence>[]) : GpuEvidence =
    { newest parts with
        Busy = share parts _.Busy
        MemoryBusy = share parts _.MemoryBusy
        SmActivity = share parts _.SmActivity
        TensorActivity = share parts _.TensorActivity
        DramActivity = share parts _.DramActivity
        Power = figure parts _.Power
        PowerLimit = figure parts _.PowerLimit
        ClockSm = figure parts _.ClockSm
        ClockSmMax = figure parts _.ClockSmMax
        Temperature = figure parts _.Temperature
        ThrottleReasons = reasons parts
        PowerViolation = share parts _.PowerViolation
        ThermalViolation = share parts _.ThermalViolation
        PcieReceived = figure parts _.PcieReceived
        PcieSent = figure parts _.PcieSent
        Nvlink = figure parts _.Nvlink
    }

/// A job.
let job (parts: Part<Job>[]) : Job =
    let blockedOf (job: Job) =
        match known job.Blocked with
        | ValueSome blocked -> float blocked
        | ValueNone -> 1.0

    { newest parts with
        CpuCores = figure parts _.CpuCores
        CpuCoresAllowed = figure parts _.CpuCoresAllowed
        BusiestThread = share parts _.BusiestThread
        BusiestThreadRole = most parts one _.BusiestThreadRole _.Name
        MainThread = share parts _.MainThread
        LoadersBusy = share parts _.LoadersBusy
        CpuWait = share parts _.CpuWait
        CpuThrottled = share parts _.CpuThrottled
        Blocked = share parts _.Blocked
        MainBlocked = share parts _.MainBlocked
        BlockedOn = most parts blockedOf _.BlockedOn _.Name
        Read = figure parts _.Read
        Written = figure parts _.Written
        NetworkReceived = figure parts _.NetworkReceived
        MemoryStall = share parts _.MemoryStall
        IoStall = share parts _.IoStall
        Refaults = figure parts _.Refaults
        MajorFaults = figure parts _.MajorFaults
        OutOfMemoryKills =
            (0UL, parts)
            ||> Array.fold (fun sum part -> addSaturating sum part.Item.OutOfMemoryKills)
        GpuBusy = share parts _.GpuBusy
        GpuLeastBusy = share parts _.GpuLeastBusy
        GpuPower = share parts _.GpuPower
        Gpus =
            (newest parts).Gpus
            |> Array.mapi (fun place mine ->
                let seen = across parts _.Gpus place (fun other -> other.Index = mine.Index && other.Uuid = mine.Uuid)

                { mine with
                    SmShare = share seen _.SmShare
                })
    }

/// The machine.
let host (parts: Part<HostEvidence>[]) : HostEvidence =
    let now = newest parts

    let runnable =
        figure parts (fun host -> host.Runnable |> ValueOption.map float)
        |> ValueOption.map (fun mean -> int (min mean 1e9))

    { now with
        CpuBusy = share parts _.CpuBusy
        BusiestCpu = share parts _.BusiestCpu
        Iowait = share parts _.Iowait
        Steal = share parts _.Steal
        Runnable = runnable
        CpuStall = share parts _.CpuStall
        IoStall = share parts _.IoStall
        IoFullStall = share parts _.IoFullStall
        MemoryStall = share parts _.MemoryStall
        MemoryFullStall = share parts _.MemoryFullStall
        MemoryAvailable = share parts _.MemoryAvailable
        SwapIn = figure parts _.SwapIn
        SwapOut = figure parts _.SwapOut
        Disks =
            now.Disks
            |> Array.mapi (fun place mine -> disk (across parts _.Disks place (fun other -> other.Device = mine.Device)))
        Links =
            now.Links
            |> Array.mapi (fun place mine -> link (across parts _.Links place (fun other -> other.Name = mine.Name)))
        NetworkMounts =
            now.NetworkMounts
            |> Array.mapi (fun place mine -> mount (across parts _.NetworkMounts place (fun other -> other.MountPoint = mine.MountPoint)))
    }
