/// Which of a machine's sensors tells the temperature of its CPU: the one that can be trusted most, not the hottest one.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.CpuTemperature

open System
open Agent.Core
open Agent.Core.Units

/// How far a sensor can be trusted to be a CPU's; the first case is trusted most.
[<RequireQualifiedAccess>]
type Trust =
    /// The CPU's own sensor, read by a driver made for it: `coretemp`, `k10temp`, `x86_pkg_temp`.
    | Driver
    /// A sensor of the system on a chip that is named after its CPU or cores: `cpu-thermal`, `bigcore0_thermal`.
    | Cpu
    /// The whole system on a chip: `soc_thermal`.
    | Soc
    /// A sensor of the board that is labelled as the CPU's: `CPUTIN`. Where nothing is connected it reads anything.
    | Board
    /// The firmware's thermal zone, on many boards a constant.
    | Acpi

/// Drivers that read the CPU's own sensors.
let private drivers = [| "coretemp"; "k10temp"; "k8temp"; "zenpower"; "via_cputemp"; "x86_pkg_temp" |]

/// Words of names that a CPU's sensor may not have: `cpu_vrm` and `cpu-pmic` measure beside it.
let private strangers =
    [|
        "gpu"
        "npu"
        "tpu"
        "ddr"
        "dram"
        "dimm"
        "mem"
        "pmic"
        "modem"
        "batt"
        "charg"
        "skin"
        "wlan"
        "wifi"
        "cam"
        "nvme"
        "vreg"
        "regul"
        "mos"
        "vcore"
        "vdd"
        "vcc"
        "fan"
        "pch"
        "pump"
        "inlet"
        "outlet"
        "ambient"
        "water"
        "coolant"
    |]

/// Zones of the one sensor in a processor's die that are called after their driver and not after the CPU, as those of i.MX and of
/// the Raspberry Pi.
let private dies =
    [|
        "imx_thermal_zone"
        "bcm2835_thermal"
        "kirkwood_thermal"
        "dove_thermal"
        "armada_thermal"
        "spear_thermal"
    |]

/// Sensors of a whole system on a chip that its makers call something else: the StarFive JH7100's and JH7110's
/// (Documentation/hwmon/sfctemp.rst), and the hottest junction of a Jetson, which has a reading while the zones of its CPUs sleep.
let private socs = [| "sfctemp"; "tj_thermal" |]

/// Cores of an SoC by what their zones are called, digits removed.
let private cores =
    [|
        "bigcore"
        "littlecore"
        "midcore"
        "core"
        "big"
        "little"
        "mid"
        "cluster"
    |]

let private wordsOf (name: string) : string[] =
    name.ToLowerInvariant().Split([| '-'; '_'; ' '; '.'; ':'; '/' |], StringSplitOptions.RemoveEmptyEntries)

let private isStrange (words: string[]) : bool =
    words
    |> Array.exists (fun word ->
        // Voltage regulators: VR, VR0, VRM, VRD, VRHOT, CPUVRM.
        word.StartsWith("vr", StringComparison.Ordinal)
        || word.Contains("vrm", StringComparison.Ordinal)
        || word.Contains("vrd", StringComparison.Ordinal)
        || strangers
           |> Array.exists (fun stranger -> word.Contains(stranger, StringComparison.Ordinal)))

let private isOfCpu (word: string) : bool =
    word.StartsWith("cpu", StringComparison.Ordinal)
    || word.EndsWith("cpu", StringComparison.Ordinal)
    || word.TrimEnd([| '0' .. '9' |]).EndsWith("cpu", StringComparison.Ordinal)

/// `a57`, `a72`: the name of an Arm core.
let private isArmCore (word: string) : bool =
    (word.Length = 3 || word.Length = 4)
    && word[0] = 'a'
    && word.Substring 1 |> String.forall Char.IsAsciiDigit

