/// Laws of what was said: what is stored is read back, and sums are the same however they are put together.
module Agent.PropertyTests.Dashboard.VerdictLaws

open System
open Agent.Core
open Agent.Receiver
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open FsCheck.FSharp

let private label = Gen.choose (0, VerdictLabel.All.Length - 1)

let private figure (most: int) =
    Gen.frequency
        [
            1, Gen.constant nan
            5, Gen.choose (0, most) |> Gen.map (fun value -> float value / 10.0)
        ]

let private job =
    gen {
        let! number = Gen.choose64 (1L, 40L)
        let! label = label
        let! gpus = Gen.choose (0, 16) |> Gen.map (fun halves -> float halves / 2.0)
        let! busy = figure 1000
        let! power = figure 1000
        let! cores = figure 1280
        let! mebibytes = figure 100000
        let! read = figure 10000000
        let! written = figure 10000000

        return
            {
                Job = number
                Label = label
                Gpus = gpus
                Busy = busy
                Power = power
                Cores = cores
                Memory = mebibytes * 1048576.0
                Read = read * 1000.0
                Written = written * 1000.0
            }
    }

let private point =
    gen {
        let! label = Gen.choose (-1, VerdictLabel.All.Length - 1)
        let! jobs = upTo 5 job

        return
            {
                Label = label
                Jobs = Array.distinctBy _.Job jobs
            }
    }

let private points =
    upTo 20 (Gen.zip point (Gen.choose (0, 60000) |> Gen.map (fun ms -> float ms / 1000.0)))

let private minuteOf (points: (VerdictPoint * float)[]) : VerdictMinute =
    let builder = VerdictMinuteBuilder()
    points |> Array.iter builder.Add
    builder.Minute

let private isNear (tolerance: float) (one: float) (other: float) =
    Double.IsNaN one && Double.IsNaN other || abs (one - other) <= tolerance

let private areNear tolerance (one: float[]) (other: float[]) =
    Array.forall2 (isNear tolerance) one other

let private isSpreadNear tolerance (one: Spread) (other: Spread) =
    one.Count = other.Count
    && (one.Count = 0
        || isNear tolerance one.Min other.Min
           && isNear tolerance one.Mean other.Mean
           && isNear tolerance one.Max other.Max)

let private isJobNear (slack: float) (one: JobMinute) (other: JobMinute) =
    one.Job = other.Job
    && areNear (0.001 * slack) one.Seconds other.Seconds
    && areNear (0.001 * slack) one.GpuSeconds other.GpuSeconds
    && areNear (0.001 * slack) one.Wasted other.Wasted
    && isSpreadNear (0.051 * slack) one.Busy other.Busy
    && isSpreadNear (0.0051 * slack) one.Cores other.Cores
    && isSpreadNear (500_001.0 * slack) one.Memory other.Memory
    && isSpreadNear (501.0 * slack) one.Read other.Read
    && isSpreadNear (501.0 * slack) one.Written other.Written

let private bytes (array: byte[]) = ReadOnlySpan array

let tests =
    Expecto.Tests.testList
        "Verdicts of the dashboard"
        [
            lawOf wholeCases "a sample's jobs are read back" (upTo 8 job) (fun jobs ->
                let read = JobPoint.unpack (bytes (JobPoint.pack jobs))

                read.Length = jobs.Length
                && Array.forall2
                    (fun (one: JobPoint) (other: JobPoint) ->
                        one.Job = other.Job
                        && one.Label = other.Label
                        && isNear 0.0005 one.Gpus other.Gpus
                        && isNear 0.05 one.Busy other.Busy
                        && isNear 0.05 one.Power other.Power
                        && isNear 0.005 one.Cores other.Cores
                        && isNear 524_289.0 one.Memory other.Memory
                        && isNear 501.0 one.Read other.Read
                        && isNear 501.0 one.Written other.Written)
                    jobs
                    read)

            lawOf wholeCases "a minute is read back" points (fun points ->
                let minute = minuteOf points

                let read =
                    VerdictMinute.unpack (bytes (VerdictMinute.packLabels minute)) (bytes (VerdictMinute.packJobs minute))

                areNear 0.001 minute.Seconds read.Seconds
                && minute.Jobs.Length = read.Jobs.Length
                && Array.forall2 (isJobNear 1.0) minute.Jobs read.Jobs)

            lawOf wholeCases "a minute is the same however it is put together" (Gen.zip points (Gen.choose (0, 20))) (fun (points, cut) ->
                let first, rest = Array.splitAt (min cut points.Length) points
                let whole = minuteOf points
                let joined = VerdictMinute.join (minuteOf first) (minuteOf rest)

                areNear 1e-6 whole.Seconds joined.Seconds
                && whole.Jobs.Length = joined.Jobs.Length
                && Array.forall2 (isJobNear 0.01) whole.Jobs joined.Jobs)

            lawOf wholeCases "no bytes break the reading" (upTo 200 (Gen.choose (0, 255) |> Gen.map byte)) (fun rubbish ->
                JobPoint.unpack (bytes rubbish) |> ignore
                VerdictMinute.unpack (bytes rubbish) (bytes rubbish) |> ignore
                true)

            lawOf
                wholeCases
                "what an hour gains is what its minute gained, in whatever order it is written anew"
                (Gen.three points)
                (fun (one, other, last) ->
                    let minutes = [| [||]; (minuteOf one).Jobs; (minuteOf other).Jobs; (minuteOf last).Jobs |]

                    let sum (changes: JobUse[]) =
                        changes
                        |> Array.groupBy (fun used -> used.Job, used.Label)
                        |> Array.map (fun (key, parts) -> key, parts |> Array.sumBy _.Gpu, parts |> Array.sumBy _.Wasted)
                        |> Array.filter (fun (_, gpu, wasted) -> gpu <> 0L || wasted <> 0L)
                        |> set

                    sum (
                        Array.pairwise minutes
                        |> Array.collect (fun (before, after) -> JobUse.change before after)
                    )
                        =
                        sum (JobUse.change [||] minutes[3]))

            lawOf wholeCases "nobody wastes more than was used" points (fun points ->
                (minuteOf points).Jobs
                |> Array.forall (fun job -> Array.forall2 (fun wasted all -> wasted <= all + 1e-9) job.Wasted job.GpuSeconds))
        ]
