namespace Agent.Core

open System
open System.Globalization
open System.Text
open System.Text.Json

/// Why a request got no answer.
[<RequireQualifiedAccess>]
type NetworkFailure =
    /// The name does not resolve.
    | NameNotResolved of host: string
    /// Nothing listens there.
    | Refused of address: string
    /// No route to the host or the network.
    | Unreachable of address: string
    /// The whole request took longer than the time-out.
    | TimedOut of limit: TimeSpan
    /// The connection broke before the answer was complete.
    | Broken of detail: string
    /// The TLS handshake failed, or the certificate is not trusted.
    | Tls of detail: string

    /// What happened, as a clause.
    override failure.ToString() =
        match failure with
        | NameNotResolved host -> $"the name {host} does not resolve"
        | Refused address -> $"{address} refuses the connection"
        | Unreachable address -> $"{address} cannot be reached"
        | TimedOut limit ->
            let seconds = limit.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)
            $"no complete answer within {seconds} s"
        | Broken detail -> $"the connection broke: {detail}"
        | Tls detail -> $"TLS failed: {detail}"

/// The answer to a request.
type Answer =
    {
        /// The HTTP status.
        Status: int
        /// The `Retry-After` header; empty when absent.
        RetryAfter: string
        /// The `Location` header; empty when absent.
        Location: string
        /// The `Date` header, the server's clock; empty when absent.
        Date: string
        /// The first 64 KiB of the body.
        Body: ReadOnlyMemory<byte>
    }

/// What came of a request.
[<RequireQualifiedAccess>]
type Exchange =
    /// An answer, whoever gave it.
    | Answered of answer: Answer
    /// None.
    | Failed of failure: NetworkFailure

    /// Calls the function for the case that this is.
    member exchange.Match(answered: Func<Answer, 'r>, failed: Func<NetworkFailure, 'r>) : 'r =
        match exchange with
        | Answered answer -> answered.Invoke answer
        | Failed failure -> failed.Invoke failure

/// What the webapp says of a sample it stored, each value in the webapp's own spelling; empty when it is left out or
/// null.
type Receipt =
    {
        /// As it was sent.
        CollectedAt: string
        /// The bottleneck label.
        Bottleneck: string
        /// Usage of the CPU, per cent.
        CpuUsage: string
        /// Utilisation of the busiest GPU, per cent.
        TopGpuUtilization: string
        /// Utilisation of the busiest disk, per cent.
        DiskUtilization: string
    }

/// What became of one attempt to deliver a sample.
[<RequireQualifiedAccess>]
type Outcome =
    /// The webapp has it.
    | Delivered of receipt: Receipt
    /// Try the same sample again: after the delay that the server asked for, else with exponential back-off.
    | RetryAfter of delay: TimeSpan voption * reason: string
    /// Keep everything and probe with one sample now and then, until somebody mends the cause.
    | Hold of reason: string
    /// This one sample is refused for what it is.
    | Reject of reason: string

    /// Calls the function for the case that this is.
    member outcome.Match
        (delivered: Func<Receipt, 'r>, retryAfter: Func<TimeSpan voption, string, 'r>, hold: Func<string, 'r>, reject: Func<string, 'r>)
        : 'r =
        match outcome with
        | Delivered receipt -> delivered.Invoke receipt
        | RetryAfter(delay, reason) -> retryAfter.Invoke(delay, reason)
        | Hold reason -> hold.Invoke reason
        | Reject reason -> reject.Invoke reason

/// What to do after an attempt.
[<RequireQualifiedAccess>]
type DeliveryStep =
    /// The sample is done with; send the next.
    | Next
    /// Keep the sample at the head of the queue and try again after the delay.
    | Wait of delay: TimeSpan
    /// Put the sample aside as refused, and send the next.
    | SetAside
    /// The samples put aside since the last delivery, and this one, go back to the head; try again after the delay.
    | TakeBack of delay: TimeSpan

    /// Calls the function for the case that this is.
    member step.Match(next: Func<'r>, wait: Func<TimeSpan, 'r>, setAside: Func<'r>, takeBack: Func<TimeSpan, 'r>) : 'r =
        match step with
        | Next -> next.Invoke()
        | Wait delay -> wait.Invoke delay
        | SetAside -> setAside.Invoke()
        | TakeBack delay -> takeBack.Invoke delay

