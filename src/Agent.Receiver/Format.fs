namespace Agent.Receiver

open System
open System.Text.Json
open Agent.Core

/// A name and the scale in which its figure is stored: 10 keeps tenths.
type Scaled = (struct (string * float))

/// A kind of details as it is written.
type DetailFormat =
    {
        /// Its name.
        Kind: string
        /// The series of a device in a minute.
        Series: Scaled[]
        /// The figures of a device in a sample.
        Sample: Schema
    }

/// The order in which the figures of stored rows lie, as names. Each layout of the database names the format that its rows were written
/// in, so that a series or a key that is added, moved or removed leaves what is stored as it was.
type Format =
    {
        /// The series of a machine in a minute.
        Machine: Scaled[]
        /// The series of a disk in a minute.
        Disk: Scaled[]
        /// The series of a GPU in a minute.
        Gpu: Scaled[]
        /// The series of a fan in a minute.
        Fan: Scaled[]
        /// The figures of a disk in a sample.
        DiskSample: Schema
        /// The figures of a GPU in a sample.
        GpuSample: Schema
        /// The figures of a fan in a sample.
        FanSample: Schema
        /// The kinds of details, in their order; none in what was written before there were any.
        Details: DetailFormat[]
    }

/// The formats that were and are written.
[<RequireQualifiedAccess>]
module Format =
    let private scaled (kinds: SeriesKind[]) : Scaled[] =
        kinds |> Array.map (fun kind -> struct (kind.Name, kind.Scale))

    /// In which rows are written.
    let current: Format =
        {
            Machine = scaled Series.machine
            Disk = scaled Series.disk
            Gpu = scaled Series.gpu
            Fan = scaled Series.fan
            DiskSample = Schema.disk
            GpuSample = Schema.gpu
            FanSample = Schema.fan
            Details =
                Details.all
                |> Array.map (fun kind ->
                    {
                        Kind = kind.Name
                        Series = scaled kind.Series
                        Sample = kind.Schema
                    })
        }

    let private pair (name: string) (scale: float) : JsonValue =
        Encode.seq [ Encode.string name; Encode.float scale ]

    /// `{"machine":[["cpu_usage_percent",100],…],…,"disk_sample":{"decimals":[],"wholes":["read_bytes_total",…]},…}`
    [<CompiledName "ToText">]
    let toText (format: Format) : string =
        let series (entries: Scaled[]) =
            Encode.arrayOf (fun (struct (name, scale)) -> pair name scale) entries

        let sample (schema: Schema) =
            Encode.object
                [|
                    "decimals", Encode.arrayOf (fun (struct (name, scale: int)) -> pair name (float scale)) schema.Decimals
                    "wholes", Encode.arrayOf Encode.string schema.Integers
                |]

        Encode.object
            [|
                "machine", series format.Machine
                "disk", series format.Disk
                "gpu", series format.Gpu
                "fan", series format.Fan
                "disk_sample", sample format.DiskSample
                "gpu_sample", sample format.GpuSample
                "fan_sample", sample format.FanSample
                if format.Details.Length > 0 then
                    "details",
                    format.Details
                    |> Encode.arrayOf (fun kind ->
                        Encode.object
                            [|
                                "kind", Encode.string kind.Kind
                                "series", series kind.Series
                                "sample", sample kind.Sample
                            |])
            |]
        |> Encode.toString 0

    let private scaledDecoder: Decoder<Scaled> =
        fun path element ->
            if element.ValueKind = JsonValueKind.Array && element.GetArrayLength() = 2 then
                match Decode.string path element[0], Decode.float path element[1] with
                | Ok name, Ok scale when scale > 0.0 -> Ok(struct (name, scale))
                | Ok _, Ok _ -> Error(path, ErrorReason.BadField "a scale above 0")
                | Error error, _
                | _, Error error -> Error error
            else
                Error(path, ErrorReason.BadField "a name and a scale")

    let private schemaDecoder: Decoder<Schema> =
        Decode.object (fun get ->
            {
                Decimals =
                    get.Required.Field
                        "decimals"
                        (Decode.array scaledDecoder
                         |> Decode.map (Array.map (fun (struct (name, scale)) -> struct (name, int scale))))
                Integers = get.Required.Field "wholes" (Decode.array Decode.string)
            })

    let private detailDecoder: Decoder<DetailFormat> =
        Decode.object (fun get ->
            {
                Kind = get.Required.Field "kind" Decode.string
                Series = get.Required.Field "series" (Decode.array scaledDecoder)
                Sample = get.Required.Field "sample" schemaDecoder
            })

    /// The format of such a text; the sentence says what is wrong with it.
    [<CompiledName "Parse">]
    let parse (text: string) : Result<Format, string> =
        let series = Decode.array scaledDecoder

        Decode.fromString
            (Decode.object (fun get ->
                {
                    Machine = get.Required.Field "machine" series
                    Disk = get.Required.Field "disk" series
                    Gpu = get.Required.Field "gpu" series
                    Fan = get.Required.Field "fan" series
                    DiskSample = get.Required.Field "disk_sample" schemaDecoder
                    GpuSample = get.Required.Field "gpu_sample" schemaDecoder
                    FanSample = get.Required.Field "fan_sample" schemaDecoder
                    Details =
                        get.Optional.Field "details" (Decode.array detailDecoder)
                        |> Option.defaultValue [||]
                }))
            text

