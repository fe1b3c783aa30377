namespace Agent.Receiver

open System
open System.Collections.Generic

/// The devices that a history shows, where there were more than it can.
type DeviceChoice =
    {
        /// Those that are shown.
        Devices: Layout
        /// How many others there were.
        LeftOut: int
    }

/// What is known of one device.
[<Sealed>]
type private Tally(order: int) =
    /// The how many-eth it was to be seen.
    member _.Order = order
    /// In how many rows it is.
    member val Rows = 0L with get, set
    /// The sum of its use in the rows that were looked into.
    member val Activity = 0.0 with get, set

/// Counts the devices of the rows that a history is to be made of, before it is made: what it will need, and which devices are the busiest.
[<Sealed>]
type DeviceCensus() =
    let disks = Dictionary<string, Tally>(StringComparer.Ordinal)
    let gpus = Dictionary<GpuIdentity, Tally>()
    let fans = Dictionary<string, Tally>(StringComparer.Ordinal)

    let offsetOf (kinds: SeriesKind[]) name =
        kinds |> Array.findIndex (fun kind -> kind.Name = name)

    let gpuUse = offsetOf Series.gpu "utilization_gpu_percent"
    let diskUse = offsetOf Series.disk "util_percent"

    let all () = disks.Count + gpus.Count + fans.Count

    let see (table: Dictionary<'K, Tally>) (rows: int64) (devices: 'K[]) =
        for device in devices do
            match table.TryGetValue device with
            | true, tally -> tally.Rows <- tally.Rows + rows
            | _ ->
                if all () < DeviceCensus.MostTracked then
                    let tally = Tally(all ())
                    tally.Rows <- rows
                    table[device] <- tally

    let busy (table: Dictionary<'K, Tally>) (devices: 'K[]) (slotOf: int -> int) (values: float[]) =
        for position in 0 .. devices.Length - 1 do
            let value = values[slotOf position]

            match table.TryGetValue devices[position] with
            | true, tally when value > 0.0 -> tally.Activity <- tally.Activity + value
            | _ -> ()

    /// More devices than this are not told apart: nobody has them, and there are people who make them up.
    static member MostTracked: int = 8192

    /// How many devices there are.
    member _.Count: int = all ()

    /// How many figures there are at each instant.
    member _.Slots: int =
        Series.machine.Length
        + disks.Count * Series.disk.Length
        + gpus.Count * Series.gpu.Length
        + fans.Count * Series.fan.Length

    /// Takes so many rows of a layout.
    member _.See(layout: Layout, rows: int64) : unit =
        see gpus rows layout.Gpus
        see disks rows layout.Disks
        see fans rows layout.Fans

    /// Takes the figures of one row, by slot.
    member _.Look(layout: Layout, values: float[]) : unit =
        busy gpus layout.Gpus (fun position -> Series.firstOfGpu layout position + gpuUse) values
        busy disks layout.Disks (fun position -> Series.firstOfDisk position + diskUse) values

    /// So many devices at most: those that were used most, then those that are in most rows, in the order in which they came.
    member _.Choose(most: int) : DeviceChoice =
        let ranked =
            seq {
                yield! gpus.Values
                yield! disks.Values
                yield! fans.Values
            }
            |> Seq.sortBy (fun tally -> struct (-tally.Activity, -tally.Rows, tally.Order))
            |> Seq.truncate most

        let chosen = HashSet<Tally>(ranked, HashIdentity.Reference)

        let ofTable (table: Dictionary<'K, Tally>) =
            table
            |> Seq.filter (fun entry -> chosen.Contains entry.Value)
            |> Seq.sortBy _.Value.Order
            |> Seq.map _.Key
            |> Array.ofSeq

        {
            Devices =
                {
                    Disks = ofTable disks
                    Gpus = ofTable gpus
                    Fans = ofTable fans
                    Details = Details.noNames
                }
            LeftOut = all () - chosen.Count
        }
