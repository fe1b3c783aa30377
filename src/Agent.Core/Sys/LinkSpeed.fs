/// What a link can carry: `/sys/class/net/*/speed` in megabits per second, `/sys/class/infiniband/*/ports/*/rate` in gigabits.
/// See Documentation/ABI/testing/sysfs-class-net and Documentation/ABI/stable/sysfs-class-infiniband.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.LinkSpeed

open Agent.Core
open Agent.Core.Units

/// Of an interface. -1 is a link without a speed, as a virtual one; a link that is down cannot be asked at all.
[<CompiledName "OfInterface">]
let ofInterface (speed: SysText) : Result<float<B / s> voption, SourceError> =
    match SysFile.integer speed "a number of megabits per second" with
    | Error(SourceError.Garbled _ as error) -> Error error
    | Error _ -> Ok ValueNone
    // Drivers that cannot tell answer -1, and some 2^32-1.
    | Ok megabits when megabits <= 0L || megabits >= 4294967295L -> Ok ValueNone
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
