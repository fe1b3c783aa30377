namespace Agent.Receiver

open System
open System.Globalization
open System.Text
open Agent.Core
open Agent.Core.Jobs

/// What a job used in some stretch of time, by the codes of labels.
[<NoComparison>]
type JobTotals =
    {
        /// GPU-milliseconds.
        Gpu: int64[]
        /// GPU-milliseconds wasted.
        Wasted: int64[]
    }

/// A job with its machine's name and what it used.
[<NoComparison>]
type JobView =
    {
        /// As it is stored.
        Record: JobRecord
        /// Its machine's slug.
        Slug: string
        /// What it used.
        Totals: JobTotals
    }

/// What a question about jobs asks for.
[<Struct; NoComparison>]
type JobRange =
    {
        /// Microseconds from 2000-01-01, at the beginning of an hour.
        From: int64
        /// Microseconds, at the end of one.
        Until: int64
    }

/// By what a report of waste puts jobs together.
[<RequireQualifiedAccess>]
type WasteKey =
    /// The user's name.
    | User
    /// The job's name.
    | Job
    /// The machine's slug.
    | Machine
    /// The labels of the machine's agent: a job counts for each of them.
    | Label
    /// What held the job back.
    | Verdict
    /// The day, in UTC.
    | Day

    /// The word of the query.
    member key.Name: string =
        match key with
        | User -> "user"
        | Job -> "job"
        | Machine -> "machine"
        | Label -> "label"
        | Verdict -> "verdict"
        | Day -> "day"

    /// All of them.
    static member val All: WasteKey[] = [| User; Job; Machine; Label; Verdict; Day |]

/// What one job used on one day under one label.
[<Struct; NoComparison>]
type DailyUse =
    {
        /// What it used.
        Use: JobUse
        /// Days from 2000-01-01.
        Day: int
    }

