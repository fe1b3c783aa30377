namespace Agent.Sender

open System
open System.Globalization
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Core.Units

/// What a TLS handshake without any verification showed.
[<NoComparison>]
type TlsFact =
    {
        /// `Tls13`.
        Protocol: string
        /// The certificate's subject.
        Subject: string
        /// Its issuer.
        Issuer: string
        /// Valid from here.
        NotBefore: DateTimeOffset
        /// Valid until then.
        NotAfter: DateTimeOffset
        /// True when the certificate has the host's name.
        IsForHost: bool
        /// True when the chain ends at an issuer that the system trusts.
        IsTrusted: bool
    }

/// The facts that decide whether the spool can be used.
[<NoComparison>]
type SpoolFact =
    {
        /// The directory; empty for none.
        Path: string
        /// Why nothing can be written there; empty when it can.
        Problem: string
        /// Free space there.
        Free: uint64<B> voption
        /// How much may be kept there.
        Limit: uint64<B>
        /// What waits for delivery.
        Backlog: uint64<B>
        /// Another process holds its lock.
        InUse: bool
        /// Segments of a format that this agent does not know.
        OtherVersions: int
    }

/// The facts that decide whether the agent sees the machine or only a container.
[<NoComparison>]
type ContainerFact =
    {
        /// The text of /proc/self/cgroup and /proc/1/cgroup; empty when they cannot be read.
        Cgroups: string
        /// Files and variables that container managers leave behind, such as `/.dockerenv`.
        Marks: string[]
        /// True when another directory than /proc is read.
        ReadsOtherProc: bool
        /// True when process 1 of the /proc that is read can be seen.
        SeesFirstProcess: bool
    }

