namespace Agent.Receiver

open System
open System.Collections.Generic
open Agent.Core

/// A job in one minute, or in more of them.
type JobMinute =
    {
        /// Its number in the database.
        Job: int64
        /// Seconds of each label, by its code.
        Seconds: float[]
        /// GPU-seconds of each label.
        GpuSeconds: float[]
        /// GPU-seconds wasted under each label.
        Wasted: float[]
        /// Mean utilisation of its GPUs, in per cent.
        Busy: Spread
        /// CPU cores used.
        Cores: Spread
        /// Bytes of memory.
        Memory: Spread
        /// Bytes read per second.
        Read: Spread
        /// Bytes written per second.
        Written: Spread
    }

/// What was said in one minute of a machine, or in more of them.
type VerdictMinute =
    {
        /// Seconds for which each label stood, by its code.
        Seconds: float[]
        /// The jobs that were there, in the order of their numbers.
        Jobs: JobMinute[]
    }

/// Putting together what was said.
[<RequireQualifiedAccess>]
module VerdictMinute =
    let private labels = VerdictLabel.All.Length

    let private noSeconds () : float[] = Array.zeroCreate labels

    /// Nothing was said.
    let empty: VerdictMinute = { Seconds = noSeconds (); Jobs = [||] }

    let internal nothingOf (job: int64) : JobMinute =
        {
            Job = job
            Seconds = noSeconds ()
            GpuSeconds = noSeconds ()
            Wasted = noSeconds ()
            Busy = Spread.none
            Cores = Spread.none
            Memory = Spread.none
            Read = Spread.none
            Written = Spread.none
        }

    /// One job of both, put together.
    let internal joinJobs (one: JobMinute) (other: JobMinute) : JobMinute =
        {
            Job = one.Job
            Seconds = Array.map2 (+) one.Seconds other.Seconds
            GpuSeconds = Array.map2 (+) one.GpuSeconds other.GpuSeconds
            Wasted = Array.map2 (+) one.Wasted other.Wasted
            Busy = Spread.join one.Busy other.Busy
            Cores = Spread.join one.Cores other.Cores
            Memory = Spread.join one.Memory other.Memory
            Read = Spread.join one.Read other.Read
            Written = Spread.join one.Written other.Written
        }

    /// Both together.
    [<CompiledName "Join">]
    let join (one: VerdictMinute) (other: VerdictMinute) : VerdictMinute =
        {
            Seconds = Array.map2 (+) one.Seconds other.Seconds
            Jobs =
                Array.append one.Jobs other.Jobs
                |> Array.groupBy _.Job
                |> Array.map (fun (_, parts) -> parts |> Array.reduce joinJobs)
                |> Array.sortBy _.Job
        }

    /// What a point says, which speaks for so many seconds.
    let private addJob (seconds: float) (minute: JobMinute) (point: JobPoint) : JobMinute =
        // The arrays are the minute's own.
        minute.Seconds[point.Label] <- minute.Seconds[point.Label] + seconds
        minute.GpuSeconds[point.Label] <- minute.GpuSeconds[point.Label] + seconds * point.Gpus
        minute.Wasted[point.Label] <- minute.Wasted[point.Label] + seconds * JobPoint.wastedGpus point

        { minute with
            Busy = Spread.add point.Busy minute.Busy
            Cores = Spread.add point.Cores minute.Cores
            Memory = Spread.add point.Memory minute.Memory
            Read = Spread.add point.Read minute.Read
            Written = Spread.add point.Written minute.Written
        }

    /// Adds a point to a minute that is being put together.
    let internal add (seconds: float[]) (jobs: Dictionary<int64, JobMinute>) (point: VerdictPoint) (covers: float) : unit =
        if point.Label >= 0 then
            seconds[point.Label] <- seconds[point.Label] + covers

        for job in point.Jobs do
            let known =
                match jobs.TryGetValue job.Job with
                | true, minute -> minute
                | _ -> nothingOf job.Job

            jobs[job.Job] <- addJob covers known job

    // ---- the bytes -------------------------------------------------------------------------------------------------------

    let private milliseconds (seconds: float) =
        uint64 (Math.Round(max 0.0 seconds * 1000.0))

    let private packSpread (packer: Packer) (scale: float) (spread: Spread) =
        let units (value: float) =
            uint64 (Math.Clamp(Math.Round(value * scale), 0.0, 9.0e15))

        packer.Unsigned(uint64 spread.Count)

        if spread.Count > 0 then
            packer.Unsigned(units spread.Min)
            packer.Unsigned(units spread.Mean)
            packer.Unsigned(units spread.Max)

    let private unpackSpread (scale: float) (bytes: ReadOnlySpan<byte>) (position: byref<int>) : Spread =
        match int (Packing.unsigned bytes &position) with
        | 0 -> Spread.none
        | count ->
            let least = Packing.unsigned bytes &position
            let mean = Packing.unsigned bytes &position
            let greatest = Packing.unsigned bytes &position

            {
                Count = count
                Mean = float mean / scale
                Min = float least / scale
                Max = float greatest / scale
            }

    /// The bytes in which the machine's labels are kept: of each that occurred its code plus 1, and its milliseconds; none where nothing was said.
    [<CompiledName "PackLabels">]
    let packLabels (minute: VerdictMinute) : byte[] =
        let packer = Packer()

        minute.Seconds
        |> Array.iteri (fun label seconds ->
            if seconds > 0.0 then
                packer.Unsigned(uint64 label + 1UL)
                packer.Unsigned(milliseconds seconds))

        packer.ToArray()

    /// Adds the seconds of each label to those that are there.
    [<CompiledName "AddLabels">]
    let addLabels (seconds: float[]) (bytes: ReadOnlySpan<byte>) : unit =
        let mutable position = 0

        while position < bytes.Length do
            let label = int (Packing.unsigned bytes &position) - 1
            let length = float (Packing.unsigned bytes &position) / 1000.0

            if label >= 0 && label < seconds.Length then
                seconds[label] <- seconds[label] + length

    let private packJob (packer: Packer) (job: JobMinute) =
        packer.Unsigned(uint64 job.Job)

        let present =
            [|
                for label in 0 .. labels - 1 do
                    if job.Seconds[label] > 0.0 then
                        label
            |]

        packer.Unsigned(uint64 present.Length)

        for label in present do
            packer.Unsigned(uint64 label)
            packer.Unsigned(milliseconds job.Seconds[label])
            packer.Unsigned(milliseconds job.GpuSeconds[label])
            packer.Unsigned(milliseconds job.Wasted[label])

        packSpread packer 10.0 job.Busy
        packSpread packer 100.0 job.Cores
        packSpread packer 0.000001 job.Memory
        packSpread packer 0.001 job.Read
        packSpread packer 0.001 job.Written

    /// The bytes in which a minute's jobs are kept; none where there were none.
    [<CompiledName "PackJobs">]
    let packJobs (minute: VerdictMinute) : byte[] =
        let packer = Packer()
        minute.Jobs |> Array.iter (packJob packer)
        packer.ToArray()

    /// The jobs that were packed, with what its steps rounded off.
    [<CompiledName "UnpackJobs">]
    let unpackJobs (bytes: ReadOnlySpan<byte>) : JobMinute[] =
        let jobs = ResizeArray<JobMinute>()
        let mutable position = 0

        while position < bytes.Length do
            let job = nothingOf (int64 (Packing.unsigned bytes &position))
            let present = int (min (Packing.unsigned bytes &position) (uint64 labels))

            for _ in 1..present do
                let label = int (min (Packing.unsigned bytes &position) (uint64 (labels - 1)))
                job.Seconds[label] <- float (Packing.unsigned bytes &position) / 1000.0
                job.GpuSeconds[label] <- float (Packing.unsigned bytes &position) / 1000.0
                job.Wasted[label] <- float (Packing.unsigned bytes &position) / 1000.0

            let busy = unpackSpread 10.0 bytes &position
            let cores = unpackSpread 100.0 bytes &position
            let memory = unpackSpread 0.000001 bytes &position
            let read = unpackSpread 0.001 bytes &position
            let written = unpackSpread 0.001 bytes &position

            jobs.Add
                { job with
                    Busy = busy
                    Cores = cores
                    Memory = memory
                    Read = read
                    Written = written
                }

        jobs.ToArray()

    /// The minute that was packed.
    [<CompiledName "Unpack">]
    let unpack (labelBytes: ReadOnlySpan<byte>) (jobBytes: ReadOnlySpan<byte>) : VerdictMinute =
        let seconds = noSeconds ()
        addLabels seconds labelBytes

        {
            Seconds = seconds
            Jobs = unpackJobs jobBytes
        }

