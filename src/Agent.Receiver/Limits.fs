namespace Agent.Receiver

open System
open System.Collections.Generic
open Agent.Core

/// How much a token bucket lets through: `Rate` a second in the long run, and up to `Capacity` at once after a silence.
[<Struct; NoEquality; NoComparison>]
type BucketSize =
    {
        /// What comes back each second.
        Rate: float
        /// What it holds when it is full.
        Capacity: float
    }

/// What is left in a token bucket, as of an instant of a monotonic clock. Below zero it has lent something.
[<Struct; NoEquality; NoComparison>]
type Bucket =
    {
        /// What may be taken.
        Left: float
        /// When that was.
        At: TimeSpan
    }

/// Token buckets.
[<RequireQualifiedAccess>]
module Bucket =
    /// A full one.
    [<CompiledName "Full">]
    let full (size: BucketSize) (now: TimeSpan) : Bucket = { Left = size.Capacity; At = now }

    /// The same bucket now, with what has come back since. A clock that stands still or goes back gives nothing.
    [<CompiledName "Refilled">]
    let refilled (size: BucketSize) (now: TimeSpan) (bucket: Bucket) : Bucket =
        if now <= bucket.At then
            bucket
        else
            {
                Left = min size.Capacity (bucket.Left + (now - bucket.At).TotalSeconds * size.Rate)
                At = now
            }

    /// How long until there is one to take; zero where there is.
    [<CompiledName "WaitFor">]
    let waitFor (size: BucketSize) (bucket: Bucket) : TimeSpan =
        if bucket.Left >= 1.0 then
            TimeSpan.Zero
        else
            TimeSpan.FromSeconds((1.0 - bucket.Left) / size.Rate)

    /// With so much less in it; it may go below zero, and is then empty for longer.
    [<CompiledName "Less">]
    let less (amount: float) (bucket: Bucket) : Bucket =
        { bucket with
            Left = bucket.Left - amount
        }

/// What each server may send, whatever its token's owner does. One limit holds over days, one over a minute: what an outage kept back
/// may all come, but not all at once.
[<NoEquality; NoComparison>]
type ServerLimits =
    {
        /// Samples, over days.
        Samples: BucketSize
        /// Samples, over a minute.
        SampleBurst: BucketSize
        /// Bytes of bodies as they are read, unpacked, over days.
        Bytes: BucketSize
        /// The same over a minute.
        ByteBurst: BucketSize
        /// Combinations of devices that the database does not know yet.
        Layouts: BucketSize
        /// Jobs that the database does not know yet.
        Jobs: BucketSize
        /// Things that happen.
        Events: BucketSize
        /// Devices that are known at a time.
        Devices: int
    }

/// Limits and their defaults. docs/operations-limits.md has them all.
[<RequireQualifiedAccess>]
module ServerLimits =
    /// Samples a second that a server may send for ever.
    [<Literal>]
    let DefaultSamples = 10

    /// KiB a second that a server may send for ever.
    [<Literal>]
    let DefaultKibibytes = 128

    /// Devices of a server that are known at a time: twice as many as a history shows.
    [<Literal>]
    let DefaultDevices = 2 * Axis.MostDevices

    /// A server that was cut off for as long as samples are kept, at the agent's interval of two seconds, has 86,400 of them to send.
    let private backlog = float (Axis.RawHours * 3600 / 2)

    let private minute = 60.0

    /// The limits that follow from three figures: samples a second, KiB a second, and devices.
    [<CompiledName "Of">]
    let ofRates (samples: int) (kibibytes: int) (devices: int) : ServerLimits =
        let samples = float samples
        let bytes = float (Units.bytesOfKib (LanguagePrimitives.UInt64WithMeasure<Units.KiB>(uint64 kibibytes)))


        let burst (rate: float) =
            {
                Rate = rate
                Capacity = rate * minute
            }

        {
            Samples =
                {
                    Rate = samples
                    Capacity = backlog * samples / float DefaultSamples
                }
            SampleBurst = burst (samples * 50.0)
            // A backlog of samples of 12 KiB.
            Bytes =
                {
                    Rate = bytes
                    Capacity = bytes * 8192.0
                }
            ByteBurst = burst (bytes * 16.0)
            Layouts =
                {
                    Rate = 1.0 / minute
                    Capacity = 2000.0
                }
            // Short jobs come in arrays; ten minutes of a job a second, and one every ten seconds for ever.
            Jobs = { Rate = 0.1; Capacity = 600.0 }
            // A machine with eight GPUs that all come and go: as many as anybody would look at.
            Events = { Rate = 0.05; Capacity = 300.0 }
            Devices = devices
        }

    /// So many samples of one minute are kept, of so many figures each. All of them are read anew when one more of that minute comes late, and
    /// meanwhile nobody else's are stored.
    [<CompiledName "MostOfMinute">]
    let mostOfMinute (slots: int) : int = Math.Clamp(900_000 / slots, 120, 6_000)

    /// The limits where nobody asks for others.
    let standard: ServerLimits = ofRates DefaultSamples DefaultKibibytes DefaultDevices

/// What a server may still send.
[<Struct; NoEquality; NoComparison>]
type Allowance =
    {
        /// Of `ServerLimits.Samples`.
        Samples: Bucket
        /// Of `ServerLimits.SampleBurst`.
        SampleBurst: Bucket
        /// Of `ServerLimits.Bytes`.
        Bytes: Bucket
        /// Of `ServerLimits.ByteBurst`.
        ByteBurst: Bucket
    }

