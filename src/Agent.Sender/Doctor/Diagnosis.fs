namespace Agent.Sender

open System
open System.Globalization
open System.Text
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// The outcome of a check.
[<RequireQualifiedAccess>]
type CheckResult =
    /// As it should be.
    | Good
    /// Worth checking.
    | Doubtful
    /// Wrong: samples are not delivered, or lack what they should have.
    | Bad

/// One line of a diagnosis.
[<NoComparison>]
type Row =
    {
        /// What was checked.
        Check: string
        /// The outcome.
        Result: CheckResult
        /// What was found.
        Finding: string
        /// What to do; empty for what is good.
        Fix: string
        /// The cause's name for machines; empty for what is good.
        Cause: string
        /// How long the check took; none for one that takes no time.
        Duration: TimeSpan voption
    }

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

/// The driver's device nodes, /dev/nvidiactl and those of the GPUs.
[<RequireQualifiedAccess>]
type GpuNodes =
    /// Not here.
    | Missing
    /// Present, but not accessible to the agent.
    | Denied of path: string
    /// As they should be.
    | Usable

/// What a machine shows of its GPUs without the driver's programs.
[<NoComparison>]
type GpuSurroundings =
    {
        /// Display devices of NVIDIA on the PCI bus; none when the bus cannot be looked at.
        Devices: int voption
        /// The version of the driver in the kernel; empty for none.
        Driver: string
        /// Its device nodes.
        Nodes: GpuNodes
    }

/// The outcome of asking nvidia-smi.
[<RequireQualifiedAccess>]
type NvidiaSmiState =
    /// It was not asked.
    | NotAsked
    /// It is not installed.
    | Missing
    /// It had to be killed.
    | Hung
    /// It failed, with this message.
    | Failed of failure: NvidiaSmiFailure * words: string
    /// It has reported the GPUs.
    | Told

/// The facts that decide whether GPUs can be read.
[<NoComparison>]
type GpuFact =
    {
        /// The reader that was chosen.
        Reader: GpuReader
        /// What can be seen without asking the driver.
        Surroundings: GpuSurroundings
        /// How far the library was opened.
        Library: Nvml.State
        /// The outcome of asking nvidia-smi.
        NvidiaSmi: NvidiaSmiState
        /// The GPUs, from whichever reader reported them.
        Reading: GpuReading
        /// Which call to the library does not return, as a sentence; empty when all do.
        Hanging: string
    }

