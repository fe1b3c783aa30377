namespace Agent.Receiver

open System.Globalization
open System.Text
open Agent.Core
open Agent.Receiver.Cluster

/// What the dashboard measures about itself.
type OwnFigures =
    {
        /// Its version.
        Version: string
        /// Requests with a sample, by the status that they were answered with.
        Ingests: (struct (int * int64))[]
        /// Samples that are on disk because of them.
        Samples: int64
        /// Upper bounds of commits' durations, in seconds.
        CommitBounds: float[]
        /// How many commits took at most as long as each bound, and in the last place all of them.
        Commits: int64[]
        /// How long all commits took together, in seconds.
        CommitSeconds: float
        /// Commits that failed.
        FailedCommits: int64
        /// Whether samples are stored.
        IsStoring: bool
        /// Registered servers by their state.
        Servers: (struct (string * int64))[]
        /// Clients that listen to events.
        Listeners: int64
        /// The database's pages, in bytes.
        DatabaseBytes: int64
        /// The memory that the process occupies, in bytes.
        ResidentBytes: int64
        /// What is passed on to a cluster; none where nothing is.
        Relay: RelayFigures voption
        /// How the state is that several dashboards share; none without `--state`.
        State: StateReport voption
    }

/// The dashboard's own figures as Prometheus text (text/plain; version=0.0.4).
[<RequireQualifiedAccess>]
module OwnMetrics =
    let private number (value: float) =
        value.ToString("R", CultureInfo.InvariantCulture)

    /// The text.
    [<CompiledName "Text">]
    let text (figures: OwnFigures) : string =
        let output = StringBuilder()

        let family name kind (help: string) (lines: (string * string) list) =
            output.Append($"# HELP ai_dashboard_{name} {help}\n# TYPE ai_dashboard_{name} {kind}\n")
            |> ignore

            for suffix, value in lines do
                output.Append($"ai_dashboard_{name}{suffix} {value}\n") |> ignore

        family "build_info" "gauge" "1, with the version as a label." [ $"{{version=\"{figures.Version}\"}}", "1" ]

        family
            "ingest_requests_total"
            "counter"
            "Requests with a sample, by the status of the response."
            [
                for struct (status, count) in figures.Ingests do
                    $"{{status=\"{status}\"}}", string count
            ]

        family "samples_total" "counter" "Samples acknowledged; they are on disk." [ "", string figures.Samples ]

        family
            "commit_duration_seconds"
            "histogram"
            "Transactions of samples, from their beginning to the disk."
            [
                for index in 0 .. figures.CommitBounds.Length - 1 do
                    $"_bucket{{le=\"{number figures.CommitBounds[index]}\"}}", string figures.Commits[index]

                let all = string figures.Commits[figures.CommitBounds.Length]
                "_bucket{le=\"+Inf\"}", all
                "_sum", number figures.CommitSeconds
                "_count", all
            ]

        family "failed_commits_total" "counter" "Transactions that could not be written to the disk." [ "", string figures.FailedCommits ]

        family "storing" "gauge" "1 while samples are stored, 0 while they cannot be." [ "", (if figures.IsStoring then "1" else "0") ]

        family
            "servers"
            "gauge"
            "Registered servers by state."
            [
                for struct (state, count) in figures.Servers do
                    $"{{state=\"{state}\"}}", string count
            ]

        family "event_listeners" "gauge" "Clients that listen to events." [ "", string figures.Listeners ]
        family "database_bytes" "gauge" "Size of the database without its log." [ "", string figures.DatabaseBytes ]
        family "resident_memory_bytes" "gauge" "Memory that the process uses." [ "", string figures.ResidentBytes ]

        match figures.Relay with
        | ValueNone -> ()
        | ValueSome relay ->
            let count (name: string) (help: string) (value: int64) =
                family $"relay_{name}_total" "counter" help [ "", string value ]

            family "relay_waiting_samples" "gauge" "Posted samples on disk that the cluster does not have yet." [ "", string relay.Waiting ]
            family "relay_outbox_bytes" "gauge" "Size of the outbox for the cluster." [ "", string relay.Bytes ]
            count "samples" "Posted samples that the cluster has." relay.Delivered

            count
                "unconfirmed_samples"
                "Samples sent again after a lost answer, which the cluster then refused as too old."
                relay.Unconfirmed

            count "refused_samples" "Samples that the cluster refused because of their content." relay.Refused
            count "refused_series" "Series in delivered samples that the cluster refused." relay.RefusedSeries
            count "damaged_samples" "Samples in the outbox that were damaged on the disk." relay.Damaged

            count "untaken_samples" "Samples answered with 503, since the outbox was full or the disk did not take them." relay.NotTaken

            family
                "relay_delivering"
                "gauge"
                "1 while samples are passed on, 0 while the cluster takes none."
                [ "", (if relay.Problem = "" then "1" else "0") ]

        match figures.State with
        | ValueSome state ->
            let flag value = if value then "1" else "0"
            family "state_up" "gauge" "1 while the state in PostgreSQL can be used." [ "", flag state.Works ]

            family
                "alerts_holder"
                "gauge"
                "1 on the dashboard that evaluates the rules of alerts, of those that share a state."
                [ "", flag state.IsHolder ]
        | ValueNone -> ()

        output.ToString()
