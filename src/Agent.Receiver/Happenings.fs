namespace Agent.Receiver

open System
open Agent.Core
open Agent.Core.Causes
open Agent.Core.Gpu

/// What can happen to a machine, a GPU or a job.
[<RequireQualifiedAccess>]
type EventKind =
    /// The machine started again.
    | Reboot
    /// Its agent started, or another version of it did.
    | AgentStart
    /// A GPU is not reported any more.
    | GpuLost
    /// It is again.
    | GpuBack
    /// The driver reported an error of a GPU.
    | Xid
    /// A GPU is slowed down by heat or by its power supply.
    | Throttle
    /// It is not any more.
    | ThrottleEnd
    /// A job began.
    | JobBegin
    /// A job ended.
    | JobEnd
    /// Something else holds the machine back.
    | Verdict
    /// Somebody wrote it down: "epoch 3".
    | Annotation
    /// An alert began or ended.
    | Alert

    /// Its name in answers and in the database.
    member kind.Name: string =
        match kind with
        | Reboot -> "reboot"
        | AgentStart -> "agent-start"
        | GpuLost -> "gpu-lost"
        | GpuBack -> "gpu-back"
        | Xid -> "xid"
        | Throttle -> "throttle"
        | ThrottleEnd -> "throttle-end"
        | JobBegin -> "job-begin"
        | JobEnd -> "job-end"
        | Verdict -> "verdict"
        | Annotation -> "annotation"
        | Alert -> "alert"

    /// All of them.
    static member val All: EventKind[] =
        [|
            Reboot
            AgentStart
            GpuLost
            GpuBack
            Xid
            Throttle
            ThrottleEnd
            JobBegin
            JobEnd
            Verdict
            Annotation
            Alert
        |]

/// Something that happened.
type Happening =
    {
        /// Microseconds from 2000-01-01.
        At: int64
        /// What it is.
        Kind: EventKind
        /// A sentence without its full stop.
        Text: string
    }

/// What an agent says about itself that shows a start.
type AgentFacts =
    {
        /// When the machine started.
        Boot: DateTimeOffset voption
        /// Its process; -1 when unknown.
        Pid: int64
        /// Its version; empty when unknown.
        Version: string
    }

/// A GPU as it was seen last.
type SeenGpu =
    {
        /// `GPU 3 (NVIDIA H100 80GB HBM3)`
        Name: string
        /// When it was reported last.
        LastSeen: int64
        /// Whether it was told that it is lost.
        IsLost: bool
        /// XID events since its agent started; -1 when unknown.
        Xids: int64
        /// Since when it is slowed down by heat or power, as far as was told; -1 for not.
        SlowSince: int64
        /// When it was slowed last.
        LastSlow: int64
    }

/// What is remembered of a machine, to see what happens.
type Watched =
    {
        /// Of its agent.
        Agent: AgentFacts voption
        /// Its GPUs, by UUID, or by index where that is unknown.
        Gpus: Map<string, SeenGpu>
    }

