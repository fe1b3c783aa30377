namespace Agent.Outbound

open System
open System.Collections.Generic
open System.Text
open Agent.Core

/// The fate of one record.
[<RequireQualifiedAccess>]
type RecordFate =
    /// The receiver has it.
    | Delivered
    /// An earlier request with it got no answer, and now the receiver says that it is past that instant: most likely it has
    /// it.
    | Unconfirmed
    /// The receiver refuses it because of its content.
    | Refused of reason: string

    /// Calls the function for the case that this is.
    member fate.Match(delivered: Func<'r>, unconfirmed: Func<'r>, refused: Func<string, 'r>) : 'r =
        match fate with
        | Delivered -> delivered.Invoke()
        | Unconfirmed -> unconfirmed.Invoke()
        | Refused reason -> refused.Invoke reason

/// Where remote-write stands between two batches.
[<Struct; NoComparison>]
type RemoteState =
    {
        /// The option that has the URL, for sentences.
        Option: string
        /// How many of the oldest records may have arrived already: their requests got no answer.
        Doubtful: int
        /// How many of the newest records were refused as a whole, one after the other.
        Refusals: int
        /// What the receiver is sent: 2.0 until it shows that it knows 1.0 alone.
        Version: RemoteWriteVersion
        /// True once it has answered a request of 2.0 as the specification of 2.0 wants.
        IsAgreed: bool
    }

/// The outcome of a batch of records.
[<NoComparison>]
type RemoteOutcome =
    {
        /// The fates of the records at its beginning that are finished, in order.
        Fates: RecordFate[]
        /// The outcome of the next one; delivered where there is none, or where it can simply be sent.
        Outcome: Outcome
        /// Series in delivered records that the receiver will never accept.
        RefusedSeries: int
        /// Its message about the last of them; empty for none.
        Reason: string
        /// The new state.
        State: RemoteState
    }

/// Decides what the answers of a remote-write receiver mean, and finds what it will not accept.
///
/// Receivers refuse a whole request for one bad series, and Prometheus then stores nothing of it. So a request that is refused
/// is halved: into single records, oldest first, and those into series. What is refused on its own is finished, and
/// counted.
[<RequireQualifiedAccess>]
module RemoteDelivery =
    /// Before the first batch to the URL of an option. `leftOver` says that records of an earlier run wait: its last batch may have arrived.
    [<CompiledName "Start">]
    let start (option: string) (leftOver: bool) : RemoteState =
        {
            Option = option
            Doubtful = if leftOver then RemoteWrite.MostRecords else 0
            Refusals = 0
            Version = RemoteWriteVersion.Two
            IsAgreed = false
        }

    /// After this many requests a batch ends at the next record, so that nothing else waits for long.
    [<Literal>]
    let MostRequests = 100

    /// After this many refused pieces of one record, with none accepted, no other will be.
    [<Literal>]
    let HopelessAfter = 30

    /// Of the records after one that was refused as a whole, one in this many is split as thoroughly; the others in
    /// halves, which is enough to notice that the receiver takes samples again.
    [<Literal>]
    let ThoroughEvery = 16

    /// After this many requests for one record its pieces are no longer halved.
    [<Literal>]
    let MostHalvings = 128

    /// What an answer is about.
    [<RequireQualifiedAccess; Struct>]
    type private Verdict =
        | Taken
        /// Something in it is refused; `isPast` when the words are that the receiver is past that instant, `isOfSamples` when
        /// they are of samples at all. `written` is how many samples of it are stored all the same; none where the receiver does not say.
        | Refused of reason: string * isPast: bool * isOfSamples: bool * written: int64 voption
        /// No verdict; `mayHaveArrived` when it may be stored all the same.
        | Ended of outcome: Outcome * mayHaveArrived: bool

    let private says (words: string list) (body: string) =
        words
        |> List.exists (fun word -> body.Contains(word, StringComparison.OrdinalIgnoreCase))

    /// What receivers say of samples that are older than what they take, whatever the status: Prometheus before 2.50 with a window for samples
    /// out of order, M3 (dbnode/storage) and InfluxDB (tsdb/store.go) say 500 to them. Such a sample gets no younger.
    let private isLongPast =
        says
            [
                "too old sample"
                "timestamp too old"
                "too far in past"
                "too far in the past"
                "beyond retention"
                "outside retention"
            ]

    /// The messages of Prometheus (storage/interface.go), Mimir, Cortex and Thanos about samples that come too late.
    let private isPast (body: string) =
        isLongPast body
        || says
            [
                "out of order"
                "out-of-order"
                "duplicate sample"
                "duplicate-timestamp"
                "out of bounds"
                "too old"
                "too-old"
            ]
            body

    /// Whether a receiver says that a sample is older than what it takes.
    [<CompiledName "IsTooOld">]
    let isTooOld (reason: string) : bool =
        isPast reason && not (says [ "duplicate" ] reason)

    /// And about samples with another fault.
    let private isOfSamples (body: string) =
        isPast body
        || says
            [
                "too far in the future"
                "too-far-in-future"
                "too far in future"
                "in the future"
                "conflict"
            ]
            body

    let private described (answer: Answer) =
        match Text.excerpt (answer.Body.Span.Trim(ReadOnlySpan " \r\n"B)) with
        | "" -> $"HTTP {answer.Status}"
        | words -> $"HTTP {answer.Status}: {words}"

    let private ofAnswer (option: string) (now: DateTimeOffset) (answer: Answer) : Verdict =
        let retry mayHaveArrived =
            Verdict.Ended(Outcome.RetryAfter(Delivery.retryDelay now answer.Date answer.RetryAfter, described answer), mayHaveArrived)

        let refused () =
            let body = Encoding.UTF8.GetString answer.Body.Span
            Verdict.Refused(described answer, isPast body, isOfSamples body, answer.SamplesWritten)

        match answer.Status with
        | status when status >= 200 && status <= 299 && Delivery.isPage answer ->
            Verdict.Ended(Outcome.Hold $"HTTP {status} with a page: something other than a receiver answers at this address", false)
        | status when status >= 200 && status <= 299 -> Verdict.Taken
        // 409 is Thanos's word for samples out of order.
        | 400
        | 409
        | 413
        | 422 -> refused ()
        | 500 when isLongPast (Encoding.UTF8.GetString answer.Body.Span) -> refused ()
        | 408 -> retry true
        | 425
        | 429 -> retry false
        | status when status >= 500 -> retry true
        | _ when Delivery.isRedirect answer -> Verdict.Ended(Delivery.redirected option answer, false)
        | _ -> Verdict.Ended(Outcome.Hold(described answer), false)

    let private ofExchange (option: string) (now: DateTimeOffset) (exchange: Exchange) : Verdict =
        match exchange with
        | Exchange.Answered answer -> ofAnswer option now answer
        | Exchange.Failed failure ->
            let mayHaveArrived =
                match failure with
                | NetworkFailure.TimedOut _
                | NetworkFailure.Broken _
                | NetworkFailure.Unreadable _ -> true
                | _ -> false

            Verdict.Ended(Delivery.ofFailure failure, mayHaveArrived)

    /// True when this answer to a request of 2.0 is that of a receiver which knows 1.0 alone: it says so, takes the request without saying
    /// how much of it, or, before it has answered one as it should, cannot read it.
    let private isOfOneAlone (isAgreed: bool) (exchange: Exchange) : bool =
        match exchange with
        | Exchange.Failed _ -> false
        | Exchange.Answered answer ->
            match answer.Status with
            | 415 -> true
            | 400 -> not isAgreed && answer.SamplesWritten.IsNone
            | status ->
                status >= 200
                && status <= 299
                && answer.SamplesWritten.IsNone
                && not (Delivery.isPage answer)

    /// Asks a destination whether it is a receiver, by a request without series: of 2.0, and of 1.0 where that is not known.
    [<CompiledName "Probe">]
    let probe (send: Func<RemoteWriteVersion, ReadOnlyMemory<byte>, Exchange>) : Exchange =
        let ask version =
            send.Invoke(version, ReadOnlyMemory(RemoteWrite.emptyRequest version))

        let exchange = ask RemoteWriteVersion.Two

        if isOfOneAlone false exchange then
            ask RemoteWriteVersion.One
        else
            exchange

    /// What an answer to a request without series says about the destination, whose URL this option has: none when it accepts it.
    [<CompiledName "OfProbe">]
    let ofProbe (option: string) (now: DateTimeOffset) (exchange: Exchange) : string voption =
        match ofExchange option now exchange with
        | Verdict.Taken -> ValueNone
        | Verdict.Refused(reason, _, _, _)
        | Verdict.Ended(Outcome.RetryAfter(_, reason), _)
        | Verdict.Ended(Outcome.Crash(_, reason), _)
        | Verdict.Ended(Outcome.Hold reason, _)
        | Verdict.Ended(Outcome.Reject reason, _) -> ValueSome reason
        | Verdict.Ended(Outcome.Delivered _, _) -> ValueNone

    /// What is known of one record after its series were sent in pieces.
    [<RequireQualifiedAccess; Struct>]
    type private Pieces =
        /// So many series are refused.
        | Done of refused: int
        | Stopped of outcome: Outcome * mayHaveArrived: bool

    /// Sends the series of a record that was refused as a whole, in ever smaller pieces, all of one size before the smaller
    /// ones; after so many refusals without success it gives up. All are of one instant, so their order does not matter.
    let private sendPieces (ask: Series[] -> Verdict) (hopelessAfter: int) (series: Series[]) : Pieces =
        let pieces = Queue<struct (int * int)>()
        let mutable accepted = 0
        let mutable refused = 0
        let mutable requests = 0
        let mutable stopped = ValueNone

        let halve (first: int) (past: int) =
            let half = (first + past) / 2
            pieces.Enqueue(struct (first, half))
            pieces.Enqueue(struct (half, past))

        if series.Length > 1 then
            halve 0 series.Length
        else
            refused <- series.Length

        while stopped.IsNone && pieces.Count > 0 do
            let struct (first, past) = pieces.Dequeue()

            if accepted = 0 && requests >= hopelessAfter then
                refused <- refused + (past - first)
            else
                requests <- requests + 1

                match ask series[first .. past - 1] with
                | Verdict.Taken -> accepted <- accepted + (past - first)
                | Verdict.Ended(outcome, mayHaveArrived) -> stopped <- ValueSome(Pieces.Stopped(outcome, mayHaveArrived))
                | Verdict.Refused(_, _, _, ValueSome written) when written > 0L ->
                    let written = int (min written (int64 (past - first)))
                    accepted <- accepted + written
                    refused <- refused + (past - first - written)
                | Verdict.Refused _ when past - first = 1 || requests > MostHalvings -> refused <- refused + (past - first)
                | Verdict.Refused _ -> halve first past

        match stopped with
        | ValueSome pieces -> pieces
        | ValueNone -> Pieces.Done refused

    /// Sends records, oldest first, in one request where the receiver takes it. `send` makes one request of that version of a body,
    /// which is compressed; `now` is the wall clock, for Retry-After.
    ///
    /// A receiver that shows that it knows 1.0 alone is sent the same once more as 1.0, and all else too.
    ///
    /// A receiver that accepts nothing of a record, and does not say that the samples are at fault, is the wrong one: then
    /// the outcome is Reject, and the record is not finished.
    [<CompiledName "Deliver">]
    let deliver
        (send: Func<RemoteWriteVersion, ReadOnlyMemory<byte>, Exchange>)
        (now: Func<DateTimeOffset>)
        (state: RemoteState)
        (records: ReadOnlyMemory<byte>[])
        : RemoteOutcome =
        let payloads = records |> Array.map (fun record -> Spool.payloadOf record.Span)

        let readBy (coder: SeriesCoder) =
            payloads
            |> Array.map (fun payload ->
                lazy
                    (payload
                     |> ValueOption.bind (WriteRequest.series coder)
                     |> ValueOption.defaultValue [||]))

        let mutable coder = SeriesCoder.ofVersion state.Version
        let mutable series = readBy coder
        let mutable isAgreed = state.IsAgreed
        let fates = List<RecordFate>()
        let mutable refusals = state.Refusals
        let mutable refusedSeries = 0
        let mutable reason = ""
        let mutable requests = 0
        let mutable ended = ValueNone
        let mutable arrivedUpTo = state.Doubtful

        let speak (version: RemoteWriteVersion) =
            coder <- SeriesCoder.ofVersion version
            series <- readBy coder

        /// Sends something of the records before `past`.
        let request (past: int) (body: byte[]) : Exchange =
            requests <- requests + 1
            let exchange = send.Invoke(coder.Version, ReadOnlyMemory body)

            match exchange with
            | Exchange.Answered answer ->
                // The first of the two may have been stored.
                arrivedUpTo <-
                    if answer.WasSentTwice then
                        max arrivedUpTo past
                    else
                        arrivedUpTo

                isAgreed <- isAgreed || answer.SamplesWritten.IsSome
            | Exchange.Failed _ -> ()

            exchange

        let isOfOneAlone exchange =
            coder.Version = RemoteWriteVersion.Two && isOfOneAlone isAgreed exchange

        /// Sends records as far as `past`.
        let rec ask (past: int) (bodyOf: unit -> byte[]) : Verdict =
            let exchange = request past (bodyOf ())

            if isOfOneAlone exchange then
                speak RemoteWriteVersion.One
                ask past bodyOf
            else
                // A receiver of 2.0 alone has come to the place of another.
                match exchange with
                | Exchange.Answered answer when answer.Status = 415 -> speak RemoteWriteVersion.Two
                | _ -> ()

                ofExchange state.Option (now.Invoke()) exchange

        /// Sends series of the record before `past`.
        let askPiece (past: int) (piece: Series[]) : Verdict =
            let exchange = request past (WriteRequest.ofRecords coder [| piece |])

            if isOfOneAlone exchange then
                // It has changed meanwhile. The record is sent again, in pieces of the other version.
                speak RemoteWriteVersion.One
                Verdict.Ended(Outcome.RetryAfter(ValueNone, "the receiver no longer knows remote-write 2.0"), false)
            else
                ofExchange state.Option (now.Invoke()) exchange

        let stop (past: int) outcome mayHaveArrived =
            ended <- ValueSome outcome

            if mayHaveArrived then
                arrivedUpTo <- max arrivedUpTo past

        let refuse (index: int) (words: string) isPast isOfSamples =
            refusals <- refusals + 1

            if isPast && index < arrivedUpTo then
                fates.Add RecordFate.Unconfirmed
            elif isOfSamples then
                fates.Add(RecordFate.Refused words)
            else
                stop index (Outcome.Reject words) false

        /// A record that is refused alone.
        let alone (index: int) (words: string) isPast isOfSamples =
            let own = series[index].Value

            let hopelessAfter = if refusals % ThoroughEvery = 0 then HopelessAfter else 2

            match sendPieces (askPiece (index + 1)) hopelessAfter own with
            | Pieces.Stopped(outcome, mayHaveArrived) -> stop (index + 1) outcome mayHaveArrived
            | Pieces.Done refused when refused = own.Length -> refuse index words isPast isOfSamples
            | Pieces.Done refused ->
                refusals <- 0
                fates.Add RecordFate.Delivered

                // What it has already is not refused.
                if not (isPast && index < arrivedUpTo) then
                    refusedSeries <- refusedSeries + refused
                    reason <- if refused > 0 then words else reason

        /// Records of which the receiver has stored so many samples, and will not have the others.
        let inPart (first: int) (past: int) (words: string) isPast (written: int64) =
            refusals <- 0
            let mutable told = 0L

            for i in first .. past - 1 do
                told <- told + int64 series[i].Value.Length
                fates.Add RecordFate.Delivered

            // What it has already is not refused.
            if told > written && not (isPast && first < arrivedUpTo) then
                refusedSeries <- refusedSeries + int (told - written)
                reason <- words

        let rec sendPart (first: int) (past: int) =
            if ended.IsNone && past > first then
                let body () =
                    match payloads[first] with
                    | ValueSome payload when
                        past - first = 1
                        && WriteRequest.versionOf (ReadOnlySpan payload) = coder.Version
                        ->
                        payload
                    | _ -> WriteRequest.ofRecords coder (seq { for i in first .. past - 1 -> series[i].Value })

                match ask past body with
                | Verdict.Taken ->
                    refusals <- 0

                    for _ in first .. past - 1 do
                        fates.Add RecordFate.Delivered
                | Verdict.Ended(outcome, mayHaveArrived) -> stop past outcome mayHaveArrived
                | Verdict.Refused(words, isPast, _, ValueSome written) when written > 0L -> inPart first past words isPast written
                | Verdict.Refused(words, isPast, isOfSamples, ValueSome _) when past - first = 1 -> refuse first words isPast isOfSamples
                | Verdict.Refused(words, isPast, isOfSamples, ValueNone) when past - first = 1 -> alone first words isPast isOfSamples
                | Verdict.Refused _ ->
                    let half = (first + past) / 2
                    sendPart first half

                    if requests >= MostRequests && ended.IsNone then
                        // The rest is a batch of its own.
                        ended <- ValueSome(Outcome.Delivered Delivery.noReceipt)
                    else
                        sendPart half past

        sendPart 0 records.Length

        {
            Fates = fates.ToArray()
            Outcome = ended |> ValueOption.defaultValue (Outcome.Delivered Delivery.noReceipt)
            RefusedSeries = refusedSeries
            Reason = reason
            State =
                {
                    Option = state.Option
                    Doubtful = max 0 (arrivedUpTo - fates.Count)
                    Refusals = refusals
                    Version = coder.Version
                    IsAgreed = isAgreed
                }
        }
