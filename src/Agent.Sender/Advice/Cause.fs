namespace Agent.Sender

open System
open System.Globalization
open Agent.Core
open Agent.Outbound

/// A destination of samples.
type Destination =
    /// The webapp's ingest API.
    | Ingest = 0
    /// A receiver of remote-write.
    | RemoteWrite = 1
    /// A receiver of OTLP.
    | Otlp = 2

/// A cause of trouble that the agent can identify by itself. `Remedies.all` says what is wrong and what to do, so nothing else
/// needs to inspect this.
[<RequireQualifiedAccess>]
type Cause =
    /// No base URL was given.
    | HostMissing
    /// No slug was given.
    | SlugMissing
    /// No token was given.
    | TokenMissing
    /// The token has white space or other characters that no token has.
    | TokenMalformed
    /// The token's file cannot be read.
    | TokenUnreadable
    /// Others can see the token.
    | TokenExposed
    /// Certificates are not verified.
    | Unverified
    /// The token goes over plain http to another machine.
    | PlainHttp
    /// A value was changed to make it usable, or an option has no effect.
    | ValueChanged
    /// 401 from the webapp.
    | TokenRefused
    /// 403 from the webapp.
    | ServerDisabled
    /// 401 or 403 from something else.
    | AccessDenied
    /// 404, whatever the reason.
    | NotFound
    /// 404, and the route is there.
    | SlugUnknown
    /// 404, and the route is not there.
    | RouteMissing
    /// 405.
    | MethodRefused
    /// 407, or the proxy does not let a connection through.
    | ProxyRefuses
    /// The proxy itself is not reached.
    | ProxyUnreachable
    /// A 2xx that does not come from the webapp.
    | ForeignService
    /// 401 or 403 from a remote-write receiver.
    | ReceiverDenies
    /// 404 or 405, or a page, where a receiver of remote-write should be.
    | ReceiverMissing
    /// A remote-write receiver refuses everything, for a reason that is not about the samples.
    | ReceiverRefuses
    /// 401 or 403 from a receiver of OTLP.
    | OtlpDenies
    /// 404 or 405, or a page, where a receiver of OTLP should be.
    | OtlpMissing
    /// A receiver of OTLP answers with a failure that must not be tried again.
    | OtlpRefuses
    /// The file of headers for remote-write or OTLP cannot be read or understood.
    | HeadersUnusable
    /// The address of `--listen`, or the file of its token, cannot be used.
    | ListenUnusable
    /// An agent listens at the address of `--listen`.
    | ListenInUse
    /// 3xx.
    | Redirected
    /// 400 or 422.
    | SampleRefused
    /// 413.
    | SampleTooLarge
    /// 429.
    | TooManyRequests
    /// 408 or 425.
    | ServerImpatient
    /// 502, 503 or 504.
    | GatewayFailing
    /// Any other 5xx.
    | ServerFailing
    /// Any other answer.
    | UnexpectedAnswer
    /// The name does not resolve.
    | NameUnresolved
    /// Nothing listens.
    | ConnectionRefused
    /// No route to the host.
    | Unreachable
    /// No connection in time.
    | NoConnection
    /// No answer in time.
    | TimedOut
    /// The connection broke.
    | ConnectionBroken
    /// Something answers, but the answer cannot be read.
    | AnswerUnreadable
    /// TLS: the certificate has expired.
    | CertificateExpired
    /// TLS: the certificate is not valid yet.
    | CertificateNotYetValid
    /// TLS: the issuer of the certificate is not trusted by this machine.
    | IssuerUnknown
    /// TLS: the certificate is for another host.
    | WrongHostName
    /// TLS: the certificate is refused for another reason.
    | CertificateRefused
    /// TLS: the server does not speak it.
    | NotTls
    /// TLS: the server requires a client certificate.
    | ClientCertificateWanted
    /// TLS: the server does not accept the client certificate.
    | ClientCertificateRefused
    /// TLS: anything else.
    | TlsFailed
    /// This machine's clock and the webapp's differ.
    | ClockSkewed
    /// A required source of readings is missing.
    | SourceMissing
    /// A source of readings cannot be read or understood.
    | SourceUnreadable
    /// No NVIDIA GPU in this machine.
    | NoGpu
    /// A GPU without a driver.
    | GpuDriverMissing
    /// A driver without its device nodes, as in a container.
    | GpuNodesMissing
    /// The device nodes, or the library, deny access.
    | GpuNoPermission
    /// The driver and its library have different versions.
    | GpuVersionMismatch
    /// A driver without its library.
    | GpuLibraryMissing
    /// The library fails.
    | GpuLibraryFailing
    /// A call of the library does not return.
    | GpuLibraryHanging
    /// A GPU without nvidia-smi.
    | GpuReaderMissing
    /// nvidia-smi fails.
    | GpuReaderFailing
    /// nvidia-smi hangs.
    | GpuReaderHanging
    /// The driver shows no GPU although there is one.
    | GpuHidden
    /// A GPU has fallen off the bus.
    | GpuLost
    /// The driver does not report everything.
    | GpuFieldsUnreadable
    /// `--disks` names disks that do not exist.
    | DisksUnmatched
    /// No physical disk was found.
    | NoDisks
    /// Utilisation is a rate, and the first sample has none.
    | FirstSample
    /// The tracked disks have never been busy while others were.
    | DisksIdle
    /// The kernel does not count busy time.
    | BusyTimeUncounted
    /// `--interfaces` names interfaces that do not exist.
    | InterfacesUnmatched
    /// There is no interface but the loopback.
    | NoInterfaces
    /// No directory keeps undelivered samples.
    | NoSpool
    /// The spool cannot be written to.
    | SpoolUnusable
    /// Another agent uses the spool.
    | SpoolInUse
    /// The file system of the spool is almost full.
    | SpoolNearlyFull
    /// Samples wait in the spool.
    | SpoolBacklog
    /// The agent runs in a container and reads the container's own /proc.
    | InContainer
    /// Other users' processes are hidden.
    | ProcessesHidden
    /// Processes that use the GPUs cannot be seen.
    | JobsHidden
    /// Some of what processes do cannot be read.
    | JobsInPart
    /// A check could not be made.
    | NotChecked
    /// A check was left out on the user's request.
    | LeftOut
    /// 401 of ai-dashboard.
    | DashboardTokenRefused
    /// 404 of ai-dashboard.
    | DashboardSlugUnknown
    /// 503 of the webapp itself.
    | NotStoring

/// What is said about a cause.
[<NoComparison>]
type Remedy =
    {
        /// The cause.
        Cause: Cause
        /// Its machine-readable name.
        Key: string
        /// What is wrong, a sentence.
        Wrong: string
        /// What to do about it, a sentence.
        Fix: string
    }
