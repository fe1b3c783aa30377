namespace Agent.Sender

open System
open System.Collections.Generic
open System.Globalization
open System.Net
open Agent.Core
open Agent.Core.Jobs
open FsToolkit.ErrorHandling
open Agent.Core.Units

/// How much the agent logs.
type LogLevel =
    /// Everything.
    | Debug = 0
    /// What a user wants to know.
    | Info = 1
    /// What a user should look at.
    | Warning = 2
    /// What went wrong.
    | Error = 3
    /// What ends the agent.
    | Critical = 4

/// How GPUs are read.
type GpuReader =
    /// The library where it loads, else nvidia-smi.
    | Auto = 0
    /// libnvidia-ml alone.
    | Nvml = 1
    /// nvidia-smi alone.
    | NvidiaSmi = 2
    /// Nobody.
    | None = 3

/// An ingest token. It prints as stars everywhere except in the header it is made for.
[<Sealed>]
type Secret(value: string) =
    /// The token itself; for the request header only.
    member _.Reveal() : string = value

    /// Two secrets are equal when their texts are.
    override _.Equals(other: obj) =
        match other with
        | :? Secret as secret -> secret.Reveal() = value
        | _ -> false

    /// Of the text.
    override _.GetHashCode() =
        value.GetHashCode(StringComparison.Ordinal)

    /// Stars in place of the token.
    override _.ToString() = "***"

