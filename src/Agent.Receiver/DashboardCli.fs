/// The command line of `ai-dashboard`: an Argu union for each command, and the meaning of argv.
module Agent.Receiver.DashboardCli

open System
open Argu
open Agent
open Agent.Core
open Agent.Receiver.Alerts

/// What is known of an option in addition to its name and the name of its value: its default, or empty, and what it does.
type internal OptionRow = (struct (string * string))

let private madeIfMissing: OptionRow =
    DashboardSettings.DefaultDatabase, "database file; created if it does not exist"

let private theFile: OptionRow = DashboardSettings.DefaultDatabase, "the database's file"

let private stateRow: OptionRow =
    "",
    "PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used"

let private statePasswordRow: OptionRow =
    "", "file with the password for --state; without it PGPASSWORD or PGPASSFILE"

/// The options of a command: the one list of them, by cases and rows.
type internal ICommandArgument =
    inherit IArgParserTemplate
    /// What is said about it.
    abstract Row: OptionRow

[<RequireQualifiedAccess>]
type internal ServeArgument =
    | [<EqualsAssignmentOrSpaced>] Listen of url: string option
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Retention_Days of days: string option
    | [<EqualsAssignmentOrSpaced>] Raw_Hours of hours: string option
    | [<EqualsAssignmentOrSpaced>] Users_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Tokens_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Viewer_Password_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Oidc_Authority of url: string option
    | [<EqualsAssignmentOrSpaced>] Oidc_Client_Id of id: string option
    | [<EqualsAssignmentOrSpaced>] Oidc_Client_Secret_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Oidc_Admins of claim: string option
    | [<EqualsAssignmentOrSpaced>] Oidc_Viewers of claim: string option
    | [<EqualsAssignmentOrSpaced>] Trusted_Proxy of cidr: string option
    | [<EqualsAssignmentOrSpaced>] Trust_Proxy_User of header: string option
    | [<EqualsAssignmentOrSpaced>] Tls_Certificate of path: string option
    | [<EqualsAssignmentOrSpaced>] Tls_Key of path: string option
    | Plain_Http_Behind_Proxy
    | [<EqualsAssignmentOrSpaced>] Alerts of path: string option
    | [<EqualsAssignmentOrSpaced>] Public_Url of url: string option
    | [<EqualsAssignmentOrSpaced>] Metrics_Url of url: string option
    | [<EqualsAssignmentOrSpaced>] Metrics_Header_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Metrics_Tenant of name: string option
    | [<EqualsAssignmentOrSpaced>] Metrics_Write_Url of url: string option
    | [<EqualsAssignmentOrSpaced>] Metrics_Outbox of path: string option
    | [<EqualsAssignmentOrSpaced>] Metrics_Outbox_Mebibytes of count: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option
    | Accounts_In_State
    | [<EqualsAssignmentOrSpaced>] Server_Samples of count: string option
    | [<EqualsAssignmentOrSpaced>] Server_Kilobytes of count: string option
    | [<EqualsAssignmentOrSpaced>] Server_Devices of count: string option
    | [<EqualsAssignmentOrSpaced>] Address_Connections of count: string option
    | [<EqualsAssignmentOrSpaced>] Address_Streams of count: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Listen _ -> DashboardSettings.DefaultListen, "where to listen, http or https; no other address is used"
            | Database _ -> madeIfMissing
            | Retention_Days _ -> DashboardSettings.DefaultRetentionDays, "days for which minutes are kept, counted from the newest sample"
            | Raw_Hours _ -> DashboardSettings.DefaultRawHours, "hours for which single samples are kept"
            | Users_File _ -> "", "file of the users who may log in, written by the users commands; read again when it changes"
            | Tokens_File _ -> "", "file of tokens for scripts, written by the tokens commands; read again when it changes"
            | Viewer_Password_File _ -> "", "file with one password that all viewers share"
            | Oidc_Authority _ -> "", "OpenID Connect provider to log in with"
            | Oidc_Client_Id _ -> "", "this dashboard's client id at the provider"
            | Oidc_Client_Secret_File _ -> "", "file with the client secret that the provider issued"
            | Oidc_Admins _ -> "", "claim that makes an admin, such as groups=admins; without it there are no admins"
            | Oidc_Viewers _ -> "", "claim that makes a viewer; without it everybody who can log in at the provider is one"
            | Trusted_Proxy _ ->
                "",
                "addresses or networks of reverse proxies, separated by commas; X-Forwarded-For and X-Forwarded-Proto are accepted only from them"
            | Trust_Proxy_User _ ->
                "",
                "header in which a reverse proxy passes the user that it has logged in; accepted only from --trusted-proxy or, without that, from this machine"
            | Tls_Certificate _ -> "", "PEM file with the certificate and its chain, for https; read again when it changes"
            | Tls_Key _ -> "", "PEM file with the certificate's key; read again when it changes"
            | Plain_Http_Behind_Proxy -> "", "listen on other than loopback addresses without TLS, behind a proxy that terminates it"
            | Alerts _ -> "", "JSON file with the rules of alerts and the channels over which they are sent"
            | Public_Url _ -> "--listen", "URL at which people open the dashboard; links in messages begin with it"
            | Metrics_Url _ ->
                "",
                "Prometheus-compatible API (VictoriaMetrics, Mimir, Thanos, Prometheus) to which the agents push; figures are read from it instead of the database"
            | Metrics_Header_File _ -> "", "file with the headers that this API requires, one per line, such as Authorization"
            | Metrics_Tenant _ -> "", "tenant whose figures these are (Mimir, Cortex: X-Scope-OrgID); VictoriaMetrics has it in the URL"
            | Metrics_Write_Url _ -> "", "where that cluster takes remote-write; posted samples are passed on to it, and refused without it"
            | Metrics_Outbox _ -> "DATABASE-outbox", "directory of the posted samples that the cluster does not have yet"
            | Metrics_Outbox_Mebibytes _ ->
                DashboardSettings.DefaultOutboxMebibytes,
                "at most so many MiB of them wait; after that samples are refused, and agents keep them"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow
            | Accounts_In_State ->
                "", "users and tokens are those of --state, written by the users and tokens commands with --state, instead of files"
            | Server_Samples _ -> string ServerLimits.DefaultSamples, "samples per second that each server may send on average"
            | Server_Kilobytes _ -> string ServerLimits.DefaultKibibytes, "KiB per second that each server may send on average"
            | Server_Devices _ -> string ServerLimits.DefaultDevices, "disks, GPUs and fans that are known of each server at a time"
            | Address_Connections _ -> string DashboardSettings.DefaultConnections, "connections that one address may have at a time"
            | Address_Streams _ -> string DashboardSettings.DefaultStreams, "pages with live figures that one address may have open"

