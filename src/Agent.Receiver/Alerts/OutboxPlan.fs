namespace Agent.Receiver.Alerts

open System

/// How an attempt to deliver a message ended.
[<RequireQualifiedAccess>]
type AttemptEnd =
    /// The other side has taken it.
    | Delivered of answer: string
    /// The other side will not take it, however often it is sent.
    | Refused of reason: string
    /// It may be taken later; the wait is what the other side asked for.
    | Failed of wait: TimeSpan voption * reason: string

    /// Calls the function for the case that this is.
    member ending.Match(delivered: Func<string, 'r>, refused: Func<string, 'r>, failed: Func<TimeSpan voption, string, 'r>) : 'r =
        match ending with
        | Delivered answer -> delivered.Invoke answer
        | Refused reason -> refused.Invoke reason
        | Failed(wait, reason) -> failed.Invoke(wait, reason)

/// When a message is sent again, and when not.
[<RequireQualifiedAccess>]
module OutboxPlan =
    let private shortest = TimeSpan.FromSeconds 5.0
    let private longest = TimeSpan.FromMinutes 10.0

    /// The longest wait that the other side can ask for.
    [<CompiledName "LongestAsked">]
    let longestAsked = TimeSpan.FromHours 1.0

    /// The wait after an attempt, counted from 1: five seconds, twice as long after each, ten minutes at most, and all of it a fifth shorter or
    /// longer by a number from 0 to 1, so that those who failed together do not come back together. Never shorter than what was asked for.
    [<CompiledName "Wait">]
    let wait (attempt: int) (asked: TimeSpan voption) (jitter: float) : TimeSpan =
        let plain = shortest * Math.Pow(2.0, float (Math.Clamp(attempt - 1, 0, 20)))
        let spread = (min plain longest) * (0.8 + 0.4 * Math.Clamp(jitter, 0.0, 1.0))

        match asked with
        | ValueSome asked -> max spread (min asked longestAsked)
        | ValueNone -> spread

    /// What an HTTP status means, with the first line of what was answered. As for samples, what somebody can put right on either side (a wrong
    /// token or address, a redirect) is tried again; what is wrong with the message itself is not.
    [<CompiledName "OfStatus">]
    let ofStatus (status: int) (answer: string) (retryAfter: TimeSpan voption) : AttemptEnd =
        let said =
            let line = (answer.Trim().Split '\n')[0]

            if line.Trim() = "" then
                $"HTTP {status}"
            else
                $"HTTP {status}: {Messages.cut 200 (line.Trim())}"

        match status with
        | _ when status >= 200 && status < 300 -> AttemptEnd.Delivered said
        | _ when status >= 300 && status < 400 ->
            AttemptEnd.Failed(retryAfter, $"{said}; redirects are not followed, so name the address that it leads to")
        | 401
        | 403
        | 404
        | 407
        | 408
        | 425
        | 429 -> AttemptEnd.Failed(retryAfter, said)
        | _ when status >= 400 && status < 500 -> AttemptEnd.Refused said
        | _ -> AttemptEnd.Failed(retryAfter, said)
