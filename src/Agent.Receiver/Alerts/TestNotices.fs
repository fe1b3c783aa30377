/// What is sent to try a channel out.
[<RequireQualifiedAccess>]
module Agent.Receiver.Alerts.TestNotices

/// The notices of a test at an instant, in microseconds from 2000-01-01. For PagerDuty the alert ends as well, so that no incident stays open.
[<CompiledName "Of">]
let ofChannel (channel: ChannelSettings) (at: int64) : Notice[] =
    let test =
        {
            Alert = at
            Rule = "test"
            Level = AlertLevel.Warning
            State = NoticeState.Firing
            Slug = ""
            Machine = ""
            What = $"a test of the channel {channel.Name}"
            Why = "Somebody asked for it; nothing is wrong"
            Since = at
            Until = -1L
            Path = "/"
        }

    match channel.Kind with
    | ChannelKind.Http http when http.Service = HttpService.PagerDuty ->
        [|
            test
            { test with
                State = NoticeState.Resolved
                Until = at
            }
        |]
    | _ -> [| test |]