[<RequireQualifiedAccess>]
type internal RegisterArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Name of name: string option
    | [<EqualsAssignmentOrSpaced>] Hostname of name: string option
    | [<EqualsAssignmentOrSpaced>] Description of text: string option
    | Rotate_Token
    | Active
    | Inactive
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> madeIfMissing
            | Name _ -> "the slug", "display name of the server"
            | Hostname _ -> "", "the server's host name"
            | Description _ -> "", "description of the server"
            | Rotate_Token -> "", "make a new token; the old one is refused from then on"
            | Active -> "", "accept its samples, which is the default"
            | Inactive -> "", "refuse its samples with 403"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal PlainArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal RemoveArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | Yes
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | Yes -> "", "do not ask; needed without a terminal"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal BackupArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Keep of number: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | Keep _ -> "all", "how many backups stay in a directory; older ones are deleted"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal RestoreArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | Yes
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> DashboardSettings.DefaultDatabase, "the database that the backup replaces"
            | Yes -> "", "do not ask; needed without a terminal"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal UsersArgument =
    | [<EqualsAssignmentOrSpaced>] Users_File of path: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Users_File _ -> AccessSettings.DefaultUsersFile, "the file of users"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

let private roleRow: OptionRow = "viewer", "viewer (may only look) or admin (may also change things)"

