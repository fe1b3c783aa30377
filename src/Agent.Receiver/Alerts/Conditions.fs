namespace Agent.Receiver.Alerts

open System
open System.Globalization
open Agent.Core
open Agent.Receiver

/// A file system of a machine.
[<Struct>]
type FileSystem =
    {
        /// Where it is mounted.
        MountPoint: string
        /// Used as a share of used and free, in per cent.
        Percent: float
    }

/// An XID event that the dashboard has noted.
[<Struct>]
type XidEvent =
    {
        /// In microseconds from 2000-01-01.
        At: int64
        /// As it was noted.
        Text: string
    }

/// How far a machine's samples had come at a look.
[<Struct>]
type Progress =
    {
        /// When that was, by the receiver's clock.
        LookedAt: DateTimeOffset
        /// When its newest sample was taken, by its own clock.
        CollectedAt: DateTimeOffset
    }

/// What is found on machines, and on the dashboard itself.
[<RequireQualifiedAccess>]
module Conditions =
    /// An XID event is looked at for so long, in microseconds; a fault that it leaves behind is seen for itself.
    let xidStays: int64 = 10L * RowKey.MicrosecondsPerMinute

    /// File systems of a machine that are looked at.
    [<Literal>]
    let MostFileSystems = 64

    /// The file systems among what an agent says of itself. One whose use is not known, or that cannot be read, costs itself alone.
    [<CompiledName "FileSystemsOf">]
    let fileSystemsOf (agent: string) : FileSystem[] =
        let fileSystem =
            Decode.object (fun get ->
                {
                    MountPoint = get.Required.Field "mountpoint" (Decode.map (Intake.cut 128) Decode.string)
                    Percent = get.Required.Field "percent" Decode.float
                })

        let orNone: Decoder<FileSystem voption> =
            fun path element ->
                match fileSystem path element with
                | Ok found -> Ok(ValueSome found)
                | Error _ -> Ok ValueNone

        if agent = "" then
            [||]
        else
            match Decode.fromString (Decode.optional "system_info" (Decode.optional "partitions" (Decode.array orNone))) agent with
            | Ok(Some(Some found)) -> found |> Array.collect ValueOption.toArray |> Array.truncate MostFileSystems
            | _ -> [||]

    let private figure (value: float) (digits: int) =
        Math.Round(value, digits).ToString CultureInfo.InvariantCulture

    let private clockTime (at: DateTimeOffset) =
        at.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture)

    let private nameOf (job: ReportedJob) =
        let name = if job.Name = "" then job.Id else job.Name
        if job.User = "" then name else $"{name} of {job.User}"

    let private ruleOf (label: VerdictLabel) : string =
        match label with
        | VerdictLabel.GpuFault -> Rules.GpuFault
        | VerdictLabel.Hang -> Rules.Hang
        | VerdictLabel.HeldIdle -> Rules.HeldIdle
        | VerdictLabel.Throttled -> Rules.Throttled
        | label when (Severity.ofLabel label).IsHeldBack -> Rules.heldBackBy label
        | _ -> ""

    /// What is wrong with a machine, or with a job on it.
    let private whatOf (label: VerdictLabel) (machine: string) (job: string) : string =
        match label, job with
        | VerdictLabel.GpuFault, _ -> $"{machine} has a broken GPU"
        | VerdictLabel.Hang, "" -> $"{machine} stands still"
        | VerdictLabel.Hang, _ -> $"{job} on {machine} hangs"
        | VerdictLabel.HeldIdle, "" -> $"GPUs of {machine} are held and not used"
        | VerdictLabel.HeldIdle, _ -> $"{job} on {machine} holds GPUs and does not use them"
        | VerdictLabel.Throttled, "" -> $"GPUs of {machine} are slowed down"
        | VerdictLabel.Throttled, _ -> $"{job} on {machine} runs on slowed GPUs"
        | _, "" -> $"{machine} is held back by {label.Name}"
        | _ -> $"{job} on {machine} is held back by {label.Name}"

    /// When a verdict began, by the receiver's clock.
    let private sinceOf (latest: StoredSample voption) (verdict: Verdict) : int64 =
        match latest with
        | ValueSome sample ->
            let age = sample.Report.CollectedAt - verdict.Since
            RowKey.microseconds (sample.ReceivedAt - max TimeSpan.Zero age)
        | ValueNone -> -1L

    let private ofVerdict (view: ServerView) (subject: string) (job: string) (verdict: Verdict) : Finding =
        {
            Rule = ruleOf verdict.Label
            Subject = subject
            Value = 100.0 * verdict.Confidence
            Since = sinceOf view.Latest verdict
            Say = fun () -> struct (whatOf verdict.Label view.Registration.Name job, verdict.Reason.TrimEnd '.')
        }

    /// What is said of a machine and of its jobs. A verdict of the machine that is that of a job counts once, as the job's.
    let private verdicts (view: ServerView) : Finding[] =
        match view.Judgement with
        | ValueNone -> [||]
        | ValueSome judgement ->
            let jobs =
                judgement.Jobs
                |> Array.filter (fun job -> ruleOf job.Verdict.Label <> "" && not job.Verdict.Label.IsGpuFault)

            [|
                for job in jobs do
                    ofVerdict view (Intake.cut 128 job.Id) (nameOf job) job.Verdict

                if
                    ruleOf judgement.Machine.Label <> ""
                    && not (
                        jobs
                        |> Array.exists (fun job -> job.Verdict.Label.Name = judgement.Machine.Label.Name)
                    )
                then
                    ofVerdict view "" "" judgement.Machine
            |]

    let private xids (name: string) (events: XidEvent[]) : Finding[] =
        events
        |> Array.choose (fun event ->
            let rule =
                match Happenings.xidOf event.Text with
                | ValueSome code ->
                    match Causes.Xid.action code with
                    | Causes.Xid.Action.Reset
                    | Causes.Xid.Action.Reboot -> Rules.XidHardware
                    | Causes.Xid.Action.RestartProgram -> Rules.XidProgram
                    | Causes.Xid.Action.Report -> Rules.XidOther
                    | Causes.Xid.Action.Nothing -> ""
                | ValueNone -> ""

            if rule = "" then
                None
            else
                Some
                    {
                        Rule = rule
                        Subject = Intake.cut 128 event.Text
                        Value = 1.0
                        Since = event.At
                        Say = fun () -> struct ($"{name} reports {event.Text}", "")
                    })

    let private used rule subject (value: float voption) (what: float -> string) : Finding[] =
        match value with
        | ValueNone -> [||]
        | ValueSome value ->
            [|
                {
                    Rule = rule
                    Subject = subject
                    Value = value
                    Since = -1L
                    Say = fun () -> struct (what value, "")
                }
            |]

    let private figures (view: ServerView) (fileSystems: FileSystem[]) : Finding[] =
        let name = view.Registration.Name

        let decimal index =
            view.Latest
            |> ValueOption.bind (fun sample -> sample.Report.Machine.Decimal index)

        [|
            yield! used Rules.MemoryFull "" (decimal Schema.memoryPercent) (fun value -> $"Memory of {name} is {figure value 1} %% full")
            yield! used Rules.SwapFull "" (decimal Schema.swapPercent) (fun value -> $"Swap space of {name} is {figure value 1} %% full")
            for one in fileSystems do
                yield!
                    used Rules.DiskFull one.MountPoint (ValueSome one.Percent) (fun value ->
                        $"{one.MountPoint} on {name} is {figure value 1} %% full")
        |]

    /// A machine as it is seen. `heardSince` is the instant since which samples are received and stored; none while they are not.
    [<CompiledName "OfMachine">]
    let ofMachine
        (now: DateTimeOffset)
        (heardSince: DateTimeOffset voption)
        (labels: string[])
        (fileSystems: FileSystem[])
        (events: XidEvent[])
        (view: ServerView)
        : MachineSeen =
        let seen standing findings =
            {
                Server = view.Registration.Id
                Slug = view.Registration.Slug
                Name = view.Registration.Name
                Labels = labels
                Standing = standing
                Findings = findings
            }

        match Attention.stateOf view.Registration.IsActive view.LastSeen view.Interval now, view.LastSeen, heardSince with
        | ServerState.Disabled, _, _ -> seen Standing.Retired [||]
        | ServerState.Stale, ValueSome last, ValueSome heard ->
            // Nothing could be heard before.
            let since = max last heard

            if now - since <= Attention.staleAfter view.Interval then
                seen Standing.Unknown [||]
            else
                seen
                    Standing.Silent
                    [|
                        {
                            Rule = Rules.MachineSilent
                            Subject = ""
                            Value = 1.0
                            Since = RowKey.microseconds since
                            Say = fun () -> struct ($"{view.Registration.Name} sends nothing", $"its last sample came at {clockTime last}")
                        }
                    |]
        | ServerState.Live, _, _ ->
            let verdicts = verdicts view

            // A fault's sentence names the event.
            let xids =
                if verdicts |> Array.exists (fun finding -> finding.Rule = Rules.GpuFault) then
                    [||]
                else
                    xids view.Registration.Name events

            seen Standing.Known (Array.concat [ verdicts; xids; figures view fileSystems ])
        | _ -> seen Standing.Unknown [||]

    // From one sample to the next, and what a look may come late.
    let private slack (view: ServerView) =
        let interval = view.Interval |> ValueOption.defaultValue 0.0
        TimeSpan.FromSeconds(10.0 + 1.5 * interval)

    /// Before anything is known of its clock, a machine's samples may be so old.
    let private usualDelay = TimeSpan.FromMinutes 2.0

    /// Whether a machine sends what it kept during an outage: its samples come faster than they were taken, so what they say is past. `before` is the look
    /// before; where there is none, samples that are old count as such. A clock that is off but goes on does not.
    [<CompiledName "IsCatchingUp">]
    let isCatchingUp (before: Progress voption) (now: DateTimeOffset) (view: ServerView) : bool =
        match view.Latest, before with
        | ValueNone, _ -> false
        | ValueSome stored, ValueSome before ->
            let taken = stored.Report.CollectedAt - before.CollectedAt
            taken > 2.0 * (now - before.LookedAt) + slack view
        | ValueSome stored, ValueNone -> stored.ReceivedAt - stored.Report.CollectedAt > usualDelay + slack view

    /// A machine of which nothing is said but the past: nothing begins and nothing ends.
    [<CompiledName "OfPast">]
    let ofPast (seen: MachineSeen) : MachineSeen =
        if seen.Standing = Standing.Known then
            { seen with
                Standing = Standing.Unknown
                Findings = [||]
            }
        else
            seen

    /// The dashboard itself. `certificateEnds` is none without TLS, `diskUsed` (in per cent) where it cannot be told.
    [<CompiledName "OfDashboard">]
    let ofDashboard (now: DateTimeOffset) (certificateEnds: DateTimeOffset voption) (diskUsed: float voption) : MachineSeen =
        {
            Server = 0
            Slug = ""
            Name = ""
            Labels = [||]
            Standing = Standing.Known
            Findings =
                [|
                    match certificateEnds with
                    | ValueNone -> ()
                    | ValueSome ends ->
                        let verb = if ends < now then "ended" else "ends"

                        {
                            Rule = Rules.CertificateEnds
                            Subject = ""
                            Value = (ends - now).TotalDays
                            Since = -1L
                            Say =
                                fun () ->
                                    struct ($"The dashboard's certificate {verb} on {clockTime ends}",
                                            "put a new one in the place of the file that --tls-certificate names")
                        }
                    yield!
                        used Rules.DashboardDiskFull "" diskUsed (fun value ->
                            $"The disk with the dashboard's database is {figure value 1} %% full")
                |]
        }
