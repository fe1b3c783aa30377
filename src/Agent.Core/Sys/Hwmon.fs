/// `/sys/class/hwmon/hwmon*/`: temperatures and fans of the sensor chips.
/// See Documentation/hwmon/sysfs-interface.rst: `name`, `temp*_input` in millidegrees, `fan*_input` in RPM, `*_label`, and
/// `*_fault`, which is 1 where the chip itself says that a sensor does not measure.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.Hwmon

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Units

/// One temperature sensor.
[<NoComparison>]
type Temperature =
    {
        /// The chip's directory, which tells two chips of one name apart.
        Place: string
        /// The chip's `name`, `coretemp`; empty when it has none.
        Chip: string
        /// `temp*_label`, `Package id 0`; empty when the chip gives none.
        Label: string
        /// What it reads.
        Celsius: float<degC>
    }

/// One fan.
[<NoComparison>]
type Fan =
    {
        /// `fan*_label`, else the name of its chip.
        Label: string
        /// How fast it turns; 0 is a fan that stands.
        Speed: int<rpm>
    }

/// A file of a sensor, `temp1_crit_alarm`.
[<NoEquality; NoComparison>]
type Attribute =
    {
        /// What its sensor measures, or what the file is about: `temp`.
        Kind: string
        /// Its sensor: the kind and its number, `temp1`; 0 where it has none.
        Sensor: string
        /// What of the sensor it tells, `crit_alarm`; empty when it is named by the sensor alone.
        Property: string
    }

/// All sensors of the machine at one reading.
[<NoComparison>]
type Sensors =
    {
        /// In the order of the files.
        Temperatures: Temperature[]
        /// In the order of the files.
        Fans: Fan[]
        /// Files that could not be read or understood; each costs its own sensor.
        Faults: SourceError[]
    }

/// False for what no working sensor of a computer reads: −50 °C and less (−128 and −273 stand for "none"), and 127 °C and
/// more, which is what an open diode reads (127, 127.875, 128, 255).
[<CompiledName "IsPlausible">]
let isPlausible (celsius: float<degC>) : bool =
    celsius > -50.0<degC> && celsius < 127.0<degC>

/// False for what no fan does: less than nothing, and 50,000 revolutions and more. 65,535 is −1 in 16 bits; chips that count
/// the time of one revolution make hundreds of thousands of a header without a fan. The fastest real ones reach 38,000.
let internal isPlausibleSpeed (revolutions: int64) : bool =
    revolutions >= 0L && revolutions < 50_000L

let private splitPath (path: string) =
    let slash = path.LastIndexOf '/'
    struct (path.Substring(0, max 0 slash), path.Substring(slash + 1))

/// node_exporter's rule for the parts of a chip's name, and of a property's.
let internal cleaned (text: string) : string =
    let keep c =
        if Char.IsAsciiLetterLower c || Char.IsAsciiDigit c || c = ':' || c = '_' then
            c
        else
            '_'

    (text.ToLowerInvariant() |> String.map keep).Trim '_'

/// A chip's name as node_exporter has it, which stays the same from one start to the next: the last two parts of the path of its device,
/// `/sys/devices/platform/coretemp.0`; else its own name, else that of its directory.
let internal chipOf (device: string) (name: string) (directory: string) : string =
    let parts = device.Split('/', StringSplitOptions.RemoveEmptyEntries)

    let byDevice =
        if parts.Length < 2 then
            ""
        else
            match cleaned parts[parts.Length - 2], cleaned parts[parts.Length - 1] with
            | "", "" -> ""
            | "", device -> device
            | kind, "" -> kind
            | kind, device -> $"{kind}_{device}"

    if byDevice <> "" then byDevice
    elif cleaned name <> "" then cleaned name
    else (splitPath directory |> fun (struct (_, last)) -> last)

/// What a chip may have files of.
let private kinds =
    [|
        "in"
        "cpu"
        "fan"
        "pwm"
        "temp"
        "curr"
        "power"
        "energy"
        "humidity"
        "intrusion"
        "vrm"
        "beep_enable"
        "update_interval"
    |]

