/// The I/O of a control group: `io.stat` of version 2, `blkio.throttle.io_service_bytes_recursive` or, before kernel 4.13,
/// `blkio.throttle.io_service_bytes` of version 1.
/// See Documentation/admin-guide/cgroup-v2.rst and Documentation/admin-guide/cgroup-v1/blkio-controller.rst.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.CgroupIo

open System
open Agent.Core
open Agent.Core.Units

/// One device.
[<Struct; NoComparison>]
type DeviceBytes =
    {
        /// `major:minor`.
        Device: string
        /// Read from it.
        Read: uint64<B>
        /// Written to it.
        Written: uint64<B>
    }

let private isDevice (field: ReadOnlySpan<byte>) : bool =
    let colon = field.IndexOf ':'B
    let mutable number = 0UL

    colon > 0
    && Text.tryUInt64 (field.Slice(0, colon), &number)
    && Text.tryUInt64 (field.Slice(colon + 1), &number)

let private readName = "rbytes="B
let private writtenName = "wbytes="B

/// Reads `io.stat`: `8:0 rbytes=1 wbytes=2 rios=3 …` for each device. A device without the two has no figures yet, and is left out.
[<CompiledName "ParseStat">]
let parseStat (source: string) (text: ReadOnlySpan<byte>) : Result<Parsed<DeviceBytes[]>, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable faults = LineFaults()
    let devices = ResizeArray<DeviceBytes>()

    while cursor.NextLine() do
        if not (isDevice (cursor.Field())) then
            faults.Add(cursor.Bad("device", "major:minor"))
        else
            let device = Text.toString cursor.Last
            let mutable read = ValueNone
            let mutable written = ValueNone
            let mutable good = true

            while good && not (cursor.Field().IsEmpty) do
                let field = cursor.Last
                let mutable number = 0UL

                if field.StartsWith(ReadOnlySpan readName) then
                    good <- Text.tryUInt64 (field.Slice readName.Length, &number)
                    read <- ValueSome number
                elif field.StartsWith(ReadOnlySpan writtenName) then
                    good <- Text.tryUInt64 (field.Slice writtenName.Length, &number)
                    written <- ValueSome number

            match good, read, written with
            | false, _, _ -> faults.Add(cursor.Bad("bytes", "a name, = and a number of bytes"))
            | true, ValueSome read, ValueSome written ->
                devices.Add
                    {
                        Device = device
                        Read = LanguagePrimitives.UInt64WithMeasure read
                        Written = LanguagePrimitives.UInt64WithMeasure written
                    }
            | _ -> ()

    faults.AddTorn &cursor
    faults.AroundAny devices

let private reading = "Read"B
let private writing = "Write"B
let private total = "Total"B

/// Reads the file of version 1: `8:0 Read 1`, `8:0 Write 2` and others for each device, and `Total 3` at the end.
[<CompiledName "ParseServiceBytes">]
let parseServiceBytes (source: string) (text: ReadOnlySpan<byte>) : Result<Parsed<DeviceBytes[]>, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable faults = LineFaults()
    let devices = ResizeArray<DeviceBytes>()

    while cursor.NextLine() do
        let first = cursor.Field()

        if not (first.SequenceEqual(ReadOnlySpan total)) then
            if not (isDevice first) then
                faults.Add(cursor.Bad("device", "major:minor"))
            else
                let device = Text.toString first
                let operation = cursor.Field()
                let isRead = operation.SequenceEqual(ReadOnlySpan reading)
                let isWrite = operation.SequenceEqual(ReadOnlySpan writing)
                let mutable number = 0UL

                if not (cursor.UInt64 &number) then
                    faults.Add(cursor.Bad("bytes", "a number of bytes"))
                elif isRead || isWrite then
                    let place = devices.FindIndex(fun known -> known.Device = device)

                    let before =
                        if place >= 0 then
                            devices[place]
                        else
                            {
                                Device = device
                                Read = 0UL<B>
                                Written = 0UL<B>
                            }

                    let after =
                        if isRead then
                            { before with
                                Read = LanguagePrimitives.UInt64WithMeasure number
                            }
                        else
                            { before with
                                Written = LanguagePrimitives.UInt64WithMeasure number
                            }

                    if place >= 0 then
                        devices[place] <- after
                    else
                        devices.Add after

    faults.AddTorn &cursor
    faults.AroundAny devices
