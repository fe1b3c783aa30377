namespace Agent.Sender

/// How much can be read of the processes that use the GPUs.
[<NoEquality; NoComparison>]
type JobFact =
    {
        /// True where a GPU is read.
        HasGpus: bool
        /// Processes that hold GPUs, by the driver's lists.
        Holders: int
        /// Those of them that are not in the /proc that the agent reads.
        Unseen: int
        /// True when a GPU is at work.
        IsBusy: bool
        /// True for an agent in a PID namespace of its own, as in a container that is not given the host's.
        IsApart: bool
        /// /proc/PID/environ can be read.
        Environment: bool
        /// /proc/PID/io can be read.
        Io: bool
        /// /proc/PID/schedstat is there and can be read.
        Schedule: bool
        /// /proc/PID/task/TID/children is there and can be read.
        Children: bool
        /// The versions of control groups that are mounted: `1`, `2`, `1 and 2` or empty.
        Cgroups: string
    }

/// What `--doctor` says of jobs.
[<RequireQualifiedAccess>]
module JobDiagnosis =
    let private holders (count: int) =
        match count with
        | 0 -> "no process uses the GPUs now"
        | 1 -> "1 process uses GPUs"
        | count -> $"{count} processes use GPUs"

    /// `control groups of version 2, schedstat can be read; io, environ cannot`
    let private reach (fact: JobFact) =
        let parts =
            [
                (if fact.Cgroups = "" then
                     "control groups"
                 else
                     $"control groups of version {fact.Cgroups}"),
                fact.Cgroups <> ""
                "schedstat", fact.Schedule
                "children", fact.Children
                "io", fact.Io
                "environ", fact.Environment
            ]

        let those wanted =
            parts
            |> List.filter (fun (_, can) -> can = wanted)
            |> List.map fst
            |> String.concat ", "

        match those true, those false with
        | can, "" -> $"{can} can be read"
        | "", cannot -> $"{cannot} cannot be read"
        | can, cannot -> $"{can} can be read, {cannot} cannot"

    /// Whether jobs can be read, and how much of them.
    [<CompiledName "Jobs">]
    let jobs (fact: JobFact) : Row =
        if not fact.HasGpus then
            DoctorRow.good "jobs" "none, because there are no GPUs"
        elif fact.Unseen > 0 then
            DoctorRow.doubtful "jobs" Cause.JobsHidden $"{fact.Unseen} of {fact.Holders} processes that the driver reports"
        // Of processes outside of a container the driver may say nothing at all.
        elif fact.Holders = 0 && fact.IsBusy && fact.IsApart then
            DoctorRow.doubtful "jobs" Cause.JobsHidden "GPUs are busy, but the driver reports no process"
        elif not (fact.Io && fact.Environment) then
            DoctorRow.doubtful "jobs" Cause.JobsInPart $"{holders fact.Holders}; {reach fact}"
        else
            DoctorRow.good "jobs" $"{holders fact.Holders}; {reach fact}"
