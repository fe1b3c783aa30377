namespace Agent.Receiver

open System
open System.Collections.Generic
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Core.Jobs

/// Reads what is said of a machine and of its jobs: the members `verdict` and `jobs` of a sample. What cannot be read is left out, and named.
[<RequireQualifiedAccess>]
module JudgementIntake =
    let private mostWitnesses = 24
    let private mostGpus = 64
    let private longestText = 1000
    let private longestName = 128

    let private memberOf (name: string) (element: JsonElement) : JsonElement voption =
        match element.TryGetProperty name with
        | true, value -> ValueSome value
        | _ -> ValueNone

    let private text (most: int) (name: string) (element: JsonElement) : string =
        match memberOf name element with
        | ValueSome value when value.ValueKind = JsonValueKind.String ->
            value.GetString() |> Option.ofObj |> Option.defaultValue "" |> Intake.cut most
        | _ -> ""

    let private number (name: string) (element: JsonElement) : float =
        match memberOf name element with
        | ValueSome value when value.ValueKind = JsonValueKind.Number ->
            match value.TryGetDouble() with
            | true, number when Double.IsFinite number -> number
            | _ -> nan
        | _ -> nan

    let private numberOrNone name element : float<'u> voption =
        match number name element with
        | value when Double.IsNaN value -> ValueNone
        | value -> ValueSome(LanguagePrimitives.FloatWithMeasure value)

    /// A whole number that is not negative; -1 for none.
    let private whole (name: string) (element: JsonElement) : int64 =
        match number name element with
        | value when value >= 0.0 && value < 9.0e18 -> int64 value
        | _ -> -1L

    let private instant name element : DateTimeOffset voption =
        match text 64 name element with
        | "" -> ValueNone
        | written ->
            Intake.instantOf written
            |> ValueOption.filter (fun instant -> instant >= Intake.firstInstant)

    /// At most so many entries of an array; none of anything else.
    let private entries most (name: string) (element: JsonElement) : JsonElement[] =
        match memberOf name element with
        | ValueSome value when value.ValueKind = JsonValueKind.Array -> value.EnumerateArray() |> Seq.truncate most |> Seq.toArray
        | _ -> [||]

    let private objectsOf most name element =
        entries most name element
        |> Array.filter (fun entry -> entry.ValueKind = JsonValueKind.Object)

    let private witnesses name element : Witness[] =
        objectsOf mostWitnesses name element
        |> Array.map (fun entry ->
            {
                Name = text longestName "name" entry
                Value = number "value" entry
                Limit = numberOrNone "limit" entry
                Unit = text 16 "unit" entry
            })
        |> Array.filter (fun witness -> witness.Name <> "" && Double.IsFinite witness.Value)

    let private labelOf (name: string) : VerdictLabel voption =
        match JobSchema.labels.TryGetValue name with
        | true, label -> ValueSome label
        | _ -> ValueNone

    let private verdictIn (at: DateTimeOffset) (element: JsonElement) : Result<Verdict, string> =
        if element.ValueKind <> JsonValueKind.Object then
            Error "expected an object"
        else
            match labelOf (text longestName "label" element) with
            | ValueNone ->
                let found = text 40 "label" element
                Error $"label: expected one of docs/verdict.md's, found \"{found}\""
            | ValueSome label ->
                Ok
                    {
                        Label = label
                        Second = labelOf (text longestName "second" element)
                        Since = instant "since" element |> ValueOption.defaultValue at
                        Confidence = Math.Clamp(numberOrNone "confidence" element |> ValueOption.defaultValue 0.0, 0.0, 1.0)
                        Reason = text longestText "reason" element
                        Fix = text longestText "fix" element
                        Evidence = witnesses "evidence" element
                        RuledOut = witnesses "ruled_out" element
                    }

    /// Of a sample they are objects, of what was kept indexes.
    let private gpusIn element : JobGpu[] =
        let indexes =
            entries mostGpus "gpus" element
            |> Array.filter (fun entry -> entry.ValueKind = JsonValueKind.Number)
            |> Array.choose (fun entry ->
                match entry.TryGetInt32() with
                | true, index when index >= 0 ->
                    Some
                        {
                            Index = index
                            Uuid = ""
                            Memory = ValueNone
                            SmShare = ValueNone
                        }
                | _ -> None)

        objectsOf mostGpus "gpus" element
        |> Array.choose (fun entry ->
            match whole "gpu_index" entry with
            | index when index >= 0L && index <= int64 Int32.MaxValue ->
                Some(
                    {
                        Index = int index
                        Uuid = text longestName "uuid" entry
                        Memory =
                            match whole "memory_bytes" entry with
                            | -1L -> ValueNone
                            | bytes -> ValueSome(LanguagePrimitives.UInt64WithMeasure(uint64 bytes))
                        SmShare = numberOrNone "sm_percent" entry
                    }
                    : JobGpu
                )
            | _ -> None)
        |> Array.append indexes

    let private figuresIn element : Figures =
        {
            Decimals =
                JobSchema.schema.Decimals
                |> Array.map (fun (struct (name, _)) -> number name element)
            Integers = JobSchema.schema.Integers |> Array.map (fun name -> whole name element)
        }

    let private jobIn (at: DateTimeOffset) (element: JsonElement) : Result<ReportedJob, string> =
        if element.ValueKind <> JsonValueKind.Object then
            Error "expected an object"
        else
            match text longestName "id" element, memberOf "verdict" element with
            | "", _ -> Error "id is missing"
            | _, ValueNone -> Error "verdict is missing"
            | id, ValueSome verdict ->
                let owner =
                    match memberOf "owner" element with
                    | ValueSome owner when owner.ValueKind = JsonValueKind.Object -> fun name -> text longestName name owner
                    | _ -> fun _ -> ""

                verdictIn at verdict
                |> Result.mapError (fun problem -> $"verdict: {problem}")
                |> Result.map (fun verdict ->
                    {
                        Id = id
                        OwnerKind = owner "kind"
                        OwnerValue = owner "value"
                        OwnerNamespace = owner "namespace"
                        OwnerName = owner "name"
                        User = text longestName "user" element
                        Name = text longestName "name" element
                        Command = text longestText "command" element
                        StartedAt = instant "started_at" element
                        BusiestThreadOf = text longestName "busiest_thread_of" element
                        BlockedOn = text longestName "blocked_on" element
                        Gpus = gpusIn element
                        Figures = figuresIn element
                        Verdict = verdict
                    })

    let private jobsIn (at: DateTimeOffset) (warn: string -> unit) (element: JsonElement) : ReportedJob[] =
        let seen = HashSet<string>(StringComparer.Ordinal)
        let jobs = ResizeArray<ReportedJob>()
        let mutable position = 0

        for entry in element.EnumerateArray() do
            if position = JobSchema.MostJobs then
                warn $"jobs[{JobSchema.MostJobs}]: more than {JobSchema.MostJobs} jobs; left out"
            elif position < JobSchema.MostJobs then
                match jobIn at entry with
                | Ok job when seen.Add job.Id -> jobs.Add job
                | Ok _ -> warn $"jobs[{position}]: an id is there twice; left out"
                | Error problem -> warn $"jobs[{position}]: {problem}; left out"

            position <- position + 1

        jobs.ToArray()

    let private parse (what: string) (warn: string -> unit) (json: ReadOnlyMemory<byte>) (read: JsonElement -> 'a) (none: 'a) : 'a =
        if json.IsEmpty then
            none
        else
            try
                use document = JsonDocument.Parse json
                read document.RootElement
            with
            // The body was JSON; what is no Unicode, or nested too deeply, shows here.
            | :? JsonException
            | :? InvalidOperationException ->
                warn $"{what}: it cannot be read; left out"
                none

    /// What a request body says of its machine and of its jobs; none where it has no verdict that can be read. Each thing that was left out is a
    /// sentence.
    [<CompiledName "Of">]
    let ofIntake (intake: Intake) : struct (Judgement voption * string[]) =
        let warnings = ResizeArray<string>(0)
        let at = intake.Report.CollectedAt

        let machine =
            parse
                "verdict"
                warnings.Add
                intake.Verdict
                (fun element ->
                    match verdictIn at element with
                    | Ok verdict -> ValueSome verdict
                    | Error problem ->
                        warnings.Add $"verdict: {problem}; left out"
                        ValueNone)
                ValueNone

        match machine with
        | ValueSome machine ->
            let jobs = parse "jobs" warnings.Add intake.Jobs (jobsIn at warnings.Add) [||]

            struct (ValueSome
                        {
                            Source = JudgementSource.Agent
                            Machine = machine
                            Jobs = jobs
                        },
                    warnings.ToArray())
        | ValueNone -> struct (ValueNone, warnings.ToArray())

    /// What was said, from the text in which it was kept; none where that cannot be read.
    [<CompiledName "OfKept">]
    let ofKept (kept: string) (at: DateTimeOffset) : Judgement voption =
        let read (root: JsonElement) =
            match memberOf "verdict" root with
            | ValueSome verdict ->
                match verdictIn at verdict with
                | Ok machine ->
                    ValueSome
                        {
                            Source =
                                if text longestName "source" verdict = JudgementSource.Dashboard.Name then
                                    JudgementSource.Dashboard
                                else
                                    JudgementSource.Agent
                            Machine = machine
                            Jobs =
                                match memberOf "jobs" root with
                                | ValueSome jobs when jobs.ValueKind = JsonValueKind.Array -> jobsIn at ignore jobs
                                | _ -> [||]
                        }
                | Error _ -> ValueNone
            | ValueNone -> ValueNone

        parse "judgement" ignore (ReadOnlyMemory(Encoding.UTF8.GetBytes kept)) read ValueNone