[<RequireQualifiedAccess>]
type internal AddUserArgument =
    | [<EqualsAssignmentOrSpaced>] Users_File of path: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Role of role: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Users_File _ -> AccessSettings.DefaultUsersFile, "the file of users; created if missing"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow
            | Role _ -> roleRow

[<RequireQualifiedAccess>]
type internal TokensArgument =
    | [<EqualsAssignmentOrSpaced>] Tokens_File of path: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Tokens_File _ -> AccessSettings.DefaultTokensFile, "the file of tokens"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal AddTokenArgument =
    | [<EqualsAssignmentOrSpaced>] Tokens_File of path: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Role of role: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Tokens_File _ -> AccessSettings.DefaultTokensFile, "the file of tokens; created if missing"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow
            | Role _ -> roleRow

[<RequireQualifiedAccess>]
type internal AddEnrolKeyArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Labels of labels: string option
    | [<EqualsAssignmentOrSpaced>] Expires of time: string option
    | [<EqualsAssignmentOrSpaced>] Key_File of path: string option
    | [<EqualsAssignmentOrSpaced>] State of url: string option
    | [<EqualsAssignmentOrSpaced>] State_Password_File of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | Labels _ -> "", "labels of its machines, such as room=3,team=vision"
            | Expires _ -> "30d", "when it expires: 12h, 30d, a day such as 2027-01-31, or never"
            | Key_File _ -> "", "write the key into this file instead of printing it; if both already exist, nothing is done"
            | State _ -> stateRow
            | State_Password_File _ -> statePasswordRow

[<RequireQualifiedAccess>]
type internal ExportArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] To of url: string option
    | [<EqualsAssignmentOrSpaced>] Header_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Server of slug: string option
    | [<EqualsAssignmentOrSpaced>] From of instant: string option
    | [<EqualsAssignmentOrSpaced>] Until of instant: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | To _ -> "", "where the cluster takes remote-write, such as http://127.0.0.1:8428/api/v1/write"
            | Header_File _ -> "", "file with the headers that it requires, one per line, such as Authorization or X-Scope-OrgID"
            | Server _ -> "", "only this server"
            | From _ -> "", "only samples from this time on, such as 2026-11-01 or 2026-11-01T12:00:00Z"
            | Until _ -> "", "only samples before"

[<RequireQualifiedAccess>]
type internal AlertsArgument =
    | [<EqualsAssignmentOrSpaced>] Alerts of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Alerts _ -> AlertsSettings.DefaultFile, "the file of alerts"

[<RequireQualifiedAccess>]
type internal TestAlertsArgument =
    | [<EqualsAssignmentOrSpaced>] Alerts of path: string option
    | [<EqualsAssignmentOrSpaced>] Public_Url of url: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Alerts _ -> AlertsSettings.DefaultFile, "the file of alerts"
            | Public_Url _ -> "", "URL at which people open the dashboard; without it the test has no link"

