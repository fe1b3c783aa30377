namespace Agent.Core.Jobs

open System
open System.Text
open Agent.Core
open Agent.Core.Gpu

/// The jobs that a scheduler runs on one GPU, by its own file.
[<NoEquality; NoComparison>]
type GpuJobFile =
    {
        /// The driver's index of the GPU.
        Gpu: int
        /// The id of the MIG GPU instance; none for a whole GPU.
        Instance: int voption
        /// The scheduler's ids, each once, in the order of the file.
        Jobs: string[]
    }

/// The job directory of dcgm-exporter (`--hpc-job-mapping-dir`): a file for each GPU, named by its index, or by index and MIG GPU instance with a
/// point between (`0`, `1`, `2.0`), and in it the id of a job on each line. A scheduler's prolog writes them and its epilog removes them.
[<RequireQualifiedAccess>]
module GpuJobFiles =
    /// The most jobs of one GPU that are reported; each of them is a copy of the GPU's series.
    [<Literal>]
    let MostJobs = 16

    /// So many bytes of a file are read.
    [<Literal>]
    let LongestFile = 4096

    /// So many characters may an id have.
    [<Literal>]
    let LongestId = 128

    let private expected = "the id of a job, of at most 128 characters without control characters"

    // As dcgm-exporter compares them: as text, so that "00" is no GPU.
    let private number (text: string) : int voption =
        let isNumber = text <> "" && text.Length <= 4 && text |> String.forall Char.IsAsciiDigit

        if isNumber && (text = "0" || text[0] <> '0') then
            ValueSome(Int32.Parse text)
        else
            ValueNone

    /// A file of this name before it is read; none where the name is that of no GPU.
    [<CompiledName "Named">]
    let named (name: string) : GpuJobFile voption =
        let point = name.IndexOf '.'
        let gpu = number (if point < 0 then name else name.Substring(0, point))

        let instance =
            if point < 0 then
                ValueNone
            else
                number (name.Substring(point + 1))

        if gpu.IsNone || (point >= 0 && instance.IsNone) then
            ValueNone
        else
            ValueSome
                {
                    Gpu = gpu.Value
                    Instance = instance
                    Jobs = [||]
                }

    let private strict = UTF8Encoding(false, true)

    /// The id on a line; none where it cannot be one.
    let private idOf (line: ReadOnlySpan<byte>) : string voption =
        try
            let text = strict.GetString line

            if text.Length > LongestId || text |> String.exists Char.IsControl then
                ValueNone
            else
                ValueSome text
        with :? DecoderFallbackException ->
            ValueNone

    /// Reads the ids. A blank line is none, a line that cannot be an id costs itself, and the last line needs no line end.
    [<CompiledName "Parse">]
    let parse (path: string) (file: GpuJobFile) (text: ReadOnlySpan<byte>) : Parsed<GpuJobFile> =
        let mutable faults = LineFaults()
        let mutable rest = text.Slice(0, min text.Length LongestFile)
        let mutable number = 0
        let jobs = ResizeArray<string>()

        let bad (number: int) (raw: string) (expected: string) =
            {
                Source = path
                Line = number
                Field = "job id"
                Raw = raw
                Expected = expected
            }

        while not rest.IsEmpty do
            let length = rest.IndexOf '\n'B

            let line = Text.trim (if length < 0 then rest else rest.Slice(0, length))

            number <- number + 1

            if not line.IsEmpty then
                match idOf line with
                | ValueSome id when jobs.Contains id -> ()
                | ValueSome id when jobs.Count < MostJobs -> jobs.Add id
                | ValueSome id -> faults.Add(bad number id "at most 16 jobs")
                | ValueNone -> faults.Add(bad number (Text.excerpt line) expected)

            rest <-
                if length < 0 then
                    ReadOnlySpan.Empty
                else
                    rest.Slice(length + 1)

        if text.Length > LongestFile then
            faults.Add(bad 0 "more" "at most 4096 bytes")

        faults.Around { file with Jobs = jobs.ToArray() }

    let private jobsAt (gpu: int) (instance: int voption) (files: GpuJobFile[]) : string[] voption =
        let mutable found = ValueNone

        for file in files do
            let isSameInstance =
                match file.Instance, instance with
                | ValueNone, ValueNone -> true
                | ValueSome one, ValueSome other -> one = other
                | _ -> false

            if file.Gpu = gpu && isSameInstance then
                found <- ValueSome file.Jobs

        found

    let private none: string[] = [||]

    /// The jobs of a whole GPU; empty where no file names any.
    [<CompiledName "OfGpu">]
    let ofGpu (files: GpuJobFile[]) (gpu: int) : string[] =
        jobsAt gpu ValueNone files |> ValueOption.defaultValue none

    /// The jobs of a MIG instance of this GPU; empty where no file names any, and where its number is not known.
    [<CompiledName "OfInstance">]
    let ofInstance (files: GpuJobFile[]) (gpu: int) (device: MigDevice) : string[] =
        if device.GpuInstance.IsSome then
            jobsAt gpu device.GpuInstance files |> ValueOption.defaultValue none
        else
            none

    /// The jobs of what a job holds: of a MIG instance by its UUID.
    let private ofHeld (files: GpuJobFile[]) (gpus: Gpu[]) (held: JobGpu) : string[] =
        let devices =
            gpus
            |> Array.filter (fun gpu -> gpu.Index = held.Index)
            |> Array.collect (fun gpu -> gpu.MigDevices |> ValueOption.defaultValue [||])

        match
            devices
            |> Array.tryFind (fun device -> device.Uuid <> "" && String.Equals(device.Uuid, held.Uuid))
        with
        | Some device -> ofInstance files held.Index device
        | None -> ofGpu files held.Index

    /// The scheduler's id of a job: that of its own which the files of its GPUs name as well, else the one that all these files have in common.
    /// Empty where there is none, or more than one.
    [<CompiledName "SchedulerIdOf">]
    let schedulerIdOf (files: GpuJobFile[]) (gpus: Gpu[]) (job: Job) : string =
        if files.Length = 0 then
            ""
        else
            let told =
                job.Gpus
                |> Array.map (ofHeld files gpus)
                |> Array.filter (fun jobs -> jobs.Length > 0)

            let has (id: string) (jobs: string[]) = Array.contains id jobs

            if told.Length = 0 then
                ""
            elif job.Owner.Kind = OwnerKind.Slurm && told |> Array.exists (has job.Owner.Value) then
                job.Owner.Value
            else
                match told[0] |> Array.filter (fun id -> told |> Array.forall (has id)) with
                | [| id |] -> id
                | _ -> ""
