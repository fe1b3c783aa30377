namespace Agent.Sender

/// What is wrong, and what to do, for each cause of trouble.
[<RequireQualifiedAccess>]
module Remedies =
    /// Every cause once.
    [<CompiledName "All">]
    let all: Remedy[] =
        [|
            Cause.HostMissing, "host-missing", "No base URL of the webapp is given.", "Set it with --host or AI_DASHBOARD_HOST."
            Cause.SlugMissing,
            "slug-missing",
            "No server slug is given.",
            "Set the slug that this server is registered under with --server-slug or AI_DASHBOARD_SERVER_SLUG."
            Cause.TokenMissing,
            "token-missing",
            "No ingest token is given.",
            "Put the token that the registration printed into a file, and pass that file with --token-file."
            Cause.TokenMalformed,
            "token-malformed",
            "The token contains white space or other characters that tokens do not have.",
            "Copy it again, alone and on one line, without the text around it."
            Cause.TokenUnreadable,
            "token-unreadable",
            "The token's file cannot be read.",
            "Correct --token-file, or let the agent's user read that file."
            Cause.TokenExposed,
            "token-exposed",
            "Other users of this machine can see the token.",
            "Put it into a file with mode 600 and pass that file with --token-file."
            Cause.Unverified,
            "unverified",
            "TLS certificates are not verified: anyone on the network path can read the token.",
            "Remove --insecure; if you have your own issuer, pass its certificate with --ca-file."
            Cause.PlainHttp,
            "plain-http",
            "The token is sent to the webapp without encryption: anyone on the network path can read it.",
            "Use an https:// address in --host; on a trusted network you can leave it as it is."
            Cause.ValueChanged,
            "value-changed",
            "An option is not used as given.",
            "Use a value within the limits, or leave that option out."
            Cause.TokenRefused,
            "token-refused",
            "The webapp refuses the token: it is wrong, or was rotated.",
            "Run register_server SLUG --rotate-token at the webapp and give the agent the new token."
            Cause.DashboardTokenRefused,
            "dashboard-token-refused",
            "The token is not the one that ai-dashboard has: it is wrong, or was rotated.",
            "Run ai-dashboard register-server SLUG --rotate-token with its --database, and give the agent the new token."
            Cause.DashboardSlugUnknown,
            "dashboard-slug-unknown",
            "The dashboard, ai-dashboard, knows no server with this slug.",
            "Correct --server-slug, or run ai-dashboard register-server SLUG with its --database."
            Cause.NotStoring,
            "not-storing",
            "The webapp is there, but cannot store samples now, most likely because its disk is full.",
            "See its log and its pages; the agent keeps its samples and tries again by itself."
            Cause.ServerDisabled,
            "server-disabled",
            "The webapp knows this server, but it is disabled there.",
            "Enable the server at the webapp; the agent then carries on by itself."
            Cause.AccessDenied,
            "access-denied",
            "Something in front of the webapp denies access, or has replaced its answer.",
            "Let the proxy or firewall pass POST requests to /api/ingest/ with the header X-Monitoring-Token."
            Cause.NotFound,
            "not-found",
            "The ingest URL is not found: the base URL or the slug is wrong, or a proxy does not forward /api/ingest/.",
            "Check --host and --server-slug, and what the proxy forwards."
            Cause.SlugUnknown,
            "slug-unknown",
            "The webapp answers, but it has no server with this slug.",
            "Correct --server-slug, or run register_server SLUG at the webapp."
            Cause.RouteMissing,
            "route-missing",
            "There is no ingest API at this base URL: it is wrong, or a proxy does not forward /api/ingest/.",
            "Correct --host, path prefix included, or have the proxy forward /api/ingest/."
            Cause.MethodRefused,
            "method-refused",
            "The service at this URL does not accept POST: it is not the ingest API.",
            "Correct --host, path prefix included, or have the proxy forward /api/ingest/."
            Cause.ProxyRefuses,
            "proxy-refuses",
            "The proxy does not let requests through, or asks for a login.",
            "Correct HTTP_PROXY or HTTPS_PROXY, or name the webapp in NO_PROXY."
            Cause.ProxyUnreachable,
            "proxy-unreachable",
            "The proxy that HTTP_PROXY or HTTPS_PROXY names cannot be reached.",
            "Correct HTTP_PROXY or HTTPS_PROXY (or http_proxy, https_proxy, all_proxy), start the proxy, or name the webapp in NO_PROXY."
            Cause.ForeignService,
            "foreign-service",
            "Something other than the webapp answers at this address, such as a captive portal or a login page.",
            "Open the base URL in a browser from this network, log in there if it asks, or correct --host."
            Cause.ReceiverDenies,
            "receiver-denies",
            "The receiver of remote-write denies access: credentials or tenant are missing or wrong.",
            "Put the right headers, such as Authorization: Bearer … or X-Scope-OrgID: …, into --remote-write-header-file."
            Cause.ReceiverMissing,
            "receiver-missing",
            "There is no receiver of remote-write at this URL, or it is switched off.",
            "Correct --remote-write, path included, or start Prometheus with --web.enable-remote-write-receiver."
            Cause.ReceiverRefuses,
            "receiver-refuses",
            "The service at this URL refuses every request: most likely it accepts remote-write at a different path.",
            "Correct the path in --remote-write (VictoriaMetrics answers 400 to paths that it does not know), or check the receiver's log."
            Cause.OtlpDenies,
            "otlp-denies",
            "The receiver of OTLP denies access: credentials or tenant are missing or wrong.",
            "Put the right headers, such as Authorization: Bearer …, into --otlp-header-file."
            Cause.OtlpMissing,
            "otlp-missing",
            "There is no receiver of OTLP at this URL, or it is switched off.",
            "Correct --otlp: port 4318 of an OpenTelemetry Collector, or the whole path, such as /api/v1/otlp/v1/metrics (Prometheus)."
            Cause.OtlpRefuses,
            "otlp-refuses",
            "The service at this URL refuses what it is sent for good, so those samples are lost to it.",
            "Read its message and its log, and check that --otlp leads to a receiver of metrics by OTLP over HTTP with protobuf."
            Cause.HeadersUnusable,
            "headers-unusable",
            "The file of headers for the receiver cannot be used.",
            "Correct --remote-write-header-file or --otlp-header-file: one header per line as Name: value, readable by the agent's user."
            Cause.ListenUnusable,
            "listen-unusable",
            "Metrics cannot be served at the address of --listen.",
            "Give --listen an address of this machine and a free port, and --listen-token-file a file that the agent's user can read."
            Cause.ListenInUse,
            "listen-in-use",
            "An agent is serving metrics at this address right now.",
            "If that is the service you are diagnosing, all is well; two agents need two ports."
            Cause.Redirected,
            "redirected",
            "The base URL redirects, and redirects are not followed, because they would pass on the token.",
            "Use the URL that it redirects to as --host, usually https instead of http."
            Cause.SampleRefused,
            "sample-refused",
            "The webapp refuses the sample because of its content.",
            "Compare the clocks and the versions of agent and webapp; the webapp's log says more."
            Cause.SampleTooLarge,
            "sample-too-large",
            "The webapp, or a proxy in front of it, says that the sample is too large.",
            "Raise the proxy's limit for request bodies to 1 MiB, or track less with --disks and --interfaces."
            Cause.TooManyRequests,
            "too-many-requests",
            "The webapp, or a proxy in front of it, limits the rate of requests.",
            "Set a longer --interval, or increase that limit."
            Cause.ServerImpatient,
            "server-impatient",
            "The webapp, or a proxy in front of it, gave up waiting for the request.",
            "Check for a slow or lossy network; the agent retries by itself."
            Cause.GatewayFailing,
            "gateway-failing",
            "A proxy is reached, but gets no valid answer from the webapp behind it.",
            "Start the webapp, or correct the proxy; the agent retries by itself."
            Cause.ServerFailing,
            "server-failing",
            "The webapp reports an internal error.",
            "See the webapp's log; the agent retries by itself."
            Cause.UnexpectedAnswer,
            "unexpected-answer",
            "This is not a valid answer of the ingest API.",
            "Check what listens at the base URL, and whether a proxy in between answers instead."
            Cause.NameUnresolved,
            "name-unresolved",
            "The webapp's host name does not resolve.",
            "Correct --host, or this machine's DNS (/etc/resolv.conf, /etc/hosts)."
            Cause.ConnectionRefused,
            "connection-refused",
            "Nothing listens at the webapp's address.",
            "Start the webapp, or correct the port in --host."
            Cause.Unreachable,
            "unreachable",
            "The webapp's address cannot be reached from here.",
            "Check this machine's network and the firewalls in between."
            Cause.NoConnection,
            "no-connection",
            "No connection could be made in time.",
            "Check for a firewall that drops packets, the port in --host, and whether that machine is running."
            Cause.TimedOut,
            "timed-out",
            "No complete answer arrived in time.",
            "Check for an overloaded webapp or proxy; on a slow network set a longer --timeout."
            Cause.ConnectionBroken,
            "connection-broken",
            "The connection breaks before the answer is complete.",
            "Check that --host has the right scheme (http or https) and port, and what the proxy's log says."
            Cause.AnswerUnreadable,
            "answer-unreadable",
            "The answer is not valid HTTP/1.1, so it is unknown whether the sample arrived.",
            "Check the scheme and the port in --host, and whether a proxy or firewall in between changes answers."
            Cause.CertificateExpired,
            "certificate-expired",
            "The webapp's certificate has expired.",
            "Renew it at the webapp; if it is valid, set this machine's clock."
            Cause.CertificateNotYetValid,
            "certificate-not-yet-valid",
            "The webapp's certificate is not valid yet.",
            "Most likely this machine's clock is wrong: set it. Otherwise check the certificate."
            Cause.IssuerUnknown,
            "issuer-unknown",
            "The webapp's certificate is from an issuer that this machine does not trust, or its chain is incomplete.",
            "Pass the issuer's certificate with --ca-file, or have the webapp send its intermediate certificates."
            Cause.WrongHostName,
            "wrong-host-name",
            "The webapp's certificate is for another host name.",
            "Use a name from the certificate in --host, or have the certificate issued for this one."
            Cause.CertificateRefused,
            "certificate-refused",
            "The webapp's certificate is revoked, weak, or not a server certificate.",
            "Have the webapp use a new certificate, with an RSA key of 2048 bits or more and SHA-256."
            Cause.NotTls,
            "not-tls",
            "The service at this address does not speak TLS.",
            "Use http instead of https in --host, or the port that serves https."
            Cause.ClientCertificateWanted,
            "client-certificate-wanted",
            "The webapp, or a proxy in front, asks for a client certificate.",
            "Pass one with --client-cert and --client-key."
            Cause.ClientCertificateRefused,
            "client-certificate-refused",
            "The webapp, or a proxy in front, does not accept the client certificate.",
            "Check that --client-cert has not expired and is from an issuer that the server trusts."
            Cause.TlsFailed,
            "tls-failed",
            "TLS cannot be set up with the service at this address.",
            "Check its TLS versions and its log, and whether it knows this host name."
            Cause.ClockSkewed,
            "clock-skewed",
            "This machine's clock and the webapp's differ.",
            "Synchronise both with NTP (timedatectl set-ntp true)."
            Cause.SourceMissing,
            "source-missing",
            "A file that every Linux has is missing.",
            "Correct --procfs, and remove ProcSubset and similar restrictions from the agent's unit."
            Cause.SourceUnreadable,
            "source-unreadable",
            "A source cannot be read or understood; its fields are null.",
            "Let the agent's user read it; if it is readable, report the text shown here."
            Cause.NoGpu,
            "no-gpu",
            "No NVIDIA GPU was found.",
            "On a machine without a GPU there is nothing to do; otherwise check the slot and lspci."
            Cause.GpuDriverMissing,
            "gpu-driver-missing",
            "The machine has an NVIDIA GPU, but no NVIDIA driver is loaded.",
            "Install the driver, or load it with modprobe nvidia; dmesg says why that fails (Secure Boot, nouveau)."
            Cause.GpuNodesMissing,
            "gpu-nodes-missing",
            "The NVIDIA driver is loaded, but its device nodes are missing.",
            "In a container or unit allow /dev/nvidia* (docker: --gpus all); on the machine itself run nvidia-smi once as root."
            Cause.GpuNoPermission,
            "gpu-no-permission",
            "The agent has no permission to use the GPUs.",
            "Give its user, unit (DeviceAllow=) or container access to /dev/nvidiactl and /dev/nvidia*."
            Cause.GpuVersionMismatch,
            "gpu-version-mismatch",
            "The NVIDIA driver in the kernel and its library have different versions.",
            "After an update reload the driver or restart the machine; in a container use the host's library."
            Cause.GpuLibraryMissing,
            "gpu-library-missing",
            "The NVIDIA driver is loaded, but its library libnvidia-ml.so.1 cannot be loaded.",
            "Install it (libnvidia-compute, nvidia-driver-libs), or pass its path with --nvml-library."
            Cause.GpuLibraryFailing,
            "gpu-library-failing",
            "NVIDIA's library libnvidia-ml fails.",
            "Run nvidia-smi as the agent's user, and look for NVRM and Xid in dmesg."
            Cause.GpuLibraryHanging,
            "gpu-library-hanging",
            "A call to NVIDIA's library libnvidia-ml does not return.",
            "Look for NVRM and Xid in dmesg: the driver hangs; reset the GPU, reload the driver or restart the machine."
            Cause.GpuReaderMissing,
            "gpu-reader-missing",
            "The machine has an NVIDIA GPU, but nvidia-smi is not found.",
            "Install the NVIDIA driver's utilities, or add their directory to the agent's PATH."
            Cause.GpuReaderFailing,
            "gpu-reader-failing",
            "nvidia-smi fails.",
            "Run nvidia-smi as the agent's user: usually the driver is not loaded, or does not match its library."
            Cause.GpuReaderHanging,
            "gpu-reader-hanging",
            "nvidia-smi does not finish.",
            "Look for Xid errors in dmesg: a GPU or the driver hangs; reset the GPU or restart the machine."
            Cause.GpuHidden,
            "gpu-hidden",
            "The machine has an NVIDIA GPU, but its driver shows none.",
            "Check the driver with dmesg, and in a container or a unit whether /dev/nvidia* is passed in."
            Cause.GpuLost,
            "gpu-lost",
            "A GPU has fallen off the bus, or needs a reset.",
            "Look for Xid 79 in dmesg; reset it with nvidia-smi --gpu-reset or restart the machine, and check power and seat."
            Cause.GpuFieldsUnreadable,
            "gpu-fields-unreadable",
            "The NVIDIA driver does not report everything; the missing fields are null.",
            "Compare with nvidia-smi -q; please report values that it shows and the agent does not."
            Cause.DisksUnmatched, "disks-unmatched", "--disks names disks that this machine does not have.", "Use names that lsblk shows."
            Cause.NoDisks,
            "no-disks",
            "No disk was found: no block device is backed by hardware or a network.",
            "List the devices to track with --disks."
            Cause.FirstSample,
            "first-sample",
            "Disk utilisation is measured between two samples, so the first one has none.",
            "Wait for the second sample; with --once there is none, unless it is run repeatedly."
            Cause.DisksIdle,
            "disks-idle",
            "The tracked disks have been idle since the machine started, while others were busy.",
            "List the disks that hold the data with --disks (lsblk)."
            Cause.BusyTimeUncounted,
            "busy-time-uncounted",
            "The kernel does not count how long these disks are busy, or nothing of them at all, so their utilisation is not known.",
            "Turn counting on: echo 1 > /sys/block/NAME/queue/iostats."
            Cause.InterfacesUnmatched,
            "interfaces-unmatched",
            "--interfaces names interfaces that this machine does not have.",
            "Use names that `ip link` shows."
            Cause.NoInterfaces,
            "no-interfaces",
            "There is no network interface other than the loopback.",
            "In a container mount the host's /proc and pass it with --procfs."
            Cause.NoSpool,
            "no-spool",
            "Undelivered samples wait in memory only, and are lost when the agent stops.",
            "Set a directory with --spool."
            Cause.SpoolUnusable, "spool-unusable", "The spool directory cannot be used.", "Create it, and let the agent's user write to it."
            Cause.SpoolInUse,
            "spool-in-use",
            "An agent is using the spool directory right now.",
            "If that is the service you are diagnosing, all is well; two agents need two directories."
            Cause.SpoolNearlyFull,
            "spool-nearly-full",
            "The file system of the spool has less space than the spool may need.",
            "Free some space there, or lower --spool-max-mb."
            Cause.SpoolBacklog,
            "spool-backlog",
            "Samples are waiting in the spool to be delivered.",
            "Fix what keeps them from the webapp; a running agent delivers them by itself."
            Cause.InContainer,
            "in-container",
            "The agent runs in a container and reads the container's own files, which hide the host's network and processes.",
            "Mount the host's /proc, /sys and / into it and pass them with --procfs, --sysfs and --rootfs."
            Cause.ProcessesHidden,
            "processes-hidden",
            "The processes of other users are hidden from the agent, so it counts only its own.",
            "Remove ProtectProc from the agent's unit, or mount /proc without hidepid."
            Cause.JobsHidden,
            "jobs-hidden",
            "Processes that use the GPUs cannot be seen, so it is unknown who uses them and what holds their jobs back.",
            "Give a container the host's PID namespace (--pid=host, in Kubernetes hostPID: true); elsewhere mount /proc without hidepid."
            Cause.JobsInPart,
            "jobs-in-part",
            "For other users' jobs, bytes read and written (io) or the names of Slurm jobs (environ) cannot be read; all else is reported.",
            "If that is enough, do nothing; else install the drop-in jobs.conf, which says how, or give the container --cap-add=SYS_PTRACE."
            Cause.NotChecked, "not-checked", "This could not be checked.", "Fix what is wrong first."
            Cause.LeftOut, "left-out", "With --dry-run nothing is sent.", "Run --doctor without --dry-run to check everything."
        |]
        |> Array.map (fun (cause, key, wrong, fix) ->
            {
                Cause = cause
                Key = key
                Wrong = wrong
                Fix = fix
            })

    /// What the table says of a cause.
    [<CompiledName "Of">]
    let ofCause (cause: Cause) : Remedy =
        all |> Array.find (fun remedy -> remedy.Cause = cause)
