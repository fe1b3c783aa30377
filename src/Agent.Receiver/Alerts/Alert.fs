namespace Agent.Receiver.Alerts

/// What an alert is about. There is one open alert of each cause.
[<Struct>]
type Cause =
    {
        /// The name of its rule.
        Rule: string
        /// The machine's number; 0 for the dashboard itself.
        Server: int
        /// Which of several of the machine: a job, a file system, a GPU; empty for the machine itself.
        Subject: string
    }

/// How far an alert has come.
[<RequireQualifiedAccess>]
type AlertPhase =
    /// Its condition holds, but not for long enough yet.
    | Pending
    /// It is open.
    | Firing
    /// It is over.
    | Ended

    /// Its name in the database.
    member phase.Name: string =
        match phase with
        | Pending -> "pending"
        | Firing -> "firing"
        | Ended -> "ended"

/// An alert, from the instant on at which its condition holds. Instants are microseconds from 2000-01-01; -1 stands for not yet, or none.
type Alert =
    {
        /// Its number, which is never given twice.
        Number: int64
        /// What it is about.
        Cause: Cause
        /// The machine's slug when it began; empty for the dashboard itself.
        Slug: string
        /// The machine's name then; empty for the dashboard itself.
        Machine: string
        /// Its labels then (`rack=r1`).
        Labels: string[]
        /// How urgent it is.
        Level: AlertLevel
        /// A sentence without its full stop.
        What: string
        /// The same; may be empty.
        Why: string
        /// How far it has come.
        Phase: AlertPhase
        /// Since when the condition holds.
        Since: int64
        /// When it became an alert.
        FiredAt: int64
        /// Since when the condition is over, while the alert waits for its end.
        ClearSince: int64
        /// When the condition was over for good.
        EndedAt: int64
        /// Since when its begin is to be told.
        BeginDue: int64
        /// When it was told.
        BeginTold: int64
        /// Since when its end is to be told.
        EndDue: int64
        /// When it was told.
        EndTold: int64
        /// Who has acknowledged it, and when; empty for nobody.
        AckBy: string
        /// When that was.
        AckAt: int64
        /// It is quiet until then.
        MutedUntil: int64
    }

    /// Whether there is anything left to tell of it.
    member alert.IsWaiting: bool =
        (alert.BeginDue >= 0L && alert.BeginTold < 0L)
        || (alert.EndDue >= 0L && alert.EndTold < 0L)

/// What was found on a machine: a value that a rule compares with its threshold, and the words for it, which are made only when somebody is told.
[<NoComparison; NoEquality>]
type Finding =
    {
        /// The name of the rule.
        Rule: string
        /// Which of several of the machine; empty for the machine itself.
        Subject: string
        /// What the threshold is compared with.
        Value: float
        /// Since when it is so, in microseconds from 2000-01-01; -1 where only the present is known.
        Since: int64
        /// What is wrong, and why.
        Say: unit -> struct (string * string)
    }

/// What can be said of a machine at an instant.
[<RequireQualifiedAccess>]
type Standing =
    /// What was found is all that there is to find.
    | Known
    /// Only what was found is known: of everything else nothing can be said.
    | Silent
    /// Nothing can be said.
    | Unknown
    /// Nobody wants to hear of it: its samples are refused.
    | Retired

/// A machine as it is seen at an instant.
[<NoComparison; NoEquality>]
type MachineSeen =
    {
        /// Its number; 0 for the dashboard itself.
        Server: int
        /// Its slug; empty for the dashboard itself.
        Slug: string
        /// Its name.
        Name: string
        /// `rack=r1`
        Labels: string[]
        /// What can be said of it.
        Standing: Standing
        /// What was found.
        Findings: Finding[]
    }

/// Something that became of an alert.
[<RequireQualifiedAccess>]
type Transition =
    /// It is open from now on.
    | Began of Alert
    /// It is over.
    | Ended of Alert

    /// The alert, as it is then.
    member transition.Alert: Alert =
        match transition with
        | Began alert
        | Ended alert -> alert

/// How the alerts are set.
type AlertRules =
    {
        /// By the name of the rule; none for its defaults.
        Settings: Map<string, RuleSetting>
        /// When nobody is told.
        Silences: Silence[]
    }
