namespace Agent.Receiver

open System
open Agent.Core

/// One figure over time.
type SeriesKind =
    {
        /// Its key in answers and in the database, where it is never given to another figure.
        Name: string
        /// What it is counted in: `%`, `B`, `B/s`, `1/s`, `°C`, `MHz`, `RPM`, `W`, or empty for a plain number.
        Unit: string
        /// The steps in which minutes are kept, and answers given: 10 keeps tenths.
        Scale: float
    }

/// A series of a detail and the key that it comes from.
type DetailRow =
    {
        /// What is charted.
        Series: SeriesKind
        /// The key of the ingest API.
        Key: string
        /// Zero for the figure as it is reported; else the series is how much it grows in a second, times this.
        Growth: float
    }

/// Where the figure of a series lies.
[<Struct>]
type DetailPlace =
    {
        /// By the schema, among the decimals or the whole numbers.
        Index: int
        /// Which of them.
        IsDecimal: bool
        /// Of `DetailRow`.
        Growth: float
    }

/// A kind of device whose figures are kept apart from those of the main charts, and are read when somebody looks at them.
type DetailKind =
    {
        /// Its name in answers and in the database.
        Name: string
        /// What is kept of a sample.
        Schema: Schema
        /// What is charted.
        Series: SeriesKind[]
        /// Whether its devices have names that the sender chose, which count among a machine's known devices.
        IsNamed: bool
        /// Of each series.
        Places: DetailPlace[]
    }

