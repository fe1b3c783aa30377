#compdef ai-dashboard-agent
# Completion of ai-dashboard-agent for zsh. Written by `build.fsx -t Docs`.
_arguments \
  '--host[base URL of the webapp, http or https, such as http//dashboard-host8000; a path prefix is allowed]:URL: ' \
  '--server-slug[slug of this server in the webapp]:SLUG: ' \
  '--token[ingest token of this server; visible in ps, unlike the file and the variable]:TOKEN: ' \
  '--token-file[file that contains the token; read again when the webapp refuses the token]:PATH:_files' \
  '--hostname[host name to send as metadata]:NAME: ' \
  '--label[metadata of the form key=value; repeatable; the variable takes several, separated by commas]:LABEL: ' \
  '--timeout[seconds for one whole request, from connecting to the end of the answer]:SECONDS: ' \
  '--insecure[do not verify TLS certificates; for testing only]' \
  '--ca-file[PEM certificates of issuers to trust beside the systems]:PATH:_files' \
  '--client-cert[PEM certificate to show to the webapp]:PATH:_files' \
  '--client-key[PEM private key of that certificate]:PATH:_files' \
  '--spool[directory that keeps undelivered samples]:DIRECTORY:_files -/' \
  '--spool-max-mb[limit in megabytes for each destination; beyond it the oldest samples are dropped]:MEGABYTES: ' \
  '--interval[seconds from one sample to the next]:SECONDS: ' \
  '--cpu-sample-interval[seconds over which CPU usage is measured; 0 since the previous sample]:SECONDS: ' \
  '--disks[comma-separated block devices to track]:NAMES: ' \
  '--interfaces[comma-separated network interfaces to track]:NAMES: ' \
  '--gpu-source[who is asked about GPUs nvml, nvidia-smi, none, or auto nvml if it works, else nvidia-smi]:READER:(auto nvml nvidia-smi none)' \
  '--nvml-library[file of NVIDIAs library]:PATH:_files' \
  '--job-detail[how much of the command lines of jobs is reported full, with what looks like a secret masked; names of program and script; none]:DETAIL: ' \
  '--gpu-job-directory[directory in which a scheduler names the jobs of each GPU, as for dcgm-exporter a file 0, 1 or 2.0 each; metrics then have them as hpc_job]:DIRECTORY:_files -/' \
  '--procfs[directory to read in place of /proc, in a container that sees its hosts]:DIRECTORY:_files -/' \
  '--sysfs[the same for /sys]:DIRECTORY:_files -/' \
  '--rootfs[directory under which mount points are looked up]:DIRECTORY:_files -/' \
  '--listen[IP address and port at which Prometheus finds /metrics, such as 127.0.0.19835; --host is optional then]:ADDRESS: ' \
  '--listen-token-file[file with the bearer token that readers of the metrics must send; required on other than loopback addresses]:PATH:_files' \
  '--remote-write[URL of a receiver of Prometheus remote-write, such as http//prometheus9090/api/v1/write; --host is optional then]:URL: ' \
  '--remote-write-header-file[file with headers for it, one a line as Name value tenants and tokens; read again when it changes]:PATH:_files' \
  '--once[send one sample and exit 0 if it was accepted, else 1]' \
  '--dry-run[print request bodies instead of sending them; needs no host, slug or token]' \
  '--doctor[check everything once, say what is wrong and how to mend it, and exit 0, or 1 if something is]' \
  '--why[watch, say who uses the GPUs and what holds each job back, and exit 0 if nothing does, 3 if something does, else 1]' \
  '--seconds[with --why how long to watch]:SECONDS: ' \
  '--json[with --doctor or --why print JSON]' \
  '--quiet[no routine lines on standard output]' \
  '--log-level[DEBUG, INFO, WARNING, ERROR or CRITICAL]:LEVEL:(DEBUG INFO WARNING ERROR CRITICAL)' \
  '--version[print the version and exit]' \
  '--help[print the options and exit]'
