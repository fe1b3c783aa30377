namespace Agent.Receiver.Cluster

open System
open System.Buffers.Binary
open System.Security.Cryptography
open System.Text
open Agent.Receiver

/// A job as its series name it. Where the label `job` of a scrape came first, the job's own is `exported_job`.
[<Struct>]
type ClusterJob =
    {
        /// The label `instance` of its machine.
        Instance: string
        /// The label `job`.
        Job: string
        /// The label `exported_job`; empty for most.
        Exported: string
    }

    /// What its agent calls it.
    member job.Id: string = if job.Exported <> "" then job.Exported else job.Job

/// A stretch of time as it is asked about now, in microseconds from 2000-01-01.
[<Struct; NoComparison>]
type ClusterSpan =
    {
        /// Where it begins.
        From: int64
        /// Where it ends, at `Now` at the latest.
        Until: int64
        /// When the question is asked.
        Now: int64
    }

/// What is asked of a cluster about jobs.
[<RequireQualifiedAccess>]
module ClusterJobQueries =
    let private own name = "ai_dashboard_job_" + name

    /// When the sample was taken that a job was in last.
    let seen: string = own "seen_timestamp_seconds"

    /// Whose a job is and what it is called.
    let info: string = own "info"

    /// GPU seconds by label; of a GPU that several jobs hold each has its part.
    let used: string = own "gpu_part_seconds_total"

    /// Those that were lost.
    let wasted: string = own "gpu_wasted_seconds_total"

    /// 1 for the label that holds.
    let verdict: string = own "verdict"

    /// So many jobs are read for one answer; of more it tells those that were seen last.
    [<Literal>]
    let MostJobs = 4000

    /// So many runs before one are looked at.
    [<Literal>]
    let MostEarlier = 8

    /// A job is looked for in the year before now.
    let longest: int64 = int64 JobResponses.LongestMinutes * RowKey.MicrosecondsPerMinute

    /// The number of a job in keys: the same at any time, and of any dashboard that reads the cluster. It is never 0.
    [<CompiledName "NumberOf">]
    let numberOf (job: ClusterJob) : int64 =
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes(job.Instance + "\n" + job.Id))
        max 1L (BinaryPrimitives.ReadInt64LittleEndian(ReadOnlySpan hash) &&& Int64.MaxValue)

    /// The series of one machine.
    [<CompiledName "OfMachine">]
    let ofMachine (instance: string) : string list = [ Promql.is "instance" instance ]

    /// The series of all machines.
    let anywhere: string list = []

    /// The series of one job.
    [<CompiledName "OfJob">]
    let ofJob (job: ClusterJob) : string list =
        [
            Promql.is "instance" job.Instance
            Promql.is "job" job.Job
            Promql.is "exported_job" job.Exported
        ]

    [<Literal>]
    let private Millisecond = 1000L

    /// The range of a selector that covers a span when it is asked now.
    let private over (span: ClusterSpan) =
        let length = Promql.duration (span.Until - span.From)
        let offset = span.Now - span.Until

        if offset >= Millisecond then
            $"[{length}] offset {Promql.duration offset}"
        else
            $"[{length}]"

    let private among (selected: string) (query: string) =
        if selected = "" then
            query
        else
            $"({query}) and on (instance, job, exported_job) ({selected})"

    let private byName parts selected =
        parts
        |> List.map (fun (struct (name, query)) -> struct (name, among selected query))
        |> Promql.together

    /// The jobs that were seen in a span, with when that was last in it.
    [<CompiledName "All">]
    let all (matchers: string list) (span: ClusterSpan) : string =
        $"max_over_time({Promql.selector seen matchers}{over span})"

    /// Those of them that were seen last.
    [<CompiledName "Listed">]
    let listed (matchers: string list) (span: ClusterSpan) : string =
        $"topk({MostJobs}, {all matchers span})"

    /// Those of them that were seen at an instant or later, for `among`.
    [<CompiledName "SeenSince">]
    let seenSince (matchers: string list) (span: ClusterSpan) (since: float) : string =
        $"{all matchers span} >= {Promql.number since}"

    /// The jobs with these labels of `ai_dashboard_job_info` in a span, for `among`.
    [<CompiledName "Labelled">]
    let labelled (labels: string list) (span: ClusterSpan) : string =
        $"max_over_time({Promql.selector info labels}{over span})"

    /// What is known of jobs that were there in a span, as it is at its end; `selected` is empty for all that match.
    [<CompiledName "Facts">]
    let facts (matchers: string list) (machine: string list) (span: ClusterSpan) (selected: string) : string =
        let last family =
            $"last_over_time({Promql.selector family matchers}{over span})"

        let facts =
            byName
                [
                    struct ("seen", all matchers span)
                    struct ("first", $"min_over_time({Promql.selector seen matchers}{over span})")
                    struct ("count", $"count_over_time({Promql.selector seen matchers}{over span})")
                    struct ("start", last (own "start_time_seconds"))
                    struct ("info", last info)
                    struct ("label", $"{last verdict} == 1")
                    struct ("busy", last (own "gpu_busy_ratio"))
                    struct ("cores", last (own "cpu_cores"))
                    struct ("memory", last (own "memory_bytes"))
                    struct ("gpu", last (own "gpu_info"))
                ]
                selected

        let heard =
            $"max by (instance) (max_over_time({Promql.selector ClusterMetrics.timestamp machine}{over span}))"

        let heard = Promql.together [ struct ("machine", heard) ]
        $"{facts} or {heard}"

    /// What jobs used in a span.
    [<CompiledName "Uses">]
    let uses (matchers: string list) (span: ClusterSpan) (selected: string) : string =
        let grown family =
            $"increase({Promql.selector family matchers}{over span}) > 0"

        byName [ struct ("used", grown used); struct ("wasted", grown wasted) ] selected

    /// Who the jobs of a span are, and no more.
    [<CompiledName "Names">]
    let names (span: ClusterSpan) : string =
        Promql.together [ struct ("info", $"last_over_time({Promql.selector info []}{over span})") ]

    /// The runs that began last before an instant, among those of a name and a user: asked at that instant.
    [<CompiledName "Earlier">]
    let earlier (name: string) (user: string) : string =
        let year = Promql.duration longest
        let started = Promql.selector (own "start_time_seconds") []
        let labels = [ Promql.is "name" name; Promql.is "user" user ]

        among $"max_over_time({Promql.selector info labels}[{year}])" $"last_over_time({started}[{year}])"
        |> fun query -> $"topk({MostEarlier}, {query})"

    /// What a job did in each step of a query along an axis: the share of its looks under each label, what it lost, and its means. `window` is what
    /// counters are read over, at least a step.
    [<CompiledName "Minutes">]
    let minutes (job: ClusterJob) (step: int64) (window: int64) : string =
        let matchers = ofJob job
        let range = Promql.duration step
        let seconds = Promql.number (float step / 1e6)

        let mean family =
            $"avg_over_time({Promql.selector family matchers}[{range}])"

        let counted family =
            $"rate({Promql.selector family matchers}[{Promql.duration window}]) * {seconds} > 0"

        Promql.together
            [
                struct ("label", $"{mean verdict} * {seconds} > 0")
                struct ("used", counted used)
                struct ("wasted", counted wasted)
                struct ("busy", mean (own "gpu_busy_ratio"))
                struct ("cores", mean (own "cpu_cores"))
                struct ("memory", mean (own "memory_bytes"))
                struct ("read", mean (own "read_bytes_per_second"))
                struct ("written", mean (own "written_bytes_per_second"))
            ]
