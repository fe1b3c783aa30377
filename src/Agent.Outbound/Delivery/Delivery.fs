namespace Agent.Outbound

open System
open System.Globalization
open System.Text
open System.Text.Json
open Agent.Core

/// One thing that is wrong with TLS and prevents a request.
[<RequireQualifiedAccess>]
type TlsFault =
    /// A certificate has expired.
    | Expired of subject: string * notAfter: DateTimeOffset * now: DateTimeOffset
    /// A certificate is not valid yet: it is new, or a clock is wrong.
    | NotYetValid of subject: string * notBefore: DateTimeOffset * now: DateTimeOffset
    /// No issuer that is trusted here has signed the certificate.
    | UnknownIssuer of subject: string * issuer: string
    /// The certificate belongs to other hosts.
    | WrongName of host: string * names: string[]
    /// Its issuer has revoked it.
    | Revoked of subject: string
    /// Something else is wrong with a certificate.
    | BadCertificate of subject: string * problem: string
    /// The server does not speak TLS.
    | NotTls
    /// The server asks for a client certificate, and none was given.
    | ClientCertificateWanted
    /// The server does not accept the client certificate.
    | ClientCertificateRefused of detail: string
    /// The two sides do not agree.
    | Handshake of detail: string

    /// Calls the function for the case that this is.
    member fault.Match
        (
            expired: Func<string, DateTimeOffset, DateTimeOffset, 'r>,
            notYetValid: Func<string, DateTimeOffset, DateTimeOffset, 'r>,
            unknownIssuer: Func<string, string, 'r>,
            wrongName: Func<string, string[], 'r>,
            revoked: Func<string, 'r>,
            badCertificate: Func<string, string, 'r>,
            notTls: Func<'r>,
            clientCertificateWanted: Func<'r>,
            clientCertificateRefused: Func<string, 'r>,
            handshake: Func<string, 'r>
        ) : 'r =
        match fault with
        | Expired(subject, notAfter, now) -> expired.Invoke(subject, notAfter, now)
        | NotYetValid(subject, notBefore, now) -> notYetValid.Invoke(subject, notBefore, now)
        | UnknownIssuer(subject, issuer) -> unknownIssuer.Invoke(subject, issuer)
        | WrongName(host, names) -> wrongName.Invoke(host, names)
        | Revoked subject -> revoked.Invoke subject
        | BadCertificate(subject, problem) -> badCertificate.Invoke(subject, problem)
        | NotTls -> notTls.Invoke()
        | ClientCertificateWanted -> clientCertificateWanted.Invoke()
        | ClientCertificateRefused detail -> clientCertificateRefused.Invoke detail
        | Handshake detail -> handshake.Invoke detail

    /// What is wrong, as a clause.
    override fault.ToString() =
        // Certificates come from outside, and a line must stay one line.
        let shown (text: string) =
            Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes text))

        let isAddress (host: string) =
            fst (System.Net.IPAddress.TryParse(host.Split('%')[0]))

        let instant (at: DateTimeOffset) =
            at.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture)

        match fault with
        | Expired(subject, notAfter, now) ->
            $"certificate expired: the certificate of {shown subject} was valid until {instant notAfter}, this machine's clock says {instant now}"
        | NotYetValid(subject, notBefore, now) ->
            $"certificate not yet valid: the certificate of {shown subject} is valid from {instant notBefore}, this machine's clock says {instant now}"
        | UnknownIssuer(subject, issuer) when subject = issuer ->
            $"unknown issuer: {shown subject} has a self-signed certificate, which is not trusted here"
        | UnknownIssuer(subject, issuer) ->
            $"unknown issuer: the certificate of {shown subject} chains up to {shown issuer}, which is not trusted here"
        | WrongName(host, [||]) ->
            $"wrong host name: the certificate has no subject alternative name, so it is not for {shown host} (a common name does not count)"
        | WrongName(host, names) when Array.contains host names && isAddress host ->
            $"wrong host name: the certificate is for the name {shown host}, not for the address, which counts only as an IP address among the subject alternative names"
        | WrongName(host, names) ->
            let first = names |> Array.truncate 5 |> Array.map shown |> String.concat ", "

            let rest =
                if names.Length > 5 then
                    $" and {names.Length - 5} more"
                else
                    ""

            $"wrong host name: the certificate is for {first}{rest}, not for {shown host}"
        | Revoked subject -> $"certificate revoked: the certificate of {shown subject}"
        | BadCertificate(subject, problem) -> $"certificate refused: the certificate of {shown subject}: {shown problem}"
        | NotTls -> "no TLS: the server does not speak it, or there is a proxy in between"
        | ClientCertificateWanted -> "client certificate required: the server asks for one, and none was given"
        | ClientCertificateRefused detail -> $"client certificate refused by the server: {shown detail}"
        | Handshake detail -> $"handshake: {shown detail}"