/// How far a chip or a zone of this name can be trusted whatever its sensors are labelled; none when it is not known to be of
/// a CPU.
let private trustOfName (name: string) : Trust voption =
    let words = wordsOf name
    let withoutDigits = words |> Array.map (fun word -> word.TrimEnd([| '0' .. '9' |]))

    if Array.contains (name.ToLowerInvariant()) drivers then
        ValueSome Trust.Driver
    elif name.StartsWith("acpitz", StringComparison.OrdinalIgnoreCase) then
        ValueSome Trust.Acpi
    elif Array.contains (name.ToLowerInvariant().Replace('-', '_')) dies then
        ValueSome Trust.Cpu
    elif Array.contains (name.ToLowerInvariant().Replace('-', '_')) socs then
        ValueSome Trust.Soc
    elif isStrange words then
        ValueNone
    // Intel's processor thermal device goes by its place on the PCI bus.
    elif Array.exists isOfCpu words || Array.contains "b0d4" words then
        ValueSome Trust.Cpu
    elif
        Array.exists isArmCore words
        || withoutDigits |> Array.exists (fun word -> Array.contains word cores)
    then
        ValueSome Trust.Cpu
    elif Array.contains "soc" withoutDigits || Array.contains "package" withoutDigits then
        ValueSome Trust.Soc
    else
        ValueNone

/// Chips that the firmware of an Arm server or SoC fills with sensors of anything, told apart by their labels.
let private firmwareChips = [| "scpi_sensors"; "scmi_sensors"; "apm_xgene"; "smpro_hwmon" |]

/// How far a sensor can be trusted for its label, on a chip that is not known to be a CPU's.
let private trustOfLabel (chip: string) (label: string) : Trust voption =
    let words = wordsOf label
    let ofFirmware = Array.contains chip firmwareChips

    if words.Length = 0 || isStrange words then
        ValueNone
    // POWER's firmware tells cores and chips: `Core 0-7`, `Chip 0 Core 4`.
    elif
        chip = "ibmpowernv"
        && (Array.contains "core" words || Array.contains "chip" words)
    then
        ValueSome Trust.Cpu
    elif
        Array.exists isOfCpu words
        || Array.contains "tctl" words
        || Array.contains "tdie" words
        || label.StartsWith("Package id", StringComparison.OrdinalIgnoreCase)
        || label.StartsWith("PECI Agent", StringComparison.OrdinalIgnoreCase)
        || words[0].StartsWith("tsi", StringComparison.Ordinal)
        // Apple's names of four letters: TC is the CPU, the others its cores and what they read.
        || (chip = "applesmc" && label.StartsWith("TC", StringComparison.Ordinal))
    then
        ValueSome(if ofFirmware then Trust.Cpu else Trust.Board)
    elif ofFirmware && Array.contains "soc" words then
        ValueSome Trust.Soc
    else
        ValueNone

/// Limits that some chips have among their sensors: peci_cputemp has the processor's own (Documentation/hwmon/peci-cputemp.rst).
let private isLimit (label: string) : bool =
    match label.ToLowerInvariant() with
    | "tcontrol"
    | "tthrottle"
    | "tjmax" -> true
    | _ -> false

/// How far this sensor of hwmon can be trusted to be a CPU's; none when it is not known to be one, as that of an NVMe disk, a
/// network adapter, a memory module or a GPU.
[<CompiledName "TrustOf">]
let trustOf (sensor: Hwmon.Temperature) : Trust voption =
    if isLimit sensor.Label then
        ValueNone
    else
        match trustOfName sensor.Chip with
        | ValueNone -> trustOfLabel sensor.Chip sensor.Label
        | known -> known

/// True where a chip may have a sensor of a CPU, by its files `name` and `temp*_label` alone, which are no questions to the chip.
[<CompiledName "MayBeOfCpu">]
let mayBeOfCpu (files: SysText[]) : bool =
    let linesOf (ending: string) =
        files
        |> Array.choose (fun file ->
            if file.Path.EndsWith(ending, StringComparison.Ordinal) then
                SysFile.line file |> Result.toOption
            else
                None)

    let chips =
        match linesOf "/name" with
        | [||] -> [| "" |]
        | names -> names

    let labels = linesOf "_label"

    chips
    |> Array.exists (fun chip ->
        (trustOfName chip).IsSome
        || labels |> Array.exists (fun label -> (trustOfLabel chip label).IsSome))