/// Where the ingest token comes from.
[<RequireQualifiedAccess>]
type TokenOrigin =
    /// The user gave the token itself.
    | Given of token: Secret * origin: string
    /// It is in a file, which is read again when the webapp refuses the token.
    | File of path: string * origin: string
    /// systemd may have put it into its directory of credentials, or not.
    | Credential of path: string

    /// Calls the function for the case that this is.
    member this.Match(given: Func<Secret, string, 'r>, file: Func<string, string, 'r>, credential: Func<string, 'r>) : 'r =
        match this with
        | Given(token, origin) -> given.Invoke(token, origin)
        | File(path, origin) -> file.Invoke(path, origin)
        | Credential path -> credential.Invoke path

/// The webapp that samples are sent to.
[<NoComparison>]
type Target =
    {
        /// `{host}/api/ingest/servers/{slug}/metrics/`
        Endpoint: Uri
        /// The base URL, for messages.
        Host: string
        /// The server's name at the webapp.
        Slug: string
        /// Where its token comes from.
        Token: TokenOrigin
    }

/// How a machine that has no token yet asks for one.
[<NoComparison>]
type EnrolmentTarget =
    {
        /// `{host}/api/enrol/`
        Endpoint: Uri
        /// The base URL, for messages.
        Host: string
        /// The slug that it asks for; empty for one made from its host name.
        Slug: string
        /// Where the key comes from.
        Key: TokenOrigin
        /// The directory that keeps the slug and the token.
        Directory: string
    }

/// A receiver that metrics are pushed to, by remote-write or OTLP.
[<NoComparison>]
type ReceiverTarget =
    {
        /// The receiver's URL.
        Endpoint: Uri
        /// The file that holds headers for it; empty for none.
        HeaderFile: string
        /// The flag or variable that named the file; empty for none.
        HeaderOrigin: string
    }

    /// The URL without a query, which may hold a secret.
    member target.Shown: string = target.Endpoint.GetLeftPart UriPartial.Path

/// Everything that a user can choose, checked.
[<NoComparison>]
type Settings =
    {
        /// Where samples go; none for a dry run without a target.
        Target: Target voption
        /// How the machine gets a target where it has none yet; none where it has one or needs none.
        Enrolment: EnrolmentTarget voption
        /// The webapp's base URL where it is known, for a diagnosis without the rest of the target.
        BaseUrl: Uri voption
        /// Which of host, slug and token a diagnosis lacks, a sentence each; empty otherwise.
        Missing: string[]
        /// The host name to send; empty for the machine's own.
        Hostname: string
        /// From one sample to the next.
        Interval: TimeSpan
        /// The window of CPU usage; zero counts since the previous sample.
        CpuWindow: TimeSpan
        /// For one whole request.
        Timeout: TimeSpan
        /// One sample, one attempt.
        Once: bool
        /// The disks to track; empty for all physical ones.
        Disks: string[]
        /// `--disks` as the user gave them.
        DiskFilters: string[]
        /// The interfaces to track; empty for all but the loopback.
        Interfaces: string[]
        /// Labels, each key once.
        Labels: (struct (string * string))[]
        /// No routine lines on stdout.
        Quiet: bool
        /// What goes to stderr.
        LogLevel: LogLevel
        /// How GPUs are read.
        GpuReader: GpuReader
        /// The file of libnvidia-ml; empty for where the dynamic linker finds it.
        NvmlLibrary: string
        /// How much of the command lines of jobs is reported.
        JobDetail: JobDetail
        /// The directory in which a scheduler says which jobs run on which GPU; empty for none.
        GpuJobDirectory: string
        /// The names of the collectors that are read when metrics are asked for; none for those that are unless the user says otherwise.
        Collectors: string[] voption
        /// The directory in which other programs leave metrics; empty for none.
        TextfileDirectory: string
        /// No TLS verification.
        Insecure: bool
        /// PEM certificates of issuers to trust in addition to the system's; empty for none.
        CaFile: string
        /// PEM certificate to present to the webapp; empty for none.
        ClientCertificate: string
        /// Its PEM private key; empty when it is in the same file.
        ClientKey: string
        /// The directory in which undelivered samples are kept; empty to keep them in memory.
        Spool: string
        /// How much may be kept there.
        SpoolLimit: uint64<B>
        /// Where series go by remote-write; none where they do not.
        RemoteWrite: ReceiverTarget voption
        /// Where metrics go by OTLP; none where they do not.
        Otlp: ReceiverTarget voption
        /// Where metrics are served; none where they are not.
        Listen: IPEndPoint voption
        /// The token that clients of the metrics must send; none where any client may read them.
        ListenToken: TokenOrigin voption
        /// Check everything once and say what is wrong.
        Doctor: bool
        /// Ask the agent that runs whether it takes samples.
        Health: bool
        /// How long to watch before saying what holds jobs back; none for an ordinary run.
        Why: TimeSpan voption
        /// The job of which the running agent is asked instead; empty to watch.
        WhyJob: string
        /// Print the report as JSON.
        Json: bool
        /// Print request bodies instead of sending them.
        DryRun: bool
        /// In place of /proc.
        ProcFs: string
        /// In place of /sys.
        SysFs: string
        /// Put before mount points.
        RootFs: string
        /// Sentences about values that were changed to make them usable.
        Warnings: string[]
    }

    /// The token goes to another machine without encryption.
    member this.IsTokenInClear: bool =
        not this.DryRun
        && (this.Target.IsSome || this.Enrolment.IsSome)
        && this.BaseUrl
           |> ValueOption.exists (fun url -> url.Scheme = Uri.UriSchemeHttp && not url.IsLoopback)

    /// Metrics are the purpose: no webapp is given, and none is missing.
    member this.WantsMetricsAlone: bool =
        not this.DryRun
        && (this.Listen.IsSome || this.RemoteWrite.IsSome || this.Otlp.IsSome)
        && this.BaseUrl.IsNone
        && this.Missing.Length = 0

/// Turns what the user gave into settings, or into all the errors at once.
[<RequireQualifiedAccess>]
module Settings =
    /// The environment variable that stands for a flag: `--cpu-sample-interval` is AI_DASHBOARD_CPU_SAMPLE_INTERVAL.
    [<CompiledName "VariableOf">]
    let variableOf (flag: string) : string =
        "AI_DASHBOARD_" + flag.TrimStart('-').ToUpperInvariant().Replace('-', '_')

    /// The shortest interval between two samples.
    let private shortestInterval = 0.5

    let private longestInterval = 86400.0

    let private quoted (text: string) =
        $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

    let private error (given: Given) (expected: string) : ConfigError =
        {
            Origin = given.Origin
            Message = $"{given.Origin}: {quoted given.Text} is not {expected}"
        }

    /// For values that may hold a secret: the text is not repeated.
    let private errorWithoutText (given: Given) (message: string) : ConfigError =
        {
            Origin = given.Origin
            Message = $"{given.Origin}: {message}"
        }

    let private isFlag (given: Given) =
        given.Origin.StartsWith("--", StringComparison.Ordinal)

    let private missing (flag: string) : ConfigError =
        let origin = $"{flag} (or {variableOf flag})"

        {
            Origin = origin
            Message = $"Missing {origin}"
        }

    /// An absolute http or https URL; none for anything else.
    let private httpUrl (text: string) : Uri option =
        // RFC 6874 has the sign before a zone escaped; people write it both ways.
        let zone = text.IndexOf("%25", StringComparison.Ordinal)

        let text =
            if text.Contains "://[" && zone > 0 && zone < text.IndexOf ']' then
                text.Remove(zone + 1, 2)
            else
                text

        match Uri.TryCreate(text, UriKind.Absolute) with
        | true, uri ->
            Option.ofObj uri
            |> Option.filter (fun uri -> (uri.Scheme = "http" || uri.Scheme = "https") && uri.Host <> "")
        | _ -> None

    let private hostOf (given: Given) : Result<Uri, ConfigError> =
        let text = given.Text.Trim()

        match httpUrl text with
        | Some uri ->
            if uri.UserInfo <> "" then
                Error(errorWithoutText given "the URL must not contain a user name or password; use --token")
            elif text.Contains '?' || text.Contains '#' then
                Error(error given "a base URL: it must not have a query (?) or a fragment (#)")
            else
                Ok uri
        // A password in a URL with a typing error elsewhere must not be repeated either.
        | _ when text.Contains '@' -> Error(errorWithoutText given "not an absolute http or https URL")
        | _ -> Error(error given "an absolute http or https URL such as http://dashboard-host:8000")

    /// The URL of a receiver, which may have a query: some take tenants there. `headers` is the option for secrets, `example` what a
    /// URL looks like; `complete` says what to make of one without a path.
    let private receiverOf
        (headers: string)
        (example: string)
        (complete: Uri -> Result<Uri, string>)
        (given: Given)
        : Result<Uri, ConfigError> =
        let text = given.Text.Trim()

        // What follows these may be a secret.
        let wrong message =
            if text.Contains '@' || text.Contains '?' then
                Error(errorWithoutText given $"that is not {message}")
            else
                Error(error given message)

        match httpUrl text with
        | Some uri ->
            if uri.UserInfo <> "" then
                Error(errorWithoutText given $"the URL must not contain a user name or password; use {headers}")
            elif text.Contains '#' then
                wrong "a URL without a fragment (#)"
            elif uri.AbsolutePath = "/" then
                match complete uri with
                | Ok uri -> Ok uri
                | Error message -> wrong message
            else
                Ok uri
        | None -> wrong $"an absolute http or https URL such as {example}"

    /// Receivers of remote-write have no common path.
    let private remoteWriteOf: Given -> Result<Uri, ConfigError> =
        receiverOf "--remote-write-header-file" "http://prometheus:9090/api/v1/write" (fun _ ->
            Error
                "the whole URL: the path is missing, such as /api/v1/write (Prometheus, VictoriaMetrics), /api/v1/push (Mimir, Cortex) or /api/v1/receive (Thanos)")

    /// Receivers of OTLP have one (docs/specification.md, "OTLP/HTTP Request"). The text is kept otherwise: the class library leaves out the
    /// zone of a link-local address.
    let private otlpOf: Given -> Result<Uri, ConfigError> =
        receiverOf "--otlp-header-file" "http://collector:4318" (fun uri ->
            let parts = uri.OriginalString.Split('?', 2)
            let query = if parts.Length > 1 then "?" + parts[1] else ""
            Ok(Uri(parts[0].TrimEnd '/' + Otlp.DefaultPath + query)))

    /// Headers that the protocol sets itself (RFC 9110, remote-write 1.0).
    let private ownHeaders =
        HashSet<string>(
            [
                "Accept-Encoding"
                "Connection"
                "Content-Encoding"
                "Content-Length"
                "Content-Type"
                "Expect"
                "Host"
                "Transfer-Encoding"
                "Upgrade"
                "User-Agent"
                "X-Prometheus-Remote-Write-Version"
            ],
            StringComparer.OrdinalIgnoreCase
        )

    /// One header of a file (RFC 9110, 5.5), or what is wrong with its line. The value is repeated nowhere.
    let private headerOf (line: string) : Result<struct (string * Secret), string> =
        let colon = line.IndexOf ':'
        let name = if colon > 0 then line.Substring(0, colon) else ""
        let value = line.Substring(colon + 1).Trim()

        let isToken =
            name <> ""
            && name
               |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || "!#$%&'*+-.^_`|~".Contains c)

        if not isToken then
            Error "is not a header of the form Name: value"
        elif ownHeaders.Contains name then
            Error $"sets {name}, which the agent sets itself; remove it"
        elif value = "" then
            Error $"has no value for {name}"
        elif value |> String.exists (fun c -> c < ' ' || c > '~') then
            Error $"has a value with control or non-ASCII characters for {name}"
        else
            Ok(struct (name, Secret value))

    /// The headers in the text of a file: `Name: value`, one a line; blank lines and those that begin with # are skipped.
    /// Values may be secrets, so errors name lines and headers only. `origin` names the file.
    [<CompiledName "HeadersOf">]
    let headersOfText (origin: string) (text: string) : Result<(struct (string * Secret))[], ConfigError> =
        let fail message =
            Error
                {
                    Origin = origin
                    Message = $"{origin}: {message}"
                }

        let lines =
            text.Split '\n'
            |> Array.mapi (fun i line -> struct (i + 1, line.Trim()))
            |> Array.filter (fun (struct (_, line)) -> line <> "" && not (line.StartsWith '#'))

        let headers = List<struct (string * Secret)>()
        let mutable problem = ""

        for struct (number, line) in lines do
            match headerOf line with
            | Ok header -> headers.Add header
            | Error wrong when problem = "" -> problem <- $"line {number} {wrong}"
            | Error _ -> ()

        let repeated =
            headers
            |> Seq.countBy (fun (struct (name, _)) -> name.ToUpperInvariant())
            |> Seq.tryFind (fun (_, count) -> count > 1)

        match repeated with
        | _ when problem <> "" -> fail problem
        | Some(name, _) -> fail $"the header {name} is given twice"
        | None when headers.Count = 0 -> fail "there is no header in the file"
        | None -> Ok(headers.ToArray())

    let private slugOf (given: Given) : Result<string, ConfigError> =
        let text = given.Text.Trim()

        if
            text.Length >= 1
            && text.Length <= 64
            && text |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '-' || c = '_')
        then
            Ok text
        else
            Error(error given "a server slug: 1 to 64 letters, digits, - or _")

    let private tokenOf (given: Given) : Result<Secret, ConfigError> =
        let text = given.Text.Trim()

        if text = "" then
            Error(errorWithoutText given "the token is empty")
        elif text |> Seq.forall (fun c -> c > ' ' && c <= '~') then
            Ok(Secret text)
        else
            Error(errorWithoutText given "the token contains white space, control or non-ASCII characters")

    /// The slug in a text, or what is wrong with it; `origin` says where the text is from.
    let internal slugOfText (origin: string) (text: string) : Result<string, ConfigError> = slugOf { Origin = origin; Text = text }

    /// The token in the text of a file, or what is wrong with it; `origin` names the file.
    [<CompiledName "TokenOf">]
    let tokenOfText (origin: string) (text: string) : Result<Secret, ConfigError> =
        tokenOf { Origin = origin; Text = text }

    /// The name under which systemd hands over the token, in $CREDENTIALS_DIRECTORY.
    [<Literal>]
    let CredentialName = "ingest-token"

    /// The error when no token is given.
    [<CompiledName "MissingToken">]
    let missingToken: ConfigError =
        let origin = $"""--token or --token-file (or {variableOf "--token"}, {variableOf "--token-file"})"""

        {
            Origin = origin
            Message = $"Missing {origin}"
        }

    let private secondsOf (given: Given) : Result<float, ConfigError> =
        match Double.TryParse(given.Text, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, seconds when Double.IsFinite seconds -> Ok seconds
        | _ -> Error(error given "a number of seconds")

    let private intervalOf (given: Given) : Result<float, ConfigError> =
        secondsOf given
        |> Result.bind (fun seconds ->
            if seconds > longestInterval then
                Error(error given "an interval of at most 86400 seconds, which is one day")
            else
                Ok seconds)

    let private timeoutOf (given: Given) : Result<TimeSpan, ConfigError> =
        secondsOf given
        |> Result.bind (fun seconds ->
            if seconds > 0.0 && seconds <= 600.0 then
                // The clocks that it is measured with tell milliseconds.
                Ok(TimeSpan.FromSeconds(max seconds 0.001))
            else
                Error(error given "a time-out above 0 and up to 600 seconds"))

    /// A verdict needs ten seconds of evidence, and the first evidence takes a few.
    let private watchOf (given: Given) : Result<TimeSpan, ConfigError> =
        secondsOf given
        |> Result.bind (fun seconds ->
            if seconds >= 20.0 && seconds <= 600.0 then
                Ok(TimeSpan.FromSeconds seconds)
            else
                Error(error given "from 20 to 600 seconds"))

    /// The words of `--log-level`.
    let internal logLevels =
        [|
            "DEBUG", LogLevel.Debug
            "INFO", LogLevel.Info
            "WARNING", LogLevel.Warning
            "ERROR", LogLevel.Error
            "CRITICAL", LogLevel.Critical
        |]

    /// The words of `--gpu-source`.
    let internal gpuReaders =
        [|
            "nvml", GpuReader.Nvml
            "nvidia-smi", GpuReader.NvidiaSmi
            "none", GpuReader.None
            "auto", GpuReader.Auto
        |]

    /// The words of `--job-detail`.
    let internal jobDetails = [| "full", JobDetail.Full; "names", JobDetail.Names; "none", JobDetail.None |]

    /// The meaning of a word that is one of a few, in any case.
    let private oneOf (words: (string * 'a)[]) (given: Given) : Result<'a, ConfigError> =
        let text = given.Text.Trim()

        match
            words
            |> Array.tryFind (fun (word, _) -> String.Equals(word, text, StringComparison.OrdinalIgnoreCase))
        with
        | Some(_, meaning) -> Ok meaning
        | None -> Error(error given ("one of " + (words |> Array.map fst |> String.concat ", ")))

    let private levelOf (given: Given) : Result<LogLevel, ConfigError> = oneOf logLevels given

    let private gpuReaderOf (given: Given) : Result<GpuReader, ConfigError> = oneOf gpuReaders given

    let private jobDetailOf (given: Given) : Result<JobDetail, ConfigError> = oneOf jobDetails given

    /// Mebibytes, from 1 to 2^20, which is a tebibyte.
    let private mebibytesOf (given: Given) : Result<uint64<B>, ConfigError> =
        match UInt64.TryParse(given.Text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, number when number >= 1UL && number <= 1048576UL -> Ok(bytesOfMib (LanguagePrimitives.UInt64WithMeasure number))
        | _ -> Error(error given "a whole number of megabytes, 1 to 1048576")

    /// What a switch can be given as.
    let internal switchWords = "1, true, yes, on or 0, false, no, off"

    let internal switchOf (given: Given) : Result<bool, ConfigError> =
        match given.Text.Trim().ToLowerInvariant() with
        | "1"
        | "true"
        | "yes"
        | "on" -> Ok true
        | "0"
        | "false"
        | "no"
        | "off" -> Ok false
        // What stands behind a switch may be a token that was glued to the wrong option.
        | _ when isFlag given -> Error(errorWithoutText given $"a switch takes {switchWords}, or no value")
        | _ -> Error(error given $"a switch: {switchWords}")

    let private names (text: string) : string[] =
        text.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)

    let private namesOf (given: Given) : Result<string[], ConfigError> =
        match names given.Text with
        | [||] -> Error(error given "a comma-separated list of names")
        | list -> Ok list

    /// The defaults, with those that are named, and without those that are named behind a minus sign.
    let private collectorsOf (given: Given) : Result<string[], ConfigError> =
        let known = Collectors.all |> Array.map (fun collector -> collector.Name)
        let words = names given.Text
        let isOff (word: string) = word.StartsWith '-'

        let nameOf (word: string) =
            if isOff word then word.Substring 1 else word

        match words |> Array.tryFind (fun word -> not (Array.contains (nameOf word) known)) with
        | _ when words.Length = 0 -> Error(error given "a comma-separated list of names")
        | Some word ->
            Error(error { given with Text = word } ("one of " + String.concat ", " known + ", or one with a minus sign before it"))
        | None ->
            known
            |> Array.filter (fun name ->
                not (Array.contains ("-" + name) words)
                && (Array.contains name words || Array.contains name Collectors.defaults))
            |> Ok

    let private labelOf (given: Given) (text: string) : Result<struct (string * string), ConfigError> =
        let separator = text.IndexOf '='

        let key =
            if separator > 0 then
                text.Substring(0, separator).Trim()
            else
                ""

        if key = "" then
            Error(error { given with Text = text } "a label of the form key=value")
        else
            Ok(struct (key, text.Substring(separator + 1).Trim()))

    let private jobOf (given: Given) : Result<string, ConfigError> =
        if JobTotals.isId (given.Text.Trim()) then
            Ok(given.Text.Trim())
        else
            Error(error given "the id of a job: letters, digits, and . _ + -, at most 64")

    let private textOf (given: Given) : Result<string, ConfigError> =
        let text = given.Text.Trim()

        if text = "" || text |> Seq.exists Char.IsControl then
            Error(error given "a name without control characters")
        else
            Ok text

    let private pathOf (given: Given) : Result<string, ConfigError> =
        // "/" itself stays; any other root loses its last slash, so that paths can be put after it.
        match given.Text with
        | "" -> Error(error given "a directory")
        | path when path.Contains '\000' -> Error(error given "a directory")
        | path when path.TrimEnd('/') = "" -> Ok "/"
        | path -> Ok(path.TrimEnd '/')

    let private fileOf (given: Given) : Result<string, ConfigError> =
        match given.Text.Trim() with
        | ""
        | "/" -> Error(error given "a file")
        | path when path.Contains '\000' -> Error(error given "a file")
        | path -> Ok path

    /// An address and a port, `127.0.0.1:9835` or `[::1]:9835`. Names are not looked up: what one means may change, and with it
    /// who can read the metrics.
    let private listenOf (given: Given) : Result<IPEndPoint, ConfigError> =
        let text = given.Text.Trim()
        let colon = text.LastIndexOf ':'

        let address =
            match (if colon > 0 then text.Substring(0, colon) else "") with
            | host when host.StartsWith '[' && host.EndsWith ']' ->
                match IPAddress.TryParse host with
                | true, address -> Option.ofObj address
                | _ -> None
            | host ->
                match IPAddress.TryParse host with
                // Only the usual spelling: 1 and 0x7f.1 are addresses too.
                | true, address ->
                    Option.ofObj address
                    |> Option.filter (fun address -> address.ToString() = host && not (host.Contains ':'))
                | _ -> None

        match address, UInt16.TryParse(text.Substring(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture) with
        // The class library takes the name of an interface that is not there for no zone at all.
        | Some address, _ when text.Contains '%' && address.ScopeId = 0L ->
            Error(
                error given "an address with the name or number of one of this machine's interfaces after the %, as in [fe80::1%eth0]:9835"
            )
        | Some address, (true, port) -> Ok(IPEndPoint(address, int port))
        | _ -> Error(error given "an IP address and a port such as 127.0.0.1:9835 or [::1]:9835; names are not looked up")

    /// --token, --token-file, their variables in the same order, systemd's credential; none when nothing is there.
    let private tokenOriginOf
        (token: Given voption)
        (file: Given voption)
        (credentials: string)
        : Result<TokenOrigin voption, ConfigError> =
        let given (value: Given) =
            tokenOf value
            |> Result.map (fun secret -> ValueSome(TokenOrigin.Given(secret, value.Origin)))

        let inFile (value: Given) =
            fileOf value
            |> Result.map (fun path -> ValueSome(TokenOrigin.File(path, value.Origin)))

        match token, file with
        | ValueSome token, ValueSome file when isFlag file && not (isFlag token) -> inFile file
        | ValueSome token, _ -> given token
        | ValueNone, ValueSome file -> inFile file
        | ValueNone, ValueNone when credentials <> "" ->
            Ok(ValueSome(TokenOrigin.Credential(credentials.TrimEnd '/' + "/" + CredentialName)))
        | ValueNone, ValueNone -> Ok ValueNone

    /// Labels of the flag and of the variable together; the flag wins, and of repeated keys the last.
    let private labelsOf (flags: Given[]) (variable: Given voption) : Result<(struct (string * string))[], ConfigError list> =
        let fromVariable =
            match variable with
            | ValueSome given -> names given.Text |> Array.map (labelOf given)
            | ValueNone -> [||]

        let fromFlags = flags |> Array.map (fun given -> labelOf given given.Text)

        Array.append fromVariable fromFlags
        |> List.ofArray
        |> List.map Validation.ofResult
        |> List.sequenceValidationA
        |> Result.map (fun labels ->
            let order = ResizeArray<string>()
            let values = Dictionary<string, string>(StringComparer.Ordinal)

            for struct (key, value) in labels do
                if not (values.ContainsKey key) then
                    order.Add key

                values[key] <- value

            order.ToArray() |> Array.map (fun key -> struct (key, values[key])))

    /// The URL as it is shown and built upon. The class library leaves out the zone of a link-local address (RFC 4007, 11), without which
    /// nothing can be reached.
    let private baseOf (host: Uri) : string =
        let url = host.AbsoluteUri.TrimEnd '/'

        if host.DnsSafeHost.Contains '%' then
            url.Replace(host.Host, $"[{host.DnsSafeHost}]")
        else
            url

    let private endpointOf (host: Uri) (slug: string) : Uri =
        Uri($"{baseOf host}/api/ingest/servers/{slug}/metrics/")

    /// Checks everything that was given. `given` finds the value of a flag: the flag itself, else its variable unless
    /// empty; `flagLabels` are the values of every `--label`, `variableLabels` its variable. `system` finds a variable that
    /// systemd sets, empty when it does not.
    let validate
        (given: string -> Given voption)
        (flagLabels: Given[])
        (variableLabels: Given voption)
        (system: string -> string)
        : Result<Settings, ConfigError list> =
        let optional (flag: string) (fallback: 'a) (check: Given -> Result<'a, ConfigError>) : Validation<'a, ConfigError> =
            match given flag with
            | ValueSome value -> Validation.ofResult (check value)
            | ValueNone -> Ok fallback

        // A switch that is there and wrong is told by its own check.
        let isSet flag =
            match given flag with
            | ValueSome value -> switchOf value |> Result.defaultValue true
            | ValueNone -> false

        let tokenOrigin =
            tokenOriginOf (given "--token") (given "--token-file") (system "CREDENTIALS_DIRECTORY")

        // Without a webapp to send to, nobody need be named; what is named must still be right.
        // Where metrics are the purpose, a webapp is one more; half a webapp is a mistake all the same.
        let needsNoWebapp =
            isSet "--dry-run"
            || isSet "--why"
            || isSet "--health"
            || (((given "--listen").IsSome
                 || (given "--remote-write").IsSome
                 || (given "--otlp").IsSome)
                && (given "--host").IsNone
                && (given "--server-slug").IsNone
                && (given "--token").IsNone
                && (given "--token-file").IsNone
                && (given "--enrol-key-file").IsNone)

        // A token makes the key superfluous.
        let enrolKey =
            match tokenOrigin with
            | Ok(ValueSome(TokenOrigin.Given _ | TokenOrigin.File _)) -> ValueNone
            | _ -> given "--enrol-key-file"

        let absent =
            if needsNoWebapp then
                []
            else
                [
                    if (given "--host").IsNone then
                        missing "--host"
                    if (given "--server-slug").IsNone && enrolKey.IsNone then
                        missing "--server-slug"
                    match tokenOrigin with
                    | Ok ValueNone when enrolKey.IsNone -> missingToken
                    | Ok ValueNone
                    | Ok(ValueSome _)
                    | Error _ -> ()
                ]

        /// What contradicts a receiver of metrics, or its file of headers.
        let receives (option: string) : Validation<unit, ConfigError> =
            match given option, given $"{option}-header-file" with
            | ValueNone, ValueSome file -> Error [ errorWithoutText file $"the headers have no receiver without {option}" ]
            | ValueSome url, _ when isSet "--once" || isSet "--dry-run" ->
                Error
                    [
                        errorWithoutText url "--once and --dry-run only concern the webapp; leave one of them out"
                    ]
            | _ -> Ok()

        let receiverTarget (option: string) (endpoint: Uri voption) (headerFile: string) : ReceiverTarget voption =
            endpoint
            |> ValueOption.map (fun endpoint ->
                {
                    Endpoint = endpoint
                    HeaderFile = headerFile
                    HeaderOrigin =
                        match given $"{option}-header-file" with
                        | ValueSome file -> file.Origin
                        | ValueNone -> ""
                })

        validation {
            let! dryRun = optional "--dry-run" false switchOf
            and! host = optional "--host" ValueNone (hostOf >> Result.map ValueSome)
            and! slug = optional "--server-slug" ValueNone (slugOf >> Result.map ValueSome)
            and! token = Validation.ofResult tokenOrigin
            and! hostname = optional "--hostname" "" textOf
            and! interval = optional "--interval" 2.0 intervalOf
            and! window = optional "--cpu-sample-interval" 0.2 secondsOf
            and! timeout = optional "--timeout" (TimeSpan.FromSeconds 5.0) timeoutOf
            and! once = optional "--once" false switchOf
            and! disks = optional "--disks" [||] namesOf
            and! interfaces = optional "--interfaces" [||] namesOf
            and! labels = labelsOf flagLabels variableLabels
            and! quiet = optional "--quiet" false switchOf
            and! level = optional "--log-level" ValueNone (levelOf >> Result.map ValueSome)
            and! insecure = optional "--insecure" false switchOf
            and! gpuReader = optional "--gpu-source" GpuReader.Auto gpuReaderOf
            and! nvmlLibrary = optional "--nvml-library" "" fileOf
            and! jobDetail = optional "--job-detail" JobDetail.Names jobDetailOf
            and! gpuJobDirectory = optional "--gpu-job-directory" "" pathOf
            and! collectors = optional "--collectors" ValueNone (collectorsOf >> Result.map ValueSome)
            and! textfileDirectory = optional "--textfile-directory" "" pathOf
            and! procFs = optional "--procfs" "/proc" pathOf
            and! sysFs = optional "--sysfs" "/sys" pathOf
            and! rootFs = optional "--rootfs" "/" pathOf

            and! enrolKeyFile = optional "--enrol-key-file" "" fileOf
            and! caFile = optional "--ca-file" "" fileOf
            and! clientCertificate = optional "--client-cert" "" fileOf
            and! clientKey = optional "--client-key" "" fileOf
            and! spool = optional "--spool" "" pathOf
            and! spoolLimit = optional "--spool-max-mb" (bytesOfMib 256UL<MiB>) mebibytesOf
            and! receiver = optional "--remote-write" ValueNone (remoteWriteOf >> Result.map ValueSome)
            and! headerFile = optional "--remote-write-header-file" "" fileOf
            and! otlp = optional "--otlp" ValueNone (otlpOf >> Result.map ValueSome)
            and! otlpHeaderFile = optional "--otlp-header-file" "" fileOf
            and! listen = optional "--listen" ValueNone (listenOf >> Result.map ValueSome)

            and! listenToken =
                optional "--listen-token-file" ValueNone (fun file ->
                    fileOf file
                    |> Result.map (fun path -> ValueSome(TokenOrigin.File(path, file.Origin))))

            and! doctor = optional "--doctor" false switchOf
            and! health = optional "--health" false switchOf
            and! why = optional "--why" false switchOf
            and! watchFor = optional "--seconds" (TimeSpan.FromSeconds 30.0) watchOf
            and! job = optional "--job" "" jobOf
            and! json = optional "--json" false switchOf

            and! () =
                // A diagnosis says what is missing in its own way, and checks the rest.
                if isSet "--doctor" || absent.IsEmpty then
                    Ok()
                else
                    Error absent

            and! () =
                match enrolKey with
                | ValueSome key when
                    (given "--spool").IsNone
                    && system "STATE_DIRECTORY" = ""
                    && not (isSet "--dry-run")
                    ->
                    Error
                        [
                            errorWithoutText key "what the machine gets has to be kept somewhere; give --spool too"
                        ]
                | _ -> Ok()

            and! () =
                match given "--client-key", given "--client-cert" with
                | ValueSome key, ValueNone ->
                    Error
                        [
                            errorWithoutText key "a private key needs a certificate; set --client-cert too"
                        ]
                | _ -> Ok()

            and! () =
                match given "--nvml-library", given "--gpu-source" with
                | ValueSome library, ValueSome source when
                    gpuReaderOf source = Ok GpuReader.NvidiaSmi
                    || gpuReaderOf source = Ok GpuReader.None
                    ->
                    Error
                        [
                            error library $"used with {source.Origin} {source.Text.Trim()}; leave one of the two out"
                        ]
                | _ -> Ok()

            and! () =
                match given "--listen", given "--listen-token-file" with
                | ValueNone, ValueSome file -> Error [ errorWithoutText file "nothing is served without --listen" ]
                | ValueSome listen, _ when isSet "--once" || isSet "--dry-run" ->
                    Error
                        [
                            errorWithoutText listen "--once and --dry-run serve no metrics; leave one of them out"
                        ]
                | ValueSome listen, ValueNone ->
                    match listenOf listen with
                    | Ok address when not (IPAddress.IsLoopback address.Address) ->
                        Error
                            [
                                error listen "a loopback address, so others can read the metrics there; set --listen-token-file too"
                            ]
                    | _ -> Ok()
                | _ -> Ok()

            and! () = receives "--remote-write"
            and! () = receives "--otlp"

            and! () =
                match given "--json" with
                | ValueSome json when isSet "--json" && not (isSet "--doctor" || isSet "--why") ->
                    Error [ errorWithoutText json "only --doctor and --why print a report as JSON" ]
                | _ -> Ok()

            and! () =
                match given "--seconds", given "--doctor" with
                | ValueSome seconds, _ when not (isSet "--why") ->
                    Error
                        [
                            errorWithoutText seconds "only --why watches for a while; add --why, or leave it out"
                        ]
                | _, ValueSome doctor when isSet "--why" && isSet "--doctor" ->
                    Error
                        [
                            errorWithoutText doctor "--why and --doctor answer different questions; leave one of them out"
                        ]
                | _ -> Ok()

            and! () =
                match given "--job", given "--seconds" with
                | ValueSome job, _ when not (isSet "--why") ->
                    Error
                        [
                            errorWithoutText job "only --why asks about a job; add --why, or leave it out"
                        ]
                | ValueSome _, ValueSome seconds ->
                    Error
                        [
                            errorWithoutText seconds "--why --job asks about what was, and watches nothing; leave one of them out"
                        ]
                | ValueSome job, _ when (given "--listen").IsNone ->
                    Error
                        [
                            errorWithoutText job "it is asked of the agent that runs: give the address of its --listen too"
                        ]
                | _ -> Ok()

            and! () =
                match given "--once" with
                | ValueSome once when isSet "--once" && (isSet "--doctor" || isSet "--why") ->
                    Error
                        [
                            errorWithoutText once "--doctor and --why are one look by themselves; leave one of them out"
                        ]
                | _ -> Ok()

            and! () =
                match given "--health" with
                | ValueSome health when isSet "--health" ->
                    if [ "--once"; "--dry-run"; "--doctor"; "--why" ] |> List.exists isSet then
                        Error
                            [
                                errorWithoutText health "it only asks the agent that runs; leave --once, --dry-run, --doctor and --why out"
                            ]
                    elif (given "--listen").IsNone then
                        Error
                            [
                                errorWithoutText health "it is asked of the agent that runs: give the address of its --listen too"
                            ]
                    else
                        Ok()
                | _ -> Ok()

            let warnings = ResizeArray<string>()

            match given "--token", given "--token-file" with
            // A flag goes before a variable, and that is no surprise.
            | ValueSome token, ValueSome file when isFlag token = isFlag file ->
                warnings.Add $"{file.Origin}: not read, because {token.Origin} gives the token"
            | _ -> ()

            let intervalSeconds =
                if interval < shortestInterval then
                    let origin = (given "--interval").Value.Origin
                    let text = interval.ToString(CultureInfo.InvariantCulture)
                    warnings.Add $"{origin}: {text} s is raised to 0.5 s, the shortest interval"
                    shortestInterval
                else
                    interval

            let windowSeconds =
                if window >= intervalSeconds then
                    let text = window.ToString(CultureInfo.InvariantCulture)

                    // The default is shorter than any interval, so somebody gave it.
                    let origin = (given "--cpu-sample-interval").Value.Origin

                    warnings.Add $"{origin}: {text} s is not shorter than the interval; CPU usage is counted since the previous sample"

                    0.0
                elif window < 0.0 then
                    let text = window.ToString(CultureInfo.InvariantCulture)
                    let origin = (given "--cpu-sample-interval").Value.Origin
                    warnings.Add $"{origin}: {text} s is raised to 0 s; CPU usage is counted since the previous sample"
                    0.0
                else
                    window

            match given "--enrol-key-file", enrolKey with
            | ValueSome key, ValueNone -> warnings.Add $"{key.Origin}: not used, because there is a token already"
            | _ -> ()

            for option in [ "--collectors"; "--textfile-directory" ] do
                match given option with
                | ValueSome value when listen.IsNone && receiver.IsNone ->
                    warnings.Add $"{value.Origin}: not used, because there are no metrics without --listen or --remote-write"
                | _ -> ()

            match given "--gpu-job-directory" with
            | ValueSome directory when listen.IsNone && receiver.IsNone ->
                warnings.Add
                    $"{directory.Origin}: only metrics show the scheduler's jobs, and there are no metrics without --listen or --remote-write"
            | _ -> ()

            let target =
                match host, slug, token with
                | ValueSome _, _, _ when enrolKey.IsSome -> ValueNone
                | ValueSome host, ValueSome slug, ValueSome token ->
                    ValueSome
                        {
                            Endpoint = endpointOf host slug
                            Host = baseOf host
                            Slug = slug
                            Token = token
                        }
                | _ -> ValueNone

            // systemd may name several directories, in the order of the unit.
            let state =
                if spool <> "" then
                    spool
                else
                    (system "STATE_DIRECTORY").Split(':')[0]

            return
                {
                    Target = target
                    Enrolment =
                        match host, enrolKey with
                        | ValueSome host, ValueSome key ->
                            ValueSome
                                {
                                    Endpoint = Uri($"{baseOf host}/api/enrol/")
                                    Host = baseOf host
                                    Slug = ValueOption.defaultValue "" slug
                                    Key = TokenOrigin.File(enrolKeyFile, key.Origin)
                                    Directory = state
                                }
                        | _ -> ValueNone
                    BaseUrl = host
                    Missing = absent |> List.map string |> Array.ofList
                    Hostname = hostname
                    Interval = TimeSpan.FromSeconds intervalSeconds
                    CpuWindow = TimeSpan.FromSeconds windowSeconds
                    Timeout = timeout
                    Once = once
                    Disks = Devices.normalizeDisks disks
                    DiskFilters = disks
                    Interfaces = Array.distinct interfaces
                    Labels = labels
                    Quiet = quiet
                    LogLevel =
                        level
                        |> ValueOption.defaultValue (if quiet then LogLevel.Warning else LogLevel.Info)
                    GpuReader = gpuReader
                    NvmlLibrary = nvmlLibrary
                    JobDetail = jobDetail
                    GpuJobDirectory = gpuJobDirectory
                    Collectors = collectors
                    TextfileDirectory = textfileDirectory
                    Insecure = insecure
                    CaFile = caFile
                    ClientCertificate = clientCertificate
                    ClientKey = clientKey
                    Spool = state
                    SpoolLimit = spoolLimit
                    RemoteWrite = receiverTarget "--remote-write" receiver headerFile
                    Otlp = receiverTarget "--otlp" otlp otlpHeaderFile
                    Listen = listen
                    ListenToken = listenToken
                    Doctor = doctor
                    Health = health
                    Why = if why then ValueSome watchFor else ValueNone
                    WhyJob = job
                    Json = json
                    DryRun = dryRun
                    ProcFs = procFs
                    SysFs = sysFs
                    RootFs = rootFs
                    Warnings = warnings.ToArray()
                }
        }

    /// The most labels that enrolment gives a machine.
    [<Literal>]
    let MostEnrolledLabels = 64

    /// The settings of a machine that has enrolled: with this slug, a token from there, and labels beside the user's own, which take precedence.
    /// Labels that a user could not give are left out.
    [<CompiledName "EnrolledAs">]
    let enrolledAs (slug: string) (token: TokenOrigin) (labels: (struct (string * string))[]) (settings: Settings) : Settings =
        match settings.Enrolment, settings.BaseUrl with
        | ValueSome enrolment, ValueSome host ->
            let isOwn (name: string) =
                settings.Labels |> Array.exists (fun struct (own, _) -> own = name)

            { settings with
                Enrolment = ValueNone
                Labels =
                    labels
                    |> Array.truncate MostEnrolledLabels
                    |> Array.choose (fun struct (name, value) ->
                        let text = $"{name}={value}"

                        labelOf { Origin = "the receiver"; Text = text } text |> Result.toOption)
                    |> Array.filter (fun struct (name, _) -> not (isOwn name))
                    |> Array.append settings.Labels
                Target =
                    ValueSome
                        {
                            Endpoint = endpointOf host slug
                            Host = enrolment.Host
                            Slug = slug
                            Token = token
                        }
            }
        | _ -> settings