/// One certificate of the chain that a server showed.
[<NoComparison>]
type CertificateLink =
    {
        /// Its subject.
        Subject: string
        /// Its issuer.
        Issuer: string
        /// Its first instant.
        NotBefore: DateTimeOffset
        /// Its last instant.
        NotAfter: DateTimeOffset
        /// What the system finds wrong with it, as .NET's X509ChainStatusFlags spells it.
        Problems: string[]
    }

/// What is known about a server's certificate that was not accepted.
[<NoComparison>]
type CertificateFacts =
    {
        /// The host that was asked for.
        Host: string
        /// True when the certificate is for that host.
        IsForHost: bool
        /// The hosts and addresses that it is valid for.
        Names: string[]
        /// From the server's own certificate to its root; empty when it showed none.
        Chain: CertificateLink[]
        /// This machine's clock.
        Now: DateTimeOffset
    }

/// Classifies TLS failures.
[<RequireQualifiedAccess>]
module Tls =
    /// Bits of the smallest RSA key that is accepted, as browsers and the CA/Browser Forum's baseline requirements have it.
    [<Literal>]
    let SmallestRsaKey = 2048

    /// Signature algorithms over MD2, MD4, MD5 and SHA-1: RFC 3279, section 2.2, and OIW's names of them.
    let private weakSignatures =
        [|
            "1.2.840.113549.1.1.2"
            "1.2.840.113549.1.1.3"
            "1.2.840.113549.1.1.4"
            "1.2.840.113549.1.1.5"
            "1.2.840.10040.4.3"
            "1.2.840.10045.4.1"
            "1.3.14.3.2.3"
            "1.3.14.3.2.13"
            "1.3.14.3.2.15"
            "1.3.14.3.2.27"
            "1.3.14.3.2.29"
            // SHA-1, MD5 and MD2 as the hash of RSASSA-PSS.
            "1.3.14.3.2.26"
            "1.2.840.113549.2.5"
            "1.2.840.113549.2.2"
        |]

    /// What is weak about a certificate, spelled as a problem of a link: the object identifier of its signature's algorithm (for
    /// RSASSA-PSS that of its hash), and the bits of its RSA key, 0 for another kind. Of an anchor of trust, a root above all, the
    /// signature does not matter: it is trusted in itself.
    [<CompiledName "Weaknesses">]
    let weaknesses (isAnchor: bool) (signature: string) (rsaBits: int) : string[] =
        [|
            if not isAnchor && Array.contains signature weakSignatures then
                "HasWeakSignature"

            if rsaBits > 0 && rsaBits < SmallestRsaKey then
                "HasWeakKey"
        |]

    let private timeFault (now: DateTimeOffset) (link: CertificateLink) =
        if now < link.NotBefore then
            TlsFault.NotYetValid(link.Subject, link.NotBefore, now)
        else
            TlsFault.Expired(link.Subject, link.NotAfter, now)

    let private problemText (problem: string) =
        match problem with
        | "NotSignatureValid" -> "its signature is wrong"
        | "NotValidForUsage" -> "it is not a server certificate"
        | "InvalidBasicConstraints" -> "one of its issuers must not sign certificates"
        | "HasWeakSignature" -> "it is signed with SHA-1 or an older hash"
        | "HasWeakKey" -> $"its RSA key has fewer than {SmallestRsaKey} bits"
        | "ExplicitDistrust" -> "this machine is configured not to trust it"
        | other -> other

    let private faultOf (facts: CertificateFacts) (link: CertificateLink) (problem: string) =
        match problem with
        | "NotTimeValid" -> timeFault facts.Now link
        | "UntrustedRoot"
        | "PartialChain" -> TlsFault.UnknownIssuer(facts.Chain[0].Subject, link.Issuer)
        | "Revoked" -> TlsFault.Revoked link.Subject
        | other -> TlsFault.BadCertificate(link.Subject, problemText other)

    /// The kind of a fault, and its rank: wrong name first, then validity period, then issuer.
    let private rank (fault: TlsFault) =
        match fault with
        | TlsFault.WrongName _ -> 0
        | TlsFault.NotYetValid _ -> 1
        | TlsFault.Expired _ -> 2
        | TlsFault.Revoked _ -> 3
        | TlsFault.UnknownIssuer _ -> 4
        | _ -> 5

    /// Everything that is wrong with a certificate, each kind once, the most telling first; never empty.
    [<CompiledName "OfCertificate">]
    let ofCertificate (facts: CertificateFacts) : TlsFault[] =
        let faults =
            [|
                if not facts.IsForHost then
                    TlsFault.WrongName(facts.Host, facts.Names)

                for link in facts.Chain do
                    for problem in link.Problems do
                        faultOf facts link problem
            |]

        match faults, facts.Chain with
        | [||], [||] ->
            [|
                TlsFault.Handshake "the server shows no certificate, or its chain cannot be built"
            |]
        | [||], chain -> [| TlsFault.BadCertificate(chain[0].Subject, "it is not accepted") |]
        | faults, _ -> faults |> Array.distinctBy rank |> Array.sortBy rank

    /// What OpenSSL's message about a failed handshake means. They end in a reason such as "tlsv1 alert protocol version".
    [<CompiledName "OfHandshake">]
    let ofHandshake (words: string) : TlsFault =
        let has (part: string) =
            words.Contains(part, StringComparison.OrdinalIgnoreCase)

        let reason = words.Substring(words.LastIndexOf("::", StringComparison.Ordinal) + 1).Trim(':', ' ', '.')

        if
            has "wrong version number"
            || has "http request"
            || has "packet length too long"
            || has "corrupted frame"
        then
            TlsFault.NotTls
        elif has "certificate required" then
            TlsFault.ClientCertificateWanted
        elif has "alert" && (has "certificate" || has "unknown ca" || has "access denied") then
            TlsFault.ClientCertificateRefused reason
        elif has "protocol version" || has "unsupported protocol" then
            TlsFault.Handshake "the server offers no TLS version that is accepted here"
        elif has "handshake failure" then
            TlsFault.Handshake "the server rejects it; it may require other ciphers or a client certificate"
        elif has "unrecognized name" then
            TlsFault.Handshake "the server does not know this host name"
        elif reason = "" then
            TlsFault.Handshake "it was aborted"
        else
            TlsFault.Handshake reason

