namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Core.Jobs
open Agent.Receiver

/// The jobs that run, from the newest values of their series.
[<RequireQualifiedAccess>]
module ClusterRunningJobs =
    let private own name = "ai_dashboard_job_" + name

    [<Literal>]
    let private Percent = 100.0

    let private same name = struct (name, own name, 1.0)

    let private share name =
        struct (name + "_percent", own name + "_ratio", Percent)

    /// Which metric tells which figure of a job, and what its value is multiplied by.
    let private rows: (struct (string * string * float))[] =
        [|
            same "processes"
            same "threads"
            same "loaders"
            struct ("cpu_cores_used", own "cpu_cores", 1.0)
            same "cpu_cores_allowed"
            share "busiest_thread"
            share "main_thread"
            share "loaders_busy"
            share "cpu_wait"
            share "cpu_throttled"
            share "blocked"
            share "main_blocked"
            struct ("read_bytes_per_s", own "read_bytes_per_second", 1.0)
            struct ("write_bytes_per_s", own "written_bytes_per_second", 1.0)
            struct ("network_rx_bytes_per_s", own "network_receive_bytes_per_second", 1.0)
            same "memory_bytes"
            same "memory_limit_bytes"
            share "memory_stall"
            share "io_stall"
            struct ("major_faults_per_s", own "major_faults_per_second", 1.0)
            share "gpu_busy"
            share "gpu_least_busy"
            share "gpu_power"
        |]

    let private info = own "info"
    let private seen = own "seen_timestamp_seconds"
    let private started = own "start_time_seconds"
    let private held = own "gpu_info"
    let private memory = own "gpu_memory_bytes"
    let private shareOfGpu = own "sm_percent"
    let private verdict = own "verdict"
    let private confidence = own "verdict_confidence"

    let private jobEvidence = own "verdict_evidence"
    let private machineEvidence = "ai_dashboard_verdict_evidence"

    let private families =
        [|
            jobEvidence
            jobEvidence + "_limit"
            machineEvidence
            machineEvidence + "_limit"
            info
            seen
            started
            held
            memory
            shareOfGpu
            confidence
            for struct (_, family, _) in rows do
                family
        |]

    /// The newest values of the jobs of these machines: asked at an instant.
    [<CompiledName "Newest">]
    let newest (instances: string[]) : string =
        let machines = Promql.isOneOf "instance" instances
        let all = Promql.selector "" [ Promql.isOneOf "__name__" families; machines ]
        let holds = $"{Promql.selector verdict [ machines ]} == 1"
        let holds = Promql.together [ struct ("label", holds) ]
        $"{all} or {holds}"

    [<Literal>]
    let private LongestName = 128

    /// A job that was not in the newest sample of its machine, and not in those of half a minute before, does not run any more, in seconds.
    let private gone = JobRecord.gone.TotalSeconds

    let private newestOf (series: ClusterSeries) =
        if series.Values.Length = 0 then
            nan
        else
            Array.last series.Values

    let private figuresOf (value: string -> float) (uid: int64) : Figures =
        let ofKey (key: string) =
            match rows |> Array.tryFind (fun (struct (name, _, _)) -> name = key) with
            | Some(struct (_, family, factor)) -> Math.Round(value family * factor, 6)
            | None -> nan

        {
            Decimals =
                JobSchema.schema.Decimals
                |> Array.map (fun (struct (name, scale: int)) -> Math.Round(ofKey name * float scale) / float scale)
            Integers =
                JobSchema.schema.Integers
                |> Array.map (fun name ->
                    if name = "uid" then
                        uid
                    else
                        match ofKey name with
                        | value when value >= 0.0 && value < 9.0e18 -> int64 value
                        | _ -> -1L)
        }

    let private gpusOf (told: ClusterSeries[]) : JobGpu[] =
        let valueOf family (gpu: ClusterSeries) =
            told
            |> Array.tryFind (fun one ->
                one.Label "__name__" = family
                && one.Label "gpu" = gpu.Label "gpu"
                && one.Label "UUID" = gpu.Label "UUID")
            |> function
                | Some one -> newestOf one
                | None -> nan

        told
        |> Array.filter (fun one -> one.Label "__name__" = held && ClusterReports.indexOf (one.Label "gpu") >= 0)
        |> Array.map (fun gpu ->
            {
                Index = ClusterReports.indexOf (gpu.Label "gpu")
                Uuid = Intake.cut LongestName (gpu.Label "UUID")
                Memory =
                    match valueOf memory gpu with
                    | bytes when bytes >= 0.0 && bytes < 9.0e18 -> ValueSome(LanguagePrimitives.UInt64WithMeasure(uint64 bytes))
                    | _ -> ValueNone
                SmShare =
                    match valueOf shareOfGpu gpu with
                    | share when Double.IsFinite share -> ValueSome(LanguagePrimitives.FloatWithMeasure share)
                    | _ -> ValueNone
            })
        |> Array.sortBy (fun gpu -> struct (gpu.Index, gpu.Uuid))
        |> Array.distinctBy (fun gpu -> struct (gpu.Index, gpu.Uuid))

    /// Figures of a verdict that are read.
    [<Literal>]
    let MostFigures = 24

    /// The figures of a verdict in their order. Where nobody marks that series end, two may have one place for some minutes: either is told.
    let private evidenceOf (family: string) (told: ClusterSeries[]) : Witness[] =
        let figures = told |> Array.filter (fun one -> one.Label "__name__" = family)

        let limits = told |> Array.filter (fun one -> one.Label "__name__" = family + "_limit")

        figures
        |> Array.filter (fun one -> ClusterReports.indexOf (one.Label "place") >= 0 && Double.IsFinite(newestOf one))
        |> Array.groupBy (fun one -> ClusterReports.indexOf (one.Label "place"))
        |> Array.sortBy fst
        |> Array.truncate MostFigures
        |> Array.map (fun (_, several) ->
            let one = several[0]

            {
                Name = Intake.cut LongestName (one.Label "figure")
                Value = newestOf one
                Limit =
                    limits
                    |> Array.tryFind (fun limit ->
                        limit.Label "place" = one.Label "place"
                        && limit.Label "figure" = one.Label "figure")
                    |> function
                        | Some limit when Double.IsFinite(newestOf limit) -> ValueSome(newestOf limit)
                        | _ -> ValueNone
                Unit = Intake.cut 16 (one.Label "unit")
            })

    let private jobOf (at: DateTimeOffset) (id: string) (told: ClusterSeries[]) : ReportedJob voption =
        let find name value =
            told |> Array.tryFind (fun one -> one.Label name = value)

        let value family =
            match find "__name__" family with
            | Some one -> newestOf one
            | None -> nan

        let text name =
            match find "__name__" info with
            | Some one -> one.Label name |> Intake.cut LongestName
            | None -> ""

        let label =
            match find "k" "label" with
            | Some one ->
                match JobSchema.labels.TryGetValue(one.Label "label") with
                | true, label -> ValueSome label
                | _ -> ValueNone
            | None -> ValueNone

        let evidence = evidenceOf jobEvidence told

        match label with
        | ValueSome label when abs (float (at.ToUnixTimeMilliseconds()) / 1000.0 - value seen) <= gone ->
            ValueSome
                {
                    Id = Intake.cut LongestName id
                    OwnerKind = text "owner_kind"
                    OwnerValue = text "owner"
                    OwnerNamespace = text "namespace"
                    OwnerName = text "owner_name"
                    User = text "user"
                    Name = text "name"
                    Command = ""
                    StartedAt = ClusterReports.timeOf (value started)
                    BusiestThreadOf = ""
                    BlockedOn = ""
                    Gpus = gpusOf told
                    Figures =
                        figuresOf
                            value
                            (match Int64.TryParse(text "uid", NumberStyles.None, CultureInfo.InvariantCulture) with
                             | true, uid -> uid
                             | _ -> -1L)
                    Verdict =
                        {
                            Label = label
                            Second = ValueNone
                            Since = at
                            Confidence =
                                match value confidence with
                                | sure when Double.IsFinite sure -> Math.Clamp(sure, 0.0, 1.0)
                                | _ -> 0.0
                            Reason = Verdict.reasonOf evidence
                            Fix = Verdict.usualFix label
                            Evidence = evidence
                            RuledOut = [||]
                        }
                }
        | _ -> ValueNone

    /// Reports with the jobs of their machines that run, of an answer to `newest`; in the order of their names.
    [<CompiledName "Join">]
    let join (series: ClusterSeries[]) (reports: ClusterReport[]) : ClusterReport[] =
        let byMachine = Dictionary<string, ResizeArray<ClusterSeries>>(StringComparer.Ordinal)

        for one in series do
            let instance = one.Label "instance"

            match byMachine.TryGetValue instance with
            | true, known -> known.Add one
            | _ -> byMachine[instance] <- ResizeArray [ one ]

        let idOf (one: ClusterSeries) =
            match one.Label "exported_job" with
            | "" -> one.Label "job"
            | id -> id

        reports
        |> Array.map (fun report ->
            match byMachine.TryGetValue report.Machine.Instance with
            | true, told ->
                { report with
                    Evidence = evidenceOf machineEvidence (told.ToArray())
                    Jobs =
                        told.ToArray()
                        |> Array.groupBy idOf
                        |> Array.filter (fun (id, _) -> id <> "")
                        |> Array.sortBy fst
                        |> Array.map (fun (id, told) -> jobOf report.Report.CollectedAt id told)
                        |> Array.filter _.IsSome
                        |> Array.map ValueOption.get
                        |> Array.truncate JobSchema.MostJobs
                }
            | _ -> report)
