namespace Agent.Sender

open System
open System.Globalization
open Agent.Core
open Agent.Outbound

/// Causes of trouble, and what to do about each of them.
[<RequireQualifiedAccess>]
module Advice =
    /// How far this machine's clock may be off.
    let LargestSkew = TimeSpan.FromSeconds 5.0

    /// The name of a destination beside the webapp, which is also its option without the dashes; empty for the webapp.
    let private nameOf (destination: Destination) =
        match destination with
        | Destination.RemoteWrite -> "remote-write"
        | Destination.Otlp -> "otlp"
        | _ -> ""

    /// The table's sentence about the webapp, reworded for a receiver.
    let private ofReceiver (destination: Destination) (sentence: string) =
        match nameOf destination with
        | "" -> sentence
        | name ->
            sentence
                .Replace("webapp", "receiver")
                .Replace("The base URL", "The URL")
                .Replace("the base URL", "the URL")
                .Replace("--host", "--" + name)

    /// The same for a cause on the way to a destination.
    [<CompiledName "For">]
    let forDestination (destination: Destination) (cause: Cause) : Remedy =
        let remedy = Remedies.ofCause cause

        { remedy with
            Wrong = ofReceiver destination remedy.Wrong
            Fix = ofReceiver destination remedy.Fix
        }

    /// What is wrong and what to do, on one line.
    [<CompiledName "Line">]
    let line (cause: Cause) : string =
        let remedy = Remedies.ofCause cause
        $"{remedy.Wrong} {remedy.Fix}"

    /// The same for a cause on the way to a destination.
    [<CompiledName "LineFor">]
    let lineFor (destination: Destination) (cause: Cause) : string =
        let remedy = forDestination destination cause

        match nameOf destination with
        | "" -> line cause
        | name -> $"{name}: {remedy.Wrong} {remedy.Fix}"

    /// True for a body as the webapp writes its errors.
    let private isWebapp (body: ReadOnlyMemory<byte>) =
        match Decode.fromBytes (Decode.field "ok" Decode.bool) body with
        | Ok _ -> true
        | Error _ -> false

    /// True for a refusal of ai-dashboard, whose detail begins with the command that helps.
    let private namesCommand (body: ReadOnlyMemory<byte>) =
        match Decode.fromBytes (Decode.field "detail" Decode.string) body with
        | Ok detail -> detail.StartsWith("ai-dashboard ", StringComparison.Ordinal)
        | Error _ -> false

    let private ofAnswer (now: DateTimeOffset) (answer: Answer) : Cause voption =
        match answer.Status with
        | 401 when namesCommand answer.Body -> ValueSome Cause.DashboardTokenRefused
        | 404 when namesCommand answer.Body -> ValueSome Cause.DashboardSlugUnknown
        | 503 when isWebapp answer.Body -> ValueSome Cause.NotStoring
        | 401 when isWebapp answer.Body -> ValueSome Cause.TokenRefused
        | 403 when isWebapp answer.Body -> ValueSome Cause.ServerDisabled
        | 401
        | 403 -> ValueSome Cause.AccessDenied
        | 404 -> ValueSome Cause.NotFound
        | 405 -> ValueSome Cause.MethodRefused
        | 407 -> ValueSome Cause.ProxyRefuses
        | 400
        | 422 -> ValueSome Cause.SampleRefused
        | 413 -> ValueSome Cause.SampleTooLarge
        | 408
        | 425 -> ValueSome Cause.ServerImpatient
        | 429 -> ValueSome Cause.TooManyRequests
        | 502
        | 503
        | 504 -> ValueSome Cause.GatewayFailing
        // A portal that asks for a login says so (RFC 6585).
        | 511 -> ValueSome Cause.ForeignService
        | status when status >= 500 -> ValueSome Cause.ServerFailing
        | _ when Delivery.isRedirect answer -> ValueSome Cause.Redirected
        | status when status >= 200 && status <= 299 ->
            match Delivery.ofAnswer now answer with
            | Outcome.Delivered _ -> ValueNone
            | _ when status = 200 && isWebapp answer.Body -> ValueSome Cause.UnexpectedAnswer
            | _ -> ValueSome Cause.ForeignService
        | _ -> ValueSome Cause.UnexpectedAnswer

    let private ofTls (fault: TlsFault) : Cause =
        match fault with
        | TlsFault.Expired _ -> Cause.CertificateExpired
        | TlsFault.NotYetValid _ -> Cause.CertificateNotYetValid
        | TlsFault.UnknownIssuer _ -> Cause.IssuerUnknown
        | TlsFault.WrongName _ -> Cause.WrongHostName
        | TlsFault.Revoked _
        | TlsFault.BadCertificate _ -> Cause.CertificateRefused
        | TlsFault.NotTls -> Cause.NotTls
        | TlsFault.ClientCertificateWanted -> Cause.ClientCertificateWanted
        | TlsFault.ClientCertificateRefused _ -> Cause.ClientCertificateRefused
        | TlsFault.Handshake _ -> Cause.TlsFailed

    /// Why a request got no answer.
    [<CompiledName "OfFailure">]
    let ofFailure (failure: NetworkFailure) : Cause =
        match failure with
        | NetworkFailure.NameNotResolved _ -> Cause.NameUnresolved
        | NetworkFailure.Refused _ -> Cause.ConnectionRefused
        | NetworkFailure.Unreachable _ -> Cause.Unreachable
        | NetworkFailure.NoConnection _ -> Cause.NoConnection
        | NetworkFailure.NoHandshake _ -> Cause.TlsFailed
        | NetworkFailure.NoTunnel _ -> Cause.GatewayFailing
        | NetworkFailure.TimedOut _ -> Cause.TimedOut
        | NetworkFailure.Broken _ -> Cause.ConnectionBroken
        | NetworkFailure.Unreadable _ -> Cause.AnswerUnreadable
        // It let the request through, and the server did not take it.
        | NetworkFailure.ProxyRefused(_, ("502" | "503" | "504")) -> Cause.GatewayFailing
        | NetworkFailure.ProxyRefused _ -> Cause.ProxyRefuses
        | NetworkFailure.ProxyUnreachable _ -> Cause.ProxyUnreachable
        | NetworkFailure.Tls(fault, _) -> ofTls fault

    /// Why a request did not deliver its sample; none when it did.
    [<CompiledName "OfExchange">]
    let ofExchange (now: DateTimeOffset) (exchange: Exchange) : Cause voption =
        match exchange with
        | Exchange.Answered answer -> ofAnswer now answer
        | Exchange.Failed failure -> ValueSome(ofFailure failure)

    /// What goes behind the advice where the cause leaves open who is meant or why: which proxy, or what the webapp says itself. Empty for
    /// anything else.
    [<CompiledName "DetailOf">]
    let detailOf (exchange: Exchange) : string =
        let told (body: ReadOnlyMemory<byte>) (name: string) =
            match Decode.fromBytes (Decode.field name Decode.string) body with
            | Ok text -> Text.longExcerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes(text.Trim().TrimEnd '.')))
            | Error _ -> ""

        match exchange with
        | Exchange.Failed(NetworkFailure.ProxyUnreachable failure) -> $"({failure})"
        | Exchange.Answered answer when answer.Status = 503 && isWebapp answer.Body ->
            match told answer.Body "error", told answer.Body "detail" with
            | "", "" -> ""
            | words, ""
            | "", words -> $"(it says: {words})"
            | error, detail -> $"(it says: {error}: {detail})"
        | _ -> ""

    /// What the causes of one kind of receiver are called.
    type private ReceiverCauses =
        {
            Denies: Cause
            Missing: Cause
            Refuses: Cause
            /// The statuses that are about what was sent.
            IsRefusal: int -> bool
        }

    /// Why a receiver did not take a request, where its answer says that something is wrong.
    let private causeBy (causes: ReceiverCauses) (problem: string voption) (now: DateTimeOffset) (exchange: Exchange) : Cause voption =
        match exchange, problem with
        | _, ValueNone -> ValueNone
        | Exchange.Failed failure, _ -> ValueSome(ofFailure failure)
        | Exchange.Answered answer, _ ->
            match answer.Status with
            | 511 -> ofAnswer now answer
            | 401
            | 403 -> ValueSome causes.Denies
            | 404
            | 405 -> ValueSome causes.Missing
            | status when status >= 200 && status <= 299 -> ValueSome causes.Missing
            | status when causes.IsRefusal status -> ValueSome causes.Refuses
            | _ -> ofAnswer now answer

    /// Why a receiver of remote-write did not take a request; none when it did.
    [<CompiledName "OfReceiver">]
    let ofReceiverExchange (now: DateTimeOffset) (exchange: Exchange) : Cause voption =
        causeBy
            {
                Denies = Cause.ReceiverDenies
                Missing = Cause.ReceiverMissing
                Refuses = Cause.ReceiverRefuses
                IsRefusal = fun status -> status = 400 || status = 409 || status = 422
            }
            (RemoteDelivery.ofProbe "--remote-write" now exchange)
            now
            exchange

    /// Why a receiver of OTLP did not take a request; none when it did. What may be sent again it does not refuse.
    [<CompiledName "OfOtlp">]
    let ofOtlpExchange (now: DateTimeOffset) (exchange: Exchange) : Cause voption =
        causeBy
            {
                Denies = Cause.OtlpDenies
                Missing = Cause.OtlpMissing
                Refuses = Cause.OtlpRefuses
                IsRefusal =
                    fun status ->
                        not (status >= 300 && status <= 399)
                        && not (status = 429 || status = 502 || status = 503 || status = 504)
            }
            (OtlpDelivery.ofProbe now exchange)
            now
            exchange

    /// Why a destination did not take a request; none when it did.
    [<CompiledName "OfDestination">]
    let ofDestinationExchange (destination: Destination) (now: DateTimeOffset) (exchange: Exchange) : Cause voption =
        match destination with
        | Destination.RemoteWrite -> ofReceiverExchange now exchange
        | Destination.Otlp -> ofOtlpExchange now exchange
        | _ -> ofExchange now exchange

    /// Why the ingest URL is not found, from the status and the `Allow` header (empty when absent) that a GET of the same
    /// URL is answered with: docs/ingest-api.md, "Response".
    [<CompiledName "OfRoute">]
    let ofRoute (status: int) (allow: string) : Cause =
        let allowsPost =
            allow.Split(',', StringSplitOptions.TrimEntries)
            |> Array.exists (fun name -> String.Equals(name, "POST", StringComparison.OrdinalIgnoreCase))

        match status with
        | 405 when allowsPost -> Cause.SlugUnknown
        | 404 -> Cause.RouteMissing
        | status when status >= 200 && status <= 299 -> Cause.RouteMissing
        | _ -> Cause.NotFound

    /// How far this machine's clock is ahead of the one that wrote the `Date` header; none when that is absent or garbled.
    [<CompiledName "Skew">]
    let skew (now: DateTimeOffset) (date: string) : TimeSpan voption =
        if date = "" then
            ValueNone
        else
            match DateTimeOffset.TryParseExact(date.Trim(), "r", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal) with
            | true, theirs -> ValueSome(now - theirs)
            | _ -> ValueNone

    /// `12.3 s ahead of the webapp's`, said of this machine's clock.
    [<CompiledName "DescribeSkew">]
    let describeSkew (skew: TimeSpan) : string =
        let seconds = skew.Duration().TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture)

        if skew < TimeSpan.Zero then
            $"{seconds} s behind the webapp's"
        else
            $"{seconds} s ahead of the webapp's"

    /// Of a clock that differs from a destination's: what is wrong, what to do and by how much, on one line.
    [<CompiledName "ClockLine">]
    let clockLine (destination: Destination) (skew: TimeSpan) : string =
        let difference = $"It is {describeSkew skew}."

        $"{lineFor destination Cause.ClockSkewed} {ofReceiver destination difference}"

    /// The clock's skew where the answer shows one of over 5 s; none for less and where it is not known.
    [<CompiledName "ClockOf">]
    let clockOf (now: DateTimeOffset) (exchange: Exchange) : TimeSpan voption =
        match exchange with
        | Exchange.Answered answer ->
            match skew now answer.Date with
            | ValueSome skew when skew.Duration() > LargestSkew -> ValueSome skew
            | _ -> ValueNone
        | Exchange.Failed _ -> ValueNone