/// What the command line asks for.
[<RequireQualifiedAccess>]
type DashboardCommand =
    /// Print this text.
    | Help of text: string
    /// Print the version.
    | Version
    /// Receive samples and show them.
    | Serve of settings: ServeSettings
    /// Register a server, or change its registration.
    | Register of settings: RegisterSettings
    /// List the servers.
    | List of database: string * state: StateSettings voption
    /// Remove a server and its samples; `confirmed` if there is nothing to ask any more.
    | Remove of database: string * state: StateSettings voption * slug: string * confirmed: bool
    /// Copy the database while it is in use, to a file or into a directory, which keeps the newest `keep` backups; all of them for 0.
    | Backup of database: string * file: string * keep: int
    /// Examine the database.
    | Check of database: string
    /// Ask the dashboard that serves the database whether it stores samples.
    | Health of database: string
    /// Replace the database with a backup; `confirmed` if there is nothing to ask any more.
    | Restore of database: string * file: string * confirmed: bool
    /// Change or list those who may log in.
    | Users of settings: CredentialSettings
    /// Change or list the tokens of scripts.
    | Tokens of settings: CredentialSettings
    /// Change or list the keys with which machines enrol.
    | EnrolKeys of settings: EnrolKeySettings
    /// Test or list the channels of alerts.
    | Alerts of settings: AlertsCommandSettings
    /// Write the history of the database to a cluster of metrics.
    | Export of settings: ExportSettings

    /// Calls the function for the case that this is.
    member command.Match
        (
            help: Func<string, 'r>,
            version: Func<'r>,
            serve: Func<ServeSettings, 'r>,
            register: Func<RegisterSettings, 'r>,
            list: Func<string, StateSettings voption, 'r>,
            remove: Func<string, StateSettings voption, string, bool, 'r>,
            backup: Func<string, string, int, 'r>,
            check: Func<string, 'r>,
            health: Func<string, 'r>,
            restore: Func<string, string, bool, 'r>,
            users: Func<CredentialSettings, 'r>,
            tokens: Func<CredentialSettings, 'r>,
            enrolKeys: Func<EnrolKeySettings, 'r>,
            alerts: Func<AlertsCommandSettings, 'r>,
            export: Func<ExportSettings, 'r>
        ) : 'r =
        match command with
        | Help text -> help.Invoke text
        | Version -> version.Invoke()
        | Serve settings -> serve.Invoke settings
        | Register settings -> register.Invoke settings
        | List(database, state) -> list.Invoke(database, state)
        | Remove(database, state, slug, confirmed) -> remove.Invoke(database, state, slug, confirmed)
        | Backup(database, file, keep) -> backup.Invoke(database, file, keep)
        | Check database -> check.Invoke database
        | Health database -> health.Invoke database
        | Restore(database, file, confirmed) -> restore.Invoke(database, file, confirmed)
        | Users settings -> users.Invoke settings
        | Tokens settings -> tokens.Invoke settings
        | EnrolKeys settings -> enrolKeys.Invoke settings
        | Alerts settings -> alerts.Invoke settings
        | Export settings -> export.Invoke settings

/// The program's name, as users type it.
[<Literal>]
let ProgramName = "ai-dashboard"

/// One command: what it is called, in one word or two, the word it takes, what it does, its options, and how it is checked.
type private Verb =
    {
        Name: string
        Word: string
        Purpose: string
        /// Name, name of the value, and what is said about it.
        Options: unit -> (struct (string * string * OptionRow))[]
        Parts: string[] -> CommandLine.Part list
        Check: (string -> Given voption) -> string list -> Result<DashboardCommand, ConfigError list>
    }

let private verb<'argument when 'argument :> ICommandArgument> name word purpose check : Verb =
    let parser = CommandLine.Parser<'argument> $"{ProgramName} {name}"

    {
        Name = name
        Word = word
        Purpose = purpose
        Options =
            fun () ->
                parser.Options
                |> Array.map (fun (struct (option, placeholder, argument)) -> struct (option, placeholder, argument.Row))
        Parts = parser.Parts
        Check = check
    }

let private quoted (text: string) =
    $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

/// For commands that take no word beside their options.
let private noWord (command: string) (words: string list) : Result<unit, ConfigError list> =
    match words with
    | [] -> Ok()
    | words ->
        Error
            [
                for word in words do
                    {
                        Origin = command
                        Message = $"{command} takes no argument; {quoted word} is one too many"
                    }
            ]

let private both (one: Result<'a, ConfigError list>) (other: Result<'b, ConfigError list>) =
    match one, other with
    | Ok one, Ok other -> Ok(one, other)
    | Error one, Error other -> Error(one @ other)
    | Error errors, _
    | _, Error errors -> Error errors

