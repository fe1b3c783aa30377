#compdef ai-dashboard-agent
# Completion of ai-dashboard-agent for zsh. Written by `build.fsx -t Docs`.
_arguments \
  '--host[base URL of the webapp, http or https, such as http\://dashboard-host\:8000; a path prefix is allowed]:URL: ' \
  '--server-slug[slug of this server in the webapp]:SLUG: ' \
  '--token[ingest token of this server; visible in ps, unlike the file and the variable; the file is not read then]:TOKEN: ' \
  '--token-file[file that contains the token; read again when the webapp refuses the token]:PATH:_files' \
  '--enrol-key-file[file with an enrolment key of ai-dashboard; this machine gets its slug and token with it, once, and keeps them in --spool]:PATH:_files' \
  '--hostname[host name to send as metadata]:NAME: ' \
  '--label[metadata of the form key=value; repeatable; the variable takes several, separated by commas]:LABEL: ' \
  '--timeout[seconds for one whole request, from connecting to the end of the answer]:SECONDS: ' \
  '--insecure[do not verify TLS certificates; for testing only]' \
  '--ca-file[PEM certificates of issuers to trust in addition to the system'\''s]:PATH:_files' \
  '--client-cert[PEM certificate to present to the webapp]:PATH:_files' \
  '--client-key[PEM private key of that certificate]:PATH:_files' \
  '--spool[directory that keeps undelivered samples]:DIRECTORY:_files -/' \
  '--spool-max-mb[limit in megabytes for each destination; beyond it the oldest samples are dropped]:MEGABYTES: ' \
  '--interval[seconds from one sample to the next]:SECONDS: ' \
  '--cpu-sample-interval[seconds over which CPU usage is measured; 0\: since the previous sample]:SECONDS: ' \
  '--disks[comma-separated block devices to track]:NAMES: ' \
  '--interfaces[comma-separated network interfaces to track]:NAMES: ' \
  '--gpu-source[how GPUs are read\: nvml, nvidia-smi, none, or auto\: nvml if it works, else nvidia-smi]:READER:(nvml nvidia-smi none auto)' \
  '--nvml-library[path of NVIDIA'\''s library]:PATH:_files' \
  '--job-detail[how much of the command lines of jobs is reported\: full, with apparent secrets masked; names, of program and script; or none]:DETAIL:(full names none)' \
  '--gpu-job-directory[directory in which a scheduler lists the jobs of each GPU, as for dcgm-exporter, in files named 0, 1 or 2.0; they become the label hpc_job of metrics]:DIRECTORY:_files -/' \
  '--procfs[directory to read instead of /proc, for a container that has the host'\''s mounted]:DIRECTORY:_files -/' \
  '--sysfs[the same for /sys]:DIRECTORY:_files -/' \
  '--rootfs[directory under which mount points are looked up]:DIRECTORY:_files -/' \
  '--listen[IP address and port at which /metrics is served to Prometheus, such as 127.0.0.1\:9835; --host is optional then]:ADDRESS: ' \
  '--listen-token-file[file with the bearer token that readers of the metrics must send; required on other than loopback addresses]:PATH:_files' \
  '--collectors[comma-separated groups of metrics to switch on, or off with a minus sign before them, such as processes,-arp]:NAMES: ' \
  '--textfile-directory[directory in which other programs leave metrics in files *.prom, which are served with the agent'\''s own]:DIRECTORY:_files -/' \
  '--remote-write[URL of a receiver of Prometheus remote-write, such as http\://prometheus\:9090/api/v1/write; --host is optional then]:URL: ' \
  '--remote-write-header-file[file with headers for it, such as tenants and tokens, one per line as Name\: value; read again when it changes]:PATH:_files' \
  '--otlp[URL of a receiver of OTLP over HTTP, such as http\://collector\:4318; /v1/metrics follows where it has no path; --host is optional then]:URL: ' \
  '--otlp-header-file[file with headers for it, such as tokens, one per line as Name\: value; read again when it changes]:PATH:_files' \
  '--once[send one sample and exit\: 0 if it was accepted, else 1]' \
  '--dry-run[print request bodies instead of sending them; needs no host, slug or token]' \
  '--doctor[check everything once, say what is wrong and how to fix it, and exit\: 0, or 1 if something is wrong]' \
  '--health[ask the agent that runs at --listen whether it is taking samples, and exit\: 0 if it is, else 1]' \
  '--why[watch, say who uses the GPUs and what holds each job back, and exit\: 0 if nothing is held back, 3 if something is, else 1]' \
  '--seconds[with --why\: how long to watch]:SECONDS: ' \
  '--job[with --why\: ask the agent that runs at --listen what the GPU time of this job of Slurm went into, instead of watching]:ID: ' \
  '--json[with --doctor or --why\: print JSON]' \
  '--quiet[no routine lines on standard output]' \
  '--log-level[DEBUG, INFO, WARNING, ERROR or CRITICAL]:LEVEL:(DEBUG INFO WARNING ERROR CRITICAL)' \
  '--version[print the version and exit]' \
  '--help[print the options and exit]'
