namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Core.Jobs
open Agent.Outbound
open Agent.Receiver

/// A job of a cluster, as a database would have it.
[<NoComparison>]
type ClusterJobRecord =
    {
        /// By its series.
        Job: ClusterJob
        /// What is known of it. It began when its topmost process did, else when it was seen first in what was asked about.
        Record: JobRecord
        /// When it was seen first in what was asked about.
        First: int64
        /// How many values were seen of it.
        Count: int64
    }

/// A part of a day, in microseconds from 2000-01-01; for all of several days in a row, the first of them.
[<Struct; NoComparison>]
type ClusterDays =
    {
        /// Where the first begins.
        From: int64
        /// Where it ends.
        Until: int64
        /// How many there are: more than one only of whole days.
        Count: int
    }

/// Jobs from the series of a cluster.
[<RequireQualifiedAccess>]
module ClusterJobs =
    let private jobOf (series: ClusterSeries) : ClusterJob =
        {
            Instance = series.Label "instance"
            Job = series.Label "job"
            Exported = series.Label "exported_job"
        }

    let private newest (series: ClusterSeries) : float =
        if series.Values.Length = 0 then
            nan
        else
            Array.last series.Values

    let private longestName = 128

    let private microsecondsOf (seconds: float) : int64 =
        match ClusterReports.timeOf seconds with
        | ValueSome at -> RowKey.microseconds at
        | ValueNone -> -1L

    /// The jobs of an answer, each once.
    [<CompiledName "Of">]
    let ofSeries (series: ClusterSeries[]) : ClusterJob[] =
        series
        |> Seq.map jobOf
        |> Seq.filter (fun job -> job.Instance <> "" && job.Id <> "")
        |> Seq.distinct
        |> Array.ofSeq

    /// The least value of an answer; 0 for none.
    [<CompiledName "Least">]
    let least (series: ClusterSeries[]) : float =
        let known = series |> Array.map newest |> Array.filter Double.IsFinite
        if known.Length = 0 then 0.0 else Array.min known

    let private codeOf (label: string) : int =
        match JobSchema.labels.TryGetValue label with
        | true, label -> JobSchema.codeOf label
        | _ -> JobSchema.codeOf VerdictLabel.Unknown

    let private gpusOf (series: ClusterSeries list) : JobGpu[] =
        series
        |> List.choose (fun one ->
            match ClusterReports.indexOf (one.Label "gpu") with
            | -1 -> None
            | index ->
                Some
                    {
                        Index = index
                        Uuid = one.Label "UUID" |> Intake.cut longestName
                        Memory = ValueNone
                        SmShare = ValueNone
                    })
        |> List.sortBy (fun gpu -> struct (gpu.Index, gpu.Uuid))
        |> Array.ofList

    /// What the series of `ai_dashboard_job_info` says: who it is. Of several, which a job gets with the number of a scheduler, any.
    let private named (number: int64) (server: int) (job: ClusterJob) (info: ClusterSeries voption) : JobRecord =
        let text name =
            match info with
            | ValueSome info -> info.Label name |> Intake.cut longestName
            | ValueNone -> ""

        {
            Number = number
            Server = server
            Id = Intake.cut longestName job.Id
            OwnerKind = text "owner_kind"
            OwnerValue = text "owner"
            OwnerNamespace = text "namespace"
            OwnerName = text "owner_name"
            User = text "user"
            Uid =
                match Int64.TryParse(text "uid", NumberStyles.None, CultureInfo.InvariantCulture) with
                | true, uid -> uid
                | _ -> -1L
            Name = text "name"
            Command = ""
            Cohort =
                JobRecord.ownersCohort (text "owner_kind") (text "owner") (text "namespace") (text "owner_name")
                |> JobRecord.labelledCohort (text JobMetrics.MachineJob)
            Gpus = JobRecord.gpusAsText [||]
            Began = 0L
            LastSeen = 0L
            IsOver = false
            Label = codeOf ""
            Busy = nan
            Cores = nan
            Memory = -1L
        }

    let private byJob (series: ClusterSeries seq) : Dictionary<ClusterJob, ClusterSeries list> =
        let found = Dictionary<ClusterJob, ClusterSeries list>()

        for one in series do
            let job = jobOf one

            if job.Instance <> "" && job.Id <> "" then
                found[job] <-
                    match found.TryGetValue job with
                    | true, known -> one :: known
                    | _ -> [ one ]

        found

    /// The jobs of an answer to `ClusterJobQueries.facts`, of machines that `serverOf` knows; it gives -1 for others.
    [<CompiledName "Records">]
    let records (serverOf: Func<string, int>) (series: ClusterSeries[]) : ClusterJobRecord[] =
        let heard = Dictionary<string, int64>(StringComparer.Ordinal)

        for one in series do
            if one.Label "k" = "machine" then
                heard[one.Label "instance"] <- microsecondsOf (newest one)

        [|
            for KeyValue(job, told) in byJob series do
                let of' kind =
                    match told |> List.tryFind (fun one -> one.Label "k" = kind) with
                    | Some one -> ValueSome one
                    | None -> ValueNone

                let value kind =
                    match of' kind with
                    | ValueSome one -> newest one
                    | ValueNone -> nan

                let seen = microsecondsOf (value "seen")
                let server = serverOf.Invoke job.Instance

                if seen >= 0L && server >= 0 then
                    let first = max 0L (microsecondsOf (value "first"))
                    let start = microsecondsOf (value "start")
                    let memory = value "memory"

                    let label =
                        match of' "label" with
                        | ValueSome one -> one.Label "label"
                        | ValueNone -> ""

                    {
                        Job = job
                        First = first
                        Count =
                            (match value "count" with
                             | count when count >= 0.0 && count < 1e15 -> int64 count
                             | _ -> 0L)
                        Record =
                            { named (ClusterJobQueries.numberOf job) server job (of' "info") with
                                Gpus =
                                    told
                                    |> List.filter (fun one -> one.Label "k" = "gpu")
                                    |> gpusOf
                                    |> JobRecord.gpusAsText
                                Began = if start >= 0L && start <= seen then start else first
                                LastSeen = seen
                                IsOver =
                                    match heard.TryGetValue job.Instance with
                                    | true, newest -> newest - seen > JobRecord.gone.Ticks / TimeSpan.TicksPerMicrosecond
                                    | _ -> false
                                Label = codeOf label
                                Busy = 100.0 * value "busy"
                                Cores = value "cores"
                                Memory =
                                    if memory >= 0.0 && memory < 9.0e18 then
                                        int64 memory
                                    else
                                        -1L
                            }
                    }
        |]

    let private milliseconds (seconds: float) : int64 =
        if seconds > 0.0 && seconds < 9.0e12 then
            int64 (Math.Round(seconds * 1000.0))
        else
            0L

    /// What jobs used at each instant that an answer to `ClusterJobQueries.uses` contains, by job, instant and label.
    let private usesOf (series: ClusterSeries[]) : (struct (ClusterJob * int64 * JobUse))[] =
        let found = Dictionary<struct (ClusterJob * int64 * int), JobUse>()

        for one in series do
            let job = jobOf one
            let kind = one.Label "k"

            match JobSchema.labels.TryGetValue(one.Label "label") with
            | true, label when kind = "used" || kind = "wasted" ->
                let code = JobSchema.codeOf label

                for i in 0 .. one.Times.Length - 1 do
                    let at = one.Times[i]
                    let key = struct (job, at, code)

                    let known =
                        match found.TryGetValue key with
                        | true, known -> known
                        | _ ->
                            {
                                Job = ClusterJobQueries.numberOf job
                                Label = code
                                Gpu = 0L
                                Wasted = 0L
                            }

                    found[key] <-
                        if kind = "used" then
                            { known with
                                Gpu = milliseconds one.Values[i]
                            }
                        else
                            { known with
                                Wasted = milliseconds one.Values[i]
                            }
            | _ -> ()

        [|
            for KeyValue(struct (job, at, _), used) in found do
                struct (job, at, used)
        |]

    /// What jobs used in the one span of an answer to `ClusterJobQueries.uses`, by the numbers of the jobs.
    [<CompiledName "Totals">]
    let totals (series: ClusterSeries[]) : Dictionary<int64, JobTotals> =
        usesOf series
        |> Array.groupBy (fun (struct (_, _, used)) -> used.Job)
        |> Seq.map (fun (number, uses) -> KeyValuePair(number, JobResponses.totalsOf (uses |> Seq.map (fun (struct (_, _, used)) -> used))))
        |> Dictionary

    /// Of nothing.
    let noTotals: JobTotals = JobResponses.totalsOf []

    /// A day, in microseconds.
    let day: int64 = 24L * 60L * RowKey.MicrosecondsPerMinute

    /// The days of a stretch, as they are asked about: one that is cut alone, and whole ones together.
    [<CompiledName "Days">]
    let days (from: int64) (until: int64) : ClusterDays[] =
        let cut from until =
            {
                From = from
                Until = until
                Count = 1
            }

        let firstWhole = (from + day - 1L) / day * day
        let pastWhole = until / day * day

        if until <= from then
            [||]
        elif firstWhole > pastWhole then
            [| cut from until |]
        else
            [|
                if from < firstWhole then
                    cut from firstWhole

                if firstWhole < pastWhole then
                    {
                        From = firstWhole
                        Until = firstWhole + day
                        Count = int ((pastWhole - firstWhole) / day)
                    }

                if pastWhole < until then
                    cut pastWhole until
            |]

    /// What was used by job, label and day: `named` is an answer to `ClusterJobQueries.names`, `uses` are those to `ClusterJobQueries.uses`, each at
    /// the ends of days, and `serverOf` gives -1 for machines that are not known.
    [<CompiledName "Daily">]
    let daily (serverOf: Func<string, int>) (info: ClusterSeries[]) (uses: ClusterSeries[]) : (struct (JobRecord * DailyUse))[] =
        let names = byJob info
        let records = Dictionary<ClusterJob, JobRecord voption>()

        let recordOf (job: ClusterJob) =
            match records.TryGetValue job with
            | true, known -> known
            | _ ->
                let server = serverOf.Invoke job.Instance

                let record =
                    if server < 0 then
                        ValueNone
                    else
                        let info =
                            match names.TryGetValue job with
                            | true, first :: _ -> ValueSome first
                            | _ -> ValueNone

                        ValueSome(named (ClusterJobQueries.numberOf job) server job info)

                records[job] <- record
                record

        [|
            for struct (job, at, used) in usesOf uses do
                match recordOf job with
                | ValueSome record ->
                    // The end of a day belongs to it.
                    struct (record,
                            {
                                Use = used
                                Day = int ((at - 1000L) / day)
                            })
                | ValueNone -> ()
        |]

    /// So many stretches of a job's life are told at most.
    [<Literal>]
    let MostStretches = 720L

    /// How the life of a job is cut: the first minute, and how many minutes each stretch has.
    [<CompiledName "Cut">]
    let cut (began: int64) (lastSeen: int64) : struct (int64 * int64) =
        let first = RowKey.minuteAt began
        struct (first, (RowKey.minuteAt lastSeen - first) / MostStretches + 1L)

    let private spread (value: float) : Spread =
        if Double.IsFinite value then
            Spread.add value Spread.none
        else
            Spread.none

    /// What a job did in each stretch, of an answer to `ClusterJobQueries.minutes`, which was asked at the last millisecond of each; in the order of
    /// time.
    [<CompiledName "Minutes">]
    let minutes (number: int64) (step: int64) (series: ClusterSeries[]) : (struct (int64 * JobMinute))[] =
        let found = SortedDictionary<int64, JobMinute>()

        for one in series do
            let kind = one.Label "k"

            let code =
                match JobSchema.labels.TryGetValue(one.Label "label") with
                | true, label -> JobSchema.codeOf label
                | _ -> -1

            for i in 0 .. one.Times.Length - 1 do
                let value = one.Values[i]
                let minute = RowKey.minuteAt (one.Times[i] + 1000L - step)

                let known =
                    match found.TryGetValue minute with
                    | true, known -> known
                    | _ -> VerdictMinute.nothingOf number

                if Double.IsFinite value then
                    found[minute] <-
                        match kind with
                        | "busy" ->
                            { known with
                                Busy = spread (100.0 * value)
                            }
                        | "cores" -> { known with Cores = spread value }
                        | "memory" -> { known with Memory = spread value }
                        | "read" -> { known with Read = spread value }
                        | "written" -> { known with Written = spread value }
                        | _ ->
                            if code >= 0 then
                                let column =
                                    match kind with
                                    | "used" -> known.GpuSeconds
                                    | "wasted" -> known.Wasted
                                    | _ -> known.Seconds

                                // The arrays are the stretch's own.
                                column[code] <- value

                            known

        [|
            for KeyValue(minute, did) in found do
                // Counters are read over more than a stretch, and go on a little after its end.
                if Array.exists (fun seconds -> seconds > 0.0) did.Seconds then
                    struct (minute, did)
        |]

    /// The run that began last before a job did, of an answer to `ClusterJobQueries.earlier`; none where there was none.
    [<CompiledName "EarlierOf">]
    let earlierOf (job: ClusterJob) (series: ClusterSeries[]) : ClusterJob voption =
        series
        |> Array.filter (fun one -> jobOf one <> job && Double.IsFinite(newest one))
        |> Array.sortByDescending newest
        |> Array.tryHead
        |> function
            | Some one -> ValueSome(jobOf one)
            | None -> ValueNone

    /// The labels of `ai_dashboard_job_info` that the parts of a job on several machines have in common; none for a job of one machine.
    [<CompiledName "Cohort">]
    let cohort (job: JobRecord) : string list =
        match JobRecord.labelOfCohort job.Cohort with
        | ValueSome label -> [ Promql.is JobMetrics.MachineJob label ]
        | ValueNone when job.Cohort = "" -> []
        | ValueNone when job.OwnerKind = "slurm" -> [ Promql.is "owner_kind" "slurm"; Promql.is "owner" job.OwnerValue ]
        | ValueNone ->
            [
                Promql.is "owner_kind" "pod"
                Promql.is "namespace" job.OwnerNamespace
                Promql.startsWith "owner_name" (JobRecord.podFamily job.OwnerName)
            ]

    /// So many parts of a job on other machines are told.
    [<Literal>]
    let MostParts = 256

    /// The parts of a job on other machines, at the same time, among jobs.
    [<CompiledName "Parts">]
    let parts (job: JobRecord) (others: ClusterJobRecord[]) : ClusterJobRecord[] =
        others
        |> Array.filter (fun other ->
            other.Record.Number <> job.Number
            && other.Record.Cohort = job.Cohort
            && other.Record.Began <= job.LastSeen
            && other.Record.LastSeen >= job.Began)
        |> Array.sortBy (fun other -> struct (other.Record.Server, other.Record.Number))
        |> Array.truncate MostParts
