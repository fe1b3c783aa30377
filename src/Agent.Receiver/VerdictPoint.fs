namespace Agent.Receiver

open System
open Agent.Core

/// What a job did at the time of one sample. NaN where not known.
[<Struct>]
type JobPoint =
    {
        /// Its number in the database.
        Job: int64
        /// The code of its label.
        Label: int
        /// How many GPUs it has; one that several jobs share counts for each of them as its part.
        Gpus: float
        /// Mean utilisation of its GPUs, in per cent.
        Busy: float
        /// Mean power of its GPUs, in per cent of their limits.
        Power: float
        /// CPU cores used.
        Cores: float
        /// Bytes of memory.
        Memory: float
        /// Bytes read per second.
        Read: float
        /// Bytes written per second.
        Written: float
    }

/// What was said at the time of one sample.
type VerdictPoint =
    {
        /// The code of the machine's label; -1 where nothing was said.
        Label: int
        /// Its jobs.
        Jobs: JobPoint[]
    }

/// What jobs cost.
[<RequireQualifiedAccess>]
module JobPoint =
    /// GPUs wasted by the job of a point.
    let wastedGpus (point: JobPoint) : float =
        point.Gpus * Waste.loss VerdictLabel.All[point.Label] point.Busy point.Power

    /// The points of a judgement's jobs, given the number of each of them.
    [<CompiledName "OfJobs">]
    let ofJobs (judgement: Judgement) (numbers: int64[]) : JobPoint[] =
        let parts = judgement.Jobs |> Array.map _.Gpus |> Waste.parts

        let wholeOrNan (value: int64 voption) =
            match value with
            | ValueSome value -> float value
            | ValueNone -> nan

        judgement.Jobs
        |> Array.mapi (fun index job ->
            {
                Job = numbers[index]
                Label = JobSchema.codeOf job.Verdict.Label
                Gpus = parts[index]
                Busy = job.Figures.Decimals[JobSchema.gpuBusy]
                Power = job.Figures.Decimals[JobSchema.gpuPower]
                Cores = job.Figures.Decimals[JobSchema.cpuCores]
                Memory = wholeOrNan (job.Figures.Whole JobSchema.memoryBytes)
                Read = job.Figures.Decimals[JobSchema.readBytes]
                Written = job.Figures.Decimals[JobSchema.writtenBytes]
            })
        // One that got no number was one too many.
        |> Array.filter (fun point -> point.Job > 0L)

    let private thousandths = 1000.0

    let private known (scale: float) (value: float) : uint64 =
        if Double.IsFinite value then
            uint64 (Math.Clamp(Math.Round(value * scale), 0.0, 9.0e15)) + 1UL
        else
            0UL

    let private knownIn (scale: float) (bytes: ReadOnlySpan<byte>) (position: byref<int>) : float =
        match Packing.unsigned bytes &position with
        | 0UL -> nan
        | units -> float (units - 1UL) / scale

    /// The bytes in which a sample's jobs are kept: how many, and of each its number, its label, and its figures, of which 0 is not known.
    [<CompiledName "Pack">]
    let pack (points: JobPoint[]) : byte[] =
        if points.Length = 0 then
            [||]
        else
            let packer = Packer()
            packer.Unsigned(uint64 points.Length)

            for point in points do
                packer.Unsigned(uint64 point.Job)
                packer.Unsigned(uint64 point.Label)
                packer.Unsigned(known thousandths point.Gpus)
                packer.Unsigned(known 10.0 point.Busy)
                packer.Unsigned(known 10.0 point.Power)
                packer.Unsigned(known 100.0 point.Cores)
                packer.Unsigned(known 1.0 (point.Memory / 1048576.0))
                packer.Unsigned(known 1.0 (point.Read / 1000.0))
                packer.Unsigned(known 1.0 (point.Written / 1000.0))

            packer.ToArray()

    /// The jobs that were packed, with what its steps rounded off.
    [<CompiledName "Unpack">]
    let unpack (bytes: ReadOnlySpan<byte>) : JobPoint[] =
        let mutable position = 0
        let count = int (min (Packing.unsigned bytes &position) (uint64 JobSchema.MostJobs))
        let points = Array.zeroCreate count

        for index in 0 .. count - 1 do
            let job = int64 (Packing.unsigned bytes &position)
            let label = int (min (Packing.unsigned bytes &position) (uint64 (VerdictLabel.All.Length - 1)))
            let gpus = knownIn thousandths bytes &position
            let busy = knownIn 10.0 bytes &position
            let power = knownIn 10.0 bytes &position
            let cores = knownIn 100.0 bytes &position
            let memory = knownIn 1.0 bytes &position
            let read = knownIn 1.0 bytes &position
            let written = knownIn 1.0 bytes &position

            points[index] <-
                {
                    Job = job
                    Label = label
                    Gpus = gpus
                    Busy = busy
                    Power = power
                    Cores = cores
                    Memory = memory * 1048576.0
                    Read = read * 1000.0
                    Written = written * 1000.0
                }

        points

/// Points of what was said.
[<RequireQualifiedAccess>]
module VerdictPoint =
    /// Nothing was said.
    let none: VerdictPoint = { Label = -1; Jobs = [||] }

    /// Those of a row: the code of a label, -1 for none, and the bytes of its jobs.
    [<CompiledName "Of">]
    let ofRow (label: int) (jobs: ReadOnlySpan<byte>) : VerdictPoint =
        {
            Label = if label < VerdictLabel.All.Length then label else -1
            Jobs = JobPoint.unpack jobs
        }
