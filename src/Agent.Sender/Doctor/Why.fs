namespace Agent.Sender

open System
open System.Globalization
open System.Text
open Agent.Core
open Agent.Core.Causes
open Agent.Core.Jobs
open Agent.Core.Units

/// One line of what `--why` prints.
[<NoComparison>]
type WhyLine =
    {
        /// The line, without its end.
        Text: string
        /// The colour of its first word by ECMA-48's SGR, 30 to 37; 0 for none.
        Colour: int
    }

/// What `--why` prints: who uses the GPUs, what holds each job back, the figures that say so, and one thing to try.
[<RequireQualifiedAccess>]
module Why =
    /// Nothing is held back.
    [<Literal>]
    let Healthy = 0

    /// It could not be looked at.
    [<Literal>]
    let Failed = 1

    /// Something is held back.
    [<Literal>]
    let HeldBack = 3

    /// Narrower terminals get this width all the same.
    let private narrowest = 40

    /// Longer lines are hard to read.
    let private widest = 120

    /// How the text of a label looks: nothing to do, something to do, broken.
    let private colourOf (label: VerdictLabel) : int =
        match label with
        | VerdictLabel.Compute
        | VerdictLabel.Idle -> 32
        | VerdictLabel.GpuFault
        | VerdictLabel.Hang -> 31
        | VerdictLabel.Starting
        | VerdictLabel.Unknown -> 36
        | _ -> 33

    /// The exit code that goes with a report.
    [<CompiledName "ExitCode">]
    let exitCode (report: JobReport) : int =
        match report.Machine.Label with
        | VerdictLabel.Compute
        | VerdictLabel.Idle -> Healthy
        | VerdictLabel.Starting -> Failed
        | _ -> HeldBack

    /// Whether too little was seen for any verdict.
    [<CompiledName "IsTooEarly">]
    let isTooEarly (report: JobReport voption) : bool =
        match report with
        | ValueSome report -> exitCode report = Failed
        | ValueNone -> true

    /// The exit code where some jobs could not be looked at: nothing is known to be healthy then.
    [<CompiledName "ExitCodeOf">]
    let exitCodeOf (isBlind: bool) (report: JobReport) : int =
        match exitCode report with
        | Healthy when isBlind -> Failed
        | code -> code

    /// What could not be looked at: processes that hold GPUs and cannot be seen, GPUs whose lists of processes are not known, and GPUs that nobody
    /// tells of though they should be there (`problem`; empty while all is well).
    [<CompiledName "Blind">]
    let blind (unseen: int) (gpus: Gpu.Gpu[]) (problem: string) : string[] =
        let isUnlisted (gpu: Gpu.Gpu) =
            not gpu.IsSuspended
            && gpu.ComputeProcesses.IsNone
            && (match gpu.MigDevices with
                | ValueSome devices -> devices |> Array.forall _.ComputeProcesses.IsNone
                | ValueNone -> true)

        let unlisted = gpus |> Array.filter isUnlisted |> Array.map (fun gpu -> string gpu.Index)

        [|
            if unseen > 0 then
                let what =
                    if unseen = 1 then
                        "1 process holds"
                    else
                        $"{unseen} processes hold"

                $"{what} GPUs and cannot be seen: of another PID namespace (give a container --pid=host), or hidden from this user (hidepid)"
            if unlisted.Length > 0 then
                let whose = String.concat ", " unlisted
                $"who uses GPU {whose} is not known: the driver does not list its processes (no permission, not supported, or no answer)"
            if problem <> "" then
                problem
        |]

    let private number (value: float) =
        let format =
            if abs value >= 100.0 then "0"
            elif abs value >= 10.0 then "0.#"
            else "0.##"

        value.ToString(format, CultureInfo.InvariantCulture)

    let private figure (value: float) (unit: string) =
        match unit with
        | "" -> number value
        | "B"
        | "B/s" -> Figures.scaled number value unit
        | _ -> $"{number value} {unit}"

    let private witness (w: Witness) =
        match w.Limit with
        | ValueSome limit -> $"{w.Name} {figure w.Value w.Unit} (limit {figure limit w.Unit})"
        | ValueNone -> $"{w.Name} {figure w.Value w.Unit}"

    let private span (time: TimeSpan) =
        if time.TotalDays >= 2.0 then
            $"{number (Math.Floor time.TotalDays)} days"
        elif time.TotalHours >= 2.0 then
            $"{number (Math.Floor time.TotalHours)} hours"
        elif time.TotalMinutes >= 2.0 then
            $"{number (Math.Floor time.TotalMinutes)} minutes"
        else
            $"{number (Math.Floor(max 0.0 time.TotalSeconds))} seconds"

    /// The words on lines of at most so many characters, all but the first indented.
    let private wrapped (width: int) (first: string) (indent: string) (text: string) : string list =
        let lines = ResizeArray<string>()
        let line = StringBuilder(first)
        let mutable isEmpty = true

        for word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries) do
            if not isEmpty && line.Length + 1 + word.Length > width then
                lines.Add(line.ToString())
                line.Clear().Append indent |> ignore
                isEmpty <- true

            if not isEmpty then
                line.Append ' ' |> ignore

            line.Append word |> ignore
            isEmpty <- false

        lines.Add(line.ToString())
        List.ofSeq lines

    let private plain (text: string) : WhyLine = { Text = text; Colour = 0 }

    let private entry (width: int) (name: string) (text: string) : WhyLine list =
        if text = "" then
            []
        else
            wrapped width $"  {name, -7}" "         " text |> List.map plain

    let private verdictLines (width: int) (now: DateTimeOffset) (verdict: Verdict) : WhyLine list =
        let label = verdict.Label.Name

        let second =
            match verdict.Second with
            | ValueSome second -> $", then {second.Name}"
            | ValueNone -> ""

        let rest =
            $"{second}, {number (Math.Round(verdict.Confidence * 100.0))} %% sure, for {span (now - verdict.Since)}"

        [
            for i, line in wrapped width "  " "    " $"{label}{rest}" |> List.indexed do
                {
                    Text = line
                    Colour = if i = 0 then colourOf verdict.Label else 0
                }
            yield! entry width "why" verdict.Reason
            yield! entry width "try" verdict.Fix
            yield! entry width "seen" (verdict.Evidence |> Array.map witness |> String.concat "; ")
            yield! entry width "not it" (verdict.RuledOut |> Array.map witness |> String.concat "; ")
        ]

    let private ownerOf (owner: Owner) =
        match owner.Kind with
        | OwnerKind.Session -> ""
        | kind ->
            let name =
                if owner.Name = "" then owner.Value
                elif owner.Namespace = "" then owner.Name
                else $"{owner.Namespace}/{owner.Name}"

            $" ({kind.Name} {name})"

    let private heading (now: DateTimeOffset) (job: Job) : string =
        let name = if job.Name = "" then $"process {job.RootPid}" else job.Name
        let user = if job.User = "" then $"user {job.Uid}" else job.User
        let gpus = job.Gpus |> Array.map (fun gpu -> string gpu.Index) |> String.concat ","
        let noun = if job.Gpus.Length = 1 then "GPU" else "GPUs"

        let since =
            match job.StartedAt with
            | ValueSome started when started <= now -> $", running for {span (now - started)}"
            | _ -> ""

        let loaders =
            match job.Loaders with
            | 0 -> ""
            | 1 -> ", 1 of them loads data"
            | count -> $", {count} of them load data"

        let processes = if job.Processes = 1 then "process" else "processes"
        $"{name} of {user}{ownerOf job.Owner}: {noun} {gpus}, {job.Processes} {processes}{loaders}{since}"

    /// The report for people.
    [<CompiledName "Lines">]
    let lines (width: int) (now: DateTimeOffset) (report: JobReport) : WhyLine[] =
        let width = Math.Clamp(width, narrowest, widest)

        [|
            if report.Jobs.Length = 0 then
                plain "No job on a GPU was found. The machine:"
                yield! verdictLines width now report.Machine
            else
                for index, judged in Array.indexed report.Jobs do
                    if index > 0 then
                        plain ""

                    yield! wrapped width "" "  " (heading now judged.Job) |> List.map plain
                    yield! verdictLines width now judged.Verdict

                // Mostly it is that of one of the jobs; a fault need not be any job's.
                if
                    not (
                        report.Jobs
                        |> Array.exists (fun judged -> judged.Verdict.Label.Name = report.Machine.Label.Name)
                    )
                then
                    plain ""
                    plain "The machine:"
                    yield! verdictLines width now report.Machine
        |]

    /// The lines about what could not be looked at, and about jobs beyond the bound.
    [<CompiledName "BlindLines">]
    let blindLines (width: int) (blind: string[]) (leftOut: int) : WhyLine[] =
        let width = Math.Clamp(width, narrowest, widest)

        [|
            for text in blind do
                yield! wrapped width "" "  " $"Could not look: {text}." |> List.map plain
            if leftOut > 0 then
                yield!
                    wrapped width "" "  " $"{leftOut} more jobs were left out: at most {Grouping.MostJobs} are watched."
                    |> List.map plain
        |]

    /// The report as one line of JSON, by the keys of a sample.
    [<CompiledName "Json">]
    let json (report: JobReport) : string = Wire.reportText report