/// The sensor that a file of a chip belongs to; none for one of another kind.
[<CompiledName "AttributeOf">]
let attributeOf (file: string) : Attribute voption =
    let mutable first = 0

    while first < file.Length && not (Char.IsAsciiDigit file[first]) do
        first <- first + 1

    let mutable past = first

    while past < file.Length && Char.IsAsciiDigit file[past] do
        past <- past + 1

    let kind = file.Substring(0, first)
    let rest = file.Substring past

    if
        past - first > 9
        || not (rest = "" || (rest.Length > 1 && rest[0] = '_'))
        || not (Array.contains kind kinds)
    then
        ValueNone
    else
        let number =
            if past = first then
                0
            else
                Int32.Parse(file.Substring(first, past - first))

        ValueSome
            {
                Kind = kind
                Sensor = $"{kind}{number}"
                Property = if rest = "" then "" else rest.Substring 1
            }

/// Makes sense of the files `name`, `temp*_input`, `fan*_input` and their `_label` and `_fault` of all chips, each chip in a
/// directory of its own. The text of `device`, which is a link, is where it leads. A sensor with a fault, one that is
/// switched off or gone, and one whose value is none are left out.
[<CompiledName "Parse">]
let parse (files: SysText[]) : Sensors =
    let texts = Dictionary<string, string>(StringComparer.Ordinal)
    let faulty = HashSet<string>(StringComparer.Ordinal)

    for file in files do
        if file.Path.EndsWith("_fault", StringComparison.Ordinal) then
            match SysFile.integer file "0 or 1" with
            | Ok value when value <> 0L -> faulty.Add(file.Path.Substring(0, file.Path.Length - "_fault".Length)) |> ignore
            | _ -> ()
        elif
            file.Path.EndsWith("/name", StringComparison.Ordinal)
            || file.Path.EndsWith("_label", StringComparison.Ordinal)
        then
            match SysFile.line file with
            | Ok text -> texts[file.Path] <- text
            // A chip without a name or a sensor without a label still measures.
            | Error _ -> ()

    let textOf path =
        match texts.TryGetValue path with
        | true, text -> text
        | _ -> ""

    let temperatures = ResizeArray<Temperature>()
    let fans = ResizeArray<Fan>()
    let faults = ResizeArray<SourceError>()

    for file in files do
        let struct (directory, name) = splitPath file.Path

        let failed fault =
            match fault with
            // ENODATA is a sensor that is switched off; a file that is not there any more was unplugged.
            | SourceError.Absent _ -> ()
            | _ -> faults.Add fault

        if
            name.EndsWith("_input", StringComparison.Ordinal)
            && not (faulty.Contains(file.Path.Substring(0, file.Path.Length - "_input".Length)))
        then
            let label = textOf (file.Path.Substring(0, file.Path.Length - "_input".Length) + "_label")
            let chip = textOf (directory + "/name")

            if name.StartsWith("temp", StringComparison.Ordinal) then
                match SysFile.integer file "millidegrees Celsius" with
                | Error fault -> failed fault
                | Ok value ->
                    let celsius = degreesOfMilli (LanguagePrimitives.Int64WithMeasure value)

                    if isPlausible celsius then
                        temperatures.Add
                            {
                                Place = directory
                                Chip = chip
                                Label = label
                                Celsius = celsius
                            }
            elif name.StartsWith("fan", StringComparison.Ordinal) then
                match SysFile.integer file "revolutions per minute" with
                | Error fault -> failed fault
                | Ok value when isPlausibleSpeed value ->
                    let label =
                        if label <> "" then label
                        elif chip <> "" then chip
                        else "fan"

                    fans.Add
                        {
                            Label = label
                            Speed = LanguagePrimitives.Int32WithMeasure(int value)
                        }
                | Ok _ -> ()

    {
        Temperatures = temperatures.ToArray()
        Fans = fans.ToArray()
        Faults = faults.ToArray()
    }
