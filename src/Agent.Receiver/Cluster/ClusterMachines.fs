namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open System.Text
open Agent.Core
open Agent.Core.Units
open Agent.Receiver

/// A machine that was found in a cluster.
[<Struct; NoComparison>]
type FoundMachine =
    {
        /// Which.
        Machine: ClusterMachine
        /// When its newest sample was taken, in seconds since 1970.
        At: float
    }

/// The greatest use of a machine in a minute.
[<Struct; NoComparison>]
type MinuteUse =
    {
        /// Which.
        Machine: ClusterMachine
        /// In minutes from 2000-01-01.
        Minute: int64
        /// In per cent; NaN where it is not told.
        Cpu: float
        /// That of its busiest GPU, in per cent; NaN where it is not told.
        Gpu: float
    }

/// Machines of a cluster and what is said of them.
[<RequireQualifiedAccess>]
module ClusterMachines =
    /// From one look at the fleet to the next, in seconds.
    [<Literal>]
    let LookSeconds = 10.0

    /// Machines that are asked about at once, so that no answer grows beyond a few megabytes.
    [<Literal>]
    let MostAtOnce = 100

    /// CPUs one by one are shown live where there are no more machines.
    [<Literal>]
    let MostWithCores = 100

    /// The longest time to the next look while a cluster does not answer, in seconds: one small query costs it nothing, and people wait for the page.
    [<Literal>]
    let LongestPauseSeconds = 15.0

    /// How long to wait for the next look: after a failure a little longer, at random (from 0 to 1), so that several dashboards do not come back at once.
    [<CompiledName "Pause">]
    let pause (hasFailed: bool) (random: float) : TimeSpan =
        if hasFailed then
            TimeSpan.FromSeconds(LookSeconds + (LongestPauseSeconds - LookSeconds) * Math.Clamp(random, 0.0, 1.0))
        else
            TimeSpan.FromSeconds LookSeconds

    /// So many questions about machines may come to nothing in one look since the answers are too large: with one such machine in a hundred, eight do.
    [<Literal>]
    let MostTooLarge = 16

    /// For so many seconds a machine is not asked about of which the answer was too large.
    [<Literal>]
    let LeftOutSeconds = 600.0

    /// The longest name of a machine.
    [<Literal>]
    let LongestInstance = 255

    /// The machines of the answer to `ClusterQueries.discovery`, each instance once: of several jobs that tell of one, the one that knows the newest.
    [<CompiledName "Found">]
    let found (series: ClusterSeries[]) : FoundMachine[] =
        let newest = Dictionary<string, FoundMachine>(StringComparer.Ordinal)

        for one in series do
            let machine =
                {
                    Machine =
                        {
                            Job = one.Label "job"
                            Instance = one.Label "instance"
                        }
                    At = if one.Values.Length > 0 then Array.last one.Values else nan
                }

            if
                machine.Machine.Instance <> ""
                && machine.Machine.Instance.Length <= LongestInstance
                && not (Double.IsNaN machine.At)
            then
                match newest.TryGetValue machine.Machine.Instance with
                | true, known when known.At >= machine.At -> ()
                | _ -> newest[machine.Machine.Instance] <- machine

        newest.Values |> Seq.sortBy _.Machine.Instance |> Array.ofSeq

    /// Characters of the names of machines that are asked about at once: queries may not be longer than 16 KiB.
    [<Literal>]
    let LongestNames = 6_000

    /// Machines in the portions in which they are asked about.
    [<CompiledName "Portions">]
    let portions (machines: ClusterMachine[]) : ClusterMachine[][] =
        let found = ResizeArray<ClusterMachine[]>()
        let current = ResizeArray<ClusterMachine>()
        let mutable length = 0

        for one in machines do
            if
                current.Count > 0
                && (current.Count = MostAtOnce || length + one.Instance.Length > LongestNames)
            then
                found.Add(current.ToArray())
                current.Clear()
                length <- 0

            current.Add one
            length <- length + one.Instance.Length

        if current.Count > 0 then
            found.Add(current.ToArray())

        found.ToArray()

    /// The answer to `ClusterQueries.topUseForm`: CPU and GPUs of a minute apart.
    [<CompiledName "MinuteUses">]
    let minuteUses (series: ClusterSeries[]) : MinuteUse[] =
        [|
            for one in series do
                let isGpu = one.Label "k" = "gpu"

                for i in 0 .. one.Times.Length - 1 do
                    {
                        Machine =
                            {
                                Job = one.Label "job"
                                Instance = one.Label "instance"
                            }
                        Minute = RowKey.minuteAt one.Times[i]
                        Cpu = if isGpu then nan else one.Values[i]
                        Gpu = if isGpu then one.Values[i] else nan
                    }
        |]

    /// The slug of a new machine: that of its name, with a number behind it where another has that.
    [<CompiledName "SlugOf">]
    let slugOf (instance: string) (taken: Func<string, bool>) : string =
        let slug = Registration.slugOf instance

        if not (taken.Invoke slug) then
            slug
        else
            Seq.initInfinite (fun index ->
                let suffix = $"-{index + 2}"

                slug.Substring(0, min slug.Length (Registration.LongestSlug - suffix.Length))
                + suffix)
            |> Seq.find (taken.Invoke >> not)

    /// The registration of a new machine. Nobody has its token: its samples come from the cluster alone.
    [<CompiledName "Registered">]
    let registered (instance: string) (slug: string) (id: int) (now: DateTimeOffset) (nobodysToken: byte[]) : Registration =
        {
            Id = id
            Slug = slug
            Name = Intake.cut 120 instance
            Hostname = Intake.cut LongestInstance instance
            Description = ""
            IsActive = true
            CreatedAt = now
            TokenHash = nobodysToken
        }

    /// What an agent says of itself, as far as a cluster has it.
    [<CompiledName "AgentOf">]
    let agentOf (report: ClusterReport) : byte[] =
        Encode.object
            [|
                "version", Encode.string report.Version
                "hostname", Encode.string report.Machine.Instance
                "labels",
                report.Labels
                |> Array.map (fun (struct (name, value)) -> name, Encode.string value)
                |> Encode.object
            |]
        |> Encode.toString 0
        |> Encoding.UTF8.GetBytes

    /// A job with its label as old as it was before, where it is the same.
    let private since (before: Judgement voption) (job: ReportedJob) : ReportedJob =
        let known =
            match before with
            | ValueSome before ->
                before.Jobs
                |> Array.tryFind (fun other -> other.Id = job.Id && other.Verdict.Label.Name = job.Verdict.Label.Name)
            | ValueNone -> None

        match known with
        | Some known ->
            { job with
                Verdict =
                    { job.Verdict with
                        Since = known.Verdict.Since
                    }
            }
        | None -> job

    /// What is said of a machine: the label that its agent gives, with the dashboard's own sentence where it comes to the same label from the samples,
    /// else with one of the figures that decided. Sentences are in no cluster. Where the agent says nothing, as it does while no job uses a GPU, the dashboard's word stands.
    [<CompiledName "Judge">]
    let judge
        (at: DateTimeOffset)
        (said: (struct (VerdictLabel * float)) voption)
        (evidence: Witness[])
        (jobs: ReportedJob[])
        (own: Judgement voption)
        (before: Judgement voption)
        : Judgement voption =
        match said with
        | ValueNone -> own
        | ValueSome(struct (label, confidence)) ->
            let machineSince =
                match before with
                | ValueSome before when before.Machine.Label.Name = label.Name -> before.Machine.Since
                | _ -> at

            let machine =
                match own with
                | ValueSome own when own.Machine.Label.Name = label.Name -> own.Machine
                | _ ->
                    {
                        Label = label
                        Second = ValueNone
                        Since = machineSince
                        Confidence = confidence
                        Reason = Verdict.reasonOf evidence
                        Fix = Verdict.usualFix label
                        Evidence = evidence
                        RuledOut = [||]
                    }

            ValueSome
                {
                    Source = JudgementSource.Agent
                    Machine =
                        { machine with
                            Since = machineSince
                            Confidence = confidence
                        }
                    Jobs = jobs |> Array.map (since before)
                }

    /// So much before an instant is looked at to say what was said then, in microseconds: the dashboard's own word is about the last minute.
    let saidWindow: int64 = 180L * 1_000_000L

    /// Since when the last verdict of some samples holds: as they show it or, where it is older than they are, as `ClusterQueries.verdictChanges` was
    /// answered.
    let private sinceOf (verdict: Verdict) (oldest: DateTimeOffset) (changes: ClusterSeries[]) : DateTimeOffset =
        let told (kind: string) =
            changes
            |> Array.tryFind (fun one -> one.Label "k" = kind && one.Label "label" = verdict.Label.Name)
            |> Option.bind (fun one -> Array.tryLast one.Values)
            |> Option.filter (fun seconds -> seconds > 0.0 && seconds < float (oldest.ToUnixTimeSeconds()))

        match told "not" |> Option.orElse (told "first") with
        | Some seconds when verdict.Since <= oldest -> DateTimeOffset.UnixEpoch.AddSeconds seconds
        | _ -> verdict.Since

    /// What was said with the last of some samples of a machine: when that was, in microseconds, and the text as a database keeps it. None where
    /// nothing was.
    [<CompiledName "SaidBy">]
    let saidBy (reports: ClusterReport[]) (changes: ClusterSeries[]) : struct (int64 * string) voption =
        let mutable state = VerdictState.Empty
        let mutable previous = ValueNone
        let mutable judgement = ValueNone

        for one in reports do
            let measured = Derivation.measure one.Report
            let struct (next, own) = Judging.step state previous measured
            state <- next
            previous <- ValueSome measured
            judgement <- judge one.Report.CollectedAt one.Said one.Evidence one.Jobs own judgement

        match judgement with
        | ValueNone -> ValueNone
        | ValueSome said ->
            let since = sinceOf said.Machine reports[0].Report.CollectedAt changes

            ValueSome(
                struct (RowKey.microseconds (Array.last reports).Report.CollectedAt,
                        JudgementRecord.kept
                            { said with
                                Machine = { said.Machine with Since = since }
                            })
            )