/// Sees what happens from one sample to the next.
[<RequireQualifiedAccess>]
module Happenings =
    /// Nothing was seen yet.
    let nothing: Watched = { Agent = ValueNone; Gpus = Map.empty }

    let private second = 1_000_000L

    /// A GPU that is missing for so long is lost: one look at it may fail.
    let private lostAfter = 10L * second

    /// A GPU that was not slowed for so long runs freely again.
    let private freeAfter = 30L * second

    /// Clocks jump a little; boots are further apart.
    let private sameBoot = TimeSpan.FromSeconds 90.0

    /// So many GPUs are remembered.
    let private mostGpus = 500

    /// nvml.h: hardware slowdown, software thermal, hardware thermal, power brake.
    let private slowBits = 0x8L ||| 0x20L ||| 0x40L ||| 0x80L

    /// What the text says that an agent sent of itself; it may be empty.
    [<CompiledName "FactsOf">]
    let factsOf (agent: string) : AgentFacts voption =
        let decoder =
            Decode.object (fun get ->
                {
                    Boot =
                        match get.Optional.Field "system_info" (Decode.optional "boot_time" Decode.string) with
                        | Some(Some text) -> Intake.instantOf text
                        | _ -> ValueNone
                    Pid = get.Optional.Field "pid" Decode.int64 |> Option.defaultValue -1L
                    Version =
                        get.Optional.Field "version" Decode.string
                        |> Option.defaultValue ""
                        |> Intake.cut 64
                })

        if agent = "" then
            ValueNone
        else
            match Decode.fromString decoder agent with
            | Ok facts -> ValueSome facts
            | Error _ -> ValueNone

    /// The reasons for which a GPU is told to be slowed down.
    let internal slowReasons: string[] = Throttle.reasonsOf (uint64 slowBits)

    // How each thing is told.

    let private happening at kind text = { At = at; Kind = kind; Text = text }

    let internal rebooted at =
        happening at EventKind.Reboot "the machine started"

    let internal started at =
        happening at EventKind.AgentStart "the agent started"

    let internal updated at (now: string) (was: string) =
        happening at EventKind.AgentStart $"the agent started as version {now}, which was {was}"

    let internal gpuLost at (name: string) =
        happening at EventKind.GpuLost $"{name} is not reported any more"

    let internal gpuBack at (name: string) =
        happening at EventKind.GpuBack $"{name} is back"

    let internal slowed at (name: string) (reasons: string[]) =
        let reasons = String.Join(", ", reasons)
        happening at EventKind.Throttle $"{name} is slowed down: {reasons}"

    let internal freed at (name: string) =
        happening at EventKind.ThrottleEnd $"{name} is no longer slowed down"

    let internal failed at (name: string) (code: int64) =
        let words =
            if code >= 0L && code < 1000L then
                Xid.description (int code)
            else
                ""

        let words = if words = "" then "" else $": {words}"
        happening at EventKind.Xid $"XID {code} of {name}{words}"

    /// Something else holds a machine back: a label, and a sentence, which may be empty.
    [<CompiledName "Judged">]
    let judged (at: int64) (label: string) (reason: string) : Happening =
        let reason = reason.TrimEnd '.'
        happening at EventKind.Verdict (if reason = "" then label else $"{label}: {reason}")

    let private agentEvents (at: int64) (before: AgentFacts voption) (now: AgentFacts voption) : Happening list =
        match before, now with
        | ValueSome before, ValueSome now ->
            let hasBooted =
                match before.Boot, now.Boot with
                | ValueSome one, ValueSome other -> other - one > sameBoot
                | _ -> false

            [
                if hasBooted then
                    let at = now.Boot |> ValueOption.map RowKey.microseconds |> ValueOption.defaultValue at
                    rebooted at

                if before.Version <> now.Version && now.Version <> "" then
                    updated at now.Version before.Version
                elif before.Pid <> now.Pid && now.Pid >= 0L then
                    started at
            ]
        | _ -> []

    let private nameOf (gpu: GpuReport) =
        if gpu.Name = "" then
            $"GPU {gpu.Index}"
        else
            $"GPU {gpu.Index} ({gpu.Name})"

    let private keyOf (gpu: GpuReport) =
        if gpu.Uuid <> "" then gpu.Uuid else string gpu.Index

    let private wholeAt name =
        let index = Array.IndexOf(Schema.gpu.Integers, name)

        fun (gpu: GpuReport) -> if index < 0 then -1L else gpu.Figures.Integers[index]

    let private xidCount = wholeAt "xid_count"
    let private xidLast = wholeAt "xid_last"
    let private throttleOf = wholeAt "throttle_reasons"

    let private wordsOf (reasons: int64) =
        Throttle.reasonsOf (uint64 (reasons &&& slowBits))

    let private xidEvents at (name: string) (before: int64) (gpu: GpuReport) : Happening list =
        let count = xidCount gpu

        // A count that falls is that of an agent that started anew.
        let isNew = count > 0L && (before >= 0L && count > before || before > 0L && count < before)

        if isNew then [ failed at name (xidLast gpu) ] else []

    /// The code in the text of an XID event, as it was written down.
    [<CompiledName "XidOf">]
    let xidOf (text: string) : int voption =
        let words = text.Split(' ', 3)

        match words with
        | [| "XID"; code; _ |] ->
            match Int32.TryParse(code, Globalization.NumberStyles.None, Globalization.CultureInfo.InvariantCulture) with
            | true, code -> ValueSome code
            | _ -> ValueNone
        | _ -> ValueNone

    let private gpuEvents (at: int64) (before: SeenGpu voption) (gpu: GpuReport) : struct (SeenGpu * Happening list) =
        let name = nameOf gpu
        let reasons = max 0L (throttleOf gpu)
        let isSlow = reasons &&& slowBits <> 0L

        let known =
            before
            |> ValueOption.defaultValue
                {
                    Name = name
                    LastSeen = at
                    IsLost = false
                    Xids = xidCount gpu
                    SlowSince = -1L
                    LastSlow = -1L
                }

        let slowSince, slowEvents =
            match known.SlowSince, isSlow with
            | -1L, true -> at, [ slowed at name (wordsOf reasons) ]
            | since, false when since >= 0L && at - known.LastSlow >= freeAfter -> -1L, [ freed known.LastSlow name ]
            | since, _ -> since, []

        let now =
            {
                Name = name
                LastSeen = at
                IsLost = false
                Xids = xidCount gpu
                SlowSince = slowSince
                LastSlow = if isSlow then at else known.LastSlow
            }

        let back = if known.IsLost then [ gpuBack at name ] else []

        struct (now, back @ slowEvents @ xidEvents at name known.Xids gpu)

    let private missing (at: int64) (gpu: SeenGpu) : struct (SeenGpu * Happening list) =
        if not gpu.IsLost && at - gpu.LastSeen >= lostAfter then
            struct ({ gpu with IsLost = true }, [ gpuLost gpu.LastSeen gpu.Name ])
        else
            struct (gpu, [])

    /// What one more sample shows, the newest, and what is remembered then. `agent` is what its agent said of itself last.
    [<CompiledName "Step">]
    let step (watched: Watched) (report: Report) (agent: AgentFacts voption) : struct (Watched * Happening[]) =
        let at = RowKey.microseconds report.CollectedAt

        let present =
            report.Gpus
            |> Array.map (fun gpu ->
                let key = keyOf gpu
                let before = watched.Gpus |> Map.tryFind key
                let struct (now, events) = gpuEvents at (ValueOption.ofOption before) gpu
                key, now, events)

        let keys = present |> Array.map (fun (key, _, _) -> key) |> Set.ofArray

        let absent =
            watched.Gpus
            |> Map.toArray
            |> Array.filter (fun (key, _) -> not (keys.Contains key))
            |> Array.map (fun (key, gpu) ->
                let struct (now, events) = missing at gpu
                key, now, events)

        let all = Array.append present absent

        let events =
            [|
                yield! agentEvents at watched.Agent agent
                for _, _, events in all do
                    yield! events
            |]

        struct ({
                    Agent =
                        match agent with
                        | ValueSome _ -> agent
                        | ValueNone -> watched.Agent
                    Gpus =
                        all
                        |> Array.truncate mostGpus
                        |> Array.map (fun (key, now, _) -> key, now)
                        |> Map.ofArray
                },
                events)