/// Why a request got no answer.
[<RequireQualifiedAccess; NoComparison>]
type NetworkFailure =
    /// The name does not resolve.
    | NameNotResolved of host: string
    /// Nothing listens there.
    | Refused of address: string
    /// No route to the host or the network.
    | Unreachable of address: string
    /// No connection was made within the time-out.
    | NoConnection of address: string * limit: TimeSpan
    /// The connection was made, and the TLS handshake not answered within the time-out.
    | NoHandshake of address: string * limit: TimeSpan
    /// The proxy was reached, and gave no connection to the server within the time-out.
    | NoTunnel of proxy: string * limit: TimeSpan
    /// The whole request took longer than the time-out.
    | TimedOut of limit: TimeSpan
    /// The connection broke before the answer was complete.
    | Broken of detail: string
    /// Something answers, but the answer cannot be read.
    | Unreadable of detail: string
    /// The proxy does not let the request through.
    | ProxyRefused of proxy: string * status: string
    /// The proxy itself cannot be reached, for the reason of a connection to it.
    | ProxyUnreachable of failure: NetworkFailure
    /// The TLS handshake failed, or the certificate is not trusted.
    | Tls of fault: TlsFault * others: TlsFault[]

    /// What happened, as a clause.
    override failure.ToString() =
        let seconds (limit: TimeSpan) =
            limit.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)

        match failure with
        | NameNotResolved host -> $"the name {host} does not resolve"
        | Refused address -> $"{address} refuses the connection"
        | Unreachable address -> $"{address} cannot be reached"
        | NoConnection(address, limit) -> $"no connection to {address} within {seconds limit} s"
        | NoHandshake(address, limit) ->
            $"{address} accepts the connection, but does not complete the TLS handshake within {seconds limit} s"
        | NoTunnel(proxy, limit) -> $"the proxy {proxy} accepts the connection, but does not connect to the server within {seconds limit} s"
        | TimedOut limit -> $"no complete answer within {seconds limit} s"
        | Broken detail -> $"the connection broke: {detail}"
        | Unreadable detail -> $"the answer cannot be read: {detail}"
        | ProxyRefused(proxy, "") -> $"the proxy {proxy} does not let the request through"
        | ProxyRefused(proxy, ("502" | "503" | "504" as status)) -> $"the proxy {proxy} cannot connect to the server: HTTP {status}"
        | ProxyRefused(proxy, status) -> $"the proxy {proxy} does not let the request through: HTTP {status}"
        | ProxyUnreachable failure -> string failure
        | Tls(fault, others) ->
            Array.append [| fault |] others
            |> Array.map string
            |> String.concat "; "
            |> (+) "TLS failed: "

