namespace Agent.Receiver.Alerts

/// Whether an alert began or ended.
[<RequireQualifiedAccess>]
type NoticeState =
    /// It has begun, and lasts.
    | Firing
    /// It is over.
    | Resolved

    /// Its name in messages.
    member state.Name: string =
        match state with
        | Firing -> "firing"
        | Resolved -> "resolved"

/// How urgent an alert is.
[<RequireQualifiedAccess>]
type AlertLevel =
    /// Something is broken, or about to be.
    | Critical
    /// Time is lost, or will be.
    | Warning

    /// Its name in messages, settings and the database.
    member level.Name: string =
        match level with
        | Critical -> "critical"
        | Warning -> "warning"

/// One alert, as a message tells it.
type Notice =
    {
        /// The number of the alert; with the state it names the notice for good, so that a receiver can tell a repetition.
        Alert: int64
        /// The name of its rule: `machine-silent`.
        Rule: string
        /// How urgent it is.
        Level: AlertLevel
        /// Whether it began or ended.
        State: NoticeState
        /// The machine's slug; empty where the alert is about the dashboard itself.
        Slug: string
        /// The machine's name; empty where the alert is about the dashboard itself.
        Machine: string
        /// What is wrong: a sentence without its full stop.
        What: string
        /// Why, as far as it is known: a sentence without its full stop; may be empty.
        Why: string
        /// When it began, in microseconds from 2000-01-01.
        Since: int64
        /// When it ended, in the same measure; -1 while it lasts.
        Until: int64
        /// The path of the page that shows the moment, with its query: `/servers/node-1?…`.
        Path: string
    }
