namespace Agent.Receiver

open System
open System.Collections.Generic
open System.Globalization

/// The devices of one server: so many are known at a time. What was not in a sample for an hour makes room for what is new; where there is
/// no room, a new device is left out of its sample. Layouts, minutes and charts would else grow with names that somebody makes up.
/// Not safe for several threads.
[<Sealed>]
type KnownDevices(most: int) =
    // When each was in a sample last, by a monotonic clock.
    let seen = Dictionary<string, TimeSpan>(StringComparer.Ordinal)
    let mutable layout = Layout.empty
    // When they are noted again, if they stay the same.
    let mutable due = TimeSpan.MinValue

    let keyOfDisk (disk: DiskReport) = "d" + disk.Device

    let keyOfFan (fan: FanReport) = "f" + fan.Label

    let keyOfGpu (gpu: GpuReport) =
        String.Concat(
            [|
                "g"
                gpu.Index.ToString CultureInfo.InvariantCulture
                "\n"
                gpu.Name
                "\n"
                gpu.Uuid
            |]
        )

    let keyOfDetail (kind: int) (device: DetailReport) =
        String.Concat("x", Details.all[kind].Name, "\n", device.Name)

    /// The kinds whose devices have names that the sender chose.
    let named =
        [|
            for kind in 0 .. Details.all.Length - 1 do
                if Details.all[kind].IsNamed then
                    kind
        |]

    /// Notes the devices that are known, and counts those that are not.
    let note (now: TimeSpan) (key: 'T -> string) (devices: 'T[]) : int =
        let mutable unknown = 0

        for device in devices do
            let key = key device

            if seen.ContainsKey key then
                seen[key] <- now
            else
                unknown <- unknown + 1

        unknown

    /// Forgets as many as are needed, the longest unseen first.
    let makeRoom (now: TimeSpan) (needed: int) : unit =
        let excess = seen.Count + needed - most

        if excess > 0 then
            let old =
                seen
                |> Seq.filter (fun entry -> now - entry.Value >= KnownDevices.Memory)
                |> Seq.sortBy _.Value
                |> Seq.truncate excess
                |> Seq.map _.Key
                |> Array.ofSeq

            for key in old do
                seen.Remove key |> ignore

    /// The devices that are known, or for which there is room.
    let admit (now: TimeSpan) (key: 'T -> string) (devices: 'T[]) : 'T[] =
        devices
        |> Array.filter (fun device ->
            let key = key device

            if seen.ContainsKey key then
                true
            elif seen.Count < most then
                seen[key] <- now
                true
            else
                false)

    /// For so long a device is known that is in no sample any more.
    static member Memory: TimeSpan = TimeSpan.FromHours 1.0

    /// How many are known.
    member _.Count: int = seen.Count

    /// The report with those of its devices that are known or for which there is room, and how many were left out.
    member _.Admit(report: Report, now: TimeSpan) : struct (Report * int) =
        // Nearly every sample has the devices of the one before.
        if now < due && Layout.fits layout report then
            struct (report, 0)
        else
            let unknown =
                note now keyOfDisk report.Disks
                + note now keyOfGpu report.Gpus
                + note now keyOfFan report.Fans
                + Array.sumBy (fun kind -> note now (keyOfDetail kind) report.Details[kind]) named

            makeRoom now unknown
            let gpus = admit now keyOfGpu report.Gpus
            let disks = admit now keyOfDisk report.Disks
            let fans = admit now keyOfFan report.Fans


            let details =
                report.Details
                |> Array.mapi (fun kind devices ->
                    if Details.all[kind].IsNamed then
                        admit now (keyOfDetail kind) devices
                    elif kind = Details.ofGpus && gpus.Length < report.Gpus.Length then
                        devices
                        |> Array.filter (fun device -> gpus |> Array.exists (fun gpu -> string gpu.Index = device.Name))
                    else
                        devices)

            let count (all: DetailReport[][]) =
                named |> Array.sumBy (fun kind -> all[kind].Length)

            let leftOut =
                report.Disks.Length - disks.Length + report.Gpus.Length - gpus.Length
                + report.Fans.Length
                - fans.Length
                + count report.Details
                - count details

            let kept =
                if leftOut = 0 then
                    report
                else
                    { report with
                        Disks = disks
                        Gpus = gpus
                        Fans = fans
                        Details = details
                    }

            layout <- Layout.ofReport kept
            due <- now + TimeSpan.FromMinutes 1.0
            struct (kept, leftOut)