/// The answer to a request.
[<NoComparison>]
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
        /// How many samples a receiver of remote-write 2.0 says it stored; other answers do not.
        SamplesWritten: int64 voption
        /// The first 64 KiB of the body.
        Body: ReadOnlyMemory<byte>
        /// True when the request was sent twice: first over a connection that was closed without an answer.
        WasSentTwice: bool
    }

/// The outcome of a request.
[<RequireQualifiedAccess>]
type Exchange =
    /// An answer, from any server.
    | Answered of answer: Answer
    /// None.
    | Failed of failure: NetworkFailure

    /// Calls the function for the case that this is.
    member exchange.Match(answered: Func<Answer, 'r>, failed: Func<NetworkFailure, 'r>) : 'r =
        match exchange with
        | Answered answer -> answered.Invoke answer
        | Failed failure -> failed.Invoke failure

/// What the webapp says about a sample that it stored, each value as the webapp wrote it; empty when it is left out or
/// null.
[<NoComparison>]
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

/// The outcome of one attempt to deliver a sample.
[<RequireQualifiedAccess>]
type Outcome =
    /// The webapp has it.
    | Delivered of receipt: Receipt
    /// Try the same sample again: after the delay that the server asked for, else with exponential back-off.
    | RetryAfter of delay: TimeSpan voption * reason: string
    /// The webapp fails at this sample, or at all (HTTP 500): try it again likewise.
    | Crash of delay: TimeSpan voption * reason: string
    /// Keep everything and probe with one sample now and then, until somebody fixes the cause.
    | Hold of reason: string
    /// This one sample is refused because of its content.
    | Reject of reason: string

    /// Calls the function for the case that this is; a crash is one of those that are tried again.
    member outcome.Match
        (delivered: Func<Receipt, 'r>, retryAfter: Func<TimeSpan voption, string, 'r>, hold: Func<string, 'r>, reject: Func<string, 'r>)
        : 'r =
        match outcome with
        | Delivered receipt -> delivered.Invoke receipt
        | RetryAfter(delay, reason)
        | Crash(delay, reason) -> retryAfter.Invoke(delay, reason)
        | Hold reason -> hold.Invoke reason
        | Reject reason -> reject.Invoke reason

