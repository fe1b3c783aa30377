namespace Agent.Receiver.Alerts

open System
open Agent.Receiver

/// Days of the week on which a window opens, at which time, and for how long. UTC.
type Weekly =
    {
        /// On which days it opens.
        Days: DayOfWeek[]
        /// From midnight.
        At: TimeSpan
        /// At most a week.
        Length: TimeSpan
    }

/// A time in which alerts are not sent: maintenance, or a machine that everybody knows about.
type Silence =
    {
        /// Its number in the database; 0 for one of the settings file.
        Id: int64
        /// What it is for, in somebody's words.
        Comment: string
        /// The machines; none for all of them and for the dashboard itself.
        Targets: Target[]
        /// The names of the rules; none for all of them.
        Rules: string[]
        /// When it begins, in microseconds from 2000-01-01; -1 for always.
        From: int64
        /// When it is over; -1 for never.
        Until: int64
        /// Within that time, when it is open; none for always.
        Weekly: Weekly voption
        /// Who made it; empty for the settings file.
        Author: string
    }

/// When alerts are not sent.
[<RequireQualifiedAccess>]
module Silence =
    /// So many silences there are at most, those of the settings file not counted.
    [<Literal>]
    let Most = 200

    /// A comment has so many characters at most.
    [<Literal>]
    let LongestComment = 200

    /// A silence has so many targets, and as many rules, at most.
    [<Literal>]
    let MostTargets = 64

    let private isOpen (now: DateTimeOffset) (weekly: Weekly) =
        let utc = now.UtcDateTime

        // One that opened up to a week ago may still be open.
        seq { 0..7 }
        |> Seq.exists (fun back ->
            let day = utc.Date.AddDays(-(float back))
            let opened = day + weekly.At

            Array.contains day.DayOfWeek weekly.Days
            && opened <= utc
            && utc < opened + weekly.Length)

    /// Whether it holds at an instant.
    [<CompiledName "IsActive">]
    let isActive (now: int64) (silence: Silence) : bool =
        (silence.From < 0L || silence.From <= now)
        && (silence.Until < 0L || now < silence.Until)
        && silence.Weekly |> ValueOption.forall (isOpen (RowKey.instant now))

    /// Whether it keeps the alerts of a rule about a machine quiet at an instant. An empty slug is the dashboard itself.
    [<CompiledName "Covers">]
    let covers (now: int64) (rule: string) (slug: string) (labels: string[]) (silence: Silence) : bool =
        (silence.Rules.Length = 0 || Array.contains rule silence.Rules)
        && Target.fitsAny slug labels silence.Targets
        && isActive now silence

    /// Whether it is over for good.
    [<CompiledName "IsPast">]
    let isPast (now: int64) (silence: Silence) : bool =
        silence.Until >= 0L && silence.Until <= now