/// Keeping servers to their limits.
[<RequireQualifiedAccess>]
module Allowance =
    /// Of a server that has sent nothing so far.
    [<CompiledName "Full">]
    let full (limits: ServerLimits) (now: TimeSpan) : Allowance =
        {
            Samples = Bucket.full limits.Samples now
            SampleBurst = Bucket.full limits.SampleBurst now
            Bytes = Bucket.full limits.Bytes now
            ByteBurst = Bucket.full limits.ByteBurst now
        }

    /// Asks for one sample more: zero, and it is counted; or how long to wait with it. Its bytes are not known yet; they are charged when
    /// they are, and what they overdraw is waited for by the next.
    [<CompiledName "Admit">]
    let admit (limits: ServerLimits) (now: TimeSpan) (allowance: Allowance) : struct (Allowance * TimeSpan) =
        let current =
            {
                Samples = Bucket.refilled limits.Samples now allowance.Samples
                SampleBurst = Bucket.refilled limits.SampleBurst now allowance.SampleBurst
                Bytes = Bucket.refilled limits.Bytes now allowance.Bytes
                ByteBurst = Bucket.refilled limits.ByteBurst now allowance.ByteBurst
            }

        let longer (one: TimeSpan) (other: TimeSpan) = if one > other then one else other

        let wait =
            Bucket.waitFor limits.Samples current.Samples
            |> longer (Bucket.waitFor limits.SampleBurst current.SampleBurst)
            |> longer (Bucket.waitFor limits.Bytes current.Bytes)
            |> longer (Bucket.waitFor limits.ByteBurst current.ByteBurst)

        if wait > TimeSpan.Zero then
            struct (current, wait)
        else
            struct ({ current with
                        Samples = Bucket.less 1.0 current.Samples
                        SampleBurst = Bucket.less 1.0 current.SampleBurst
                    },
                    TimeSpan.Zero)

    /// Charges the bytes of a body that was read.
    [<CompiledName "Charge">]
    let charge (bytes: int) (allowance: Allowance) : Allowance =
        { allowance with
            Bytes = Bucket.less (float bytes) allowance.Bytes
            ByteBurst = Bucket.less (float bytes) allowance.ByteBurst
        }

    /// What Retry-After says: whole seconds, at least one, at most the ten minutes that agents wait for.
    [<CompiledName "RetryAfter">]
    let retryAfter (wait: TimeSpan) : int =
        int (Math.Clamp(Math.Ceiling wait.TotalSeconds, 1.0, 600.0))

/// Something of which there is so much, and of which nobody may hold more than a share: bytes of bodies that are being read, streams of
/// events, connections. Who holds nothing takes no room. Not safe for several threads.
[<Sealed>]
type Shares<'Key when 'Key: equality and 'Key: not null>(most: int64, share: int64) =
    let held = Dictionary<'Key, int64>()
    let mutable all = 0L

    /// What everybody holds together.
    member _.All: int64 = all

    /// How many hold something.
    member _.Holders: int = held.Count

    /// Takes so much for somebody; false, and nothing is taken, where that would be more than there is or than a share.
    member _.TryTake(key: 'Key, amount: int64) : bool =
        let mutable own = 0L
        held.TryGetValue(key, &own) |> ignore

        if amount < 0L || all + amount > most || own + amount > share then
            false
        else
            held[key] <- own + amount
            all <- all + amount
            true

    /// Gives back what was taken.
    member _.Return(key: 'Key, amount: int64) : unit =
        let mutable own = 0L

        if held.TryGetValue(key, &own) then
            let back = min own amount
            all <- all - back

            if own = back then
                held.Remove key |> ignore
            else
                held[key] <- own - back

/// A token bucket for each key, and one for all of them together. Keys whose bucket is full again take no room. Not safe for several threads.
[<Sealed>]
type Buckets<'Key when 'Key: equality and 'Key: not null>(size: BucketSize, all: BucketSize, mostKeys: int) =
    let held = Dictionary<'Key, Bucket>()
    let mutable together = ValueNone

    let drop (now: TimeSpan) =
        for pair in Seq.toArray held do
            if (Bucket.refilled size now pair.Value).Left >= size.Capacity then
                held.Remove pair.Key |> ignore

    /// How many keys take room.
    member _.Count: int = held.Count

    /// Takes one for a key: zero, or how long to wait, and then nothing is taken.
    member _.Take(key: 'Key, now: TimeSpan) : TimeSpan =
        if held.Count >= mostKeys then
            drop now

        let mutable known = Unchecked.defaultof<Bucket>

        let own =
            if held.TryGetValue(key, &known) then
                Bucket.refilled size now known
            else
                Bucket.full size now

        let shared =
            match together with
            | ValueSome bucket -> Bucket.refilled all now bucket
            | ValueNone -> Bucket.full all now

        let wait = max (Bucket.waitFor size own) (Bucket.waitFor all shared)

        if wait > TimeSpan.Zero then
            wait
        elif held.Count >= mostKeys && not (held.ContainsKey key) then
            // As many strangers as are remembered wait already: the next one waits as long as the slowest of them.
            TimeSpan.FromSeconds(size.Capacity / size.Rate)
        else
            held[key] <- Bucket.less 1.0 own
            together <- ValueSome(Bucket.less 1.0 shared)
            TimeSpan.Zero