/// The outcome of each check of `--doctor`. The host gathers facts; these are the results and their texts.
[<RequireQualifiedAccess>]
module Diagnosis =
    // ---- Configuration -----------------------------------------------------------------------------------------------

    let private isMissing (settings: Settings) (flag: string) =
        settings.Missing
        |> Array.exists (fun sentence -> sentence.StartsWith($"Missing {flag} ", StringComparison.Ordinal))

    // A dry run needs no target, so nothing is missing then; yet a diagnosis can say that nothing was given.
    let private absent (settings: Settings) =
        if settings.DryRun then
            DoctorRow.doubtful
        else
            DoctorRow.bad

    let private notNeeded (settings: Settings) (check: string) : Row =
        let where =
            match settings.Listen.IsSome || settings.RemoteWrite.IsSome, settings.Otlp.IsSome with
            | true, true -> "Prometheus and OpenTelemetry"
            | false, true -> "OpenTelemetry"
            | _ -> "Prometheus"

        DoctorRow.good check $"none is given: samples go to {where} only"

    let private hostRow (settings: Settings) =
        match settings.BaseUrl with
        | ValueNone when settings.WantsMetricsAlone -> notNeeded settings "host"
        | ValueSome url -> DoctorRow.good "host" (url.AbsoluteUri.TrimEnd '/')
        | ValueNone -> absent settings "host" Cause.HostMissing ""

    let private notEnrolled = "this machine has not enrolled yet; the agent does so when it starts"

    let private slugRow (settings: Settings) =
        match settings.Target with
        | ValueSome target -> DoctorRow.good "server slug" target.Slug
        | ValueNone when settings.Enrolment.IsSome -> DoctorRow.notChecked "server slug" notEnrolled
        | ValueNone when isMissing settings "--server-slug" -> absent settings "server slug" Cause.SlugMissing ""
        | ValueNone when settings.WantsMetricsAlone -> notNeeded settings "server slug"
        | ValueNone when settings.DryRun -> DoctorRow.leftOut "server slug"
        | ValueNone -> DoctorRow.good "server slug" "given"

    let private tokenRow (settings: Settings) (token: Result<string, ConfigError> voption) =
        match token with
        | ValueSome(Ok "") -> DoctorRow.good "token" "given and well-formed"
        | ValueSome(Ok warning) -> DoctorRow.doubtful "token" Cause.TokenExposed warning
        | ValueSome(Error error) when error = IngestToken.missing -> DoctorRow.bad "token" Cause.TokenMissing ""
        // The words of Settings; all others are about the file.
        | ValueSome(Error error) when error.Message.Contains("the token ", StringComparison.Ordinal) ->
            DoctorRow.bad "token" Cause.TokenMalformed error.Message
        | ValueSome(Error error) -> DoctorRow.bad "token" Cause.TokenUnreadable error.Message
        | ValueNone when settings.Enrolment.IsSome -> DoctorRow.notChecked "token" notEnrolled
        | ValueNone when isMissing settings "--token" -> absent settings "token" Cause.TokenMissing ""
        | ValueNone when settings.WantsMetricsAlone -> notNeeded settings "token"
        | ValueNone when settings.DryRun -> DoctorRow.leftOut "token"
        | ValueNone -> DoctorRow.notChecked "token" "the token is given, host or slug are not"

    /// What the user chose. `token` is the result of opening it: a warning or nothing, or an error; none when host or slug
    /// are missing as well.
    [<CompiledName "Configuration">]
    let configuration (settings: Settings) (token: Result<string, ConfigError> voption) : Row[] =
        [|
            hostRow settings
            slugRow settings
            tokenRow settings token

            if settings.IsTokenInClear then
                DoctorRow.doubtful "encryption" Cause.PlainHttp ""

            if settings.Insecure then
                DoctorRow.doubtful "--insecure" Cause.Unverified ""

            for warning in settings.Warnings do
                DoctorRow.doubtful "option" Cause.ValueChanged warning
        |]

    // ---- The way to the webapp ---------------------------------------------------------------------------------------

    let private ofFailure (check: string) (failure: NetworkFailure) : Row =
        DoctorRow.bad check (Advice.ofFailure failure) (string failure)

    /// The webapp where no base URL is given.
    [<CompiledName "NoWebapp">]
    let noWebapp (settings: Settings) : Row =
        if settings.WantsMetricsAlone then
            notNeeded settings "webapp"
        else
            DoctorRow.notChecked "webapp" "there is no base URL"

    /// What the name resolves to. `proxy` is the one that requests go through, and the name is its; empty for none.
    [<CompiledName "Dns">]
    let dns (proxy: string) (host: string) (result: Result<string[], NetworkFailure>) : Row =
        match result with
        | Error failure when proxy <> "" -> DoctorRow.bad "DNS" Cause.ProxyUnreachable $"the proxy {proxy}: {failure}"
        | Ok [| address |] when address = host -> DoctorRow.good "DNS" $"{host} is an address"
        | Ok addresses -> DoctorRow.good "DNS" $"{host} is {DoctorRow.list addresses}"
        | Error(NetworkFailure.NameNotResolved _ as failure) -> ofFailure "DNS" failure
        | Error failure -> DoctorRow.bad "DNS" Cause.NameUnresolved (string failure)

    /// Whether a connection can be made. `proxy` is the one that requests go through; empty for none.
    [<CompiledName "Tcp">]
    let tcp (proxy: string) (result: Result<string, NetworkFailure>) : Row =
        match result with
        | Ok address when proxy = "" -> DoctorRow.good "TCP" $"{address} accepts connections"
        | Ok address -> DoctorRow.good "TCP" $"the proxy {proxy} accepts connections at {address}"
        | Error failure when proxy <> "" -> DoctorRow.bad "TCP" Cause.ProxyUnreachable $"the proxy {proxy}: {failure}"
        | Error failure -> ofFailure "TCP" failure

    let private day (instant: DateTimeOffset) =
        instant.ToUniversalTime().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)

    /// What is wrong with a certificate, as far as the certificate shows it.
    let private certificateFault (now: DateTimeOffset) (fact: TlsFact) : Cause voption =
        if now > fact.NotAfter then
            ValueSome Cause.CertificateExpired
        elif now < fact.NotBefore then
            ValueSome Cause.CertificateNotYetValid
        elif not fact.IsForHost then
            ValueSome Cause.WrongHostName
        elif not fact.IsTrusted then
            ValueSome Cause.IssuerUnknown
        else
            ValueNone

    /// Whether TLS can be set up. The outcome of the real request decides; `exchange` is none when there was none, and then
    /// the certificate alone is judged.
    [<CompiledName "Tls">]
    let tls (settings: Settings) (now: DateTimeOffset) (handshake: Result<TlsFact, NetworkFailure>) (exchange: Exchange voption) : Row =
        let described =
            match handshake with
            | Ok fact -> $"{fact.Protocol}, {fact.Subject}, from {day fact.NotBefore} to {day fact.NotAfter}, issued by {fact.Issuer}"
            | Error failure -> string failure

        match exchange, handshake with
        | ValueSome(Exchange.Failed(NetworkFailure.Tls _ as failure)), _ ->
            // The certificate's own faults say more than the failure that comes of them.
            let cause =
                match Advice.ofFailure failure, handshake with
                | Cause.TlsFailed, Ok fact -> certificateFault now fact |> ValueOption.defaultValue Cause.TlsFailed
                | cause, _ -> cause

            DoctorRow.bad "TLS" cause described
        | ValueSome(Exchange.Answered _), Ok _ -> DoctorRow.good "TLS" described
        | ValueSome(Exchange.Answered _), Error _ -> DoctorRow.good "TLS" "the request went through"
        | _, Ok fact ->
            match certificateFault now fact with
            | ValueSome _ when settings.Insecure -> DoctorRow.good "TLS" described
            // Who else is trusted, only a real request can tell.
            | ValueSome Cause.IssuerUnknown when settings.CaFile <> "" ->
                DoctorRow.notChecked "TLS" $"only a real request uses --ca-file; {described}"
            | ValueSome cause -> DoctorRow.bad "TLS" cause described
            | ValueNone -> DoctorRow.good "TLS" described
        | _, Error failure -> ofFailure "TLS" failure

    /// The webapp's reaction to a real sample. `route` is why the URL is not found, when that was found out.
    [<CompiledName "Ingest">]
    let ingest (now: DateTimeOffset) (exchange: Exchange) (route: Cause voption) : Row =
        let reason =
            match Delivery.ofExchange now exchange with
            | Outcome.Delivered receipt -> Delivery.receiptLine receipt
            | Outcome.RetryAfter(_, reason)
            | Outcome.Crash(_, reason)
            | Outcome.Hold reason
            | Outcome.Reject reason -> reason

        match Advice.ofExchange now exchange with
        | ValueNone -> DoctorRow.good "ingest" $"the webapp has stored a sample: {reason}"
        | ValueSome Cause.NotFound -> DoctorRow.bad "ingest" (ValueOption.defaultValue Cause.NotFound route) reason
        | ValueSome cause -> DoctorRow.bad "ingest" cause reason

    /// From this skew on, a receiver that refuses samples from the future does so.
    let private harmfulSkew = TimeSpan.FromMinutes 5.0

    /// This machine's clock against the `Date` of the answer.
    [<CompiledName "Clock">]
    let clock (settings: Settings) (now: DateTimeOffset) (exchange: Exchange voption) : Row =
        match exchange with
        | ValueNone when settings.DryRun -> DoctorRow.leftOut "clock"
        | ValueSome(Exchange.Answered answer) ->
            match Advice.skew now answer.Date with
            | ValueNone -> DoctorRow.notChecked "clock" "the answer has no Date header"
            | ValueSome skew when skew.Duration() > harmfulSkew -> DoctorRow.bad "clock" Cause.ClockSkewed (Advice.describeSkew skew)
            | ValueSome skew when skew.Duration() > Advice.LargestSkew ->
                DoctorRow.doubtful "clock" Cause.ClockSkewed (Advice.describeSkew skew)
            // The header counts whole seconds.
            | ValueSome _ -> DoctorRow.good "clock" "within 5 s of the webapp's"
        | _ -> DoctorRow.notChecked "clock" "there was no answer to compare it with"

    /// A receiver's file of headers: a warning or nothing, or why it cannot be used.
    [<CompiledName "Headers">]
    let headers (opened: Result<string, ConfigError>) : Row =
        match opened with
        | Ok "" -> DoctorRow.good "headers" "given and well-formed"
        | Ok warning -> DoctorRow.doubtful "headers" Cause.TokenExposed warning
        | Error error -> DoctorRow.bad "headers" Cause.HeadersUnusable error.Message

    let private receiver check destination (url: string) (probed: string voption) (cause: Cause voption) : Row =
        match probed, cause with
        | ValueSome reason, ValueSome cause ->
            let remedy = Advice.forDestination destination cause

            { DoctorRow.bad check cause reason with
                Finding = DoctorRow.oneLine $"{remedy.Wrong} ({reason})"
                Fix = remedy.Fix
            }
        | _ -> DoctorRow.good check $"{url} accepts requests; only a query there can show that it stores samples"

    /// A remote-write receiver's reaction to a request without samples, which changes nothing there. `url` is shown.
    [<CompiledName "RemoteWrite">]
    let remoteWrite (url: string) (now: DateTimeOffset) (exchange: Exchange) : Row =
        receiver
            "remote-write"
            Destination.RemoteWrite
            url
            (RemoteDelivery.ofProbe "--remote-write" now exchange)
            (Advice.ofReceiverExchange now exchange)

    /// The same of a receiver of OTLP and a request without metrics.
    [<CompiledName "Otlp">]
    let otlp (url: string) (now: DateTimeOffset) (exchange: Exchange) : Row =
        receiver "otlp" Destination.Otlp url (OtlpDelivery.ofProbe now exchange) (Advice.ofOtlpExchange now exchange)

    /// The address at which metrics are served: `problem` is why it cannot be bound, empty where it can, and `isAgents` is true where an agent
    /// answers there.
    [<CompiledName "Listening">]
    let listening (address: string) (problem: string) (isAgents: bool) : Row =
        match problem with
        | "" -> DoctorRow.good "listen" $"{address} is free; /metrics will be served there"
        | _ when isAgents -> DoctorRow.doubtful "listen" Cause.ListenInUse address
        | _ -> DoctorRow.bad "listen" Cause.ListenUnusable problem

    /// The file of the token that readers of metrics show: a warning or nothing, or why it cannot be used.
    [<CompiledName "ListenToken">]
    let listenToken (opened: Result<string, ConfigError>) : Row =
        match opened with
        | Ok "" -> DoctorRow.good "listen token" "given and well-formed"
        | Ok warning -> DoctorRow.doubtful "listen token" Cause.TokenExposed warning
        | Error error -> DoctorRow.bad "listen token" Cause.ListenUnusable error.Message

    // ---- Sources -----------------------------------------------------------------------------------------------------

    /// One source: how many values it gave, or why none. One that is not `needed` may be absent.
    [<CompiledName "Source">]
    let source (check: string) (needed: bool) (result: Result<int, SourceError>) : Row =
        match result with
        | Ok 0 when needed -> DoctorRow.doubtful check Cause.SourceUnreadable "it has no values"
        | Ok 0 -> DoctorRow.good check "this machine has none"
        | Ok fields -> DoctorRow.good check (DoctorRow.plural fields "field")
        | Error(SourceError.Absent path) when needed -> DoctorRow.bad check Cause.SourceMissing path
        | Error(SourceError.Absent path) -> DoctorRow.good check $"this machine has none ({path})"
        | Error error when needed -> DoctorRow.bad check Cause.SourceUnreadable (string error)
        | Error error -> DoctorRow.doubtful check Cause.SourceUnreadable (string error)

    /// Whether undelivered samples can be kept.
    [<CompiledName "SpoolDirectory">]
    let spoolDirectory (fact: SpoolFact) : Row =
        let waiting = $"{DoctorRow.mebibytes fact.Backlog} waiting"

        let room =
            match fact.Free with
            | ValueSome free -> $"{DoctorRow.mebibytes free} free, at most {DoctorRow.mebibytes fact.Limit} needed"
            | ValueNone -> $"at most {DoctorRow.mebibytes fact.Limit} needed"

        if fact.Path = "" then
            DoctorRow.doubtful "spool" Cause.NoSpool ""
        elif fact.Problem <> "" then
            DoctorRow.bad "spool" Cause.SpoolUnusable $"{fact.Path}: {fact.Problem}"
        elif fact.InUse then
            DoctorRow.doubtful "spool" Cause.SpoolInUse $"{fact.Path}, {waiting}"
        elif fact.Free |> ValueOption.exists (fun free -> free + fact.Backlog < fact.Limit) then
            DoctorRow.doubtful "spool" Cause.SpoolNearlyFull $"{fact.Path}: {room}"
        elif fact.OtherVersions > 0 then
            DoctorRow.doubtful
                "spool"
                Cause.SpoolBacklog
                $"""{fact.Path}: {DoctorRow.plural fact.OtherVersions "segment"} from another version of the agent"""
        elif fact.Backlog > 0UL<B> then
            DoctorRow.doubtful "spool" Cause.SpoolBacklog $"{fact.Path}: {waiting}"
        else
            DoctorRow.good "spool" $"{fact.Path}: nothing is waiting, {room}"

    let private managers = [ "docker"; "kubepods"; "containerd"; "libpod"; "lxc"; "machine.slice" ]

    /// Whether the agent sees the machine, or only a container.
    [<CompiledName "Container">]
    let container (fact: ContainerFact) : Row =
        let signs =
            [
                yield! fact.Marks
                for manager in managers do
                    if fact.Cgroups.Contains(manager, StringComparison.Ordinal) then
                        $"cgroup {manager}"
            ]

        if not fact.SeesFirstProcess then
            DoctorRow.doubtful "container" Cause.ProcessesHidden ""
        elif signs.IsEmpty then
            DoctorRow.good "container" "none; the agent sees the machine itself"
        elif fact.ReadsOtherProc then
            DoctorRow.good "container" $"{DoctorRow.list signs}; the host's files are read instead"
        else
            DoctorRow.doubtful "container" Cause.InContainer (DoctorRow.list signs)

    // ---- The report --------------------------------------------------------------------------------------------------
