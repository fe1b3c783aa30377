namespace Agent.Receiver

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// Writes what is said of a machine and of its jobs.
[<RequireQualifiedAccess>]
module JudgementJson =
    let private decimal (value: float) : JsonValue =
        if Double.IsFinite value then
            Encode.float (Math.Round(value, 4))
        else
            Encode.nil

    /// A text; empty is null.
    let internal textOrNull (value: string) : JsonValue =
        if value = "" then Encode.nil else Encode.string value

    let private witness (witness: Witness) : JsonValue =
        Encode.object
            [|
                "name", Encode.string witness.Name
                "value", decimal witness.Value
                "limit", Encode.voption decimal witness.Limit
                "unit", Encode.string witness.Unit
            |]

    let private headOf (source: JudgementSource) (verdict: Verdict) : (string * JsonValue)[] =
        [|
            "label", Encode.string verdict.Label.Name
            "severity", Encode.string (Severity.ofLabel verdict.Label).Name
            "second", Encode.voption (fun (label: VerdictLabel) -> Encode.string label.Name) verdict.Second
            "since", Encode.string (Wire.instant verdict.Since)
            "confidence", decimal verdict.Confidence
            "reason", Encode.string verdict.Reason
            "fix", Encode.string verdict.Fix
            "source", Encode.string source.Name
        |]

    /// A verdict without its witnesses.
    let brief (source: JudgementSource) (verdict: Verdict) : JsonValue = Encode.object (headOf source verdict)

    /// A verdict with its witnesses.
    let full (source: JudgementSource) (verdict: Verdict) : JsonValue =
        Encode.object
            [|
                yield! headOf source verdict
                "evidence", Encode.arrayOf witness verdict.Evidence
                "ruled_out", Encode.arrayOf witness verdict.RuledOut
            |]

    let private gpu (gpu: JobGpu) : JsonValue =
        Encode.object
            [|
                "gpu_index", Encode.int gpu.Index
                "uuid", textOrNull gpu.Uuid
                "memory_bytes", Encode.voption (fun (bytes: uint64<B>) -> Encode.int64 (int64 bytes)) gpu.Memory
                "sm_percent", Encode.voption (fun (share: float<percent>) -> decimal (float share)) gpu.SmShare
            |]

    let private figures (figures: Figures) : (string * JsonValue)[] =
        [|
            for index in 0 .. JobSchema.schema.Decimals.Length - 1 do
                let struct (name, _) = JobSchema.schema.Decimals[index]
                name, decimal figures.Decimals[index]

            for index in 0 .. JobSchema.schema.Integers.Length - 1 do
                JobSchema.schema.Integers[index], Encode.voption Encode.int64 (figures.Whole index)
        |]

    /// A job in the keys of a sample.
    let job (source: JudgementSource) (job: ReportedJob) : JsonValue =
        Encode.object
            [|
                "id", Encode.string job.Id
                "owner",
                Encode.object
                    [|
                        "kind", Encode.string job.OwnerKind
                        "value", Encode.string job.OwnerValue
                        "namespace", textOrNull job.OwnerNamespace
                        "name", textOrNull job.OwnerName
                    |]
                "user", textOrNull job.User
                "name", Encode.string job.Name
                "command", textOrNull job.Command
                "started_at", Encode.voption (fun at -> Encode.string (Wire.instant at)) job.StartedAt
                "gpus", Encode.arrayOf gpu job.Gpus
                yield! figures job.Figures
                "busiest_thread_of", textOrNull job.BusiestThreadOf
                "blocked_on", textOrNull job.BlockedOn
                "verdict", full source job.Verdict
            |]

    let private gpuIndexes (job: ReportedJob) =
        Encode.seq (job.Gpus |> Seq.map _.Index |> Seq.distinct |> Seq.map Encode.int)

    /// A job as the fleet shows it: who, what, where, and how it is.
    let jobLine (job: ReportedJob) : JsonValue =
        Encode.object
            [|
                "id", Encode.string job.Id
                "name", Encode.string job.Name
                "user", textOrNull job.User
                "gpus", gpuIndexes job
                "label", Encode.string job.Verdict.Label.Name
                "severity", Encode.string (Severity.ofLabel job.Verdict.Label).Name
            |]

    /// A job with its verdict and nothing else, for the record of what was said.
    let jobVerdict (source: JudgementSource) (job: ReportedJob) : JsonValue =
        Encode.object
            [|
                "id", Encode.string job.Id
                "name", Encode.string job.Name
                "user", textOrNull job.User
                "gpus", gpuIndexes job
                "verdict", full source job.Verdict
            |]

/// Which judgements are kept, and how: the page shows what was said at an instant of the past.
[<RequireQualifiedAccess>]
module JudgementRecord =
    /// What is kept of a judgement has so many characters at most; jobs that would make it longer are left out, the last first.
    [<Literal>]
    let private LongestKept = 65536

    let rec private keptWith (jobs: int) (judgement: Judgement) : string =
        let text =
            Encode.object
                [|
                    "verdict", JudgementJson.full judgement.Source judgement.Machine
                    "jobs", Encode.arrayOf (JudgementJson.jobVerdict judgement.Source) (Array.truncate jobs judgement.Jobs)
                |]
            |> Encode.toString 0

        if text.Length > LongestKept && jobs > 0 then
            keptWith (jobs / 2) judgement
        else
            text

    /// The text in which a judgement is kept: GET /api/verdicts/ answers with it.
    [<CompiledName "Kept">]
    let kept (judgement: Judgement) : string = keptWith JobSchema.MostJobs judgement

    let private minute = TimeSpan.FromMinutes 1.0
    let private hour = TimeSpan.FromHours 1.0
    let private shortest = TimeSpan.FromSeconds 5.0

    let private isSameWord (one: Judgement) (other: Judgement) =
        one.Machine.Label.Name = other.Machine.Label.Name
        && one.Jobs.Length = other.Jobs.Length
        && Array.forall2
            (fun (one: ReportedJob) (other: ReportedJob) -> one.Id = other.Id && one.Verdict.Label.Name = other.Verdict.Label.Name)
            one.Jobs
            other.Jobs

    let private isSameSentence (one: Judgement) (other: Judgement) =
        isSameWord one other
        && one.Machine.Reason = other.Machine.Reason
        && Array.forall2 (fun (one: ReportedJob) (other: ReportedJob) -> one.Verdict.Reason = other.Verdict.Reason) one.Jobs other.Jobs

    /// Whether a judgement is kept, so long after the last one that was: each change of a label, though not more often than every five seconds,
    /// new figures in the sentences once a minute, and what stays the same once an hour.
    [<CompiledName "IsWorthKeeping">]
    let isWorthKeeping (last: Judgement voption) (since: TimeSpan) (next: Judgement) : bool =
        match last with
        | ValueNone -> true
        | ValueSome last when since < shortest -> false
        | ValueSome last when not (isSameWord last next) -> true
        | ValueSome last -> since >= hour || since >= minute && not (isSameSentence last next)
