# Completion of ai-dashboard-agent for fish. Written by `build.fsx -t Docs`.
complete -c ai-dashboard-agent -f
complete -c ai-dashboard-agent -l host -d 'base URL of the webapp, http or https, such as http://dashboard-host:8000; a path prefix is allowed' -x
complete -c ai-dashboard-agent -l server-slug -d 'slug of this server in the webapp' -x
complete -c ai-dashboard-agent -l token -d 'ingest token of this server; visible in ps, unlike the file and the variable; the file is not read then' -x
complete -c ai-dashboard-agent -l token-file -d 'file that contains the token; read again when the webapp refuses the token' -r -F
complete -c ai-dashboard-agent -l enrol-key-file -d 'file with an enrolment key of ai-dashboard; this machine gets its slug and token with it, once, and keeps them in --spool' -r -F
complete -c ai-dashboard-agent -l hostname -d 'host name to send as metadata' -x
complete -c ai-dashboard-agent -l label -d 'metadata of the form key=value; repeatable; the variable takes several, separated by commas' -x
complete -c ai-dashboard-agent -l timeout -d 'seconds for one whole request, from connecting to the end of the answer' -x
complete -c ai-dashboard-agent -l insecure -d 'do not verify TLS certificates; for testing only' -f
complete -c ai-dashboard-agent -l ca-file -d 'PEM certificates of issuers to trust in addition to the system\'s' -r -F
complete -c ai-dashboard-agent -l client-cert -d 'PEM certificate to present to the webapp' -r -F
complete -c ai-dashboard-agent -l client-key -d 'PEM private key of that certificate' -r -F
complete -c ai-dashboard-agent -l spool -d 'directory that keeps undelivered samples' -x -a '(__fish_complete_directories)'
complete -c ai-dashboard-agent -l spool-max-mb -d 'limit in megabytes for each destination; beyond it the oldest samples are dropped' -x
complete -c ai-dashboard-agent -l interval -d 'seconds from one sample to the next' -x
complete -c ai-dashboard-agent -l cpu-sample-interval -d 'seconds over which CPU usage is measured; 0: since the previous sample' -x
complete -c ai-dashboard-agent -l disks -d 'comma-separated block devices to track' -x
complete -c ai-dashboard-agent -l interfaces -d 'comma-separated network interfaces to track' -x
complete -c ai-dashboard-agent -l gpu-source -d 'how GPUs are read: nvml, nvidia-smi, none, or auto: nvml if it works, else nvidia-smi' -x -a 'nvml nvidia-smi none auto'
complete -c ai-dashboard-agent -l nvml-library -d 'path of NVIDIA\'s library' -r -F
complete -c ai-dashboard-agent -l job-detail -d 'how much of the command lines of jobs is reported: full, with apparent secrets masked; names, of program and script; or none' -x -a 'full names none'
complete -c ai-dashboard-agent -l gpu-job-directory -d 'directory in which a scheduler lists the jobs of each GPU, as for dcgm-exporter, in files named 0, 1 or 2.0; they become the label hpc_job of metrics' -x -a '(__fish_complete_directories)'
complete -c ai-dashboard-agent -l procfs -d 'directory to read instead of /proc, for a container that has the host\'s mounted' -x -a '(__fish_complete_directories)'
complete -c ai-dashboard-agent -l sysfs -d 'the same for /sys' -x -a '(__fish_complete_directories)'
complete -c ai-dashboard-agent -l rootfs -d 'directory under which mount points are looked up' -x -a '(__fish_complete_directories)'
complete -c ai-dashboard-agent -l listen -d 'IP address and port at which /metrics is served to Prometheus, such as 127.0.0.1:9835; --host is optional then' -x
complete -c ai-dashboard-agent -l listen-token-file -d 'file with the bearer token that readers of the metrics must send; required on other than loopback addresses' -r -F
complete -c ai-dashboard-agent -l collectors -d 'comma-separated groups of metrics to switch on, or off with a minus sign before them, such as processes,-arp' -x
complete -c ai-dashboard-agent -l textfile-directory -d 'directory in which other programs leave metrics in files *.prom, which are served with the agent\'s own' -x -a '(__fish_complete_directories)'
complete -c ai-dashboard-agent -l remote-write -d 'URL of a receiver of Prometheus remote-write, such as http://prometheus:9090/api/v1/write; --host is optional then' -x
complete -c ai-dashboard-agent -l remote-write-header-file -d 'file with headers for it, such as tenants and tokens, one per line as Name: value; read again when it changes' -r -F
complete -c ai-dashboard-agent -l otlp -d 'URL of a receiver of OTLP over HTTP, such as http://collector:4318; /v1/metrics follows where it has no path; --host is optional then' -x
complete -c ai-dashboard-agent -l otlp-header-file -d 'file with headers for it, such as tokens, one per line as Name: value; read again when it changes' -r -F
complete -c ai-dashboard-agent -l once -d 'send one sample and exit: 0 if it was accepted, else 1' -f
complete -c ai-dashboard-agent -l dry-run -d 'print request bodies instead of sending them; needs no host, slug or token' -f
complete -c ai-dashboard-agent -l doctor -d 'check everything once, say what is wrong and how to fix it, and exit: 0, or 1 if something is wrong' -f
complete -c ai-dashboard-agent -l health -d 'ask the agent that runs at --listen whether it is taking samples, and exit: 0 if it is, else 1' -f
complete -c ai-dashboard-agent -l why -d 'watch, say who uses the GPUs and what holds each job back, and exit: 0 if nothing is held back, 3 if something is, else 1' -f
complete -c ai-dashboard-agent -l seconds -d 'with --why: how long to watch' -x
complete -c ai-dashboard-agent -l job -d 'with --why: ask the agent that runs at --listen what the GPU time of this job of Slurm went into, instead of watching' -x
complete -c ai-dashboard-agent -l json -d 'with --doctor or --why: print JSON' -f
complete -c ai-dashboard-agent -l quiet -d 'no routine lines on standard output' -f
complete -c ai-dashboard-agent -l log-level -d 'DEBUG, INFO, WARNING, ERROR or CRITICAL' -x -a 'DEBUG INFO WARNING ERROR CRITICAL'
complete -c ai-dashboard-agent -l version -d 'print the version and exit' -f
complete -c ai-dashboard-agent -l help -s h -d 'print the options and exit' -f
