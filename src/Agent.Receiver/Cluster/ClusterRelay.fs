namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Units
open Agent.Outbound
open Agent.Receiver

/// What the relay of posted samples to a cluster has done so far.
[<NoComparison>]
type RelayFigures =
    {
        /// Samples in the outbox.
        Waiting: int64
        /// Bytes of the outbox's files.
        Bytes: int64
        /// Samples that the cluster has.
        Delivered: int64
        /// Samples that were sent again after an answer was lost, and that the cluster says it has or is past.
        Unconfirmed: int64
        /// Samples that the cluster refused because of their content.
        Refused: int64
        /// Series in delivered samples that the cluster refused.
        RefusedSeries: int64
        /// Samples whose bytes did not survive on the disk.
        Damaged: int64
        /// Samples that were answered with 503, since the outbox was full or the disk did not take them.
        NotTaken: int64
        /// Why nothing is delivered at present; empty where that is not so.
        Problem: string
    }

/// Gathers the values of families. A label of the metric's own beats one of the machine, as in what agents write.
[<Sealed>]
type internal SeriesValues(machine: (struct (string * string))[]) =
    inherit MetricSink()

    let values = List<SeriesValue>()
    let own = List<struct (string * string)>()
    let mutable family = ""
    let mutable kind = MetricKind.Untyped

    let isOwn (name: string) =
        own.Exists(fun (struct (told, _)) -> told = name)

    /// What was gathered.
    member _.Values: SeriesValue[] = values.ToArray()

    override _.WantsFamiliesWhole = false

    override _.Family(name, itsKind, _) =
        family <- name
        kind <- itsKind
        own.Clear()

    override _.Label(name, value) =
        if value <> "" then
            own.Add(struct (name, value))

    override this.Whole value = this.Value(float value)

    override _.Value value =
        if Double.IsFinite value then
            values.Add
                {
                    Kind = kind
                    Labels =
                        [|
                            struct ("__name__", family)
                            yield! own
                            yield! machine |> Array.filter (fun (struct (name, _)) -> not (isOwn name))
                        |]
                    Value = value
                }

        own.Clear()

/// Posted samples on their way to a cluster: what is written there of them, and by which name their machine goes.
[<RequireQualifiedAccess>]
module ClusterRelay =
    /// The label `job` of what is written, which is that of the agent's own remote-write.
    let job: string =
        RemoteWrite.machineLabels "" [||]
        |> Array.pick (fun (struct (name, value)) -> if name = "job" then Some value else None)

    /// From one attempt to the next at first, and no more than so many seconds.
    [<Literal>]
    let IntervalSeconds = 2.0

    /// For so many seconds an answer is waited for.
    [<Literal>]
    let DeadlineSeconds = 30.0

    /// The outbox's bytes where nothing else is given.
    let defaultLimit: int64 = int64 (bytesOfMib 1000UL<MiB>)

    let private counters =
        HashSet<string>(
            seq {
                for things in ClusterMetrics.all do
                    for metric in ClusterMetrics.distinct things do
                        if metric.IsCounter then
                            metric.Family
            },
            StringComparer.Ordinal
        )

    let private kindOf (family: string) : MetricKind =
        if counters.Contains family then
            MetricKind.Counter
        elif family = ClusterMetrics.bottleneck then
            MetricKind.StateSet
        else
            MetricKind.Gauge

    /// The name by which a registered machine goes in the cluster: its host name where the cluster has that, else its slug, which is what an agent
    /// with `--slug` writes itself.
    [<CompiledName "InstanceOf">]
    let instanceOf (registration: Registration) (isThere: Func<string, bool>) : string =
        if registration.Hostname <> "" && isThere.Invoke registration.Hostname then
            registration.Hostname
        else
            registration.Slug

    /// A sample as values of series, with what holds the machine back and what was said of it.
    let internal valuesOf
        (instance: string)
        (report: Report)
        (bottleneck: BottleneckLabel voption)
        (said: (struct (VerdictLabel * float)) voption)
        : SeriesValue[] =
        let machine = RemoteWrite.machineLabels instance [||]

        ClusterReports.ofReport report bottleneck said
        |> Array.map (fun value ->
            {
                Kind = kindOf value.Family
                Labels = [| struct ("__name__", value.Family); yield! value.Labels; yield! machine |]
                Value = value.Value
            })

    /// What the GPU time of a machine's jobs went into after one more sample, its newest, with what was said of it. Counters begin anew after a
    /// silence as long as a job may be away: where another dashboard has counted meanwhile, going on would count its time once more.
    [<CompiledName "Accounts">]
    let accounts (at: DateTimeOffset) (judgement: Judgement voption) (before: JobAccounts) : JobAccounts =
        let now = at - DateTimeOffset.UnixEpoch

        let known =
            if now - before.At > JobRecord.same then
                JobAccounts.Empty
            else
                before

        JobAccounts.after now (known.Scrapes + 1L) [||] [||] (judgement |> ValueOption.map ReportedJobs.reportOf) known

    /// A posted sample as values of series: with its jobs by the families that agents write themselves.
    let internal postedValues
        (instance: string)
        (machineJob: string)
        (report: Report)
        (bottleneck: BottleneckLabel)
        (judgement: Judgement voption)
        (accounts: JobAccounts)
        : SeriesValue[] =
        let jobs = SeriesValues(RemoteWrite.machineLabels instance [||])
        JobMetrics.writePosted jobs report.CollectedAt machineJob (judgement |> ValueOption.map ReportedJobs.reportOf) accounts
        Array.append (valuesOf instance report (ValueSome bottleneck) ValueNone) jobs.Values

    /// The same as a record for the outbox, by the version of the protocol that the cluster is sent: another one costs more to send.
    [<CompiledName "Record">]
    let record
        (version: RemoteWriteVersion)
        (instance: string)
        (machineJob: string)
        (report: Report)
        (bottleneck: BottleneckLabel)
        (judgement: Judgement voption)
        (accounts: JobAccounts)
        : byte[] =
        postedValues instance machineJob report bottleneck judgement accounts
        |> RemoteWrite.recordOf version (report.CollectedAt.ToUnixTimeMilliseconds())

    /// Whether an outbox of so many bytes takes a record of so many more, with its line end.
    [<CompiledName "HasRoom">]
    let hasRoom (limit: int64) (size: int64) (record: int) : bool = size + int64 record + 1L <= limit

    /// Why a sample is not taken, for its answer and the log.
    [<CompiledName "Full">]
    let full (limit: int64) (directory: string) : string =
        $"the outbox has the {limit / int64 (bytesOfMib 1UL<MiB>)} MiB of --metrics-outbox-mebibytes in {directory}, and the cluster accepts nothing"
