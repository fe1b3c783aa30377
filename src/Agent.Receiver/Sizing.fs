namespace Agent.Receiver

open System
open System.Globalization
open Agent.Core

/// What one server brings, as far as it matters for the size of the database.
[<NoComparison>]
type ServerLoad =
    {
        /// Seconds from one sample to the next.
        Interval: float
        /// Bytes of a sample's row.
        SampleBytes: float
        /// Bytes of a minute's row.
        MinuteBytes: float
    }

/// How large a database becomes.
[<RequireQualifiedAccess>]
module Sizing =
    /// A server with four GPUs that sends every two seconds, as docs/adr/0016 has counted it.
    let usual: ServerLoad =
        {
            Interval = 2.0
            SampleBytes = 640.0
            MinuteBytes = 1100.0
        }

    /// What a row costs beside the blobs in it: its key, the columns of the machine, and its share of the page.
    [<Literal>]
    let RowBytes = 150.0

    /// Pages are not full, and the write-ahead log lies beside them.
    [<Literal>]
    let private Overhead = 1.15

    /// Where less is known, samples come as often as the agent sends them at most.
    [<Literal>]
    let private ShortestInterval = 0.5

    /// The bytes that a server comes to need.
    [<CompiledName "Needed">]
    let needed (keeping: Keeping) (load: ServerLoad) : int64 =
        let samples = float keeping.RawHours * 3600.0 / max ShortestInterval load.Interval
        // A quarter of an hour is a row like those of its minutes.
        let minutes = float keeping.Days * 1440.0 * (1.0 + 1.0 / float Quarter.Minutes)
        int64 (Overhead * (samples * load.SampleBytes + minutes * load.MinuteBytes))

    /// A size in the unit that gives it one to three digits before the point.
    [<CompiledName "Text">]
    let text (bytes: int64) : string =
        let units = [| "bytes"; "kB"; "MB"; "GB"; "TB"; "PB"; "EB" |]

        let rec scaled (value: float) place =
            if value >= 999.5 && place < units.Length - 1 then
                scaled (value / 1000.0) (place + 1)
            else
                value, units[place]

        let value, unitName = scaled (float bytes) 0
        let digits = if unitName = "bytes" || value >= 99.95 then "0" else "0.#"
        value.ToString(digits, CultureInfo.InvariantCulture) + " " + unitName

    let private servers (count: int) =
        if count = 1 then "1 server" else $"{count} servers"

    /// What is kept for how long and what that needs, as a line for the start. `used` are the bytes of the database now, `free` those of
    /// its disk; below 0 where they are not known.
    [<CompiledName "Line">]
    let line (keeping: Keeping) (loads: ServerLoad[]) (used: int64) (free: int64) : string =
        let need =
            if loads.Length = 0 then
                $"about {text (needed keeping usual)} for each server that sends every {usual.Interval} s"
            else
                $"about {text (Array.sumBy (needed keeping) loads)} for {servers loads.Length}"

        let present = $"{text used} in use"
        let room = if free < 0L then "" else $", {text free} free"
        $"keeps samples for {keeping.RawHours} hours and minutes for {keeping.Days} days: {need}; {present}{room}"

    /// What to say when the disk is too small for that; none while it is not, or where it is not known.
    [<CompiledName "Warning">]
    let warning (keeping: Keeping) (loads: ServerLoad[]) (used: int64) (free: int64) : string voption =
        let need = Array.sumBy (needed keeping) loads

        if free >= 0L && need > used && need - used > free then
            ValueSome
                $"the disk will be full before that: {text (need - used)} more are needed and {text free} are free; give a shorter --raw-hours or --retention-days"
        else
            ValueNone
