/// What a link can carry: `/sys/class/net/*/speed` in megabits per second, `/sys/class/infiniband/*/ports/*/rate` in gigabits.
/// See Documentation/ABI/testing/sysfs-class-net and Documentation/ABI/stable/sysfs-class-infiniband.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.LinkSpeed

open Agent.Core
open Agent.Core.Units

/// False for the megabits per second of a link without a speed: -1, which older kernels print as 2^32-1 or, of 16 bits, 65535, and 0.
let internal isKnown (megabits: float) : bool =
    megabits > 0.0 && megabits <> 65535.0 && megabits < 4294967295.0

/// Of an interface. -1 is a link without a speed, as a virtual one; a link that is down cannot be asked at all.
[<CompiledName "OfInterface">]
let ofInterface (speed: SysText) : Result<float<B / s> voption, SourceError> =
    match SysFile.integer speed "a number of megabits per second" with
    | Error(SourceError.Garbled _ as error) -> Error error
    | Error _ -> Ok ValueNone
    | Ok megabits when not (isKnown (float megabits)) -> Ok ValueNone
    | Ok megabits -> Ok(ValueSome(bytesPerSecondOfMegabits (LanguagePrimitives.FloatWithMeasure(float megabits))))

/// Of a port of a fabric: `100 Gb/sec (4X EDR)`.
[<CompiledName "OfPort">]
let ofPort (rate: SysText) : Result<float<B / s> voption, SourceError> =
    match rate.Content with
    | Error _ -> Ok ValueNone
    | Ok bytes ->
        let mutable cursor = Cursor(rate.Path, bytes.Span)
        let mutable gigabits = 0.0

        if not (cursor.NextLine()) then
            Error(SourceError.Garbled(cursor.NoLine "rate"))
        elif not (cursor.Decimal &gigabits) || gigabits < 0.0 then
            Error(SourceError.Garbled(cursor.Bad("rate", "a number of gigabits per second")))
        elif gigabits = 0.0 then
            Ok ValueNone
        else
            Ok(ValueSome(bytesPerSecondOfMegabits (LanguagePrimitives.FloatWithMeasure(gigabits * 1000.0))))
