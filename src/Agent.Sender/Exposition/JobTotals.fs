namespace Agent.Sender

open System
open System.Globalization
open Agent.Core
open Agent.Outbound
open Agent.Core.Jobs
open Agent.Core.Units

/// What the GPU time of a scheduler's job went into on this machine, over its whole life as far as the agent saw it.
[<NoEquality; NoComparison>]
type JobTotals =
    {
        /// The scheduler's number of it.
        Id: string
        /// The job as it was seen last.
        Job: Job
        /// GPU seconds by label, in the order of `VerdictLabel.All`.
        Seconds: float<s>[]
        /// What was last to be tried against each label, in the same order; empty where it never held.
        Fixes: string[]
        /// True while it holds a GPU.
        IsRunning: bool
    }

    /// GPU seconds in all.
    member totals.All: float<s> = Array.sum totals.Seconds

/// The report on a job: `GET /jobs/ID` of the agent, and `--why --job ID`.
[<RequireQualifiedAccess>]
module JobTotals =
    /// Less than this share of a job's GPU time is not worth advice.
    [<Literal>]
    let WorthTelling = 0.1

    /// The longest id of a job that is looked for.
    [<Literal>]
    let LongestId = 64

    /// Whether a text can be the id of a job, as schedulers write them: `1234`, `1234_5`, `1234.batch`.
    [<CompiledName "IsId">]
    let isId (text: string) : bool =
        text.Length > 0
        && text.Length <= LongestId
        && text
           |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '_' || c = '-' || c = '.' || c = '+')

    /// The totals of the job with this number of Slurm, or with this id in the files of `--gpu-job-directory`; none where it never held a GPU, or ended long ago.
    [<CompiledName "Find">]
    let find (id: string) (accounts: JobAccounts) : JobTotals voption =
        let isIt (account: JobAccount) =
            (account.Job.Owner.Kind.IsSlurm && String.Equals(account.Job.Owner.Value, id))
            || String.Equals(account.SchedulerId, id)

        match accounts.Accounts |> Array.filter isIt with
        | [||] -> ValueNone
        | found ->
            let latest = found |> Array.maxBy _.SeenAt

            ValueSome
                {
                    Id = id
                    Job = latest.Job
                    Seconds = Array.init VerdictLabel.All.Length (fun place -> found |> Array.sumBy (fun account -> account.Seconds[place]))
                    Fixes =
                        Array.init VerdictLabel.All.Length (fun place ->
                            found
                            |> Array.map (fun account -> account.Fixes[place])
                            |> Array.tryFind (fun fix -> fix <> "")
                            |> Option.defaultValue "")
                    IsRunning = found |> Array.exists _.IsRunning
                }

    /// Labels under which a GPU does what it is there for, or under which nobody knows.
    let private isNoLoss (label: VerdictLabel) =
        match label with
        | VerdictLabel.Compute
        | VerdictLabel.Idle
        | VerdictLabel.Starting
        | VerdictLabel.Unknown -> true
        | _ -> false

    /// The place of what cost most, if that is worth telling.
    let private worst (totals: JobTotals) : int voption =
        let places =
            [| 0 .. VerdictLabel.All.Length - 1 |]
            |> Array.filter (fun place -> not (isNoLoss VerdictLabel.All[place]))

        let most = places |> Array.maxBy (fun place -> totals.Seconds[place])

        if totals.All > 0.0<s> && totals.Seconds[most] >= WorthTelling * totals.All then
            ValueSome most
        else
            ValueNone

    /// What of it is reported by places: the greatest first, those without any time left out.
    let private shares (totals: JobTotals) : int[] =
        [| 0 .. VerdictLabel.All.Length - 1 |]
        |> Array.filter (fun place -> totals.Seconds[place] > 0.0<s>)
        |> Array.sortBy (fun place -> struct (-totals.Seconds[place], place))

    let private hours (seconds: float<s>) : string =
        let value = float seconds / 3600.0

        let format =
            if value >= 100.0 then "0"
            elif value >= 1.0 then "0.0"
            else "0.00"

        value.ToString(format, CultureInfo.InvariantCulture)

    let private heading (totals: JobTotals) : string =
        let job = totals.Job
        let name = if job.Name = "" then "" else $", {job.Name}"
        let user = if job.User = "" then $"user {job.Uid}" else job.User

        let gpus =
            if job.Gpus.Length = 1 then
                "1 GPU"
            else
                $"{job.Gpus.Length} GPUs"

        let state = if totals.IsRunning then " so far" else ""
        $"Job {totals.Id}{name} of {user}: {hours totals.All} GPU-hours on {gpus} of this machine{state}."

    /// The report for people, each line with its end.
    [<CompiledName "Text">]
    let text (totals: JobTotals) : string =
        [
            heading totals
            if totals.All = 0.0<s> then
                "It was too short to be judged."
            for place in shares totals do
                let share = 100.0 * float totals.Seconds[place] / float totals.All
                let shown = share.ToString("0", CultureInfo.InvariantCulture).PadLeft 3
                $"  {shown} %% {VerdictLabel.All[place].Name} ({hours totals.Seconds[place]} GPU-hours)"
            match worst totals with
            | ValueSome place when totals.Fixes[place] <> "" -> $"Try: {totals.Fixes[place]}"
            | _ -> ()
            ""
        ]
        |> String.concat "\n"

    /// The report as one line of JSON.
    [<CompiledName "Json">]
    let json (totals: JobTotals) : string =
        let seconds (value: float<s>) =
            Encode.float (Math.Round(float value, 1))

        Encode.object
            [|
                "job", Encode.string totals.Id
                "name", Encode.string totals.Job.Name
                "user", Encode.string totals.Job.User
                "uid", Encode.int64 totals.Job.Uid
                "gpus", Encode.int totals.Job.Gpus.Length
                "running", Encode.bool totals.IsRunning
                "gpu_seconds", seconds totals.All
                "labels",
                shares totals
                |> Array.map (fun place ->
                    Encode.object
                        [|
                            "label", Encode.string VerdictLabel.All[place].Name
                            "gpu_seconds", seconds totals.Seconds[place]
                        |])
                |> Encode.array
                "held_back_by",
                worst totals
                |> Encode.voption (fun place -> Encode.string VerdictLabel.All[place].Name)
                "fix",
                match worst totals with
                | ValueSome place -> Encode.string totals.Fixes[place]
                | ValueNone -> Encode.string ""
            |]
        |> Encode.toString 0
        |> fun line -> line + "\n"