/// Puts points together, one after the other.
[<Sealed>]
type VerdictMinuteBuilder() =
    let seconds: float[] = Array.zeroCreate VerdictLabel.All.Length
    let jobs = Dictionary<int64, JobMinute>()

    /// Takes one more point, which speaks for so many seconds.
    member _.Add(point: VerdictPoint, covers: float) : unit =
        VerdictMinute.add seconds jobs point covers

    /// All of them together. Its arrays are the builder's own: nothing is added any more.
    member _.Minute: VerdictMinute =
        {
            Seconds = seconds
            Jobs = jobs.Values |> Seq.sortBy _.Job |> Seq.toArray
        }

/// What a job used in an hour under one label.
[<Struct>]
type JobUse =
    {
        /// Its number in the database.
        Job: int64
        /// The code of the label.
        Label: int
        /// GPU-milliseconds.
        Gpu: int64
        /// GPU-milliseconds wasted.
        Wasted: int64
    }

/// What jobs used.
[<RequireQualifiedAccess>]
module JobUse =
    let private milliseconds (seconds: float) = int64 (Math.Round(seconds * 1000.0))

    let private ofMinute (minute: JobMinute[]) : JobUse[] =
        [|
            for job in minute do
                for label in 0 .. job.GpuSeconds.Length - 1 do
                    if job.Seconds[label] > 0.0 then
                        {
                            Job = job.Job
                            Label = label
                            Gpu = milliseconds job.GpuSeconds[label]
                            Wasted = milliseconds job.Wasted[label]
                        }
        |]

    /// By how much what is known of an hour changes when one of its minutes is written that was written before, or was not.
    [<CompiledName "Change">]
    let change (before: JobMinute[]) (after: JobMinute[]) : JobUse[] =
        let negated =
            ofMinute before
            |> Array.map (fun used ->
                { used with
                    Gpu = -used.Gpu
                    Wasted = -used.Wasted
                })

        Array.append negated (ofMinute after)
        |> Array.groupBy (fun used -> struct (used.Job, used.Label))
        |> Array.map (fun (struct (job, label), parts) ->
            {
                Job = job
                Label = label
                Gpu = parts |> Array.sumBy _.Gpu
                Wasted = parts |> Array.sumBy _.Wasted
            })
        |> Array.filter (fun used -> used.Gpu <> 0L || used.Wasted <> 0L)