/// Where delivery stands between two attempts.
[<Struct>]
type DeliveryState =
    {
        /// Attempts in a row that ended in a retry.
        Failures: int
        /// Samples in a row that were refused for the same reason.
        Refusals: int
        /// That reason, digits removed.
        Refusal: string
    }

/// Decides what an HTTP exchange means, and what follows from it.
[<RequireQualifiedAccess>]
module Delivery =
    /// The longest wait between two attempts of the back-off.
    let LongestBackOff = TimeSpan.FromSeconds 60.0

    /// The longest wait that a server's Retry-After is granted.
    let LongestRetryAfter = TimeSpan.FromMinutes 10.0

    /// The wait between two probes while delivery is held.
    let ProbeInterval = TimeSpan.FromSeconds 30.0

    /// So many refusals in a row for one reason are a fault of the deployment, not of the samples.
    [<Literal>]
    let RefusalsInARow = 3

    /// Before the first attempt.
    [<CompiledName "Start">]
    let start: DeliveryState =
        {
            Failures = 0
            Refusals = 0
            Refusal = ""
        }

    /// A receipt that says nothing.
    [<CompiledName "NoReceipt">]
    let noReceipt: Receipt =
        {
            CollectedAt = ""
            Bottleneck = ""
            CpuUsage = ""
            TopGpuUtilization = ""
            DiskUtilization = ""
        }

    /// Text or a number in its own spelling. Delivered is decided by `ok` alone, so anything else only leaves a gap in a
    /// log line.
    let private dSpelling: Decoder<string> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.String -> Ok(Decode.string path element |> Result.defaultValue "")
            | JsonValueKind.Number -> Ok(element.GetRawText())
            | _ -> Ok ""

    let private dSnapshot: Decoder<Receipt> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Object ->
                let spelled (get: IGetters) name =
                    get.Optional.Field name dSpelling |> Option.defaultValue ""

                Decode.object
                    (fun get ->
                        {
                            CollectedAt = spelled get "collected_at"
                            Bottleneck = spelled get "bottleneck"
                            CpuUsage = spelled get "cpu_usage_percent"
                            TopGpuUtilization = spelled get "top_gpu_util_percent"
                            DiskUtilization = spelled get "disk_util_percent"
                        })
                    path
                    element
            | _ -> Ok noReceipt

    let private dReceipt: Decoder<Receipt voption> =
        Decode.object (fun get ->
            let snapshot = get.Optional.Field "snapshot" dSnapshot

            if get.Required.Field "ok" Decode.bool then
                ValueSome(snapshot |> Option.defaultValue noReceipt)
            else
                ValueNone)

    /// The webapp's own words: `error` of a JSON object, else nothing.
    let private errorText (body: ReadOnlyMemory<byte>) : string =
        match Decode.fromBytes (Decode.field "error" Decode.string) body with
        | Ok text -> text.Trim()
        | Error _ -> ""

    let private withText (prefix: string) (text: string) =
        let shown = Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes text))
        if shown = "" then prefix else $"{prefix}: {shown}"

    /// Seconds or an HTTP date (RFC 9110, 10.2.3), counted from `now`; none when absent, garbled or past.
    [<CompiledName "RetryDelay">]
    let retryDelay (now: DateTimeOffset) (header: string) : TimeSpan voption =
        let capped (delay: TimeSpan) =
            if delay < TimeSpan.Zero then
                ValueNone
            elif delay > LongestRetryAfter then
                ValueSome LongestRetryAfter
            else
                ValueSome delay

        if header.Length > 0 && String.forall Char.IsAsciiDigit header then
            // More digits than a number holds are more than the longest delay.
            let seconds = Double.Parse(header, CultureInfo.InvariantCulture)
            capped (TimeSpan.FromSeconds(min seconds LongestRetryAfter.TotalSeconds))
        else
            match DateTimeOffset.TryParseExact(header.Trim(), "r", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal) with
            | true, instant -> capped (instant - now)
            | _ -> ValueNone

    let private notTheWebapp status =
        $"HTTP {status}, but not the webapp's JSON: something else answers at this address"

    /// What an answer means. Delivered is only a 200 with a JSON object whose `ok` is true.
    [<CompiledName "OfAnswer">]
    let ofAnswer (now: DateTimeOffset) (answer: Answer) : Outcome =
        let retry reason =
            Outcome.RetryAfter(retryDelay now answer.RetryAfter, reason)

        let described = withText $"HTTP {answer.Status}" (errorText answer.Body)

        match answer.Status with
        | 200 ->
            match Decode.fromBytes dReceipt answer.Body with
            | Ok(ValueSome receipt) -> Outcome.Delivered receipt
            | Ok ValueNone -> retry described
            | Error _ -> retry (notTheWebapp 200)
        | status when status >= 201 && status <= 299 -> retry (notTheWebapp status)
        | 408
        | 425
        | 429 -> retry described
        | status when status >= 500 -> retry described
        | 400
        | 413
        | 422 -> Outcome.Reject described
        | status when status >= 300 && status <= 399 ->
            let target =
                if answer.Location = "" then
                    "nowhere"
                else
                    Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes answer.Location))

            Outcome.Hold $"HTTP {status}: redirected to {target}; redirects are not followed, correct --host"
        | _ -> Outcome.Hold described

    /// What a request without an answer means.
    [<CompiledName "OfFailure">]
    let ofFailure (failure: NetworkFailure) : Outcome =
        match failure with
        | NetworkFailure.Tls _ -> Outcome.Hold(string failure)
        | _ -> Outcome.RetryAfter(ValueNone, string failure)

    /// What a request means, whatever came of it.
    [<CompiledName "OfExchange">]
    let ofExchange (now: DateTimeOffset) (exchange: Exchange) : Outcome =
        match exchange with
        | Exchange.Answered answer -> ofAnswer now answer
        | Exchange.Failed failure -> ofFailure failure

    /// The wait before the attempt after `failures` failed ones (1 or more): from one interval, doubled each time, up to
    /// a minute, times `jitter` in 0-1 ("full jitter"), so that agents that failed together do not return together.
    [<CompiledName "BackOff">]
    let backOff (interval: TimeSpan) (failures: int) (jitter: float) : TimeSpan =
        let doublings = min (max 0 (failures - 1)) 30
        let ceiling = min LongestBackOff.TotalSeconds (interval.TotalSeconds * Math.Pow(2.0, float doublings))
        TimeSpan.FromSeconds(ceiling * Math.Clamp(jitter, 0.0, 1.0))

    let private withoutDigits (reason: string) =
        String.filter (Char.IsAsciiDigit >> not) reason

    /// What follows from an outcome: the new state and what to do. `jitter` is a random number in 0-1.
    [<CompiledName "Decide">]
    let decide (interval: TimeSpan) (jitter: float) (state: DeliveryState) (outcome: Outcome) : struct (DeliveryState * DeliveryStep) =
        match outcome with
        | Outcome.Delivered _ -> struct (start, DeliveryStep.Next)
        // A server that asks for no delay at all is not taken at its word.
        | Outcome.RetryAfter(ValueSome delay, _) when delay > TimeSpan.Zero ->
            struct ({ state with
                        Failures = state.Failures + 1
                    },
                    DeliveryStep.Wait delay)
        | Outcome.RetryAfter _ ->
            let failures = state.Failures + 1
            struct ({ state with Failures = failures }, DeliveryStep.Wait(backOff interval failures jitter))
        | Outcome.Hold _ -> struct ({ state with Failures = 0 }, DeliveryStep.Wait ProbeInterval)
        | Outcome.Reject reason ->
            // The status is part of the reason and made of digits, so it is kept apart from those that vary.
            let refusal = reason.Substring(0, min reason.Length "HTTP 400".Length) + withoutDigits reason
            let refusals = if refusal = state.Refusal then state.Refusals + 1 else 1

            if refusals >= RefusalsInARow then
                // Two remembered: the next refusal holds again at once, a delivery forgets them.
                struct ({
                            Failures = 0
                            Refusals = RefusalsInARow - 1
                            Refusal = refusal
                        },
                        DeliveryStep.TakeBack ProbeInterval)
            else
                struct ({
                            Failures = 0
                            Refusals = refusals
                            Refusal = refusal
                        },
                        DeliveryStep.SetAside)

    /// The line that is printed after each success: docs/ingest-api.md, "Response".
    [<CompiledName "ReceiptLine">]
    let receiptLine (receipt: Receipt) : string =
        // The answer comes from outside, and a line must stay one line.
        let orDash (text: string) =
            if text = "" then
                "-"
            else
                Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes text))

        $"{orDash receipt.CollectedAt} | cpu={orDash receipt.CpuUsage} gpu={orDash receipt.TopGpuUtilization} "
        + $"disk={orDash receipt.DiskUtilization} bottleneck={orDash receipt.Bottleneck}"