/// The devices of stored rows, and where each of their figures belongs now.
type StoredLayout =
    {
        /// The devices.
        Layout: Layout
        /// Of each figure of a minute, as it was written: its slot now, or -1 where it is not charted any more.
        Slots: int[]
        /// In which steps each was written.
        Scales: float[]
        /// Of the figures of a sample's devices.
        Samples: SampleOrders
    }

/// Reading rows by the format that they were written in.
[<RequireQualifiedAccess>]
module StoredLayout =
    /// The places of one thing's series, of which the first has slot `first` now.
    let private places (first: int) (stored: Scaled[]) (now: SeriesKind[]) : int[] =
        stored
        |> Array.map (fun (struct (name, _)) ->
            match now |> Array.tryFindIndex (fun kind -> kind.Name = name) with
            | Some offset -> first + offset
            | None -> -1)

    let private noSchema: Schema = { Decimals = [||]; Integers = [||] }

    let private detailOrder (format: DetailFormat) : DetailOrder =
        let kind = Details.positionOf format.Kind

        {
            Kind = kind
            Figures = FigureOrder.between format.Sample (if kind < 0 then noSchema else Details.all[kind].Schema)
            Series = places 0 format.Series (if kind < 0 then [||] else Details.all[kind].Series)
            Scales = format.Series |> Array.map (fun (struct (_, scale)) -> scale)
        }

    /// A layout whose rows were written in a format.
    [<CompiledName "Of">]
    let ofLayout (format: Format) (layout: Layout) : StoredLayout =
        let slots =
            [|
                yield! places 0 format.Machine Series.machine

                for position in 0 .. layout.Disks.Length - 1 do
                    yield! places (Series.firstOfDisk position) format.Disk Series.disk

                for position in 0 .. layout.Gpus.Length - 1 do
                    yield! places (Series.firstOfGpu layout position) format.Gpu Series.gpu

                for position in 0 .. layout.Fans.Length - 1 do
                    yield! places (Series.firstOfFan layout position) format.Fan Series.fan
            |]

        let scales =
            [|
                format.Machine
                yield! Array.replicate layout.Disks.Length format.Disk
                yield! Array.replicate layout.Gpus.Length format.Gpu
                yield! Array.replicate layout.Fans.Length format.Fan
            |]
            |> Array.concat
            |> Array.map (fun (struct (_, scale)) -> scale)

        {
            Layout = layout
            Slots = slots
            Scales = scales
            Samples =
                {
                    Disk = FigureOrder.between format.DiskSample Schema.disk
                    Gpu = FigureOrder.between format.GpuSample Schema.gpu
                    Fan = FigureOrder.between format.FanSample Schema.fan
                    Details = format.Details |> Array.map detailOrder
                }
        }

    /// Without any device.
    let empty: StoredLayout = ofLayout Format.current Layout.empty