/// What somebody wants to be written down.
type Note =
    {
        /// At most 200 characters, on one line.
        Text: string
        /// When it was; none for now.
        At: DateTimeOffset voption
        /// Of which machine; empty for all of them.
        Slug: string
    }

/// Reading notes.
[<RequireQualifiedAccess>]
module Note =
    /// A request has so many bytes at most.
    [<Literal>]
    let LongestBody = 4096

    /// A text has so many characters at most.
    [<Literal>]
    let LongestText = 200

    let private refuse detail =
        Error
            {
                Error = "The annotation cannot be read."
                Detail = detail
            }

    /// The note in a request's body: `{"text": …, "server"?: …, "at"?: …}`.
    [<CompiledName "Read">]
    let read (body: ReadOnlyMemory<byte>) (now: DateTimeOffset) : Result<Note, Refusal> =
        let decoder =
            Decode.object (fun get ->
                struct (get.Required.Field "text" Decode.string,
                        get.Optional.Field "server" Decode.string |> Option.defaultValue "",
                        get.Optional.Field "at" Decode.string))

        match Decode.fromBytes decoder body with
        | Error error -> refuse (Decode.errorToString error)
        | Ok(struct (text, slug, at)) ->
            let text = text.Trim()

            if text = "" then
                refuse "text is empty"
            elif text.Length > LongestText then
                refuse $"text: {text.Length} characters; at most {LongestText}"
            elif text |> Seq.exists Char.IsControl then
                refuse "text: one line without control characters"
            else
                match at with
                | None ->
                    Ok
                        {
                            Text = text
                            At = ValueNone
                            Slug = slug
                        }
                | Some written ->
                    match Intake.instantOf written with
                    | ValueSome at when at >= Intake.firstInstant && at <= now + Intake.furthestAhead ->
                        Ok
                            {
                                Text = text
                                At = ValueSome at
                                Slug = slug
                            }
                    | ValueSome _ -> refuse $"at: \"{Intake.cut 40 written}\" is in the future, or before the year 2000"
                    | ValueNone -> refuse $"at: expected an instant such as 2026-02-26T02:37:49+00:00, found \"{Intake.cut 40 written}\""