let private users action given =
    AccessSettings.credentials "--users-file" AccessSettings.DefaultUsersFile action given
    |> StateOptions.credentials "--users-file" given
    |> Result.map DashboardCommand.Users

let private tokens action given =
    AccessSettings.credentials "--tokens-file" AccessSettings.DefaultTokensFile action given
    |> StateOptions.credentials "--tokens-file" given
    |> Result.map DashboardCommand.Tokens

let private enrolKeys (action: Result<EnrolKeyAction, ConfigError list>) given =
    both (both (DashboardSettings.database given) (StateOptions.read given)) action
    |> Result.map (fun ((database, state), action) ->
        DashboardCommand.EnrolKeys
            {
                Database = database
                State = state
                Action = action
            })

let private alerts action given =
    AlertsSettings.command action given |> Result.map DashboardCommand.Alerts

let private verbs: Verb list =
    [
        verb<ServeArgument> "serve" "" "receives samples, stores them and shows the page" (fun given words ->
            both (noWord "serve" words) (DashboardSettings.serve given)
            |> Result.map (snd >> DashboardCommand.Serve))
        verb<RegisterArgument> "register-server" "SLUG" "registers a server and prints its token, or changes it" (fun given words ->
            DashboardSettings.register given words |> Result.map DashboardCommand.Register)
        verb<PlainArgument> "list-servers" "" "lists the servers" (fun given words ->
            both (noWord "list-servers" words) (both (DashboardSettings.database given) (StateOptions.read given))
            |> Result.map (snd >> DashboardCommand.List))
        verb<RemoveArgument> "remove-server" "SLUG" "removes a server and all its samples" (fun given words ->
            both (both (DashboardSettings.database given) (StateOptions.read given)) (DashboardSettings.slug words)
            |> Result.map (fun ((database, state), slug) ->
                DashboardCommand.Remove(database, state, slug, DashboardSettings.isConfirmed given)))
        verb<BackupArgument>
            "backup"
            "FILE"
            "copies the database to a new file, or into a directory, even while it is in use"
            (fun given words ->
                both (both (DashboardSettings.database given) (DashboardSettings.place words)) (DashboardSettings.keep given)
                |> both (StateOptions.refused given StateOptions.backedUp)
                |> Result.map (fun ((), ((database, file), keep)) -> DashboardCommand.Backup(database, file, keep)))
        verb<PlainArgument> "check" "" "says whether the database is intact, what is in it, and how much space is left" (fun given words ->
            both (noWord "check" words) (DashboardSettings.database given)
            |> both (StateOptions.refused given StateOptions.backedUp)
            |> Result.map (snd >> snd >> DashboardCommand.Check))
        verb<PlainArgument> "health" "" "asks the dashboard that serves the database whether samples are stored" (fun given words ->
            both (noWord "health" words) (DashboardSettings.database given)
            |> both (StateOptions.refused given StateOptions.asked)
            |> Result.map (snd >> snd >> DashboardCommand.Health))
        verb<RestoreArgument> "restore" "FILE" "replaces the database with a backup, and keeps the old one beside it" (fun given words ->
            both (DashboardSettings.database given) (DashboardSettings.file words)
            |> both (StateOptions.refused given StateOptions.backedUp)
            |> Result.map (fun ((), (database, file)) -> DashboardCommand.Restore(database, file, DashboardSettings.isConfirmed given)))
        verb<ExportArgument> "export" "" "writes the history in the database to a metrics cluster" (fun given words ->
            both (noWord "export" words) (DashboardSettings.export given)
            |> both (StateOptions.refused given StateOptions.backedUp)
            |> Result.map (snd >> snd >> DashboardCommand.Export))
        verb<AddUserArgument> "users add" "NAME" "adds a user who may log in, or changes password and role" (fun given words ->
            users (AccessSettings.add given (DashboardSettings.word "NAME" words)) given)
        verb<UsersArgument> "users remove" "NAME" "removes a user and ends their sessions" (fun given words ->
            users (AccessSettings.remove (DashboardSettings.word "NAME" words)) given)
        verb<UsersArgument> "users list" "" "lists the users" (fun given words ->
            users (noWord "users list" words |> Result.map (fun () -> CredentialAction.List)) given)
        verb<AddTokenArgument> "tokens add" "NAME" "makes a bearer token for a script and prints it" (fun given words ->
            tokens (AccessSettings.add given (DashboardSettings.word "NAME" words)) given)
        verb<TokensArgument> "tokens remove" "NAME" "removes a token, which is refused from then on" (fun given words ->
            tokens (AccessSettings.remove (DashboardSettings.word "NAME" words)) given)
        verb<TokensArgument> "tokens list" "" "lists the tokens by name" (fun given words ->
            tokens (noWord "tokens list" words |> Result.map (fun () -> CredentialAction.List)) given)
        verb<AddEnrolKeyArgument>
            "enrol-keys add"
            "NAME"
            "makes a key that machines use to register themselves, and prints it"
            (fun given words -> enrolKeys (EnrolKeySettings.add given (DashboardSettings.word "NAME" words)) given)
        verb<PlainArgument> "enrol-keys remove" "NAME" "removes a key; its machines keep their tokens" (fun given words ->
            enrolKeys (EnrolKeySettings.remove (DashboardSettings.word "NAME" words)) given)
        verb<PlainArgument> "enrol-keys list" "" "lists the keys, and how many servers each has enrolled" (fun given words ->
            enrolKeys (noWord "enrol-keys list" words |> Result.map (fun () -> EnrolKeyAction.List)) given)
        verb<TestAlertsArgument>
            "alerts test"
            "CHANNEL"
            "sends a test over a channel of alerts, and says whether it was delivered"
            (fun given words -> alerts (AlertsSettings.test (DashboardSettings.word "CHANNEL" words)) given)
        verb<AlertsArgument> "alerts list" "" "lists the channels of alerts" (fun given words ->
            alerts (noWord "alerts list" words |> Result.map (fun () -> AlertsAction.List)) given)
    ]

