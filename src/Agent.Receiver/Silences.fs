namespace Agent.Receiver

open System

/// Stretches shorter than a bucket in which a machine sent nothing: no bucket is empty for them, and no chart has a hole.
[<RequireQualifiedAccess>]
module Silences =
    /// What is usual is the middle of so many buckets on either side: who changes the interval of an agent is not silent.
    [<Literal>]
    let private Around = 15

    /// In sent samples: one that is late leaves two intervals between samples.
    [<Literal>]
    let private LeastIntervals = 2.6

    /// In seconds.
    [<Literal>]
    let private LeastSeconds = 5.0

    /// Of a bucket: a few samples that a busy machine left out in half an hour are not worth a word.
    [<Literal>]
    let private LeastShare = 0.01

    let private middle (counts: int[]) (bucket: int) : float =
        let first = max 0 (bucket - Around)
        let last = min (counts.Length - 1) (bucket + Around)
        let known = counts[first..last] |> Array.filter (fun count -> count > 0) |> Array.sort

        if known.Length = 0 then
            0.0
        else
            float known[known.Length / 2]

    /// The seconds of each bucket in which samples are missing, from how many samples each has; 0 where none are. Nothing is said of buckets without samples, which show that themselves, nor of
    /// the first and the last that have some: nobody knows when in them the machine began or is to go on.
    let ofCounts (stepSeconds: float) (counts: int[]) : float[] =
        let first = Array.FindIndex(counts, (fun count -> count > 0))
        let last = Array.FindLastIndex(counts, (fun count -> count > 0))

        counts
        |> Array.mapi (fun bucket count ->
            if count = 0 || bucket <= first || bucket >= last then
                0.0
            else
                let usual = middle counts bucket
                let silent = stepSeconds * (1.0 - float count / usual)

                let least = max (LeastIntervals * stepSeconds / usual) (max LeastSeconds (LeastShare * stepSeconds))

                if silent >= least then silent else 0.0)