/// How far a thermal zone can be trusted to be a CPU's, by its type.
[<CompiledName "TrustOfZone">]
let trustOfZone (kind: string) : Trust voption = trustOfName kind

/// Among the sensors of one chip: what AMD calls Tdie and Intel the package comes first, then AMD's Tctl, which some models
/// set higher than any part of them is, then single cores and dies.
let private rankOf (label: string) : int =
    let starts (beginning: string) =
        label.StartsWith(beginning, StringComparison.OrdinalIgnoreCase)

    if
        starts "Tdie"
        // What peci_cputemp calls the package; DTS is the same, scaled.
        || starts "Die"
        || starts "Package"
        || starts "Physical id"
        || starts "PECI"
        || starts "TSI"
    then
        0
    elif label = "" || starts "Tctl" || label = "DTS" then
        1
    else
        2

/// Whether a sensor reads the temperature of a CPU that runs. One that reads exactly 0 is one that is not connected, and what lies within an
/// eighth of a degree around that are whole degrees of a driver or firmware that does not know of millidegrees: 45 for 45 °C.
let private isCredible (celsius: float<degC>) : bool =
    Hwmon.isPlausible celsius && abs celsius >= 0.127<degC>

/// What VMware reads for each core and the whole of a guest's CPU, whatever its host has: as far from the limit as 0 is.
let private madeUp = 100.0<degC>

/// The sensors without those of a guest's coretemp that all read exactly 100 °C at once, which are no sensors. Whether this is a virtual machine is
/// asked only then: a CPU that is as hot as it may be reads the same.
[<CompiledName "Believed">]
let believed (isGuest: Func<bool>) (sensors: Hwmon.Temperature[]) : Hwmon.Temperature[] =
    let ofCores, others = sensors |> Array.partition (fun sensor -> sensor.Chip = "coretemp")

    if
        ofCores.Length > 0
        && ofCores |> Array.forall (fun sensor -> sensor.Celsius = madeUp)
        && isGuest.Invoke()
    then
        others
    else
        sensors

/// True when no thermal zone can tell better than these sensors do.
[<CompiledName "IsCertain">]
let isCertain (sensors: Hwmon.Temperature[]) : bool =
    sensors
    |> Array.exists (fun sensor -> isCredible sensor.Celsius && trustOf sensor = ValueSome Trust.Driver)

/// The CPU's temperature: of the sensors that are trusted most, of each chip the one that stands for the whole of it, and of
/// several CPUs the hottest. None where no sensor is known to be a CPU's.
[<CompiledName "From">]
let from (sensors: Hwmon.Temperature[]) (zones: Thermal.Zone[]) : float<degC> voption =
    let ofChips =
        sensors
        |> Array.choose (fun sensor ->
            match trustOf sensor with
            | ValueSome trust when isCredible sensor.Celsius -> Some(struct (trust, sensor.Place, rankOf sensor.Label, sensor.Celsius))
            | _ -> None)

    let ofZones =
        zones
        |> Array.choose (fun zone ->
            match trustOfZone zone.Type with
            | ValueSome trust when isCredible zone.Celsius -> Some(struct (trust, "", 0, zone.Celsius))
            | _ -> None)

    let candidates = Array.append ofChips ofZones

    if candidates.Length = 0 then
        ValueNone
    else
        let best = candidates |> Array.map (fun (struct (trust, _, _, _)) -> trust) |> Array.min

        candidates
        |> Array.filter (fun (struct (trust, _, _, _)) -> trust = best)
        |> Array.groupBy (fun (struct (_, place, _, _)) -> place)
        |> Array.map (fun (_, ofOne) ->
            let rank = ofOne |> Array.map (fun (struct (_, _, rank, _)) -> rank) |> Array.min

            ofOne
            |> Array.filter (fun (struct (_, _, other, _)) -> other = rank)
            |> Array.map (fun (struct (_, _, _, celsius)) -> celsius)
            |> Array.max)
        |> Array.max
        |> ValueSome