/// The JSON of jobs and of what they waste. The keys stand in docs/dashboard-api.md.
[<RequireQualifiedAccess>]
module JobResponses =
    let private hour = 3_600_000_000L

    /// The longest stretch that can be asked for, in minutes: a year.
    [<Literal>]
    let LongestMinutes = 527040

    /// An answer has so many jobs at most: those that used most.
    [<Literal>]
    let MostJobs = 1000

    let private refuse detail =
        Error
            {
                Error = "The query cannot be read."
                Detail = detail
            }

    /// Whole hours around what is asked for: `minutes` and `to` as in a history, a day where there are none.
    [<CompiledName "Range">]
    let range (minutes: string) (until: string) (now: DateTimeOffset) : Result<JobRange, Refusal> =
        let minutes = if minutes = "" then "1440" else minutes

        let instant =
            if until = "" then
                ValueSome now
            else
                Intake.instantOf until
                |> ValueOption.filter (fun instant -> instant >= Intake.firstInstant.AddDays 1.0)

        match Int32.TryParse(minutes, NumberStyles.None, CultureInfo.InvariantCulture), instant with
        | (true, minutes), ValueSome until when minutes >= 1 && minutes <= LongestMinutes ->
            let until = RowKey.microseconds until
            let from = max 0L (until - int64 minutes * RowKey.MicrosecondsPerMinute)

            Ok
                {
                    From = from / hour * hour
                    Until = (until + hour - 1L) / hour * hour
                }
        | (true, minutes), ValueNone when minutes >= 1 && minutes <= LongestMinutes ->
            refuse "to: expected an instant such as 2026-02-26T02:37:49+00:00"
        | _ -> refuse $"minutes: expected a whole number from 1 to {LongestMinutes}"

    /// The words of `by`.
    [<CompiledName "WasteKeyOf">]
    let wasteKeyOf (by: string) : Result<WasteKey, Refusal> =
        match WasteKey.All |> Array.tryFind (fun key -> key.Name = by) with
        | Some key -> Ok key
        | None when by = "" -> Ok WasteKey.User
        | None ->
            let words = WasteKey.All |> Array.map _.Name |> String.concat ", "
            refuse $"by: expected one of {words}, found \"{Intake.cut 40 by}\""

    /// The server and the number in a job's key, `SLUG.NUMBER`; none where it is no such key.
    [<CompiledName "KeyOf">]
    let keyOf (key: string) : struct (string * int64) voption =
        match key.LastIndexOf '.' with
        | -1 -> ValueNone
        | point ->
            match Int64.TryParse(key.AsSpan(point + 1), NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, number when point > 0 -> ValueSome(struct (key.Substring(0, point), number))
            | _ -> ValueNone

    /// Of nothing.
    let private noTotals () =
        {
            Gpu = Array.zeroCreate VerdictLabel.All.Length
            Wasted = Array.zeroCreate VerdictLabel.All.Length
        }

    /// What was used, put together.
    [<CompiledName "TotalsOf">]
    let totalsOf (uses: JobUse seq) : JobTotals =
        let totals = noTotals ()

        for used in uses do
            if used.Label >= 0 && used.Label < totals.Gpu.Length then
                totals.Gpu[used.Label] <- totals.Gpu[used.Label] + used.Gpu
                totals.Wasted[used.Label] <- totals.Wasted[used.Label] + used.Wasted

        totals

    let private hoursOf (milliseconds: int64) : float =
        Math.Round(float milliseconds / 3_600_000.0, 4)

    let private totals (totals: JobTotals) : (string * JsonValue)[] =
        [|
            "gpu_hours", Encode.float (hoursOf (Array.sum totals.Gpu))
            "wasted_gpu_hours", Encode.float (hoursOf (Array.sum totals.Wasted))
            "verdict_gpu_hours",
            Encode.object (
                VerdictLabel.All
                |> Seq.mapi (fun code label -> label.Name, totals.Gpu[code])
                |> Seq.filter (fun (_, gpu) -> gpu > 0L)
                |> Seq.map (fun (name, gpu) -> name, Encode.float (hoursOf gpu))
            )
        |]

    let private instant (microseconds: int64) =
        Encode.string (Wire.instant (RowKey.instant microseconds))

    let private gpus (text: string) : JsonValue =
        let entry: Decoder<JsonValue> =
            fun path element ->
                match Decode.int path element[0], Decode.string path element[1] with
                | Ok index, Ok uuid -> Ok(Encode.object [| "gpu_index", Encode.int index; "uuid", JudgementJson.textOrNull uuid |])
                | Error error, _
                | _, Error error -> Error error

        match Decode.fromString (Decode.array entry) text with
        | Ok entries -> Encode.seq entries
        | Error _ -> Encode.seq []

    let private labelOf (code: int) =
        VerdictLabel.All[min code (VerdictLabel.All.Length - 1)]

    /// A job.
    let private job (view: JobView) : JsonValue =
        let record = view.Record
        let label = labelOf record.Label

        Encode.object
            [|
                "job", Encode.string $"{view.Slug}.{record.Number}"
                "server", Encode.string view.Slug
                "id", Encode.string record.Id
                "owner",
                Encode.object
                    [|
                        "kind", Encode.string record.OwnerKind
                        "value", Encode.string record.OwnerValue
                        "namespace", JudgementJson.textOrNull record.OwnerNamespace
                        "name", JudgementJson.textOrNull record.OwnerName
                    |]
                "user", JudgementJson.textOrNull record.User
                "uid",
                (if record.Uid < 0L then
                     Encode.nil
                 else
                     Encode.int64 record.Uid)
                "name", Encode.string record.Name
                "command", JudgementJson.textOrNull record.Command
                "gpus", gpus record.Gpus
                "began", instant record.Began
                "last_seen", instant record.LastSeen
                "ended",
                (if record.IsOver then
                     instant record.LastSeen
                 else
                     Encode.nil)
                "label", Encode.string label.Name
                "severity", Encode.string (Severity.ofLabel label).Name
                "gpu_busy_percent", Encode.float record.Busy
                "cpu_cores_used", Encode.float record.Cores
                "memory_bytes",
                (if record.Memory < 0L then
                     Encode.nil
                 else
                     Encode.int64 record.Memory)
                yield! totals view.Totals
                "group", JudgementJson.textOrNull record.Cohort
            |]

    /// GET /api/jobs/: those that began last come first.
    [<CompiledName "Jobs">]
    let jobs (range: JobRange) (views: JobView[]) (now: DateTimeOffset) : byte[] =
        let ordered =
            views
            |> Array.sortByDescending (fun view -> struct (view.Record.Began, view.Record.Number))

        Responses.bytes (
            Encode.object
                [|
                    "now", Encode.string (Wire.instant now)
                    "from", instant range.From
                    "to", instant range.Until
                    "left_out", Encode.int (max 0 (views.Length - MostJobs))
                    "jobs", Encode.arrayOf job (Array.truncate MostJobs ordered)
                |]
        )

    /// GET /api/verdicts/: the text that was kept, and when that was; empty where there is none.
    [<CompiledName "Said">]
    let said (slug: string) (at: DateTimeOffset) (saidAt: DateTimeOffset voption) (kept: string) : byte[] =
        let part (name: string) (otherwise: JsonValue) : JsonValue =
            let written: Decoder<JsonValue> =
                fun _ element -> Ok(Encode.raw (ReadOnlyMemory(Encoding.UTF8.GetBytes(element.GetRawText()))))

            match
                (if kept = "" then
                     Error ""
                 else
                     Decode.fromString (Decode.field name written) kept)
            with
            | Ok value -> value
            | Error _ -> otherwise

        Responses.bytes (
            Encode.object
                [|
                    "server", Encode.string slug
                    "at", Encode.string (Wire.instant at)
                    "said_at", Encode.voption (fun at -> Encode.string (Wire.instant at)) saidAt
                    "verdict", part "verdict" Encode.nil
                    "jobs", part "jobs" (Encode.seq [])
                |]
        )

    /// A stretch of a job's life, for its page: where it begins, in microseconds, and what happened in it.
    [<Struct; NoComparison>]
    type private Stretch = { Begins: int64; Did: JobMinute }

    let private mostStretches = 720

    /// Minutes put together so that there are not more than can be drawn.
    let private stretchesOf (minutes: (struct (int64 * JobMinute))[]) : Stretch[] =
        if minutes.Length = 0 then
            [||]
        else
            let struct (first, _) = minutes[0]
            let struct (last, _) = minutes[minutes.Length - 1]
            let width = (last - first) / int64 mostStretches + 1L

            minutes
            |> Array.groupBy (fun (struct (minute, _)) -> (minute - first) / width)
            |> Array.map (fun (bucket, parts) ->
                let joined =
                    parts
                    |> Array.map (fun (struct (_, part)) -> part)
                    |> Array.reduce VerdictMinute.joinJobs

                {
                    Begins = (first + bucket * width) * RowKey.MicrosecondsPerMinute
                    Did = joined
                })

    let private column (stretches: Stretch[]) (figure: JobMinute -> JsonValue) =
        Encode.seq (stretches |> Seq.map (fun stretch -> figure stretch.Did))

    let private mean (digits: int) (spread: Spread) =
        if spread.Count = 0 then
            Encode.nil
        else
            Encode.float (Math.Round(spread.Mean, digits))

    let private longest (part: JobMinute) =
        let code = Array.IndexOf(part.Seconds, Array.max part.Seconds)
        Encode.string (labelOf code).Name

    /// GET /api/jobs/KEY/: the whole life of a job, its parts on other machines, and the run of the same name and user before it. `minutes` are
    /// in the order of time, counted from 2000-01-01.
    [<CompiledName "Life">]
    let life (view: JobView) (parts: JobView[]) (earlier: JobView voption) (minutes: (struct (int64 * JobMinute))[]) : byte[] =
        let stretches = stretchesOf minutes

        Responses.bytes (
            Encode.object
                [|
                    "job", job view
                    "parts", Encode.arrayOf job parts
                    "earlier", Encode.voption job earlier
                    "minutes",
                    Encode.object
                        [|
                            "time",
                            Encode.seq (
                                stretches
                                |> Seq.map (fun stretch -> Encode.int64 ((RowKey.instant stretch.Begins).ToUnixTimeMilliseconds()))
                            )
                            "label", column stretches longest
                            "gpu_busy_percent", column stretches (fun part -> mean 1 part.Busy)
                            "cpu_cores_used", column stretches (fun part -> mean 2 part.Cores)
                            "memory_bytes", column stretches (fun part -> mean 0 part.Memory)
                            "read_bytes_per_s", column stretches (fun part -> mean 0 part.Read)
                            "write_bytes_per_s", column stretches (fun part -> mean 0 part.Written)
                            "wasted_gpu_seconds", column stretches (fun part -> Encode.float (Math.Round(Array.sum part.Wasted, 1)))
                        |]
                |]
        )

    // ---- waste -----------------------------------------------------------------------------------------------------------

    /// A line of the report of waste.
    type private WasteRow =
        {
            Key: string
            Totals: JobTotals
            Jobs: int
        }

    let private keysOf (by: WasteKey) (labels: string -> string[]) (record: JobRecord) (slug: string) (used: DailyUse) : string[] =
        match by with
        | WasteKey.User -> [| record.User |]
        | WasteKey.Job -> [| record.Name |]
        | WasteKey.Machine -> [| slug |]
        | WasteKey.Label -> labels slug
        | WasteKey.Verdict -> [| (labelOf used.Use.Label).Name |]
        | WasteKey.Day ->
            [|
                Intake.firstInstant.AddDays(float used.Day).ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)
            |]

    let private rowOf (key: string) (uses: DailyUse[]) : WasteRow =
        {
            Key = key
            Totals = totalsOf (uses |> Seq.map _.Use)
            Jobs = uses |> Array.distinctBy _.Use.Job |> Array.length
        }

    /// The lines, the most wasteful first; days in their order.
    let private rows (by: WasteKey) (labels: string -> string[]) (uses: (struct (JobRecord * string * DailyUse))[]) : WasteRow[] =
        let lines =
            uses
            |> Array.collect (fun (struct (record, slug, used)) ->
                keysOf by labels record slug used |> Array.map (fun key -> struct (key, used)))
            |> Array.groupBy (fun (struct (key, _)) -> key)
            |> Array.map (fun (key, parts) -> rowOf key (parts |> Array.map (fun (struct (_, used)) -> used)))

        match by with
        | WasteKey.Day -> lines |> Array.sortBy _.Key
        | _ ->
            lines
            |> Array.sortBy (fun row -> struct (-(Array.sum row.Totals.Wasted), row.Key))

    /// A GPU that is held and does nothing: whose it is, and since when.
    let private holder (struct (slug: string, job: ReportedJob)) : JsonValue =
        Encode.object
            [|
                "server", Encode.string slug
                "id", Encode.string job.Id
                "user", JudgementJson.textOrNull job.User
                "name", Encode.string job.Name
                "gpus", Encode.seq (job.Gpus |> Seq.map (fun gpu -> Encode.int gpu.Index))
                "memory_bytes",
                Encode.float (
                    job.Gpus
                    |> Array.sumBy (fun gpu -> gpu.Memory |> ValueOption.map float |> ValueOption.defaultValue 0.0)
                )
                "since", Encode.string (Wire.instant job.Verdict.Since)
            |]

    /// GET /api/waste/. `labels` gives those of a machine, `holders` are the jobs that hold GPUs and do nothing just now.
    [<CompiledName "Waste">]
    let waste
        (by: WasteKey)
        (range: JobRange)
        (labels: Func<string, string[]>)
        (uses: (struct (JobRecord * string * DailyUse))[])
        (holders: (struct (string * ReportedJob))[])
        : byte[] =
        let line (row: WasteRow) =
            Encode.object
                [|
                    "key", JudgementJson.textOrNull row.Key
                    yield! totals row.Totals
                    "jobs", Encode.int row.Jobs
                |]

        let all = rowOf "" (uses |> Array.map (fun (struct (_, _, used)) -> used))

        Responses.bytes (
            Encode.object
                [|
                    "from", instant range.From
                    "to", instant range.Until
                    "by", Encode.string by.Name
                    "rows", Encode.arrayOf line (rows by labels.Invoke uses)
                    "total", Encode.object [| yield! totals all.Totals; "jobs", Encode.int all.Jobs |]
                    "held_idle",
                    holders
                    |> Array.sortBy (fun (struct (_, job)) -> job.Verdict.Since)
                    |> Encode.arrayOf holder
                |]
        )

    /// A field of CSV (RFC 4180). One that a spreadsheet would take for a formula gets an apostrophe in front.
    let private field (text: string) : string =
        let text =
            if text <> "" && "=+-@\t\r".Contains text[0] then
                "'" + text
            else
                text

        if text.AsSpan().IndexOfAny(",\"\r\n") >= 0 then
            "\"" + text.Replace("\"", "\"\"") + "\""
        else
            text

    /// GET /api/waste/ with format=csv: a column for each label that occurs.
    [<CompiledName "WasteCsv">]
    let wasteCsv (by: WasteKey) (labels: Func<string, string[]>) (uses: (struct (JobRecord * string * DailyUse))[]) : byte[] =
        let lines = rows by labels.Invoke uses

        let present =
            [|
                for code in 0 .. VerdictLabel.All.Length - 1 do
                    if lines |> Array.exists (fun row -> row.Totals.Gpu[code] > 0L) then
                        code
            |]

        let number (milliseconds: int64) =
            (hoursOf milliseconds).ToString(CultureInfo.InvariantCulture)

        let head =
            [|
                by.Name
                "gpu_hours"
                "wasted_gpu_hours"
                yield! present |> Array.map (fun code -> VerdictLabel.All[code].Name)
                "jobs"
            |]

        let body =
            lines
            |> Array.map (fun row ->
                [|
                    field row.Key
                    number (Array.sum row.Totals.Gpu)
                    number (Array.sum row.Totals.Wasted)
                    yield! present |> Array.map (fun code -> number row.Totals.Gpu[code])
                    row.Jobs.ToString CultureInfo.InvariantCulture
                |])

        Array.append [| head |] body
        |> Array.map (fun cells -> String.Join(",", cells) + "\r\n")
        |> String.concat ""
        |> Encoding.UTF8.GetBytes
