namespace Agent.Receiver

open System
open System.Buffers.Binary
open System.Runtime.CompilerServices
open System.Text.Json
open Agent.Core

/// One value of a row.
[<Struct>]
type Cell =
    {
        /// 0 NULL, 1 an integer, 2 a real.
        Kind: int
        /// The integer.
        Whole: int64
        /// The real.
        Real: float
    }

/// The GPU that a position of a layout stands for.
type GpuIdentity =
    {
        /// The driver's index.
        Index: int
        /// Empty when unknown.
        Name: string
        /// Empty when unknown.
        Uuid: string
    }

/// Which devices the figures of a row belong to, in their order. Rows of one server mostly share one.
type Layout =
    {
        /// Device names.
        Disks: string[]
        /// GPUs.
        Gpus: GpuIdentity[]
        /// Labels.
        Fans: string[]
        /// Names, of each kind of `Details.all`.
        Details: string[][]
    }

/// Layouts and their text, by which the database knows them.
[<RequireQualifiedAccess>]
module Layout =
    /// No device at all.
    let empty: Layout =
        {
            Disks = [||]
            Gpus = [||]
            Fans = [||]
            Details = Details.noNames
        }

    /// The layout of a report.
    [<CompiledName "Of">]
    let ofReport (report: Report) : Layout =
        {
            Disks = report.Disks |> Array.map _.Device
            Gpus =
                report.Gpus
                |> Array.map (fun gpu ->
                    {
                        Index = gpu.Index
                        Name = gpu.Name
                        Uuid = gpu.Uuid
                    })
            Fans = report.Fans |> Array.map _.Label
            Details =
                report.Details
                |> Array.map (Array.map (fun (device: DetailReport) -> device.Name))
        }

    let private fitsDetails (names: string[][]) (details: DetailReport[][]) : bool =
        Array.forall2
            (fun (names: string[]) (devices: DetailReport[]) ->
                names.Length = devices.Length
                && Array.forall2 (fun name (device: DetailReport) -> name = device.Name) names devices)
            names
            details

    /// Whether a report has exactly these devices.
    [<CompiledName "Fits">]
    let fits (layout: Layout) (report: Report) : bool =
        layout.Disks.Length = report.Disks.Length
        && layout.Gpus.Length = report.Gpus.Length
        && layout.Fans.Length = report.Fans.Length
        && Array.forall2 (fun device (disk: DiskReport) -> device = disk.Device) layout.Disks report.Disks
        && Array.forall2
            (fun (identity: GpuIdentity) (gpu: GpuReport) ->
                identity.Index = gpu.Index
                && identity.Name = gpu.Name
                && identity.Uuid = gpu.Uuid)
            layout.Gpus
            report.Gpus
        && Array.forall2 (fun label (fan: FanReport) -> label = fan.Label) layout.Fans report.Fans
        && fitsDetails layout.Details report.Details

    /// CPUs are as many, and others have their names.
    let private namesText (kind: int) (names: string[]) : JsonValue =
        if kind = Details.ofCores then
            Encode.int names.Length
        else
            Encode.seq (Seq.map Encode.string names)

    /// `{"disks":["sda"],"gpus":[[0,"NVIDIA A100","GPU-…"]],"fans":[],"details":{"network_interfaces":["eth0"],"cpu_cores":128}}`
    [<CompiledName "ToText">]
    let toText (layout: Layout) : string =
        Encode.object
            [|
                "disks", Encode.seq (Seq.map Encode.string layout.Disks)
                "gpus",
                Encode.seq (
                    layout.Gpus
                    |> Seq.map (fun gpu -> Encode.seq [ Encode.int gpu.Index; Encode.string gpu.Name; Encode.string gpu.Uuid ])
                )
                "fans", Encode.seq (Seq.map Encode.string layout.Fans)
                "details",
                layout.Details
                |> Array.indexed
                |> Array.filter (fun (_, names) -> names.Length > 0)
                |> Array.map (fun (kind, names) -> Details.all[kind].Name, namesText kind names)
                |> Encode.object
            |]
        |> Encode.toString 0

    let private namesDecoder (kind: int) : Decoder<string[]> =
        if kind = Details.ofCores then
            fun path element ->
                Decode.int path element
                |> Result.map (fun count -> Array.truncate (max 0 count) Details.coreNames)
        else
            Decode.array Decode.string

    /// Kinds that are not known any more are left out, and those that were not known yet have no devices.
    let private detailsDecoder: Decoder<string[][]> =
        Decode.object (fun get ->
            Details.all
            |> Array.mapi (fun position kind -> get.Optional.Field kind.Name (namesDecoder position) |> Option.defaultValue [||]))

    let private gpuDecoder: Decoder<GpuIdentity> =
        fun path element ->
            let entry index (decoder: Decoder<'a>) : Result<'a, DecoderError> =
                if element.ValueKind = JsonValueKind.Array && element.GetArrayLength() > index then
                    decoder path element[index]
                else
                    Error(path, ErrorReason.BadField $"entry {index}")

            match entry 0 Decode.int, entry 1 Decode.string, entry 2 Decode.string with
            | Ok index, Ok name, Ok uuid ->
                Ok
                    {
                        Index = index
                        Name = name
                        Uuid = uuid
                    }
            | Error error, _, _
            | _, Error error, _
            | _, _, Error error -> Error error

    /// The layout of such a text; the sentence says what is wrong with it.
    [<CompiledName "Parse">]
    let parse (text: string) : Result<Layout, string> =
        Decode.fromString
            (Decode.object (fun get ->
                {
                    Disks = get.Required.Field "disks" (Decode.array Decode.string)
                    Gpus = get.Required.Field "gpus" (Decode.array gpuDecoder)
                    Fans = get.Required.Field "fans" (Decode.array Decode.string)
                    Details =
                        get.Optional.Field "details" detailsDecoder
                        |> Option.defaultValue Details.noNames
                }))
            text

/// Where the figures of a device belong that were written in some order.
type FigureOrder =
    {
        /// The scales in which decimals were written.
        Scales: int[]
        /// The position of each decimal in the schema now; -1 where it is not kept any more.
        Decimals: int[]
        /// The position of each whole number.
        Integers: int[]
    }

/// Reading figures in the order in which they were written.
[<RequireQualifiedAccess>]
module FigureOrder =
    /// From the schema that was written by to the one that is read by.
    let between (written: Schema) (now: Schema) : FigureOrder =
        let place (names: string[]) (name: string) = Array.IndexOf(names, name)
        let nameOf (struct (name: string, _: int)) = name
        let decimals = now.Decimals |> Array.map nameOf

        {
            Scales = written.Decimals |> Array.map (fun (struct (_, scale)) -> scale)
            Decimals = written.Decimals |> Array.map (nameOf >> place decimals)
            Integers = written.Integers |> Array.map (place now.Integers)
        }

/// A kind of `Details` in the order in which it was written.
type DetailOrder =
    {
        /// Its position in `Details.all` now; -1 where it is not kept any more.
        Kind: int
        /// Of the figures of a device in a sample.
        Figures: FigureOrder
        /// Of each series of a device in a minute: its place now, or -1.
        Series: int[]
        /// In which steps each was written.
        Scales: float[]
    }

/// The orders of a sample's disks, GPUs and fans, and of the details of samples and minutes.
type SampleOrders =
    {
        /// Of each disk.
        Disk: FigureOrder
        /// Of each GPU.
        Gpu: FigureOrder
        /// Of each fan.
        Fan: FigureOrder
        /// Of each kind of details, as they were written one after the other.
        Details: DetailOrder[]
    }

/// Keys of rows: the server's number before the time, so that the rows of one server lie side by side, in the order of time.
[<RequireQualifiedAccess>]
module RowKey =
    [<Literal>]
    let private TimeBits = 51

    [<Literal>]
    let private MinuteBits = 32

    [<Literal>]
    let MicrosecondsPerMinute = 60_000_000L

    /// Microseconds from 2000-01-01 to an instant.
    [<CompiledName "Microseconds">]
    let microseconds (instant: DateTimeOffset) : int64 =
        (instant.UtcTicks - Intake.firstInstant.UtcTicks) / TimeSpan.TicksPerMicrosecond

    /// The instant so many microseconds after 2000-01-01.
    [<CompiledName "Instant">]
    let instant (microseconds: int64) : DateTimeOffset =
        Intake.firstInstant.AddTicks(microseconds * TimeSpan.TicksPerMicrosecond)

    /// The key of a server's sample at so many microseconds.
    [<CompiledName "Sample">]
    let sample (server: int) (microseconds: int64) : int64 =
        (int64 server <<< TimeBits)
        ||| Math.Clamp(microseconds, 0L, (1L <<< TimeBits) - 1L)

    /// The microseconds in the key of a sample.
    [<CompiledName "TimeOf">]
    let timeOf (key: int64) : int64 = key &&& ((1L <<< TimeBits) - 1L)

    /// The minute, from 2000-01-01, of so many microseconds.
    [<CompiledName "MinuteAt">]
    let minuteAt (microseconds: int64) : int64 = microseconds / MicrosecondsPerMinute

    /// The key of a server's minute.
    [<CompiledName "Minute">]
    let minute (server: int) (minute: int64) : int64 =
        (int64 server <<< MinuteBits)
        ||| Math.Clamp(minute, 0L, (1L <<< MinuteBits) - 1L)

    /// The minute in its key.
    [<CompiledName "MinuteOf">]
    let minuteOf (key: int64) : int64 = key &&& ((1L <<< MinuteBits) - 1L)

/// Bytes being written; numbers take as few as they need.
[<Sealed>]
type internal Packer() =
    let mutable bytes = Array.zeroCreate<byte> 256
    let mutable length = 0

    let ensure more =
        if length + more > bytes.Length then
            Array.Resize(&bytes, max (bytes.Length * 2) (length + more))

    /// Seven bits a byte, lowest first; the highest bit says that more follow.
    member _.Unsigned(value: uint64) =
        ensure 10
        let mutable rest = value

        while rest >= 128UL do
            bytes[length] <- byte rest ||| 128uy
            length <- length + 1
            rest <- rest >>> 7

        bytes[length] <- byte rest
        length <- length + 1

    member _.Real(value: float) =
        ensure 8
        BinaryPrimitives.WriteDoubleLittleEndian(Span(bytes, length, 8), value)
        length <- length + 8

    /// How many there are.
    member _.Length: int = length

    /// Adds what another one has.
    member _.Append(other: Packer) =
        ensure other.Length
        other.CopyTo(Span(bytes, length, other.Length))
        length <- length + other.Length

    member internal _.CopyTo(target: Span<byte>) = bytes.AsSpan(0, length).CopyTo target

    /// Empties it.
    member _.Clear() = length <- 0

    member _.ToArray() : byte[] = bytes.AsSpan(0, length).ToArray()

/// How figures become the values and bytes of rows, and back. Nothing is lost: a decimal that is no whole number of its scale is
/// kept as it is, in eight bytes. docs/adr/0016 has the format.
[<RequireQualifiedAccess>]
module Packing =
    let private absent = { Kind = 0; Whole = 0L; Real = 0.0 }

    // Beyond this, neighbouring floats are further apart than the scales' steps.
    let private largestScaled = 9.0e15

    /// The decimal in units of 1/scale; none when that would not give back exactly the same number.
    let private scaled (scale: int) (value: float) : int64 voption =
        let units = Math.Round(value * float scale)

        if
            abs units < largestScaled
            && units / float scale = value
            // Minus zero is no whole number.
            && not (value = 0.0 && Double.IsNegative value)
        then
            ValueSome(int64 units)
        else
            ValueNone

    let private decimalCell (scale: int) (value: float) : Cell =
        if Double.IsNaN value then
            absent
        else
            match scaled scale value with
            | ValueSome units -> { Kind = 1; Whole = units; Real = 0.0 }
            | ValueNone -> { Kind = 2; Whole = 0L; Real = value }

    let private decimalOf (scale: int) (cell: Cell) : float =
        match cell.Kind with
        | 1 -> float cell.Whole / float scale
        | 2 -> cell.Real
        | _ -> nan

    let private keyOf (struct (key: string, _: int)) = key

    /// The columns of a machine's decimals, in the order of their cells.
    let decimalColumns: string[] = Schema.machine.Decimals |> Array.map keyOf

    /// The columns of a machine's whole numbers, whose cells come after those.
    let wholeColumns: string[] = Schema.machine.Integers

    /// The number of cells of a row.
    let width: int = decimalColumns.Length + wholeColumns.Length

    /// Fills in the cells of a report, as many as `width`.
    [<CompiledName "Fill">]
    let fill (report: Report) (cells: Cell[]) : unit =
        let machine = report.Machine

        for index in 0 .. machine.Decimals.Length - 1 do
            let struct (_, scale) = Schema.machine.Decimals[index]
            cells[index] <- decimalCell scale machine.Decimals[index]

        for index in 0 .. machine.Integers.Length - 1 do
            let value = machine.Integers[index]

            cells[machine.Decimals.Length + index] <-
                if value < 0L then
                    absent
                else
                    { Kind = 1; Whole = value; Real = 0.0 }

    let internal zigzag (value: int64) : uint64 =
        uint64 ((value <<< 1) ^^^ (value >>> 63))

    let internal unzigzag (value: uint64) : int64 =
        int64 (value >>> 1) ^^^ -(int64 (value &&& 1UL))

    /// 0 not known; 1 and then eight bytes; else the scaled number.
    let private packDecimal (packer: Packer) (scale: int) (value: float) =
        let cell = decimalCell scale value

        match cell.Kind with
        | 0 -> packer.Unsigned 0UL
        | 1 -> packer.Unsigned(zigzag cell.Whole + 2UL)
        | _ ->
            packer.Unsigned 1UL
            packer.Real value

    let private packFigures (packer: Packer) (schema: Schema) (figures: Figures) =
        for index in 0 .. schema.Decimals.Length - 1 do
            let struct (_, scale) = schema.Decimals[index]
            packDecimal packer scale figures.Decimals[index]

        for value in figures.Integers do
            packer.Unsigned(uint64 (value + 1L))

    let private nothing: byte[] = [||]

    let private packAll (schema: Schema) (figures: 'a -> Figures) (entries: 'a[]) : byte[] =
        if entries.Length = 0 then
            nothing
        else
            let packer = Packer()

            for entry in entries do
                packFigures packer schema (figures entry)

            packer.ToArray()

    /// The figures of a report's disks.
    [<CompiledName "Disks">]
    let disks (report: Report) : byte[] =
        packAll Schema.disk (fun (disk: DiskReport) -> disk.Figures) report.Disks

    /// The figures of a report's GPUs.
    [<CompiledName "Gpus">]
    let gpus (report: Report) : byte[] =
        packAll Schema.gpu (fun (gpu: GpuReport) -> gpu.Figures) report.Gpus

    /// The figures of a report's fans.
    [<CompiledName "Fans">]
    let fans (report: Report) : byte[] =
        packAll Schema.fan (fun (fan: FanReport) -> fan.Figures) report.Fans

    /// What is packed of each kind of details, in their order: how many bytes, then the bytes. Nothing where no kind has any.
    let internal packDetails (names: int -> int) (packKind: int -> Packer -> unit) : byte[] =
        if Details.all |> Array.indexed |> Array.forall (fun (kind, _) -> names kind = 0) then
            nothing
        else
            let all = Packer()
            let own = Packer()

            for kind in 0 .. Details.all.Length - 1 do
                own.Clear()
                packKind kind own
                all.Unsigned(uint64 own.Length)
                all.Append own

            all.ToArray()

    /// The figures of a report's details.
    [<CompiledName "Details">]
    let details (report: Report) : byte[] =
        packDetails (fun kind -> report.Details[kind].Length) (fun kind packer ->
            for device in report.Details[kind] do
                packFigures packer Details.all[kind].Schema device.Figures)

    let private longUnsigned (bytes: ReadOnlySpan<byte>) (position: byref<int>) : uint64 =
        let mutable value = 0UL
        let mutable shift = 0
        let mutable more = true

        while more do
            if position >= bytes.Length || shift > 63 then
                more <- false
            else
                let next = bytes[position]
                position <- position + 1
                value <- value ||| (uint64 (next &&& 127uy) <<< shift)
                shift <- shift + 7
                more <- next >= 128uy

        value

    /// Reads what `Packer.Unsigned` wrote; past the end there are zeros, which is "not known" everywhere.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    let internal unsigned (bytes: ReadOnlySpan<byte>) (position: byref<int>) : uint64 =
        let at = position

        // Most are one byte, and a history reads millions.
        if uint at < uint bytes.Length && bytes[at] < 128uy then
            position <- at + 1
            uint64 bytes[at]
        else
            longUnsigned bytes &position

    let internal real (bytes: ReadOnlySpan<byte>) (position: byref<int>) : float =
        if position + 8 <= bytes.Length then
            let value = BinaryPrimitives.ReadDoubleLittleEndian(bytes.Slice position)
            position <- position + 8
            value
        else
            position <- bytes.Length
            nan

    let private unpackFigures (schema: Schema) (order: FigureOrder) (bytes: ReadOnlySpan<byte>) (position: byref<int>) : Figures =
        let figures = Schema.empty schema

        for index in 0 .. order.Decimals.Length - 1 do
            let value =
                match unsigned bytes &position with
                | 0UL -> nan
                | 1UL -> real bytes &position
                | code -> float (unzigzag (code - 2UL)) / float order.Scales[index]

            if order.Decimals[index] >= 0 then
                figures.Decimals[order.Decimals[index]] <- value

        for index in 0 .. order.Integers.Length - 1 do
            let value = int64 (unsigned bytes &position) - 1L

            if order.Integers[index] >= 0 then
                figures.Integers[order.Integers[index]] <- value

        figures

    /// The bytes of the kind of details that comes next.
    let internal nextKind (bytes: ReadOnlySpan<byte>) (position: byref<int>) : ReadOnlySpan<byte> =
        let length = int (min (unsigned bytes &position) (uint64 (bytes.Length - position)))
        let own = bytes.Slice(position, length)
        position <- position + length
        own

    let private unpackDetails (names: string[][]) (orders: DetailOrder[]) (bytes: ReadOnlySpan<byte>) : DetailReport[][] =
        if bytes.IsEmpty then
            Details.none
        else
            let reports = Array.create Details.all.Length [||]
            let mutable position = 0

            for order in orders do
                let own = nextKind bytes &position

                if order.Kind >= 0 then
                    let devices = Array.zeroCreate names[order.Kind].Length
                    let mutable at = 0

                    for index in 0 .. devices.Length - 1 do
                        devices[index] <-
                            ({
                                Name = names[order.Kind][index]
                                Figures = unpackFigures Details.all[order.Kind].Schema order.Figures own &at
                            }
                            : DetailReport)

                    reports[order.Kind] <- devices

            reports

    /// The report that such cells and bytes came from. Its details are left out where their bytes are none.
    [<CompiledName "Report">]
    let report
        (layout: Layout)
        (orders: SampleOrders)
        (collectedAt: DateTimeOffset)
        (cells: Cell[])
        (disks: ReadOnlySpan<byte>)
        (gpus: ReadOnlySpan<byte>)
        (fans: ReadOnlySpan<byte>)
        (details: ReadOnlySpan<byte>)
        : Report =
        let machine = Schema.empty Schema.machine

        for index in 0 .. machine.Decimals.Length - 1 do
            let struct (_, scale) = Schema.machine.Decimals[index]
            machine.Decimals[index] <- decimalOf scale cells[index]

        for index in 0 .. machine.Integers.Length - 1 do
            let cell = cells[machine.Decimals.Length + index]
            machine.Integers[index] <- if cell.Kind = 1 then cell.Whole else -1L

        let mutable position = 0
        let diskReports = Array.zeroCreate layout.Disks.Length

        for index in 0 .. layout.Disks.Length - 1 do
            diskReports[index] <-
                {
                    Device = layout.Disks[index]
                    Figures = unpackFigures Schema.disk orders.Disk disks &position
                }

        position <- 0
        let gpuReports = Array.zeroCreate layout.Gpus.Length

        for index in 0 .. layout.Gpus.Length - 1 do
            let gpu = layout.Gpus[index]

            gpuReports[index] <-
                {
                    Index = gpu.Index
                    Name = gpu.Name
                    Uuid = gpu.Uuid
                    Figures = unpackFigures Schema.gpu orders.Gpu gpus &position
                }

        position <- 0
        let fanReports = Array.zeroCreate layout.Fans.Length

        for index in 0 .. layout.Fans.Length - 1 do
            fanReports[index] <-
                {
                    Label = layout.Fans[index]
                    Figures = unpackFigures Schema.fan orders.Fan fans &position
                }

        {
            CollectedAt = collectedAt
            Machine = machine
            Disks = diskReports
            Gpus = gpuReports
            Fans = fanReports
            Details = unpackDetails layout.Details orders.Details details
        }
