/// `/sys/class/thermal/thermal_zone*/temp`: temperatures of machines without hwmon sensors, in millidegrees.
/// See Documentation/driver-api/thermal/sysfs-api.rst.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.Thermal

open Agent.Core
open Agent.Core.Units

/// The hottest zone; none without a zone that can be read and is plausible.
[<CompiledName "Hottest">]
let hottest (zones: SysText[]) : float<degC> voption =
    let readings =
        zones
        |> Array.choose (fun zone ->
            match SysFile.integer zone "millidegrees Celsius" with
            | Ok value ->
                let celsius = degreesOfMilli (LanguagePrimitives.Int64WithMeasure value)
                if Hwmon.isPlausible celsius then Some celsius else None
            // A zone that is switched off answers EINVAL.
            | Error _ -> None)

    if readings.Length = 0 then
        ValueNone
    else
        ValueSome(Array.max readings)