/// What to do after an attempt.
[<RequireQualifiedAccess>]
type DeliveryStep =
    /// The sample is finished; send the next.
    | Next
    /// Keep the sample at the head of the queue and try again after the delay.
    | Wait of delay: TimeSpan
    /// Put the sample aside as refused, and send the next.
    | SetAside
    /// The samples put aside since the last delivery, and this one, go back to the head; try again after the delay.
    | TakeBack of delay: TimeSpan
    /// Put the sample aside, unless the receiver fails at it, and send the newest one out of turn: whether that is taken tells whether these samples
    /// are at fault or the receiver. `Delivery.ofNewest` says what follows.
    | AskNewest
    /// The samples put aside since the last delivery, and this one, are refused for what they are; send the next.
    | Settle

    /// Calls the function for the case that this is.
    member step.Match
        (next: Func<'r>, wait: Func<TimeSpan, 'r>, setAside: Func<'r>, takeBack: Func<TimeSpan, 'r>, askNewest: Func<'r>, settle: Func<'r>)
        : 'r =
        match step with
        | Next -> next.Invoke()
        | Wait delay -> wait.Invoke delay
        | SetAside -> setAside.Invoke()
        | TakeBack delay -> takeBack.Invoke delay
        | AskNewest -> askNewest.Invoke()
        | Settle -> settle.Invoke()

/// Where delivery stands between two attempts.
[<Struct; NoComparison>]
type DeliveryState =
    {
        /// Attempts in a row that ended in a retry.
        Failures: int
        /// Samples in a row that were refused for the same reason.
        Refusals: int
        /// That reason, digits removed.
        Refusal: string
        /// How many more refusals are the samples' own, because the receiver has just taken the newest sample; 0 where that is not known.
        Trusted: int
        /// Attempts in a row, of one sample, at which the receiver failed with 500.
        Crashes: int
    }