/// The text of `--help`.
[<CompiledName "Usage">]
let usage () : string =
    let commands =
        verbs
        |> List.map (fun verb ->
            let call = verb.Name + " " + verb.Word
            $"  {call.PadRight 22} {verb.Purpose}")
        |> String.concat "\n"

    $"USAGE: {ProgramName} COMMAND [options]\n\nCOMMANDS:\n\n{commands}\n\n"
    + $"`{ProgramName} COMMAND --help` lists the options of a command. `--version` prints the version. The only environment variables that are read are systemd's, and for --state PGPASSWORD and PGPASSFILE.\n"

let private usageError (where: string) (message: string) : ConfigError =
    {
        Origin = "command line"
        Message = $"{message}; see {where} --help"
    }

/// The help of one command.
let private usageOf (verb: Verb) : string =
    [
        $"USAGE: {ProgramName} {verb.Name} {verb.Word}".TrimEnd() + " [OPTION ...]"
        ""
        for struct (name, placeholder, struct (standard, meaning)) in verb.Options() do
            yield! CommandLine.entry name placeholder standard meaning
        yield! CommandLine.entry "--help, -h" "" "" "print the options and exit"
        ""
    ]
    |> String.concat "\n"

let private verbNames = verbs |> List.map _.Name |> String.concat ", "

/// A command and its options, for what is written about them.
[<NoComparison>]
type CommandDescription =
    {
        /// Its name.
        Name: string
        /// The word that it takes beside its options; empty for none.
        Word: string
        /// What it does.
        Purpose: string
        /// Name, name of the value (empty for a switch), default (or empty) and meaning of each option.
        Options: (struct (string * string * string * string))[]
    }

