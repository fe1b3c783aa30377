/// Laws of the files of /sys: hwmon, thermal zones, cpufreq, topology and InfiniBand.
module Agent.PropertyTests.Sys.SensorLaws

open System
open System.Text
open Agent.Core
open Agent.Sender
open Agent.Core.Sys
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private file (path: string) (text: string) : SysText =
    {
        Path = path
        Content = Ok(ReadOnlyMemory(Encoding.UTF8.GetBytes text))
    }

/// A value and its line end.
let private valueFile path (value: 'a) = file path $"{value}\n"

/// A reason for having no bytes.
let sourceError: Gen<SourceError> =
    Gen.elements
        [
            SourceError.Absent "/sys/x"
            SourceError.Unreadable("/sys/x", "EIO")
            SourceError.Garbled
                {
                    Source = "/sys/x"
                    Line = 1
                    Field = "value"
                    Raw = "?"
                    Expected = "a whole number"
                }
        ]

/// Any bytes under any path that the readers look for, and files that cannot be read.
let private anyFile: Gen<SysText> =
    gen {
        let! path =
            Gen.elements
                [
                    "/sys/class/hwmon/hwmon0/name"
                    "/sys/class/hwmon/hwmon0/temp1_input"
                    "/sys/class/hwmon/hwmon0/temp1_label"
                    "/sys/class/hwmon/hwmon0/temp1_fault"
                    "/sys/class/thermal/thermal_zone0/type"
                    "/sys/class/thermal/thermal_zone0/temp"
                    "/sys/block/sda/device"
                    "/sys/block/sda/queue/iostats"
                    "/sys/block/nbd0/size"
                    "/sys/block/"
                    "/sys/class/net/eth0/device"
                    "/sys/class/net/eth0/master"
                    "/sys/class/net/eth0/type"
                    "/sys/class/net/eth0/tun_flags"
                    "/sys/class/net/eth0/uevent"
                    "/sys/class/net/eth0/phys_port_name"
                    "/sys/class/net/bond0/bonding/slaves"
                    "/sys/class/net/"
                    "/sys/class/hwmon/hwmon0/fan1_input"
                    "/sys/class/hwmon/hwmon0/fan1_label"
                    "/sys/class/hwmon/hwmon0/_input"
                    "temp_input"
                    "/sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data"
                    "/sys/class/infiniband/mlx5_0/ports/x/counters/port_xmit_data"
                    "/sys/class/infiniband/mlx5_0/ports/99999999999/counters/port_xmit_data"
                    "ports/1/counters/port_rcv_data"
                    "/"
                ]

        let! content =
            Gen.frequency
                [
                    3, anyBytes |> Gen.map (fun bytes -> bytes.Content)
                    2, counter |> Gen.map (fun number -> Encoding.UTF8.GetBytes $"{number}\n")
                    1, Gen.constant "-9223372036854775808\n"B
                ]

        let! error = sourceError
        let! readable = Gen.frequency [ 4, Gen.constant true; 1, Gen.constant false ]

        return
            {
                Path = path
                Content = if readable then Ok(ReadOnlyMemory content) else Error error
            }
    }

let private chipNames = [ ""; "coretemp"; "k10temp"; "nvme"; "acpitz"; "nct6775" ]

let private sensorLabels = [ ""; "Package id 0"; "Core 3"; "Tctl"; "CPU Fan"; "SYS, rear"; "Composite" ]

let private optionalFile path (text: string) =
    if text = "" then [] else [ valueFile path text ]

/// The files of some chips, and the sensors that they say.
let private chips: Gen<SysText[] * Hwmon.Temperature[] * Hwmon.Fan[]> =
    gen {
        let sensor highest =
            upTo 3 (Gen.zip (Gen.elements sensorLabels) (Gen.choose (0, highest)))

        let chip = Gen.zip3 (Gen.elements chipNames) (sensor 126_999) (sensor 20_000)
        let! found = upTo 3 chip

        let files =
            found
            |> Array.mapi (fun i (name, temperatures, fans) ->
                let directory = $"/sys/class/hwmon/hwmon{i}"

                [
                    yield! optionalFile $"{directory}/name" name
                    for j, (label, value) in Array.indexed temperatures do
                        valueFile $"{directory}/temp{j}_input" value
                        yield! optionalFile $"{directory}/temp{j}_label" label
                    for j, (label, value) in Array.indexed fans do
                        yield! optionalFile $"{directory}/fan{j}_label" label
                        valueFile $"{directory}/fan{j}_input" value
                ])
            |> List.concat
            |> Array.ofList

        let temperatures: Hwmon.Temperature[] =
            [|
                for i, (name, temperatures, _) in Array.indexed found do
                    for label, value in temperatures do
                        {
                            Place = $"/sys/class/hwmon/hwmon{i}"
                            Chip = name
                            Label = label
                            Celsius = LanguagePrimitives.FloatWithMeasure(float value / 1000.0)
                        }
            |]

        let fans: Hwmon.Fan[] =
            [|
                for name, _, fans in found do
                    for label, value in fans do
                        {
                            Hwmon.Fan.Label =
                                if label <> "" then label
                                elif name <> "" then name
                                else "fan"
                            Hwmon.Fan.Speed = LanguagePrimitives.Int32WithMeasure value
                        }
            |]

        return files, temperatures, fans
    }

let private degrees: Gen<float<degC>> =
    Gen.frequency [ 8, Gen.choose (-49_999, 126_999); 1, Gen.constant 0 ]
    |> Gen.map (fun value -> LanguagePrimitives.FloatWithMeasure(float value / 1000.0))

let private sensorOf names labels degrees : Gen<Hwmon.Temperature> =
    gen {
        let! name = Gen.elements names
        let! label = Gen.elements labels
        let! place = Gen.choose (0, 3)
        let! celsius = degrees

        return
            {
                Place = $"hwmon{place}"
                Chip = name
                Label = label
                Celsius = celsius
            }
    }

let private zoneOf kinds degrees : Gen<Thermal.Zone> =
    Gen.map2 (fun kind celsius -> { Type = kind; Celsius = celsius }: Thermal.Zone) (Gen.elements kinds) degrees

/// Sensors and zones of CPUs.
let private cpuSensors: Gen<Hwmon.Temperature[] * Thermal.Zone[]> =
    Gen.zip
        (upTo
            4
            (sensorOf
                [
                    "coretemp"
                    "k10temp"
                    "zenpower"
                    "cpu_thermal"
                    "soc_thermal"
                    "nct6798"
                    "acpitz"
                ]
                [ "Package id 0"; "Core 1"; "Tdie"; "Tctl"; "Tccd1"; "CPUTIN" ]
                degrees))
        (upTo 2 (zoneOf [ "x86_pkg_temp"; "cpu-thermal"; "bigcore0_thermal"; "soc-thermal"; "acpitz" ] degrees))

/// A sensor that is no CPU's, or whose value is none.
let private strangeSensor: Gen<Hwmon.Temperature * Thermal.Zone> =
    let none =
        Gen.elements
            [
                -273.0<degC>
                -128.0<degC>
                -50.0<degC>
                0.0<degC>
                127.0<degC>
                127.875<degC>
                255.0<degC>
            ]

    Gen.zip
        (Gen.oneof
            [
                sensorOf
                    [
                        "nvme"
                        "drivetemp"
                        "mlx5"
                        "amdgpu"
                        "iwlwifi_1"
                        "spd5118"
                        "gpu_thermal"
                        "nct6798"
                        "pmic"
                        ""
                    ]
                    [ ""; "Composite"; "edge"; "SYSTIN"; "CPU Fan"; "CPU VRM"; "Sensor 1" ]
                    degrees
                sensorOf [ "coretemp"; "cpu_thermal"; "nct6798" ] [ "Package id 0"; "CPUTIN" ] none
            ])
        (Gen.oneof
            [
                zoneOf
                    [
                        "PMIC-Die"
                        "GPU-therm"
                        "iwlwifi_1"
                        "INT3400 Thermal"
                        "ddr-thermal"
                        "battery"
                    ]
                    degrees
                zoneOf [ "cpu-thermal"; "x86_pkg_temp" ] none
            ])

let private valueFiles (values: Gen<'a>) =
    upTo 5 values
    |> Gen.map (fun values -> values, values |> Array.mapi (fun i value -> valueFile $"/sys/{i}" value))

let private ports: Gen<SysText[] * Infiniband.Port[]> =
    upTo 3 (Gen.zip3 (Gen.elements [ "mlx5_0"; "mlx5_1"; "ibp3s0" ]) (maybe counter) (maybe counter))
    |> Gen.map (fun found ->
        let files =
            [|
                for port, (device, received, sent) in Array.indexed found do
                    let directory = $"/sys/class/infiniband/{device}/ports/{port}/counters"

                    let counterFile name (value: uint64 voption) =
                        match value with
                        | ValueSome words -> valueFile $"{directory}/{name}" words
                        | ValueNone ->
                            {
                                Path = $"{directory}/{name}"
                                Content = Error(SourceError.Absent name)
                            }

                    counterFile "port_rcv_data" received
                    counterFile "port_xmit_data" sent
            |]

        let octets (words: uint64 voption) : uint64<B> voption =
            words
            // Where counters of 32 bits stop.
            |> ValueOption.filter (fun words -> words <> 4294967295UL)
            |> ValueOption.map (fun words -> LanguagePrimitives.UInt64WithMeasure(saturated words 4))

        files,
        found
        |> Array.mapi (fun port (device, received, sent) ->
            {
                Device = device
                Port = port
                Received = octets received
                Sent = octets sent
            }
            : Infiniband.Port))

/// What the files may say.
let infiniband: Gen<Infiniband.Port[]> = ports |> Gen.map snd

/// Every cut of a value file: none of them may be read as a value.
let private isNeverCutShort (isNone: SysText[] -> bool) (value: string) =
    seq { 0 .. value.Length }
    |> Seq.forall (fun length -> isNone [| file "/sys/x" (value.Substring(0, length)) |])

let tests =
    testList
        "Sys"
        [
            law "any files at all give sensors and located faults, never an exception" (upTo 6 anyFile) (fun files ->
                let sensors = Hwmon.parse files
                let zones = Thermal.parse files
                let temperature = CpuTemperature.from sensors.Temperatures zones.Zones

                ParserLaws.areLocated sensors.Faults
                && ParserLaws.areLocated zones.Faults
                && (temperature.IsNone || Hwmon.isPlausible temperature.Value)
                && zones.Zones |> Array.forall (fun zone -> Hwmon.isPlausible zone.Celsius)
                && sensors.Temperatures |> Array.forall (fun t -> Hwmon.isPlausible t.Celsius)
                && sensors.Fans |> Array.forall (fun fan -> fan.Speed >= 0<rpm>))
            law "any files at all never break the other readers" (upTo 6 anyFile) (fun files ->
                let isWithin low high (value: float voption) =
                    value.IsNone || (value.Value >= low && value.Value <= high)

                (BlockDevices.parse files).Disks.Count <= files.Length
                && (NetClass.parse files).Count <= files.Length + 1
                && isWithin 0.0 1e16 (CpuFreq.meanClock files |> ValueOption.map float)
                && (let cores = Topology.physicalCores files in cores.IsNone || cores.Value <= files.Length)
                && (Infiniband.parse files |> Array.distinctBy (fun p -> p.Device, p.Port)).Length
                   <= files.Length)
            law "rendered sensors parse back, each under its own chip and label" chips (fun (files, temperatures, fans) ->
                let sensors = Hwmon.parse files

                same sensors.Temperatures temperatures
                && same sensors.Fans fans
                && sensors.Faults = [||])
            law "a chip that is not read because it cannot be a CPU's has no sensor that is one" chips (fun (files, temperatures, _) ->
                temperatures
                |> Array.forall (fun sensor ->
                    (CpuTemperature.trustOf sensor).IsNone
                    || CpuTemperature.mayBeOfCpu (
                        files
                        |> Array.filter (fun file -> file.Path.StartsWith(sensor.Place + "/", StringComparison.Ordinal))
                    )))
            law
                "a sensor file that cannot be read costs its own sensor and is told where it is there"
                (Gen.zip3 chips sourceError (Gen.choose (0, 1000)))
                (fun ((files, temperatures, fans), error, place) ->
                    let inputs =
                        files
                        |> Array.filter (fun f -> f.Path.EndsWith("_input", StringComparison.Ordinal))

                    inputs.Length = 0
                    || (let lost = inputs[place % inputs.Length].Path

                        let sensors =
                            files
                            |> Array.map (fun f ->
                                if f.Path = lost then
                                    { f with Content = Error error }
                                else
                                    f)
                            |> Hwmon.parse

                        // One that is not there, or switched off, is nothing to tell.
                        same
                            sensors.Faults
                            (match error with
                             | SourceError.Absent _ -> [||]
                             | _ -> [| error |])
                        && sensors.Temperatures.Length + sensors.Fans.Length = temperatures.Length + fans.Length - 1))
            law
                "a zone that cannot be read costs its own value and is told where it has one"
                (Gen.zip3 (upTo 4 degrees) sourceError (Gen.choose (0, 1000)))
                (fun (all, error, place) ->
                    let zone i = $"/sys/class/thermal/thermal_zone{i}/"
                    let lost = place % (all.Length + 1)

                    let read =
                        Thermal.parse
                            [|
                                for i, celsius in Array.indexed all do
                                    file (zone i + "type") "cpu-thermal\n"

                                    if i = lost then
                                        {
                                            Path = zone i + "temp"
                                            Content = Error error
                                        }
                                    else
                                        valueFile (zone i + "temp") (int (Math.Round(float celsius * 1000.0)))
                            |]

                    let isTold =
                        match error with
                        | SourceError.Absent _ -> false
                        | _ -> lost < all.Length

                    read.Zones.Length = (if lost < all.Length then all.Length - 1 else all.Length)
                    && same read.Faults (if isTold then [| error |] else [||]))
            law
                "sensors of anything but a CPU, and those without a value, change nothing of its temperature"
                (Gen.zip3 cpuSensors (upTo 4 strangeSensor) (Gen.choose (0, 1000)))
                (fun ((sensors, zones), (strangers: (Hwmon.Temperature * Thermal.Zone)[]), place) ->
                    let at = if sensors.Length = 0 then 0 else place % sensors.Length
                    let mixed = Array.insertManyAt at (Array.map fst strangers) sensors

                    same (CpuTemperature.from mixed (Array.append (Array.map snd strangers) zones)) (CpuTemperature.from sensors zones))
            law "the CPU's temperature is read by one of the sensors that are trusted most" cpuSensors (fun (sensors, zones) ->
                let known =
                    [|
                        for sensor in sensors do
                            CpuTemperature.trustOf sensor, sensor.Celsius
                        for zone in zones do
                            CpuTemperature.trustOfZone zone.Type, zone.Celsius
                    |]
                    |> Array.choose (fun (trust, celsius) ->
                        match trust with
                        | ValueSome trust when abs celsius >= 0.127<degC> -> Some(trust, celsius)
                        | _ -> None)

                match CpuTemperature.from sensors zones with
                | ValueNone -> known.Length = 0
                | ValueSome celsius ->
                    let best = known |> Array.map fst |> Array.min

                    known
                    |> Array.exists (fun (trust, reading) -> trust = best && reading = celsius))
            law "the order of the sensors does not matter" cpuSensors (fun (sensors, zones) ->
                same (CpuTemperature.from (Array.rev sensors) (Array.rev zones)) (CpuTemperature.from sensors zones))
            law
                "the mean clock lies between the slowest and the fastest"
                (valueFiles (Gen.oneof [ Gen.choose (1, 6_000_000); Gen.choose (900, 1100) ]))
                (fun (values, files) ->
                    // Below 1 MHz there is no clock.
                    let clocks = values |> Array.filter (fun khz -> khz >= 1000)

                    match CpuFreq.meanClock files with
                    | ValueNone -> clocks.Length = 0
                    | ValueSome mean ->
                        float mean >= float (Array.min clocks) / 1000.0 - 1e-6
                        && float mean <= float (Array.max clocks) / 1000.0 + 1e-6)
            law
                "cores are the different lists of CPUs"
                (valueFiles (Gen.elements [ "0"; "1"; "0-1"; "0,4"; "2-3" ]))
                (fun (values, files) ->
                    same
                        (Topology.physicalCores files)
                        (if values.Length = 0 then
                             ValueNone
                         else
                             ValueSome (Array.distinct values).Length))
            law "rendered ports parse back, words as four bytes each" ports (fun (files, ports) -> same (Infiniband.parse files) ports)
            law "no cut value is read as a value" (Gen.map string counter) (fun value ->
                isNeverCutShort (fun files -> (CpuFreq.meanClock files).IsNone) value
                && isNeverCutShort (fun files -> (Topology.physicalCores files).IsNone) value)
        ]
