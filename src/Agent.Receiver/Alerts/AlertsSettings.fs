namespace Agent.Receiver.Alerts

open System
open FsToolkit.ErrorHandling
open Agent.Core
open Agent.Receiver

/// The options of `serve` about alerts, checked.
type AlertsSettings =
    {
        /// The file of alerts; empty for none.
        File: string
        /// What links in messages begin with, without a slash at its end; empty where it was not given.
        PublicUrl: string
    }

/// What `alerts` does with the channels.
[<RequireQualifiedAccess>]
type AlertsAction =
    /// Send a test over one.
    | Test of channel: string
    /// List them.
    | List

    /// Calls the function for the case that this is.
    member action.Match(test: Func<string, 'r>, list: Func<'r>) : 'r =
        match action with
        | Test channel -> test.Invoke channel
        | List -> list.Invoke()

/// What the commands `alerts` can be told, checked.
type AlertsCommandSettings =
    {
        /// The file of alerts, and the address of links.
        Alerts: AlertsSettings
        /// What to do.
        Action: AlertsAction
    }

/// Checks of the options about alerts.
[<RequireQualifiedAccess>]
module internal AlertsSettings =
    [<Literal>]
    let DefaultFile = "ai-dashboard.alerts.json"

    let private urlOf (given: Given) : Result<string, ConfigError> =
        match Uri.TryCreate(given.Text.Trim(), UriKind.Absolute) with
        | true, NonNull uri when
            (uri.Scheme = "http" || uri.Scheme = "https")
            && uri.Query = ""
            && uri.Fragment = ""
            && uri.UserInfo = ""
            && uri.Host <> ""
            && given.Text.Length <= 500
            ->
            Ok(uri.AbsoluteUri.TrimEnd '/')
        | _ -> AccessSettings.refuse given "is not the http or https URL at which people open the dashboard, such as https://gpus.example"

    let private settings (fallback: string) (given: string -> Given voption) : Validation<AlertsSettings, ConfigError> =
        validation {
            let! file = AccessSettings.optional given "--alerts" fallback AccessSettings.fileOf
            and! url = AccessSettings.optional given "--public-url" "" urlOf
            return { File = file; PublicUrl = url }
        }

    /// Checks the options of `serve` about alerts.
    let serve (given: string -> Given voption) : Validation<AlertsSettings, ConfigError> = settings "" given

    let private nameOf (text: string) : Result<AlertsAction, ConfigError> =
        if Registration.isSlug text then
            Ok(AlertsAction.Test text)
        else
            AccessSettings.refuse { Origin = "CHANNEL"; Text = text } "is not the name of a channel: 1 to 64 letters, digits, - or _"

    /// To send a test over the channel of this name.
    let test (name: Validation<string, ConfigError>) : Validation<AlertsAction, ConfigError> =
        name |> Result.bind (nameOf >> Validation.ofResult)

    /// Checks what a command about alerts was told.
    let command (action: Validation<AlertsAction, ConfigError>) (given: string -> Given voption) =
        validation {
            let! alerts = settings DefaultFile given
            and! action = action
            return { Alerts = alerts; Action = action }
        }
