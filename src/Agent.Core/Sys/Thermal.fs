/// `/sys/class/thermal/thermal_zone*/`: `type`, which says what is measured, and `temp` in millidegrees.
/// See Documentation/driver-api/thermal/sysfs-api.rst.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.Thermal

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Units

/// One zone that measures.
[<NoComparison>]
type Zone =
    {
        /// What it is the zone of, in the words of its driver: `x86_pkg_temp`, `cpu-thermal`, `PMIC-Die`.
        Type: string
        /// What it reads.
        Celsius: float<degC>
    }

/// What all zones measure at one reading.
[<NoComparison>]
type Reading =
    {
        /// In the order of the files.
        Zones: Zone[]
        /// Temperatures that could not be read or understood; each costs its own zone.
        Faults: SourceError[]
    }

/// Makes sense of the files `type` and `temp` of all zones, each in a directory of its own. A zone without a type is the zone
/// of nobody knows what, and is left out, as are one that has no value now, which is absent, and one whose value is none.
[<CompiledName "Parse">]
let parse (files: SysText[]) : Reading =
    let types = Dictionary<string, string>(StringComparer.Ordinal)

    for file in files do
        if file.Path.EndsWith("/type", StringComparison.Ordinal) then
            match SysFile.line file with
            | Ok text -> types[file.Path.Substring(0, file.Path.Length - "type".Length)] <- text
            | Error _ -> ()

    let zones = ResizeArray<Zone>()
    let faults = ResizeArray<SourceError>()

    for file in files do
        if file.Path.EndsWith("/temp", StringComparison.Ordinal) then
            match types.TryGetValue(file.Path.Substring(0, file.Path.Length - "temp".Length)) with
            | true, kind ->
                match SysFile.integer file "millidegrees Celsius" with
                | Ok value ->
                    let celsius = degreesOfMilli (LanguagePrimitives.Int64WithMeasure value)

                    if Hwmon.isPlausible celsius then
                        zones.Add { Type = kind; Celsius = celsius }
                | Error(SourceError.Absent _) -> ()
                | Error fault -> faults.Add fault
            | _ -> ()

    {
        Zones = zones.ToArray()
        Faults = faults.ToArray()
    }
