namespace Agent.Receiver

open System
open System.Collections.Generic
open System.Text.Json
open Agent.Core

/// A GPU over time.
type private UseRow =
    {
        Server: string
        Gpu: GpuIdentity
        /// By bucket: the mean of the minutes in it is their sum by their count.
        Sums: float[]
        Counts: int[]
    }

/// Where the use of each GPU lies in the minutes of a layout.
type private UseMapping =
    {
        /// As many as are to be read to come to the last of them.
        Spreads: Spread[]
        Throttle: int64[]
        /// Of each GPU, -1 where it was not written.
        Places: int[]
        Scales: float[]
    }

/// The use of all GPUs of a fleet over time, from the minutes of one machine after the other.
[<Sealed>]
type FleetUse(from: int64, until: int64) =
    let axis = Axis.within (Axis.MostCells / FleetUse.MostBuckets) (Axis.ofMinutes from until)
    let rows = List<UseRow>()
    let mappings = Dictionary<StoredLayout, UseMapping>(HashIdentity.Reference)
    let own = Dictionary<GpuIdentity, UseRow>()
    let labelSeconds: float[] = Array.zeroCreate BottleneckLabel.All.Length
    let leftOut = HashSet<GpuIdentity>()
    let mutable leftOutBefore = 0
    let mutable server = ""

    let offset =
        Series.gpu
        |> Array.findIndex (fun kind -> kind.Name = "utilization_gpu_percent")

    let mapping (stored: StoredLayout) : UseMapping =
        match mappings.TryGetValue stored with
        | true, known -> known
        | _ ->
            let places =
                stored.Layout.Gpus
                |> Array.mapi (fun position _ -> Array.IndexOf(stored.Slots, Series.firstOfGpu stored.Layout position + offset))

            let made =
                {
                    Spreads = Array.zeroCreate (1 + Array.fold max -1 places)
                    Throttle = Array.zeroCreate stored.Layout.Gpus.Length
                    Places = places
                    Scales = stored.Scales
                }

            // Machines share no layouts.
            mappings[stored] <- made
            made

    let rowOf (gpu: GpuIdentity) : UseRow voption =
        match own.TryGetValue gpu with
        | true, row -> ValueSome row
        | _ when rows.Count >= FleetUse.MostGpus ->
            leftOut.Add gpu |> ignore
            ValueNone
        | _ ->
            let row =
                {
                    Server = server
                    Gpu = gpu
                    Sums = Array.zeroCreate axis.Count
                    Counts = Array.zeroCreate axis.Count
                }

            own[gpu] <- row
            rows.Add row
            ValueSome row

    /// An answer has so many buckets at most.
    static member MostBuckets: int = 240

    /// An answer has so many GPUs at most.
    static member MostGpus: int = 2048

    /// The longest range, in minutes: a day.
    static member LongestMinutes: int = 1440

    /// The minutes that it is made of.
    member _.Axis: Axis = axis

    /// What is added from here on is of this machine.
    member _.Begin(slug: string) : unit =
        server <- slug
        own.Clear()
        mappings.Clear()
        leftOutBefore <- leftOutBefore + leftOut.Count
        leftOut.Clear()

    /// One minute of the machine, from the bytes in which its figures are kept.
    member _.Add(minute: int64, stored: StoredLayout, packed: ReadOnlySpan<byte>) : unit =
        let bucket = int ((minute * RowKey.MicrosecondsPerMinute - axis.Start) / axis.Step)

        if stored.Layout.Gpus.Length > 0 && bucket >= 0 && bucket < axis.Count then
            let map = mapping stored
            Rollup.unpackInto map.Spreads map.Throttle labelSeconds packed |> ignore

            for gpu in 0 .. map.Places.Length - 1 do
                match rowOf stored.Layout.Gpus[gpu] with
                | ValueSome row when map.Places[gpu] >= 0 && map.Spreads[map.Places[gpu]].Count > 0 ->
                    let place = map.Places[gpu]
                    row.Sums[bucket] <- row.Sums[bucket] + map.Spreads[place].Mean / map.Scales[place]
                    row.Counts[bucket] <- row.Counts[bucket] + 1
                | _ -> ()

    /// Whether there is room for no other GPU: of more it is only counted that they are left out.
    member _.IsFull: bool = rows.Count >= FleetUse.MostGpus

    /// The mean use of one of the machine's GPUs in a bucket, in per cent, as somebody else has put it together; NaN where it is not known.
    member _.AddBucket(bucket: int, gpu: GpuIdentity, percent: float) : unit =
        match rowOf gpu with
        | ValueSome row when bucket >= 0 && bucket < axis.Count && not (Double.IsNaN percent) ->
            row.Sums[bucket] <- row.Sums[bucket] + percent
            row.Counts[bucket] <- row.Counts[bucket] + 1
        | _ -> ()

    /// Writes the answer.
    member _.Write(writer: Utf8JsonWriter) : unit =
        writer.WriteStartObject()
        writer.WriteString("from", Wire.instant (RowKey.instant axis.From))
        writer.WriteString("to", Wire.instant (RowKey.instant axis.To))
        writer.WriteNumber("start", (RowKey.instant axis.Start).ToUnixTimeMilliseconds())
        writer.WriteNumber("step_seconds", axis.Step / 1_000_000L)
        writer.WriteNumber("buckets", axis.Count)
        writer.WriteNumber("gpus_left_out", leftOutBefore + leftOut.Count)
        writer.WriteStartArray "gpus"

        for row in rows do
            writer.WriteStartObject()
            writer.WriteString("server", row.Server)
            writer.WriteNumber("gpu_index", row.Gpu.Index)
            writer.WriteString("name", row.Gpu.Name)
            writer.WriteStartArray "use"

            for bucket in 0 .. axis.Count - 1 do
                if row.Counts[bucket] = 0 then
                    writer.WriteNullValue()
                else
                    writer.WriteNumberValue(int (Math.Round(row.Sums[bucket] / float row.Counts[bucket])))

            writer.WriteEndArray()
            writer.WriteEndObject()

        writer.WriteEndArray()
        writer.WriteEndObject()
