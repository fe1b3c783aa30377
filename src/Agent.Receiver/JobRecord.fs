namespace Agent.Receiver

open System
open System.Text.RegularExpressions
open Agent.Core
open Agent.Core.Jobs

/// A job as it is stored: who, what, where and when.
[<NoComparison>]
type JobRecord =
    {
        /// Its number in the database.
        Number: int64
        /// The number of its server.
        Server: int
        /// What its agent calls it.
        Id: string
        /// `slurm`, `pod`, `container`, `unit`, `session`.
        OwnerKind: string
        /// Its number, UID, id or name.
        OwnerValue: string
        /// The namespace of a pod; else empty.
        OwnerNamespace: string
        /// The name of a pod or a container; else empty.
        OwnerName: string
        /// Empty when unknown.
        User: string
        /// -1 when unknown.
        Uid: int64
        /// Program and script.
        Name: string
        /// Empty where the agent keeps it to itself.
        Command: string
        /// What the parts of one job on several machines have in common; empty for a job of one machine.
        Cohort: string
        /// `[[0,"GPU-…"],…]`
        Gpus: string
        /// When it began, in microseconds from 2000-01-01.
        Began: int64
        /// When it was seen last.
        LastSeen: int64
        /// Whether its machine has said since that it is gone.
        IsOver: bool
        /// The code of its newest label.
        Label: int
        /// Mean utilisation of its GPUs in its newest sample, in per cent; NaN when unknown.
        Busy: float
        /// CPU cores used; NaN when unknown.
        Cores: float
        /// Bytes of memory; -1 when unknown.
        Memory: int64
    }

/// Which job is which.
[<RequireQualifiedAccess>]
module JobRecord =
    /// A job that is missing for so long is over; one look at the processes may miss it.
    let gone: TimeSpan = TimeSpan.FromSeconds 30.0

    /// One that comes back within this time, unless it began anew, is the same.
    let same: TimeSpan = TimeSpan.FromMinutes 10.0

    // Start times follow from the kernel's ticks and the clock, which is set now and then.
    let private startTolerance = 2_000_000L

    /// Whether a job of the same id that began then, and was seen last then, is the one that is seen now; `startedAt` is -1 where it is not known.
    [<CompiledName "IsSame">]
    let isSame (began: int64) (lastSeen: int64) (startedAt: int64) (at: int64) : bool =
        if startedAt >= 0L && abs (startedAt - began) <= startTolerance then
            true
        else
            startedAt < 0L && at - lastSeen <= same.Ticks / TimeSpan.TicksPerMicrosecond

    // What controllers of Kubernetes add to the name of a pod: an ordinal, or a hash or two.
    let private podSuffix =
        Regex(@"(-[0-9a-f]{8,10})?(-[a-z0-9]{5}|-\d{1,5})$", RegexOptions.CultureInvariant)

    let internal podFamily (name: string) =
        let family = podSuffix.Replace(name, "")
        if family = "" then name else family

    /// What the parts of one job have in common by its owner.
    let internal ownersCohort (kind: string) (value: string) (space: string) (name: string) : string =
        match kind with
        | "slurm" when value <> "" -> $"slurm:{value}"
        | "pod" when name <> "" -> $"pod:{space}/{podFamily name}"
        | _ -> ""

    [<Literal>]
    let private OfLabel = "label:"

    /// The same by the user's label `job` of the machine, which goes first; empty for none.
    let internal labelledCohort (label: string) (owners: string) : string =
        if label <> "" then OfLabel + label else owners

    /// The user's label that a cohort follows from; none where it follows from the owner.
    let internal labelOfCohort (cohort: string) : string voption =
        if cohort.StartsWith(OfLabel, StringComparison.Ordinal) then
            ValueSome(cohort.Substring OfLabel.Length)
        else
            ValueNone

    /// What the parts of one job on several machines have in common: the user's label `job`, the number of a Slurm job, or what a pod's name
    /// begins with; empty where nothing tells.
    [<CompiledName "CohortOf">]
    let cohortOf (label: string) (job: ReportedJob) : string =
        ownersCohort job.OwnerKind job.OwnerValue job.OwnerNamespace job.OwnerName
        |> labelledCohort label

    /// GPUs as text.
    let internal gpusAsText (gpus: JobGpu[]) : string =
        gpus
        |> Encode.arrayOf (fun (gpu: JobGpu) -> Encode.seq [ Encode.int gpu.Index; Encode.string gpu.Uuid ])
        |> Encode.toString 0

    /// The GPUs of a job as text.
    [<CompiledName "GpusOf">]
    let gpusOf (job: ReportedJob) : string = gpusAsText job.Gpus

    /// The user's label of that name among those that an agent says of itself; empty when there is none.
    [<CompiledName "LabelOf">]
    let labelOf (name: string) (agent: string) : string =
        if agent = "" then
            ""
        else
            match Decode.fromString (Decode.optional "labels" (Decode.optional name Decode.string)) agent with
            | Ok(Some(Some value)) -> Intake.cut 128 value
            | _ -> ""

    /// All labels that an agent says of itself, as `rack=a1`.
    [<CompiledName "LabelsOf">]
    let labelsOf (agent: string) : string[] =
        if agent = "" then
            [||]
        else
            match Decode.fromString (Decode.optional "labels" (Decode.keyValuePairs Decode.string)) agent with
            | Ok(Some labels) -> labels |> List.map (fun (name, value) -> $"{name}={value}") |> List.toArray
            | _ -> [||]

    /// That a job began and, where it is over, ended.
    [<CompiledName "Happenings">]
    let happenings (job: JobRecord) : Happening[] =
        let what =
            if job.User = "" then
                job.Name
            else
                $"{job.Name} of {job.User}"

        [|
            {
                At = job.Began
                Kind = EventKind.JobBegin
                Text = $"{what} began"
            }
            if job.IsOver then
                {
                    At = job.LastSeen
                    Kind = EventKind.JobEnd
                    Text = $"{what} ended"
                }
        |]