/// Decides what an HTTP exchange means, and what to do next.
[<RequireQualifiedAccess>]
module Delivery =
    /// The longest wait between two attempts of the back-off.
    let LongestBackOff = TimeSpan.FromSeconds 60.0

    /// The longest wait that a server's Retry-After can cause.
    let LongestRetryAfter = TimeSpan.FromMinutes 10.0

    /// The wait between two probes while delivery is held.
    let ProbeInterval = TimeSpan.FromSeconds 30.0

    /// From this many refusals in a row for one reason on, the deployment is at fault, unless it takes the newest sample.
    [<Literal>]
    let RefusalsInARow = 3

    /// Once it has taken the newest, so many refusals in a row are the samples' own before it is asked again.
    [<Literal>]
    let MostTrusted = 100

    /// From so many failures with 500 in a row on the newest sample is sent after each. With the back-off between them that is about a minute at the
    /// default interval.
    [<Literal>]
    let CrashesInARow = 6

    /// The newest must be taken so many times, with a failure of the one sample before each: a receiver may fail now and then, as where one of
    /// several behind a balancer is broken.
    [<Literal>]
    let CrashesOfItsOwn = 3

    /// Before the first attempt.
    [<CompiledName "Start">]
    let start: DeliveryState =
        {
            Failures = 0
            Refusals = 0
            Refusal = ""
            Trusted = 0
            Crashes = 0
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

    let private okName = "ok"B
    let private snapshotName = "snapshot"B
    let private collectedAtName = "collected_at"B
    let private bottleneckName = "bottleneck"B
    let private cpuUsageName = "cpu_usage_percent"B
    let private topGpuUtilizationName = "top_gpu_util_percent"B
    let private diskUtilizationName = "disk_util_percent"B

    /// True for the name of that member.
    let private isNamed (reader: byref<Utf8JsonReader>) (name: byte[]) : bool =
        if reader.ValueIsEscaped then
            try
                reader.ValueTextEquals(ReadOnlySpan name)
            with :? InvalidOperationException ->
                // Half a surrogate pair is no text, nor the name of anything here.
                false
        else
            reader.ValueSpan.SequenceEqual(ReadOnlySpan name)

    /// Text or a number in its own spelling. Delivered is decided by `ok` alone, so anything else only leaves a gap in a
    /// log line. Stands on the name of a member, and then on the end of its value.
    let private spelling (reader: byref<Utf8JsonReader>) : string =
        reader.Read() |> ignore

        match reader.TokenType with
        | JsonTokenType.String ->
            try
                reader.GetString() |> Option.ofObj |> Option.defaultValue ""
            with :? InvalidOperationException ->
                ""
        | JsonTokenType.Number -> Encoding.ASCII.GetString reader.ValueSpan
        | _ ->
            reader.Skip()
            ""

    let private snapshot (reader: byref<Utf8JsonReader>) : Receipt =
        let mutable collectedAt = ""
        let mutable bottleneck = ""
        let mutable cpuUsage = ""
        let mutable topGpuUtilization = ""
        let mutable diskUtilization = ""

        if reader.TokenType <> JsonTokenType.StartObject then
            reader.Skip()
            noReceipt
        else
            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                if isNamed &reader collectedAtName then
                    collectedAt <- spelling &reader
                elif isNamed &reader bottleneckName then
                    bottleneck <- spelling &reader
                elif isNamed &reader cpuUsageName then
                    cpuUsage <- spelling &reader
                elif isNamed &reader topGpuUtilizationName then
                    topGpuUtilization <- spelling &reader
                elif isNamed &reader diskUtilizationName then
                    diskUtilization <- spelling &reader
                else
                    reader.Skip()

            {
                CollectedAt = collectedAt
                Bottleneck = bottleneck
                CpuUsage = cpuUsage
                TopGpuUtilization = topGpuUtilization
                DiskUtilization = diskUtilization
            }

    /// The receipt, or none where `ok` is false; an error for a body that is not the webapp's. An answer comes with every
    /// sample, so it is read in one pass without a tree of its values. If a member appears twice, the last one counts.
    let private receiptOf (body: ReadOnlySpan<byte>) : Result<Receipt voption, unit> =
        let mutable ok = ValueNone
        let mutable receipt = noReceipt

        try
            let mutable reader = Utf8JsonReader(Text.withoutMark body)

            if reader.Read() && reader.TokenType = JsonTokenType.StartObject then
                while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                    if isNamed &reader okName then
                        reader.Read() |> ignore

                        ok <-
                            match reader.TokenType with
                            | JsonTokenType.True -> ValueSome true
                            | JsonTokenType.False -> ValueSome false
                            | _ -> ValueNone

                        reader.Skip()
                    elif isNamed &reader snapshotName then
                        reader.Read() |> ignore
                        receipt <- snapshot &reader
                    else
                        reader.Skip()

                // Nothing may follow.
                reader.Read() |> ignore

            match ok with
            | ValueSome true -> Ok(ValueSome receipt)
            | ValueSome false -> Ok ValueNone
            | ValueNone -> Error()
        with :? JsonException ->
            // Frameworks of Python write NaN and Infinity, and an answer may be longer than what is read of it. The sample is stored all the same.
            match ok with
            | ValueSome true -> Ok(ValueSome receipt)
            | _ -> Error()

    /// The webapp's error message: `error` of a JSON object, else nothing.
    let internal errorText (body: ReadOnlyMemory<byte>) : string =
        match Decode.fromBytes (Decode.field "error" Decode.string) body with
        | Ok text -> text.Trim()
        | Error _ -> ""

    let internal withText (prefix: string) (text: string) =
        let shown = Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes text))
        if shown = "" then prefix else $"{prefix}: {shown}"

    /// The year of two digits as RFC 9110, 5.6.7, reads it: no more than 50 years ahead.
    let private fullYear (now: DateTimeOffset) (twoDigits: int) =
        let year = now.Year / 100 * 100 + twoDigits
        if year > now.Year + 50 then year - 100 else year

    /// An HTTP date of RFC 9110, 5.6.7, in any of its three forms: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
    /// `Sun Nov  6 08:49:37 1994`. The day of the week is ignored, because it follows from the rest. None for any other text.
    [<CompiledName "HttpDate">]
    let httpDate (now: DateTimeOffset) (text: string) : DateTimeOffset voption =
        let words = text.Replace('-', ' ').Split([| ' ' |], StringSplitOptions.RemoveEmptyEntries)

        let instant (day: string) (month: string) (year: string) (time: string) =
            let year =
                match year.Length, Int32.TryParse(year, NumberStyles.None, CultureInfo.InvariantCulture) with
                | 2, (true, value) -> string (fullYear now value)
                | _ -> year

            match
                DateTimeOffset.TryParseExact(
                    $"{day} {month} {year} {time}",
                    "d MMM yyyy HH:mm:ss",
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.AssumeUniversal
                )
            with
            | true, instant -> ValueSome instant
            | _ -> ValueNone

        match words with
        | [| weekday; day; month; year; time; "GMT" |] when weekday.EndsWith ',' -> instant day month year time
        | [| _; month; day; time; year |] -> instant day month year time
        | _ -> ValueNone

    /// Seconds or an HTTP date (RFC 9110, 10.2.3); none when absent, garbled or past. A date counts from the answer's own `Date`, because it
    /// is by the server's clock, and from `now` where that is missing.
    [<CompiledName "RetryDelay">]
    let retryDelay (now: DateTimeOffset) (date: string) (header: string) : TimeSpan voption =
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
            match httpDate now header with
            | ValueSome instant -> capped (instant - (httpDate now date |> ValueOption.defaultValue now))
            | ValueNone -> ValueNone

    /// True for an answer that leads elsewhere (RFC 9110, 15.4). 304 and its like do not.
    let internal isRedirect (answer: Answer) : bool =
        match answer.Status with
        | 301
        | 302
        | 303
        | 307
        | 308 -> true
        | status -> status = 300 && answer.Location <> ""

    /// An answer that leads elsewhere; `option` names the URL to correct.
    let internal redirected (option: string) (answer: Answer) : Outcome =
        let target =
            if answer.Location = "" then
                "nowhere"
            else
                Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes answer.Location))

        Outcome.Hold $"HTTP {answer.Status}: redirected to {target}; redirects are not followed, correct {option}"

    /// True for a page, where a receiver would say nothing or speak otherwise: a portal that asks for a login says 200 to everything.
    let internal isPage (answer: Answer) : bool =
        (Text.withoutMark answer.Body.Span).TrimStart(ReadOnlySpan " \r\n\t"B).StartsWith(ReadOnlySpan "<"B)

    let private notTheWebapp status =
        $"HTTP {status}, but not the webapp's JSON: something else answers at this address"

    /// What an answer means. Delivered is only a 200 with a JSON object whose `ok` is true.
    [<CompiledName "OfAnswer">]
    let ofAnswer (now: DateTimeOffset) (answer: Answer) : Outcome =
        let retry reason =
            Outcome.RetryAfter(retryDelay now answer.Date answer.RetryAfter, reason)

        let described () =
            withText $"HTTP {answer.Status}" (errorText answer.Body)

        match answer.Status with
        | 200 ->
            match receiptOf answer.Body.Span with
            | Ok(ValueSome receipt) -> Outcome.Delivered receipt
            | Ok ValueNone -> retry (described ())
            | Error _ -> retry (notTheWebapp 200)
        | status when status >= 201 && status <= 299 -> retry (notTheWebapp status)
        | 408
        | 425
        | 429 -> retry (described ())
        | 500 -> Outcome.Crash(retryDelay now answer.Date answer.RetryAfter, described ())
        | status when status >= 500 -> retry (described ())
        | 400
        | 413
        | 422 -> Outcome.Reject(described ())
        | _ when isRedirect answer -> redirected "--host" answer
        | _ -> Outcome.Hold(described ())

    /// What a request without an answer means.
    [<CompiledName "OfFailure">]
    let ofFailure (failure: NetworkFailure) : Outcome =
        match failure with
        | NetworkFailure.Tls _ -> Outcome.Hold(string failure)
        | _ -> Outcome.RetryAfter(ValueNone, string failure)

    /// What the outcome of a request means.
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

    /// What follows from an outcome: the new state and what to do. `jitter` is a random number in 0-1.
    [<CompiledName "Decide">]
    let decide (interval: TimeSpan) (jitter: float) (state: DeliveryState) (outcome: Outcome) : struct (DeliveryState * DeliveryStep) =
        // Whether the receiver works is no longer known after any of these; what it refused while it did stays aside.
        let failed (crashes: int) (asked: TimeSpan voption) =
            let failures = state.Failures + 1

            struct ({ state with
                        Failures = failures
                        Trusted = 0
                        Crashes = crashes
                    },
                    match asked with
                    // A server that asks for no delay at all is not taken at its word.
                    | ValueSome delay when delay > TimeSpan.Zero -> DeliveryStep.Wait delay
                    | _ -> DeliveryStep.Wait(backOff interval failures jitter))

        match outcome with
        | Outcome.Delivered _ -> struct (start, DeliveryStep.Next)
        | Outcome.RetryAfter(delay, _) -> failed 0 delay
        | Outcome.Crash(delay, _) when state.Crashes + 1 < CrashesInARow -> failed (state.Crashes + 1) delay
        | Outcome.Crash(delay, _) ->
            let struct (next, _) = failed (state.Crashes + 1) delay
            struct (next, DeliveryStep.AskNewest)
        | Outcome.Hold _ ->
            struct ({ state with
                        Failures = 0
                        Trusted = 0
                        Crashes = 0
                    },
                    DeliveryStep.Wait ProbeInterval)
        | Outcome.Reject reason ->
            // Each may have an id of its own, and all say the same.
            let refusal = Gist.ofMessage reason
            let refusals = if refusal = state.Refusal then state.Refusals + 1 else 1

            if state.Trusted > 1 then
                struct ({ state with
                            Failures = 0
                            Trusted = state.Trusted - 1
                            Crashes = 0
                        },
                        DeliveryStep.SetAside)
            elif state.Trusted = 1 || refusals >= RefusalsInARow then
                // Two remembered: the next refusal asks again at once, a delivery forgets them.
                struct ({
                            Failures = 0
                            Refusals = RefusalsInARow - 1
                            Refusal = refusal
                            Trusted = state.Trusted
                            Crashes = 0
                        },
                        DeliveryStep.AskNewest)
            else
                struct ({
                            Failures = 0
                            Refusals = refusals
                            Refusal = refusal
                            Trusted = 0
                            Crashes = 0
                        },
                        DeliveryStep.SetAside)

    /// What follows after `DeliveryStep.AskNewest` from what became of the newest sample; where there is none, from what became of the oldest.
    ///
    /// A receiver that takes it works, so what it refuses is at fault itself: a clock that was wrong for a while, for example. What it refused before
    /// that was known is sent again first. The newest keeps its place, and is sent again when its turn comes: receivers may see a
    /// sample twice, and the order of the others stays.
    [<CompiledName "OfNewest">]
    let ofNewest (state: DeliveryState) (outcome: Outcome) : struct (DeliveryState * DeliveryStep) =
        match outcome with
        // Each sample at which the receiver fails has as many attempts.
        | Outcome.Delivered _ when state.Crashes >= CrashesInARow + CrashesOfItsOwn - 1 -> struct (start, DeliveryStep.Settle)
        | Outcome.Delivered _ when state.Crashes > 0 -> struct (state, DeliveryStep.Wait ProbeInterval)
        | Outcome.Delivered _ ->
            struct ({ state with Trusted = MostTrusted },
                    if state.Trusted > 0 then
                        DeliveryStep.Settle
                    else
                        DeliveryStep.TakeBack TimeSpan.Zero)
        | other ->
            struct ({ state with
                        Trusted = 0
                        Crashes = min state.Crashes (CrashesInARow - 1)
                    },
                    match other with
                    | Outcome.RetryAfter(ValueSome delay, _) when delay > ProbeInterval && state.Crashes > 0 -> DeliveryStep.Wait delay
                    | Outcome.RetryAfter(ValueSome delay, _) when delay > ProbeInterval -> DeliveryStep.TakeBack delay
                    | _ when state.Crashes > 0 -> DeliveryStep.Wait LongestBackOff
                    | _ -> DeliveryStep.TakeBack ProbeInterval)

    /// The line that is printed after each success: docs/ingest-api.md, "Response".
    [<CompiledName "ReceiptLine">]
    let receiptLine (receipt: Receipt) : string =
        // The answer comes from outside, and a line must stay one line.
        let orDash (text: string) =
            if text = "" then
                "-"
            elif
                text.Length <= Text.ExcerptLength
                && not (text.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            then
                text
            else
                Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes text))

        // Printed at every sample, for which the machinery behind $"…" is too much.
        String.Concat(
            [|
                orDash receipt.CollectedAt
                " | cpu="
                orDash receipt.CpuUsage
                " gpu="
                orDash receipt.TopGpuUtilization
                " disk="
                orDash receipt.DiskUtilization
                " bottleneck="
                orDash receipt.Bottleneck
            |]
        )
