namespace Agent.Sender

open System
open System.Collections.Generic
open System.Text
open Agent.Core
open Agent.Outbound

/// The outcome of a batch of records.
[<NoComparison>]
type OtlpOutcome =
    {
        /// The fates of the records at its beginning that are finished, in order.
        Fates: RecordFate[]
        /// The outcome of the next one; delivered where there is none, or where it can simply be sent.
        Outcome: Outcome
        /// Data points in delivered records that the receiver rejected.
        RejectedPoints: int64
        /// Its message about the last of them, or its advice about what it accepted; empty for none.
        Message: string
    }

/// Decides what the answers of a receiver of OTLP mean (docs/specification.md, "OTLP/HTTP Response").
///
/// 429, 502, 503, 504 and no answer at all are tried again; other failures must not be. An answer that says that the address or the
/// credentials are wrong is about no sample: then all are kept, and one is tried now and then.
[<RequireQualifiedAccess>]
module OtlpDelivery =
    /// After this many requests a batch ends at the next record, so that nothing else waits for long.
    [<Literal>]
    let MostRequests = 100

    /// What an answer is about.
    [<RequireQualifiedAccess; Struct>]
    type private Verdict =
        | Taken of rejected: int64 * message: string
        /// It is never taken; `mayBePart` where that may be true of a part of it only.
        | Refused of reason: string * mayBePart: bool
        | Ended of outcome: Outcome

    let private described (answer: Answer) =
        match Otlp.wordsOf answer.Body with
        | "" -> $"HTTP {answer.Status}"
        | words -> $"HTTP {answer.Status}: {words}"

    let private ofAnswer (now: DateTimeOffset) (answer: Answer) : Verdict =
        match answer.Status with
        | status when status >= 200 && status <= 299 && Delivery.isPage answer ->
            Verdict.Ended(Outcome.Hold $"HTTP {status} with a page: something other than a receiver answers at this address")
        | status when status >= 200 && status <= 299 ->
            let struct (rejected, message) = OtlpMessage.partialSuccess (answer.Body.ToArray())
            Verdict.Taken(max 0L rejected, Text.longExcerpt (ReadOnlySpan(Encoding.UTF8.GetBytes message)))
        | 429
        | 502
        | 503
        | 504 -> Verdict.Ended(Outcome.RetryAfter(Delivery.retryDelay now answer.Date answer.RetryAfter, described answer))
        | _ when Delivery.isRedirect answer -> Verdict.Ended(Delivery.redirected "--otlp" answer)
        | status when status >= 300 && status <= 399 -> Verdict.Ended(Outcome.Hold(described answer))
        // The specification has them given up as well, but an expired token must not cost a night's samples.
        | 401
        | 403
        | 404
        | 405
        // A proxy's, or a network's that asks for a login: no receiver has seen the request.
        | 407
        | 511 -> Verdict.Ended(Outcome.Hold(described answer))
        | 400
        | 413
        | 422 -> Verdict.Refused(described answer, true)
        // Prometheus before 3.10 says so of samples that are too old, and the others of the request go down with them.
        | 500 when RemoteDelivery.isTooOld (Encoding.UTF8.GetString answer.Body.Span) -> Verdict.Refused(described answer, true)
        | _ -> Verdict.Refused(described answer, false)

    let private ofExchange (now: DateTimeOffset) (exchange: Exchange) : Verdict =
        match exchange with
        | Exchange.Answered answer -> ofAnswer now answer
        | Exchange.Failed failure -> Verdict.Ended(Delivery.ofFailure failure)

    /// What an answer to a request without metrics says about the destination: none when it accepts it.
    [<CompiledName "OfProbe">]
    let ofProbe (now: DateTimeOffset) (exchange: Exchange) : string voption =
        match ofExchange now exchange with
        | Verdict.Taken _
        | Verdict.Ended(Outcome.Delivered _) -> ValueNone
        | Verdict.Refused(reason, _)
        | Verdict.Ended(Outcome.RetryAfter(_, reason))
        | Verdict.Ended(Outcome.Crash(_, reason))
        | Verdict.Ended(Outcome.Hold reason)
        | Verdict.Ended(Outcome.Reject reason) -> ValueSome reason

    /// Sends records, oldest first, in one request where the receiver takes it. A request that is refused for what is in it is halved until
    /// only what is refused is left; that is counted, and never sent again. `send` makes one request of its argument; `now` is the wall
    /// clock, for Retry-After.
    [<CompiledName "Deliver">]
    let deliver (send: Func<ReadOnlyMemory<byte>, Exchange>) (now: Func<DateTimeOffset>) (records: ReadOnlyMemory<byte>[]) : OtlpOutcome =
        let payloads = records |> Array.map (fun record -> Spool.payloadOf record.Span)
        let fates = List<RecordFate>()
        let mutable requests = 0
        let mutable rejected = 0L
        let mutable words = ""
        let mutable ended = ValueNone

        let finish (count: int) (fate: RecordFate) =
            for _ in 1..count do
                fates.Add fate

        let rec halve (first: int) (past: int) =
            let half = (first + past) / 2
            sendPart first half

            if requests >= MostRequests && ended.IsNone then
                // The rest is a batch of its own.
                ended <- ValueSome(Outcome.Delivered Delivery.noReceipt)
            else
                sendPart half past

        and sendPart (first: int) (past: int) =
            if ended.IsNone && past > first then
                match payloads[first .. past - 1] |> Array.choose ValueOption.toOption with
                | [||] -> finish (past - first) (RecordFate.Refused "the record is damaged")
                | whole when whole.Length < past - first -> halve first past
                | whole ->
                    match Otlp.requestOf whole with
                    // Nothing was known at these instants, and empty requests are not to be sent.
                    | [||] -> finish (past - first) RecordFate.Delivered
                    | body -> post first past body

        and post (first: int) (past: int) (body: byte[]) =
            requests <- requests + 1

            match ofExchange (now.Invoke()) (send.Invoke(ReadOnlyMemory body)) with
            | Verdict.Taken(points, message) ->
                rejected <- rejected + points
                words <- if message <> "" then message else words
                finish (past - first) RecordFate.Delivered
            | Verdict.Ended outcome -> ended <- ValueSome outcome
            | Verdict.Refused(_, true) when past - first > 1 -> halve first past
            | Verdict.Refused(reason, _) -> finish (past - first) (RecordFate.Refused reason)

        sendPart 0 records.Length

        {
            Fates = fates.ToArray()
            Outcome = ended |> ValueOption.defaultValue (Outcome.Delivered Delivery.noReceipt)
            RejectedPoints = rejected
            Message = words
        }