/// What is kept of machines beside the main charts: a kind of device each, and a row for each series of it. A row or a kind may be
/// added, moved or removed anywhere, since what is stored carries the names that it was written with.
[<RequireQualifiedAccess>]
module Details =
    /// A machine's CPUs are kept up to this many.
    [<Literal>]
    let MostCores = 1000

    let private row name unit scale growth key : DetailRow =
        {
            Series =
                {
                    Name = name
                    Unit = unit
                    Scale = scale
                }
            Key = key
            Growth = growth
        }

    /// A figure as it is reported, by the name of its key.
    let private reported key unit scale = row key unit scale 0.0 key

    /// How much a counter grows in a second.
    let private growing name unit scale key = row name unit scale 1.0 key

    let private isWhole (table: KeyTable) (key: string) =
        table.Keys
        |> Array.exists (fun row -> row.Name = key && (row.Kind.IsCounter || row.Kind.IsInt || row.Kind.IsBool))

    /// In tenths, as agents round them; others lose nothing either.
    let private sampleScale = 10

    let private kind name isNamed (isWhole: string -> bool) (rows: DetailRow[]) : DetailKind =
        let wholes, decimals = rows |> Array.map _.Key |> Array.distinct |> Array.partition isWhole

        {
            Name = name
            Schema =
                {
                    Decimals = decimals |> Array.map (fun key -> struct (key, sampleScale))
                    Integers = wholes
                }
            Series = rows |> Array.map _.Series
            IsNamed = isNamed
            Places =
                rows
                |> Array.map (fun row ->
                    {
                        Index = Array.IndexOf((if isWhole row.Key then wholes else decimals), row.Key)
                        IsDecimal = not (isWhole row.Key)
                        Growth = row.Growth
                    })
        }

    /// More of each GPU; a device is named by the GPU's index.
    let gpus: DetailKind =
        kind
            "gpus"
            false
            (isWhole Rows.gpu.Keys)
            [|
                reported "clock_sm_mhz" "MHz" 1.0
                reported "clock_sm_max_mhz" "MHz" 1.0
                reported "clock_memory_mhz" "MHz" 1.0
                reported "memory_temperature_c" "°C" 10.0
                reported "memory_reserved_bytes" "B" 1.0
                reported "pcie_rx_bytes_per_s" "B/s" 1.0
                reported "pcie_tx_bytes_per_s" "B/s" 1.0
                reported "pcie_link_gen" "" 1.0
                reported "pcie_link_width" "" 1.0
                growing "nvlink_rx_bytes_per_s" "B/s" 1.0 "nvlink_rx_bytes_total"
                growing "nvlink_tx_bytes_per_s" "B/s" 1.0 "nvlink_tx_bytes_total"
                reported "encoder_percent" "%" 10.0
                reported "decoder_percent" "%" 10.0
                reported "ecc_corrected_total" "" 1.0
                reported "ecc_uncorrected_total" "" 1.0
                reported "remapped_rows_pending" "" 1.0
                // Millijoules: a thousandth a second is a watt.
                row "energy_w" "W" 10.0 0.001 "energy_mj_total"
            |]

    /// MIG instances, named `GPU/INSTANCE`.
    let migDevices: DetailKind =
        kind
            "mig_devices"
            true
            (isWhole Rows.migDevice.Keys)
            [|
                reported "memory_total_bytes" "B" 1.0
                reported "memory_used_bytes" "B" 1.0
                reported "xid_count" "" 1.0
            |]

    /// Network interfaces.
    let interfaces: DetailKind =
        kind
            "network_interfaces"
            true
            (isWhole Rows.networkInterface.Keys)
            [|
                growing "rx_bytes_per_s" "B/s" 1.0 "rx_bytes_total"
                growing "tx_bytes_per_s" "B/s" 1.0 "tx_bytes_total"
                growing "rx_packets_per_s" "1/s" 1.0 "rx_packets_total"
                growing "tx_packets_per_s" "1/s" 1.0 "tx_packets_total"
                growing "rx_errors_per_s" "1/s" 100.0 "rx_errors_total"
                growing "tx_errors_per_s" "1/s" 100.0 "tx_errors_total"
                growing "rx_dropped_per_s" "1/s" 100.0 "rx_dropped_total"
                growing "tx_dropped_per_s" "1/s" 100.0 "tx_dropped_total"
            |]

    /// Ports of the RDMA fabric, named `ADAPTER/PORT`.
    let infiniband: DetailKind =
        kind
            "infiniband"
            true
            (isWhole Rows.infinibandPort.Keys)
            [|
                growing "rx_bytes_per_s" "B/s" 1.0 "rx_bytes_total"
                growing "tx_bytes_per_s" "B/s" 1.0 "tx_bytes_total"
            |]

    /// File systems, named by where they are mounted.
    let partitions: DetailKind =
        kind
            "partitions"
            true
            (isWhole Rows.partition.Keys)
            [|
                reported "percent" "%" 10.0
                reported "used_bytes" "B" 1.0
                reported "total_bytes" "B" 1.0
            |]

    /// CPUs, named by their number.
    let cores: DetailKind =
        kind "cpu_cores" false (fun _ -> false) [| row "usage_percent" "%" 10.0 0.0 "cpu_cores_percent" |]

    /// All kinds, in the order in which they are kept.
    let all: DetailKind[] = [| gpus; migDevices; interfaces; infiniband; partitions; cores |]

    /// The position of a kind in `all`; -1 for no kind.
    [<CompiledName "PositionOf">]
    let positionOf (name: string) : int =
        all
        |> Array.tryFindIndex (fun kind -> kind.Name = name)
        |> Option.defaultValue -1

    let internal ofGpus = positionOf gpus.Name
    let internal ofMigDevices = positionOf migDevices.Name
    let internal ofInterfaces = positionOf interfaces.Name
    let internal ofInfiniband = positionOf infiniband.Name
    let internal ofPartitions = positionOf partitions.Name
    let internal ofCores = positionOf cores.Name

    /// Of a report without any, and of one that was read without them.
    let none: DetailReport[][] = Array.replicate all.Length [||]

    /// No names.
    let noNames: string[][] = Array.replicate all.Length [||]

    /// The names of CPUs.
    let internal coreNames: string[] = Array.init MostCores string

    /// The slot of the first figure of a kind.
    let firstOf (names: string[][]) (kind: int) : int =
        let mutable slot = 0

        for before in 0 .. kind - 1 do
            slot <- slot + names[before].Length * all[before].Series.Length

        slot

    /// How many figures devices of these names have.
    [<CompiledName "Slots">]
    let slots (names: string[][]) : int = firstOf names all.Length

    let private figureAt (place: DetailPlace) (figures: Figures) : float =
        if place.IsDecimal then
            figures.Decimals[place.Index]
        else
            let value = figures.Integers[place.Index]
            if value < 0L then nan else float value

    /// The figures of all devices, kind after kind and device after device; NaN where not known. `interval` is how many seconds the
    /// report before is older.
    let internal valuesOf (before: DetailReport[][] voption) (interval: float) (now: DetailReport[][]) : float[] =
        let count =
            Array.fold2 (fun sum (kind: DetailKind) (devices: DetailReport[]) -> sum + kind.Series.Length * devices.Length) 0 all now

        let values = if count = 0 then [||] else Array.create count nan
        let mutable slot = 0

        for kind in 0 .. all.Length - 1 do
            let places = all[kind].Places
            let devices = now[kind]

            for position in 0 .. devices.Length - 1 do
                let device = devices[position]

                let earlier =
                    match before with
                    | ValueSome before -> Growth.find (fun (other: DetailReport) -> other.Name) before[kind] position device.Name
                    | ValueNone -> ValueNone

                for place in places do
                    values[slot] <-
                        if place.Growth = 0.0 then
                            figureAt place device.Figures
                        else
                            match earlier with
                            | ValueSome earlier when interval > 0.0 ->
                                Growth.perSecond interval earlier.Figures.Integers[place.Index] device.Figures.Integers[place.Index]
                                * place.Growth
                            | _ -> nan

                    slot <- slot + 1

        values
