namespace Agent.Receiver

open System
open Agent.Core

/// What a database holds of one server.
[<NoComparison>]
type ServerRows =
    {
        /// Its slug.
        Slug: string
        /// How many single samples.
        Samples: int64
        /// How many minutes.
        Minutes: int64
        /// When the oldest sample or minute was collected.
        Oldest: DateTimeOffset voption
        /// When the newest sample was.
        Newest: DateTimeOffset voption
    }

/// What `check` finds out about a database.
[<NoComparison>]
type Checkup =
    {
        /// The database's file.
        Path: string
        /// Its size, in bytes.
        FileBytes: int64
        /// The size of its write-ahead log, in bytes.
        LogBytes: int64
        /// What is free on its disk, in bytes; below 0 where that is not known.
        FreeBytes: int64
        /// What SQLite's integrity check says: "ok", or what is wrong.
        Integrity: string[]
        /// The version of its tables.
        Version: int
        /// The version that this program writes.
        OwnVersion: int
        /// How many layouts of devices.
        Layouts: int64
        /// How many of these no row uses.
        UnusedLayouts: int64
        /// Its servers.
        Servers: ServerRows[]
        /// The dashboard that serves it.
        Holder: DatabaseHolder voption
    }

/// Says how a database is.
[<RequireQualifiedAccess>]
module Checkup =
    /// So many complaints of SQLite are shown.
    [<Literal>]
    let private MostComplaints = 20

    /// True when SQLite found nothing wrong.
    [<CompiledName "IsGood">]
    let isGood (checkup: Checkup) : bool = checkup.Integrity = [| "ok" |]

    let private row (name: string) (text: string) = $"{name.PadRight 11}{text}"

    let private instantOr (fallback: string) (at: DateTimeOffset voption) =
        match at with
        | ValueSome at -> Wire.instant at
        | ValueNone -> fallback

    let private integrity (complaints: string[]) : string list =
        match complaints with
        | [| "ok" |] -> [ row "integrity" "ok" ]
        | complaints ->
            let left = complaints.Length - MostComplaints

            row "integrity" "DAMAGED"
            :: [
                for complaint in Array.truncate MostComplaints complaints do
                    $"  {complaint}"
                if left > 0 then
                    $"  and {left} more"
            ]

    let private server (rows: ServerRows) =
        let number (count: int64) = (string count).PadLeft 10
        let oldest = (instantOr "-" rows.Oldest).PadRight 32
        let newest = instantOr "-" rows.Newest
        $"  {rows.Slug.PadRight 24} {number rows.Samples} {number rows.Minutes}  {oldest}  {newest}"

    /// The report, a line each.
    [<CompiledName "Lines">]
    let lines (checkup: Checkup) : string list =
        [
            row "database" $"{checkup.Path}, {Sizing.text checkup.FileBytes} and {Sizing.text checkup.LogBytes} of log"
            if checkup.FreeBytes >= 0L then
                row "space" $"{Sizing.text checkup.FreeBytes} free"
            match checkup.Holder with
            | ValueSome holder -> row "in use" $"by {DatabaseHolder.describe holder}"
            | ValueNone -> row "in use" "by no dashboard"
            yield! integrity checkup.Integrity
            if checkup.Version = checkup.OwnVersion then
                row "format" $"{checkup.Version}"
            else
                row "format" $"{checkup.Version}; this program upgrades it to {checkup.OwnVersion} when it writes"
            row "layouts" $"{checkup.Layouts}, {checkup.UnusedLayouts} of them unused"
            row "servers" $"{checkup.Servers.Length}"
            if checkup.Servers.Length > 0 then
                "  slug                        samples    minutes  oldest                            newest"
            for rows in checkup.Servers do
                server rows
        ]

    /// What to do when it is damaged.
    [<CompiledName "Advice">]
    let advice (path: string) : string =
        $"restore a backup with: ai-dashboard restore FILE --database {path}"
