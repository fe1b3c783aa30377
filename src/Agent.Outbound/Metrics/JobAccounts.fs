namespace Agent.Outbound

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.Core.Units

/// What the GPU time of one job went into.
[<NoEquality; NoComparison>]
type JobAccount =
    {
        /// The job as it was seen last.
        Job: Job
        /// The scheduler's id of it; empty when unknown.
        SchedulerId: string
        /// GPU seconds by label, in the order of `VerdictLabel.All`.
        Seconds: float<s>[]
        /// The same where of a GPU that several jobs hold each has its part.
        Parts: float<s>[]
        /// What was lost of those.
        Wasted: float<s>[]
        /// What was last to be tried against each label, in the same order; empty where it never held.
        Fixes: string[]
        /// True while it is in the samples.
        IsRunning: bool
        /// When it was seen last, by the monotonic clock.
        SeenAt: TimeSpan
        /// Scrapes that had been answered then.
        SeenScrapes: int64
    }

/// What the GPU time of all jobs went into, those that ended included for as long as they may be wanted.
[<NoEquality; NoComparison>]
type JobAccounts =
    internal
        {
            /// The instant of the newest sample with a job.
            At: TimeSpan
            /// Scrapes that had been answered then.
            Scrapes: int64
            /// Those that run first, in the order of the sample; then those that ended, the newest first.
            Accounts: JobAccount[]
        }

    /// No job was seen yet.
    static member val Empty: JobAccounts =
        {
            At = TimeSpan.Zero
            Scrapes = 0L
            Accounts = [||]
        }

/// Counts what the GPU time of jobs went into: each interval between two samples is added, once for every GPU of a job, to the label that holds
/// at its end.
[<RequireQualifiedAccess>]
module JobAccounts =
    /// The figures of a job that ended are shown to so many scrapes more.
    [<Literal>]
    let ScrapesAfterEnd = 2L

    /// And no longer than this, when nobody scrapes.
    let private longestShown = TimeSpan.FromMinutes 5.0

    /// A job that could not be seen for a while goes on where it was, within this time.
    let private longestKept = TimeSpan.FromHours 1.0

    /// Accounts of jobs that ended, beside those of the 64 that may run.
    [<Literal>]
    let MostEnded = 64

    /// A label's place in `VerdictLabel.All`.
    let private placeOf (label: VerdictLabel) : int =
        Array.FindIndex(VerdictLabel.All, (fun other -> String.Equals(other.Name, label.Name)))

    let private find (id: string) (accounts: JobAccount[]) : JobAccount voption =
        match accounts |> Array.tryFind (fun account -> String.Equals(account.Job.Id, id)) with
        | Some account -> ValueSome account
        | None -> ValueNone

    let private orNan (value: float<percent> voption) : float =
        match value with
        | ValueSome value -> float value
        | ValueNone -> nan

    let private isOf (jobs: JudgedJob[]) (account: JobAccount) =
        jobs
        |> Array.exists (fun judged -> String.Equals(judged.Job.Id, account.Job.Id))

    /// After one sample more, taken at this instant of the monotonic clock, with so many scrapes answered before it. An interval counts where the job
    /// was there at both its ends.
    [<CompiledName "After">]
    let after
        (now: TimeSpan)
        (scrapes: int64)
        (files: GpuJobFile[])
        (boards: Gpu[])
        (report: JobReport voption)
        (before: JobAccounts)
        : JobAccounts =
        let jobs =
            match report with
            | ValueSome report -> report.Jobs
            | ValueNone -> [||]

        if jobs.Length = 0 && before.Accounts.Length = 0 then
            // Most machines at most times, and each sample comes here.
            JobAccounts.Empty
        else
            let gpus = jobs |> Array.map _.Job.Gpus |> Waste.parts

            let counted (index: int) (judged: JudgedJob) =
                let known = find judged.Job.Id before.Accounts

                let copied (of': JobAccount -> float<s>[]) =
                    match known with
                    | ValueSome account -> Array.copy (of' account)
                    | ValueNone -> Array.zeroCreate VerdictLabel.All.Length

                let seconds = copied _.Seconds
                let parts = copied _.Parts
                let wasted = copied _.Wasted

                let place = placeOf judged.Verdict.Label

                let fixes =
                    match known with
                    | ValueSome account when String.Equals(account.Fixes[place], judged.Verdict.Fix) -> account.Fixes
                    | ValueSome account -> account.Fixes |> Array.updateAt place judged.Verdict.Fix
                    | ValueNone ->
                        Array.create VerdictLabel.All.Length ""
                        |> Array.updateAt place judged.Verdict.Fix

                match known with
                | ValueSome account when account.IsRunning ->
                    let length = max 0.0 (now - account.SeenAt).TotalSeconds

                    let add (column: float<s>[]) (more: float) =
                        column[place] <- column[place] + LanguagePrimitives.FloatWithMeasure more

                    add seconds (length * float judged.Job.Gpus.Length)
                    add parts (length * gpus[index])

                    let loss = Waste.loss judged.Verdict.Label (orNan judged.Job.GpuBusy) (orNan judged.Job.GpuPower)

                    add wasted (length * gpus[index] * loss)
                | _ -> ()

                {
                    Job = judged.Job
                    SchedulerId = GpuJobFiles.schedulerIdOf files boards judged.Job
                    Seconds = seconds
                    Parts = parts
                    Wasted = wasted
                    Fixes = fixes
                    IsRunning = true
                    SeenAt = now
                    SeenScrapes = scrapes
                }

            let ended =
                before.Accounts
                |> Array.filter (fun account -> not (isOf jobs account) && now - account.SeenAt < longestKept)
                |> Array.truncate MostEnded
                |> Array.map (fun account ->
                    if account.IsRunning then
                        { account with IsRunning = false }
                    else
                        account)

            {
                At = now
                Scrapes = scrapes
                Accounts = Array.append (jobs |> Array.mapi counted) ended
            }

    /// The accounts that are shown: of jobs that run, and of those that ended and may not have been collected to their end.
    [<CompiledName "Shown">]
    let shown (accounts: JobAccounts) : JobAccount[] =
        accounts.Accounts
        |> Array.filter (fun account ->
            account.IsRunning
            || (accounts.Scrapes - account.SeenScrapes < ScrapesAfterEnd
                && accounts.At - account.SeenAt < longestShown))