/// What a running agent says of the GPUs.
[<NoComparison>]
type GpuFinding =
    {
        /// Which there are, or why there are none; a few words.
        Summary: string
        /// What is wrong, as the end of a sentence; empty when nothing is.
        Problem: string
        /// What is wrong and what to do, on one line; empty when nothing is.
        Advice: string
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
    // ---- Rows --------------------------------------------------------------------------------------------------------

    let private oneLine (text: string) =
        String.map (fun c -> if Char.IsControl c then ' ' else c) text

    let internal good (check: string) (finding: string) : Row =
        {
            Check = check
            Result = CheckResult.Good
            Finding = oneLine finding
            Fix = ""
            Cause = ""
            Duration = ValueNone
        }

    let private trouble (result: CheckResult) (check: string) (cause: Cause) (detail: string) : Row =
        let remedy = Advice.ofCause cause

        {
            Check = check
            Result = result
            Finding =
                if detail = "" then
                    remedy.Wrong
                else
                    oneLine $"{remedy.Wrong} ({detail})"
            Fix = remedy.Fix
            Cause = remedy.Key
            Duration = ValueNone
        }

    let internal doubtful = trouble CheckResult.Doubtful
    let private bad = trouble CheckResult.Bad

    /// The row with the time that its check took.
    [<CompiledName "Timed">]
    let timed (duration: TimeSpan) (row: Row) : Row =
        { row with
            Duration = ValueSome duration
        }

    /// The row under another name.
    [<CompiledName "Named">]
    let named (check: string) (row: Row) : Row = { row with Check = check }

    /// A check that could not be made, and why.
    [<CompiledName "NotChecked">]
    let notChecked (check: string) (reason: string) : Row = doubtful check Cause.NotChecked reason

    /// A check that `--dry-run` leaves out.
    [<CompiledName "LeftOut">]
    let leftOut (check: string) : Row = doubtful check Cause.LeftOut ""

    let private plural (count: int) (one: string) =
        if count = 1 then $"1 {one}" else $"{count} {one}s"

    let private list (names: string seq) = String.concat ", " names

    let private mebibytes (size: uint64<B>) =
        (float (mibOfBytes size)).ToString("0.#", CultureInfo.InvariantCulture) + " MB"

    // ---- Configuration -----------------------------------------------------------------------------------------------

    let private isMissing (settings: Settings) (flag: string) =
        settings.Missing
        |> Array.exists (fun sentence -> sentence.StartsWith($"Missing {flag} ", StringComparison.Ordinal))

    // A dry run needs no target, so nothing is missing then; yet a diagnosis can say that nothing was given.
    let private absent (settings: Settings) =
        if settings.DryRun then doubtful else bad

    let private notNeeded (settings: Settings) (check: string) : Row =
        let where =
            match settings.Listen.IsSome || settings.RemoteWrite.IsSome, settings.Otlp.IsSome with
            | true, true -> "Prometheus and OpenTelemetry"
            | false, true -> "OpenTelemetry"
            | _ -> "Prometheus"

        good check $"none is given: samples go to {where} only"

    let private hostRow (settings: Settings) =
        match settings.BaseUrl with
        | ValueNone when settings.WantsMetricsAlone -> notNeeded settings "host"
        | ValueSome url -> good "host" (url.AbsoluteUri.TrimEnd '/')
        | ValueNone -> absent settings "host" Cause.HostMissing ""

    let private notEnrolled = "this machine has not enrolled yet; the agent does so when it starts"

    let private slugRow (settings: Settings) =
        match settings.Target with
        | ValueSome target -> good "server slug" target.Slug
        | ValueNone when settings.Enrolment.IsSome -> notChecked "server slug" notEnrolled
        | ValueNone when isMissing settings "--server-slug" -> absent settings "server slug" Cause.SlugMissing ""
        | ValueNone when settings.WantsMetricsAlone -> notNeeded settings "server slug"
        | ValueNone when settings.DryRun -> leftOut "server slug"
        | ValueNone -> good "server slug" "given"

    let private tokenRow (settings: Settings) (token: Result<string, ConfigError> voption) =
        match token with
        | ValueSome(Ok "") -> good "token" "given and well-formed"
        | ValueSome(Ok warning) -> doubtful "token" Cause.TokenExposed warning
        | ValueSome(Error error) when error = IngestToken.missing -> bad "token" Cause.TokenMissing ""
        // The words of Settings; all others are about the file.
        | ValueSome(Error error) when error.Message.Contains("the token ", StringComparison.Ordinal) ->
            bad "token" Cause.TokenMalformed error.Message
        | ValueSome(Error error) -> bad "token" Cause.TokenUnreadable error.Message
        | ValueNone when settings.Enrolment.IsSome -> notChecked "token" notEnrolled
        | ValueNone when isMissing settings "--token" -> absent settings "token" Cause.TokenMissing ""
        | ValueNone when settings.WantsMetricsAlone -> notNeeded settings "token"
        | ValueNone when settings.DryRun -> leftOut "token"
        | ValueNone -> notChecked "token" "the token is given, host or slug are not"

    /// What the user chose. `token` is the result of opening it: a warning or nothing, or an error; none when host or slug
    /// are missing as well.
    [<CompiledName "Configuration">]
    let configuration (settings: Settings) (token: Result<string, ConfigError> voption) : Row[] =
        [|
            hostRow settings
            slugRow settings
            tokenRow settings token

            if settings.IsTokenInClear then
                doubtful "encryption" Cause.PlainHttp ""

            if settings.Insecure then
                doubtful "--insecure" Cause.Unverified ""

            for warning in settings.Warnings do
                doubtful "option" Cause.ValueChanged warning
        |]

    // ---- The way to the webapp ---------------------------------------------------------------------------------------

    let private ofFailure (check: string) (failure: NetworkFailure) : Row =
        bad check (Advice.ofFailure failure) (string failure)

    /// The webapp where no base URL is given.
    [<CompiledName "NoWebapp">]
    let noWebapp (settings: Settings) : Row =
        if settings.WantsMetricsAlone then
            notNeeded settings "webapp"
        else
            notChecked "webapp" "there is no base URL"

    /// What the name resolves to. `proxy` is the one that requests go through, and the name is its; empty for none.
    [<CompiledName "Dns">]
    let dns (proxy: string) (host: string) (result: Result<string[], NetworkFailure>) : Row =
        match result with
        | Error failure when proxy <> "" -> bad "DNS" Cause.ProxyUnreachable $"the proxy {proxy}: {failure}"
        | Ok [| address |] when address = host -> good "DNS" $"{host} is an address"
        | Ok addresses -> good "DNS" $"{host} is {list addresses}"
        | Error(NetworkFailure.NameNotResolved _ as failure) -> ofFailure "DNS" failure
        | Error failure -> bad "DNS" Cause.NameUnresolved (string failure)

    /// Whether a connection can be made. `proxy` is the one that requests go through; empty for none.
    [<CompiledName "Tcp">]
    let tcp (proxy: string) (result: Result<string, NetworkFailure>) : Row =
        match result with
        | Ok address when proxy = "" -> good "TCP" $"{address} accepts connections"
        | Ok address -> good "TCP" $"the proxy {proxy} accepts connections at {address}"
        | Error failure when proxy <> "" -> bad "TCP" Cause.ProxyUnreachable $"the proxy {proxy}: {failure}"
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

            bad "TLS" cause described
        | ValueSome(Exchange.Answered _), Ok _ -> good "TLS" described
        | ValueSome(Exchange.Answered _), Error _ -> good "TLS" "the request went through"
        | _, Ok fact ->
            match certificateFault now fact with
            | ValueSome _ when settings.Insecure -> good "TLS" described
            // Who else is trusted, only a real request can tell.
            | ValueSome Cause.IssuerUnknown when settings.CaFile <> "" ->
                notChecked "TLS" $"only a real request uses --ca-file; {described}"
            | ValueSome cause -> bad "TLS" cause described
            | ValueNone -> good "TLS" described
        | _, Error failure -> ofFailure "TLS" failure

    /// The webapp's reaction to a real sample. `route` is why the URL is not found, when that was found out.
    [<CompiledName "Ingest">]
    let ingest (now: DateTimeOffset) (exchange: Exchange) (route: Cause voption) : Row =
        let reason =
            match Delivery.ofExchange now exchange with
            | Outcome.Delivered receipt -> Delivery.receiptLine receipt
            | Outcome.RetryAfter(_, reason)
            | Outcome.Hold reason
            | Outcome.Reject reason -> reason

        match Advice.ofExchange now exchange with
        | ValueNone -> good "ingest" $"the webapp has stored a sample: {reason}"
        | ValueSome Cause.NotFound -> bad "ingest" (ValueOption.defaultValue Cause.NotFound route) reason
        | ValueSome cause -> bad "ingest" cause reason

    /// From this skew on, a receiver that refuses samples from the future does so.
    let private harmfulSkew = TimeSpan.FromMinutes 5.0

    /// This machine's clock against the `Date` of the answer.
    [<CompiledName "Clock">]
    let clock (settings: Settings) (now: DateTimeOffset) (exchange: Exchange voption) : Row =
        match exchange with
        | ValueNone when settings.DryRun -> leftOut "clock"
        | ValueSome(Exchange.Answered answer) ->
            match Advice.skew now answer.Date with
            | ValueNone -> notChecked "clock" "the answer has no Date header"
            | ValueSome skew when skew.Duration() > harmfulSkew -> bad "clock" Cause.ClockSkewed (Advice.describeSkew skew)
            | ValueSome skew when skew.Duration() > Advice.LargestSkew -> doubtful "clock" Cause.ClockSkewed (Advice.describeSkew skew)
            // The header counts whole seconds.
            | ValueSome _ -> good "clock" "within 5 s of the webapp's"
        | _ -> notChecked "clock" "there was no answer to compare it with"

    /// A receiver's file of headers: a warning or nothing, or why it cannot be used.
    [<CompiledName "Headers">]
    let headers (opened: Result<string, ConfigError>) : Row =
        match opened with
        | Ok "" -> good "headers" "given and well-formed"
        | Ok warning -> doubtful "headers" Cause.TokenExposed warning
        | Error error -> bad "headers" Cause.HeadersUnusable error.Message

    let private receiver check destination (url: string) (probed: string voption) (cause: Cause voption) : Row =
        match probed, cause with
        | ValueSome reason, ValueSome cause ->
            let remedy = Advice.forDestination destination cause

            { bad check cause reason with
                Finding = oneLine $"{remedy.Wrong} ({reason})"
                Fix = remedy.Fix
            }
        | _ -> good check $"{url} accepts requests; only a query there can show that it stores samples"

    /// A remote-write receiver's reaction to a request without samples, which changes nothing there. `url` is shown.
    [<CompiledName "RemoteWrite">]
    let remoteWrite (url: string) (now: DateTimeOffset) (exchange: Exchange) : Row =
        receiver "remote-write" Destination.RemoteWrite url (RemoteDelivery.ofProbe now exchange) (Advice.ofReceiverExchange now exchange)

    /// The same of a receiver of OTLP and a request without metrics.
    [<CompiledName "Otlp">]
    let otlp (url: string) (now: DateTimeOffset) (exchange: Exchange) : Row =
        receiver "otlp" Destination.Otlp url (OtlpDelivery.ofProbe now exchange) (Advice.ofOtlpExchange now exchange)

    /// The address at which metrics are served: `problem` is why it cannot be bound, empty where it can, and `isAgents` is true where an agent
    /// answers there.
    [<CompiledName "Listening">]
    let listening (address: string) (problem: string) (isAgents: bool) : Row =
        match problem with
        | "" -> good "listen" $"{address} is free; /metrics will be served there"
        | _ when isAgents -> doubtful "listen" Cause.ListenInUse address
        | _ -> bad "listen" Cause.ListenUnusable problem

    /// The file of the token that readers of metrics show: a warning or nothing, or why it cannot be used.
    [<CompiledName "ListenToken">]
    let listenToken (opened: Result<string, ConfigError>) : Row =
        match opened with
        | Ok "" -> good "listen token" "given and well-formed"
        | Ok warning -> doubtful "listen token" Cause.TokenExposed warning
        | Error error -> bad "listen token" Cause.ListenUnusable error.Message

    // ---- Sources -----------------------------------------------------------------------------------------------------

    /// One source: how many values it gave, or why none. One that is not `needed` may be absent.
    [<CompiledName "Source">]
    let source (check: string) (needed: bool) (result: Result<int, SourceError>) : Row =
        match result with
        | Ok 0 when needed -> doubtful check Cause.SourceUnreadable "it has no values"
        | Ok 0 -> good check "this machine has none"
        | Ok fields -> good check (plural fields "field")
        | Error(SourceError.Absent path) when needed -> bad check Cause.SourceMissing path
        | Error(SourceError.Absent path) -> good check $"this machine has none ({path})"
        | Error error when needed -> bad check Cause.SourceUnreadable (string error)
        | Error error -> doubtful check Cause.SourceUnreadable (string error)

    /// True for a display device of NVIDIA, from the texts of its `vendor` and `class` in /sys/bus/pci/devices. Its sound and
    /// its bridges are devices too.
    [<CompiledName "IsNvidiaDisplay">]
    let isNvidiaDisplay (vendor: string) (deviceClass: string) : bool =
        vendor.Trim() = "0x10de"
        && deviceClass.Trim().StartsWith("0x03", StringComparison.Ordinal)

    /// The version in the first line of /proc/driver/nvidia/version, `NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15 …`:
    /// the first word made of digits and points. Empty where there is none.
    [<CompiledName "DriverVersion">]
    let driverVersion (text: ReadOnlySpan<byte>) : string =
        let isVersion (word: string) =
            word.Contains '.'
            && word |> Seq.forall (fun c -> Char.IsAsciiDigit c || c = '.')
            && Char.IsAsciiDigit word[0]

        (Text.toString text).Split([| ' '; '\t'; '\n' |], StringSplitOptions.RemoveEmptyEntries)
        |> Array.tryFind isVersion
        |> Option.defaultValue ""

    let private describe (gpu: Gpu) =
        if gpu.Name = "" then $"GPU {gpu.Index}" else gpu.Name

    let private byWhom (fact: GpuFact) =
        match fact.Library with
        | Nvml.State.Opened count when count > 0 -> "libnvidia-ml"
        | _ -> NvidiaSmi.Source

    let private gpuNames (fact: GpuFact) =
        let names = fact.Reading.Gpus |> Array.countBy describe
        list (names |> Seq.map (fun (name, count) -> $"{count} x {name}"))

    /// Everything that is known, in the order in which one thing needs the other.
    let private gpuDetail (fact: GpuFact) =
        let surroundings = fact.Surroundings
        // Nobody looks around when a call does not return.
        let isUnseen = fact.Hanging <> "" && surroundings.Devices.IsNone && surroundings.Driver = ""

        list
            [
                match surroundings.Devices with
                | ValueSome count -> $"""{plural count "NVIDIA device"} on the PCI bus"""
                | ValueNone when isUnseen -> ()
                | ValueNone -> "the PCI bus cannot be read"

                if isUnseen then
                    ()
                elif surroundings.Driver = "" then
                    "no driver"
                else
                    $"driver {surroundings.Driver}"

                    match surroundings.Nodes with
                    | GpuNodes.Missing -> "no /dev/nvidiactl"
                    | GpuNodes.Denied path -> $"{path}: permission denied"
                    | GpuNodes.Usable -> ()

                match fact.Library with
                | Nvml.State.NotTried -> ()
                | Nvml.State.NotLoaded problem -> $"{Nvml.Source}: {problem}"
                | Nvml.State.Failed code -> $"{Nvml.Source}: {Nvml.nameOf code}"
                | Nvml.State.Opened count -> $"""{Nvml.Source}: {plural count "GPU"}"""

                match fact.NvidiaSmi with
                | NvidiaSmiState.NotAsked
                | NvidiaSmiState.Told -> ()
                | NvidiaSmiState.Missing -> "no nvidia-smi"
                | NvidiaSmiState.Hung -> "nvidia-smi: killed"
                | NvidiaSmiState.Failed(_, words) -> words

                if fact.Hanging <> "" then
                    fact.Hanging
            ]

    let private isLoss (fault: SourceError) =
        match fault with
        | SourceError.Unreadable(_, reason) -> reason = Nvml.nameOf 15 || reason = Nvml.nameOf 16
        | SourceError.Absent _
        | SourceError.Garbled _ -> false

    /// A driver that went away under a reading. The library is opened again at once, and if that fails there are no GPUs.
    let private isReload (fault: SourceError) =
        match fault with
        | SourceError.Unreadable(_, reason) -> reason = Nvml.nameOf 1 || reason = Nvml.nameOf 9
        | SourceError.Absent _
        | SourceError.Garbled _ -> false

    /// What is wrong with GPUs that are there.
    let private gpuFault (fact: GpuFact) : struct (CheckResult * Cause * string) voption =
        match Array.tryFind isLoss fact.Reading.Faults, Array.filter (isReload >> not) fact.Reading.Faults with
        | Some loss, _ -> ValueSome(CheckResult.Bad, Cause.GpuLost, string loss)
        | None, _ when fact.Hanging <> "" -> ValueSome(CheckResult.Bad, Cause.GpuLibraryHanging, fact.Hanging)
        | None, [||] -> ValueNone
        | None, faults -> ValueSome(CheckResult.Doubtful, Cause.GpuFieldsUnreadable, string faults[0])

    /// Why nothing that was asked works, in the order in which one thing needs the other.
    let private gpuObstacle (fact: GpuFact) : Cause voption =
        let { Driver = driver; Nodes = nodes } = fact.Surroundings

        match fact.Library, fact.NvidiaSmi with
        | _ when fact.Hanging <> "" -> ValueSome Cause.GpuLibraryHanging
        | _, NvidiaSmiState.Hung -> ValueSome Cause.GpuReaderHanging
        | Nvml.State.Failed 18, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.VersionMismatch, _) -> ValueSome Cause.GpuVersionMismatch
        | _ when driver <> "" && nodes = GpuNodes.Missing -> ValueSome Cause.GpuNodesMissing
        | Nvml.State.Failed 4, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.NoPermission, _) -> ValueSome Cause.GpuNoPermission
        | _ when driver <> "" && nodes <> GpuNodes.Usable -> ValueSome Cause.GpuNoPermission
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.Other, _) when fact.Reader = GpuReader.NvidiaSmi -> ValueSome Cause.GpuReaderFailing
        | _ when driver = "" -> ValueSome Cause.GpuDriverMissing
        | Nvml.State.Failed 9, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.DriverNotLoaded, _) -> ValueSome Cause.GpuDriverMissing
        | Nvml.State.Failed 12, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.LibraryMissing, _)
        | Nvml.State.NotLoaded _, (NvidiaSmiState.NotAsked | NvidiaSmiState.Missing) -> ValueSome Cause.GpuLibraryMissing
        | Nvml.State.Failed _, _ -> ValueSome Cause.GpuLibraryFailing
        | _, NvidiaSmiState.Missing -> ValueSome Cause.GpuReaderMissing
        | Nvml.State.Opened _, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.NoDevices, _) -> ValueNone
        | _, NvidiaSmiState.Failed _ -> ValueSome Cause.GpuReaderFailing
        | _ -> ValueNone

    /// What is wrong with the GPUs, and how much that is known; none when nothing is.
    let private gpuTrouble (fact: GpuFact) : struct (CheckResult * Cause * string) voption =
        let isThere = fact.Surroundings.Devices |> ValueOption.exists (fun count -> count > 0)
        // Only a driver in the kernel has a version, or refuses.
        let isAnswered = fact.Library = Nvml.State.Failed 18 || fact.Library = Nvml.State.Failed 4

        // Whoever names nvidia-smi expects GPUs: that it fails for no reason that it gives is worth a word wherever that is.
        let isExpected =
            match fact.Reader, fact.NvidiaSmi with
            | GpuReader.NvidiaSmi, NvidiaSmiState.Failed(NvidiaSmiFailure.Other, _) -> true
            | _ -> false

        let isNowhere = not isThere && fact.Surroundings.Driver = "" && not isAnswered && not isExpected

        if fact.Reader = GpuReader.None then
            ValueNone
        elif fact.Reading.Gpus.Length > 0 then
            gpuFault fact
        elif isNowhere && fact.Hanging = "" then
            ValueSome(CheckResult.Doubtful, Cause.NoGpu, gpuDetail fact)
        else
            match gpuObstacle fact with
            | ValueSome cause -> ValueSome(CheckResult.Bad, cause, gpuDetail fact)
            | ValueNone when isThere -> ValueSome(CheckResult.Bad, Cause.GpuHidden, gpuDetail fact)
            | ValueNone -> ValueSome(CheckResult.Doubtful, Cause.NoGpu, gpuDetail fact)

    /// Whether GPUs can be read, and if not, why.
    [<CompiledName "Gpus">]
    let gpus (fact: GpuFact) : Row =
        match gpuTrouble fact with
        | ValueSome struct (result, cause, detail) -> trouble result "GPUs" cause detail
        | ValueNone when fact.Reader = GpuReader.None -> good "GPUs" "not read, because of --gpu-source none"
        | ValueNone -> good "GPUs" $"{gpuNames fact} ({byWhom fact})"

    /// What the line at the start says of GPUs, before they are known.
    [<CompiledName "GpusInSight">]
    let gpusInSight (reader: GpuReader) (surroundings: GpuSurroundings) : string =
        match reader, surroundings.Devices with
        | GpuReader.None, _ -> "not read"
        | _, ValueNone -> "unknown"
        | _, ValueSome 0 -> "none on the PCI bus"
        | _, ValueSome count -> $"{count} on the PCI bus"

    /// What is found on a machine without GPUs.
    [<CompiledName "NoGpus">]
    let noGpus: GpuFinding =
        {
            Summary = "none"
            Problem = ""
            Advice = ""
        }

    /// A sentence as the end of another one: names keep their capitals.
    let private asEnd (sentence: string) =
        let body = sentence.TrimEnd '.'

        if body.Length > 1 && Char.IsUpper body[0] && not (Char.IsUpper body[1]) then
            string (Char.ToLowerInvariant body[0]) + body.Substring 1
        else
            body

    /// The same for the log of a running agent. A machine without GPUs needs no advice.
    [<CompiledName "GpuFinding">]
    let gpuFinding (fact: GpuFact) : GpuFinding =
        let names =
            if fact.Reading.Gpus.Length > 0 then
                $"{gpuNames fact} ({byWhom fact})"
            else
                "none"

        match gpuTrouble fact with
        | ValueNone
        | ValueSome struct (_, Cause.NoGpu, _) -> { noGpus with Summary = names }
        | ValueSome struct (_, cause, detail) ->
            {
                Summary = $"{names}, {(Advice.ofCause cause).Key}"
                Problem = asEnd (Advice.ofCause cause).Wrong
                Advice = oneLine $"{Advice.line cause} ({detail})"
            }

    let private isBusy (disk: DiskStats.DiskCounters) =
        disk.BusyTime |> ValueOption.exists (fun time -> time > 0UL<ms>)

    /// Why the utilisation of disks cannot be determined, and of which; none when it can.
    let private diskFault (blocks: BlockDevices.Table) (wanted: string[]) (all: DiskStats.DiskCounters[]) : (Cause * string) voption =
        let namesOf (disks: DiskStats.DiskCounters[]) =
            list (disks |> Seq.map (fun disk -> disk.Device))

        let selection = Devices.selectDisks blocks wanted all
        let tracked = selection.Tracked
        let names = namesOf tracked
        let busy = Array.filter isBusy all

        let others =
            if all.Length = 0 then
                "there are none at all"
            else
                $"there are {namesOf all}"

        if selection.Missing.Length > 0 then
            ValueSome(Cause.DisksUnmatched, $"there is no {list selection.Missing}; {others}")
        elif tracked.Length = 0 then
            ValueSome(Cause.NoDisks, others)
        elif tracked |> Array.exists (fun disk -> disk.BusyTime.IsNone) then
            ValueSome(Cause.BusyTimeUncounted, namesOf (tracked |> Array.filter (fun disk -> disk.BusyTime.IsNone)))
        elif busy.Length > 0 && not (Array.exists isBusy tracked) then
            ValueSome(Cause.DisksIdle, $"tracked: {names}; busy: {namesOf busy}")
        else
            ValueNone

    /// Which disks are tracked, and whether their utilisation can be determined.
    [<CompiledName "Disks">]
    let disks (blocks: BlockDevices.Table) (wanted: string[]) (found: Result<DiskStats.DiskCounters[], SourceError>) : Row =
        match found with
        | Error error -> bad "disks" Cause.SourceUnreadable (string error)
        | Ok all ->
            match diskFault blocks wanted all with
            | ValueSome(Cause.DisksUnmatched as cause, detail) -> bad "disks" cause detail
            | ValueSome(cause, detail) -> doubtful "disks" cause detail
            | ValueNone ->
                let tracked = (Devices.selectDisks blocks wanted all).Tracked
                let names = list (tracked |> Seq.map (fun disk -> disk.Device))
                good "disks" $"{names}. {(Advice.ofCause Cause.FirstSample).Wrong}"

    /// What a running agent says of the disks, on one line; empty when nothing is wrong, and for names that do not match,
    /// which are reported separately.
    [<CompiledName "DiskAdvice">]
    let diskAdvice (blocks: BlockDevices.Table) (wanted: string[]) (all: DiskStats.DiskCounters[]) : string =
        match diskFault blocks wanted all with
        | ValueNone
        | ValueSome(Cause.DisksUnmatched, _) -> ""
        | ValueSome(cause, detail) -> $"{Advice.line cause} ({detail})"

    /// Which interfaces are tracked, and which of them the totals count.
    [<CompiledName "Interfaces">]
    let interfaces (known: NetClass.Table) (wanted: string[]) (found: Result<NetDev.InterfaceCounters[], SourceError>) : Row =
        match found with
        | Error error -> bad "interfaces" Cause.SourceUnreadable (string error)
        | Ok all ->
            let selection = Devices.selectInterfaces wanted all

            let namesOf (interfaces: NetDev.InterfaceCounters[]) =
                list (interfaces |> Seq.map (fun i -> i.Name))

            let names = namesOf all
            let counted = Devices.counted known wanted selection.Tracked

            if selection.Missing.Length > 0 then
                bad "interfaces" Cause.InterfacesUnmatched $"there is no {list selection.Missing}; there are {names}"
            elif selection.Tracked.Length = 0 then
                doubtful "interfaces" Cause.NoInterfaces ""
            elif counted.Length = selection.Tracked.Length then
                good "interfaces" (namesOf selection.Tracked)
            else
                good "interfaces" $"{namesOf selection.Tracked}. The totals count {namesOf counted}"

    // ---- The agent's surroundings ------------------------------------------------------------------------------------

    /// Whether undelivered samples can be kept.
    [<CompiledName "SpoolDirectory">]
    let spoolDirectory (fact: SpoolFact) : Row =
        let waiting = $"{mebibytes fact.Backlog} waiting"

        let room =
            match fact.Free with
            | ValueSome free -> $"{mebibytes free} free, at most {mebibytes fact.Limit} needed"
            | ValueNone -> $"at most {mebibytes fact.Limit} needed"

        if fact.Path = "" then
            doubtful "spool" Cause.NoSpool ""
        elif fact.Problem <> "" then
            bad "spool" Cause.SpoolUnusable $"{fact.Path}: {fact.Problem}"
        elif fact.InUse then
            doubtful "spool" Cause.SpoolInUse $"{fact.Path}, {waiting}"
        elif fact.Free |> ValueOption.exists (fun free -> free + fact.Backlog < fact.Limit) then
            doubtful "spool" Cause.SpoolNearlyFull $"{fact.Path}: {room}"
        elif fact.OtherVersions > 0 then
            doubtful "spool" Cause.SpoolBacklog $"""{fact.Path}: {plural fact.OtherVersions "segment"} from another version of the agent"""
        elif fact.Backlog > 0UL<B> then
            doubtful "spool" Cause.SpoolBacklog $"{fact.Path}: {waiting}"
        else
            good "spool" $"{fact.Path}: nothing is waiting, {room}"

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
            doubtful "container" Cause.ProcessesHidden ""
        elif signs.IsEmpty then
            good "container" "none; the agent sees the machine itself"
        elif fact.ReadsOtherProc then
            good "container" $"{list signs}; the host's files are read instead"
        else
            doubtful "container" Cause.InContainer (list signs)

    // ---- The report --------------------------------------------------------------------------------------------------

    /// False when anything is wrong; warnings do not count.
    [<CompiledName "IsHealthy">]
    let isHealthy (rows: Row[]) : bool =
        rows |> Array.forall (fun row -> row.Result <> CheckResult.Bad)

    let private markOf (result: CheckResult) =
        match result with
        | CheckResult.Good -> "✓"
        | CheckResult.Doubtful -> "!"
        | CheckResult.Bad -> "✗"

    let private wordOf (result: CheckResult) =
        match result with
        | CheckResult.Good -> "ok"
        | CheckResult.Doubtful -> "warning"
        | CheckResult.Bad -> "error"

    let private count (result: CheckResult) (rows: Row[]) =
        rows |> Array.filter (fun row -> row.Result = result) |> Array.length

    let private milliseconds (duration: TimeSpan) =
        duration.TotalMilliseconds.ToString((if duration.TotalMilliseconds < 10.0 then "0.0" else "0"), CultureInfo.InvariantCulture)

    /// The rows as text: mark, check, time and finding, and below each that is not good what to do.
    [<CompiledName "Table">]
    let table (rows: Row[]) : string =
        let width = rows |> Array.fold (fun widest (row: Row) -> max widest row.Check.Length) 0

        let text = StringBuilder()

        for row in rows do
            let time =
                match row.Duration with
                | ValueSome duration -> milliseconds duration + " ms"
                | ValueNone -> ""

            text.Append($"{markOf row.Result} {row.Check.PadRight width} {time.PadLeft 8}  {row.Finding}\n")
            |> ignore

            if row.Fix <> "" then
                text.Append(' ', width + 13).Append($"→ {row.Fix}\n") |> ignore

        let wrong = count CheckResult.Bad rows
        let doubts = count CheckResult.Doubtful rows

        text.Append($"\n{wrong} wrong (✗), {doubts} to look at (!), {rows.Length - wrong - doubts} good (✓)\n").ToString()

    let private encode (row: Row) =
        Encode.object
            [|
                "check", Encode.string row.Check
                "verdict", Encode.string (wordOf row.Result)
                "cause",
                (if row.Cause = "" then
                     Encode.nil
                 else
                     Encode.string row.Cause)
                "finding", Encode.string row.Finding
                "fix", (if row.Fix = "" then Encode.nil else Encode.string row.Fix)
                "duration_ms",
                row.Duration
                |> Encode.voption (fun duration -> Encode.float (Math.Round(duration.TotalMilliseconds, 1)))
            |]

    /// The rows as JSON.
    [<CompiledName "ToJson">]
    let toJson (version: string) (rows: Row[]) : string =
        Encode.object
            [|
                "version", Encode.string version
                "healthy", Encode.bool (isHealthy rows)
                "checks", Encode.array (Array.map encode rows)
            |]
        |> Encode.toString 2
