/// Everything that the sensor chips below /sys/class/hwmon tell, with their limits and alarms. See Documentation/hwmon/sysfs-interface.rst.
[<RequireQualifiedAccess>]
module internal Agent.Sender.HardwareMonitors

open System
open System.Collections.Generic
open Agent.Core
open Agent.Outbound
open Agent.Core.Sys
open Agent.Core.Units

let private ofSensor = [| "chip"; "sensor" |]

let private chipNames =
    Family.labelled [| "chip"; "chip_name" |] MetricKind.Gauge "node_hwmon_chip_names" "Annotation metric for human-readable chip names"

let private sensorLabel =
    Family.labelled [| "chip"; "sensor"; "label" |] MetricKind.Gauge "node_hwmon_sensor_label" "Label for given chip and sensor"

/// Degrees of limits. Drivers write absolute zero, and what no thermometer of a computer reaches, where a chip has no limit.
let private isLimit (degrees: float) = degrees > -273.15 && degrees < 1000.0

/// The family of an attribute by node_exporter's rules, and its file's unit in the family's. `isPlain` says that the sensor has a file without
/// a property too, which then has the name that its input has else.
let private familyOf (kind: string) (property: string) (isPlain: bool) : struct (Family * float) =
    let name =
        if property = "" || (property = "input" && not isPlain) then
            "node_hwmon_" + kind
        else
            "node_hwmon_" + kind + "_" + Hwmon.cleaned property

    let gauge suffix help scale =
        struct (Family.labelled ofSensor MetricKind.Gauge (name + suffix) help, scale)

    match kind, property with
    | "beep_enable", _ -> struct (Family.labelled ofSensor MetricKind.Gauge "node_hwmon_beep_enabled" "Hardware beep enabled", 1.0)
    | "vrm", _ ->
        struct (Family.labelled ofSensor MetricKind.Gauge "node_hwmon_voltage_regulator_version" "Hardware voltage regulator", 1.0)
    | "update_interval", _ ->
        struct (Family.labelled ofSensor MetricKind.Gauge "node_hwmon_update_interval_seconds" "Hardware monitor update interval", 0.001)
    | _, ("fault" | "alarm") -> gauge "" $"Hardware sensor {property} status ({kind})" 1.0
    | _, "beep" -> gauge "_enabled" "Hardware monitor sensor has beeping enabled" 1.0
    | ("in" | "cpu"), _ -> gauge "_volts" $"Hardware monitor for voltage ({property})" 0.001
    | "temp", _ when property <> "type" ->
        let of' = if property = "" then "input" else property
        gauge "_celsius" $"Hardware monitor for temperature ({of'})" 0.001
    | "curr", _ -> gauge "_amps" $"Hardware monitor for current ({property})" 0.001
    | "energy", _ ->
        struct (Family.labelled ofSensor MetricKind.Counter (name + "_joule_total") $"Hardware monitor for joules used so far ({property})",
                1e-6)
    | "power", "accuracy" -> gauge "" "Hardware monitor power meter accuracy, as a ratio" 1e-6
    | "power", ("average_interval" | "average_interval_min" | "average_interval_max") ->
        gauge "_seconds" $"Hardware monitor power usage update interval ({property})" 0.001
    | "power", _ -> gauge "_watt" $"Hardware monitor for power usage in watts ({property})" 1e-6
    | "humidity", _ ->
        gauge "" $"Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) ({property})" 1e-6
    | "fan", ("input" | "min" | "max" | "target") -> gauge "_rpm" $"Hardware monitor for fan revolutions per minute ({property})" 1.0
    | _ -> gauge "" $"Hardware monitor {kind} element {property}" 1.0

/// False for what no sensor that works reads, as in samples.
let private isPlausible (attribute: Hwmon.Attribute) (value: float) : bool =
    match attribute.Kind, attribute.Property with
    | "temp", "input" -> Hwmon.isPlausible (LanguagePrimitives.FloatWithMeasure<degC>(value / 1000.0))
    | "fan", "input" -> Hwmon.isPlausibleSpeed (int64 value)
    | "temp", ("fault" | "alarm" | "beep" | "type" | "label") -> true
    | "temp", property when property.EndsWith("_alarm", StringComparison.Ordinal) -> true
    | "temp", _ -> isLimit (value / 1000.0)
    | _ -> true

/// A file of a sensor as it was read.
[<NoComparison; NoEquality>]
type private SensorFile =
    {
        Attribute: Hwmon.Attribute
        Text: FileText
    }

let private filesOf (texts: FileText[]) : SensorFile[] =
    texts
    |> Array.choose (fun text ->
        match Hwmon.attributeOf text.File with
        | ValueSome attribute -> Some { Attribute = attribute; Text = text }
        | ValueNone -> None)

let private tryNumber (text: FileText, value: byref<float>) : bool =
    let mutable cursor = Cursor("", text.Text.Span)
    cursor.NextLine() && Text.tryDecimal (cursor.Rest, &value)

let private lineOf (file: string) (texts: FileText[]) : string =
    match texts |> Array.tryFind (fun text -> text.File = file) with
    | Some text -> Numbers.line text
    | None -> ""

let private nameOf (texts: FileText[]) = Hwmon.cleaned (lineOf "name" texts)

let private chip (chip: string) (texts: FileText[]) (figures: Figures) =
    if nameOf texts <> "" then
        figures.Add(chipNames, [| chip; nameOf texts |], 1.0)

    let files = filesOf texts
    let plain = HashSet<string>(StringComparer.Ordinal)
    let faulty = HashSet<string>(StringComparer.Ordinal)
    let mutable value = 0.0

    for file in files do
        if file.Attribute.Property = "" then
            plain.Add file.Attribute.Sensor |> ignore
        elif
            file.Attribute.Property = "fault"
            && tryNumber (file.Text, &value)
            && value <> 0.0
        then
            faulty.Add file.Attribute.Sensor |> ignore

    for file in files do
        let sensor = file.Attribute.Sensor
        let property = file.Attribute.Property

        if property = "label" then
            figures.Add(sensorLabel, [| chip; sensor; Numbers.line file.Text |], 1.0)
        elif
            tryNumber (file.Text, &value)
            && isPlausible file.Attribute value
            && not (property = "input" && faulty.Contains sensor)
        then
            let struct (family, scale) = familyOf file.Attribute.Kind property (plain.Contains sensor)

            figures.Add(family, [| chip; sensor |], value * scale)

let private tell _ (texts: FileText[]) (figures: Figures) =
    let chips =
        texts
        |> Array.groupBy (fun text -> text.Names[0])
        |> Array.map (fun (place, its) -> struct (place, Hwmon.chipOf (lineOf "device" its) (lineOf "name" its) place, its))

    for struct (place, label, its) in chips do
        // A device may have several chips, as the radios of a network adapter: then the name of each, or its place, is added.
        let sharing = chips |> Array.filter (fun (struct (_, other, _)) -> other = label)

        let sameName =
            sharing
            |> Array.filter (fun (struct (_, _, others)) -> nameOf others = nameOf its)

        let label =
            if sharing.Length = 1 then
                label
            elif sameName.Length = 1 && nameOf its <> "" then
                $"{label}_{nameOf its}"
            else
                $"{label}_{place}"

        chip label its figures

/// The collectors.
let all: Collector[] = [| Collector("hwmon", true, [| FileSet.Sensors |], tell) |]
