namespace Agent.Sender

open System
open System.Collections.Generic
open System.Globalization
open System.Net
open Agent.Core
open Agent.Outbound
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
