namespace Agent.Receiver

open FsToolkit.ErrorHandling
open Agent.Core

/// Checks of the options that say where the state is.
[<RequireQualifiedAccess>]
module internal StateOptions =
    let private wrong (given: Given) (sentence: string) : Result<'a, ConfigError> =
        Error
            {
                Origin = given.Origin
                Message = $"{given.Origin}: {sentence}"
            }

    let private addressOf (given: Given) : Result<StateAddress, ConfigError> =
        match StateAddress.parse given.Text with
        | Ok address -> Ok address
        | Error(struct (true, reason)) -> AccessSettings.refuse given reason
        | Error(struct (false, reason)) -> wrong given reason

    /// Where the state is; none for the database of the samples.
    let read (given: string -> Given voption) : Validation<StateSettings voption, ConfigError> =
        validation {
            let! address = AccessSettings.optional given "--state" ValueNone (addressOf >> Result.map ValueSome)
            and! file = AccessSettings.optional given "--state-password-file" "" AccessSettings.fileOf

            and! () =
                match given "--state", given "--state-password-file" with
                | ValueNone, ValueSome file -> Validation.ofResult (wrong file "needs --state as well")
                | _ -> Ok()

            return
                address
                |> ValueOption.map (fun address ->
                    {
                        Address = address
                        PasswordFile = file
                    })
        }

    /// The same for `serve`, which has the samples beside it without a cluster of metrics.
    let serve (given: string -> Given voption) : Validation<StateSettings voption, ConfigError> =
        match given "--state", given "--metrics-url" with
        | ValueSome state, ValueNone ->
            Validation.ofResult (
                wrong
                    state
                    "is for dashboards that read figures from --metrics-url, and samples are kept in SQLite; give --metrics-url as well, or leave --state out"
            )
        | _ -> read given

    /// Where a command's users or tokens are: in the state, or in the file of that option.
    let credentials
        (option: string)
        (given: string -> Given voption)
        (settings: Validation<CredentialSettings, ConfigError>)
        : Validation<CredentialSettings, ConfigError> =
        match given "--state", given option with
        | ValueSome state, ValueSome _ -> Validation.ofResult (wrong state $"cannot be combined with {option}; give one of the two")
        | _ ->
            validation {
                let! settings = settings
                and! state = read given
                return { settings with State = state }
            }

    /// For commands that are about the database of the samples alone.
    let refused (given: string -> Given voption) (sentence: string) : Result<unit, ConfigError list> =
        match given "--state" with
        | ValueSome state -> Validation.ofResult (wrong state sentence)
        | ValueNone -> Ok()

    /// What backs the state up.
    let backedUp =
        "a state in PostgreSQL is backed up with pg_dump, and restored with pg_restore; this command is about --database alone"

    /// What tells whether the state can be used.
    let asked =
        "this command asks the dashboard that serves --database, whose /healthz says how the state is as well"