/// All commands, in the order of `--help`.
[<CompiledName "Describe">]
let describe () : CommandDescription[] =
    verbs
    |> List.map (fun verb ->
        {
            Name = verb.Name
            Word = verb.Word
            Purpose = verb.Purpose
            Options =
                verb.Options()
                |> Array.map (fun (struct (name, placeholder, struct (standard, meaning))) ->
                    struct (name, placeholder, standard, meaning))
        })
    |> Array.ofList

let private isHelp (word: string) = word = "--help" || word = "-h"

/// The meaning of `argv`: a command, or every error in it. If an option is repeated the last one wins.
[<CompiledName "Parse">]
let parse (argv: string[]) : Result<DashboardCommand, ConfigError[]> =
    match List.ofArray argv with
    | [] -> Error [| usageError ProgramName $"a command is missing: one of {verbNames}" |]
    | first :: _ when isHelp first -> Ok(DashboardCommand.Help(usage ()))
    | first :: _ when
        first.StartsWith("--help=", StringComparison.Ordinal)
        || first.StartsWith("--version=", StringComparison.Ordinal)
        ->
        let name, value = first.Substring(0, first.IndexOf '='), first.Substring(first.IndexOf '=' + 1)
        Error [| usageError ProgramName $"{name} takes no value; {quoted value} is one" |]
    | "--version" :: _ -> Ok DashboardCommand.Version
    | first :: rest ->
        let name = first.Replace('_', '-')

        let called =
            match rest with
            | second :: others when verbs |> List.exists (fun verb -> verb.Name = $"{name} {second}") -> $"{name} {second}", others
            | _ -> name, rest

        match verbs |> List.tryFind (fun verb -> verb.Name = fst called), snd called with
        | None, _ when
            verbs
            |> List.exists (fun verb -> verb.Name.StartsWith(name + " ", StringComparison.Ordinal))
            ->
            if List.exists isHelp rest then
                Ok(DashboardCommand.Help(usage ()))
            else
                let words =
                    verbs
                    |> List.filter (fun verb -> verb.Name.StartsWith(name + " ", StringComparison.Ordinal))
                    |> List.map (fun verb -> verb.Name.Substring(name.Length + 1))

                let others = words |> List.take (words.Length - 1) |> String.concat ", "

                Error
                    [|
                        usageError ProgramName $"{name} needs one of the words {others} or {List.last words}"
                    |]
        | None, _ -> Error [| usageError ProgramName $"{quoted first} is not a command" |]
        | Some verb, rest when List.exists isHelp rest -> Ok(DashboardCommand.Help(usageOf verb))
        | Some verb, rest ->
            let parts = verb.Parts(Array.ofList rest)

            let options =
                parts
                |> List.choose (function
                    | CommandLine.Part.Option(name, value) -> Some { Origin = name; Text = value }
                    | CommandLine.Part.Switch name -> Some { Origin = name; Text = "" }
                    | _ -> None)

            let words =
                parts
                |> List.choose (function
                    | CommandLine.Part.Word word -> Some word
                    | _ -> None)

            let errors =
                parts
                |> List.choose (function
                    | CommandLine.Part.Lacking name -> Some $"{name} needs a value"
                    | CommandLine.Part.SwitchWithValue(name, text) -> Some $"{name} takes no value; {quoted text} is one"
                    | CommandLine.Part.Unknown word when word.StartsWith("--help=", StringComparison.Ordinal) ->
                        Some $"""--help takes no value; {quoted (word.Substring "--help=".Length)} is one"""
                    | CommandLine.Part.Unknown word -> Some $"{quoted (word.Split('=')[0])} is not an option"
                    | _ -> None)
                |> List.map (usageError $"{ProgramName} {verb.Name}")

            let given name =
                options
                |> List.tryFindBack (fun option -> option.Origin = name)
                |> ValueOption.ofOption

            match verb.Check given words, errors with
            | Ok command, [] -> Ok command
            | Ok _, errors -> Error(Array.ofList errors)
            | Error problems, errors -> Error(Array.ofList (errors @ problems))
