# Completion of ai-dashboard-agent for bash. Written by `build.fsx -t Docs`.
_ai_dashboard_agent() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  case $previous in
    --token-file|--enrol-key-file|--ca-file|--client-cert|--client-key|--nvml-library|--listen-token-file|--remote-write-header-file|--otlp-header-file)
      mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --spool|--gpu-job-directory|--procfs|--sysfs|--rootfs|--textfile-directory)
      mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --gpu-source) mapfile -t COMPREPLY < <(compgen -W 'nvml nvidia-smi none auto' -- "$current"); return ;;
    --job-detail) mapfile -t COMPREPLY < <(compgen -W 'full names none' -- "$current"); return ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W 'DEBUG INFO WARNING ERROR CRITICAL' -- "$current"); return ;;
    --host|--server-slug|--token|--hostname|--label|--timeout|--spool-max-mb|--interval|--cpu-sample-interval|--disks|--interfaces|--listen|--collectors|--remote-write|--otlp|--seconds|--job) return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W '--host --server-slug --token --token-file --enrol-key-file --hostname --label --timeout --insecure --ca-file --client-cert --client-key --spool --spool-max-mb --interval --cpu-sample-interval --disks --interfaces --gpu-source --nvml-library --job-detail --gpu-job-directory --procfs --sysfs --rootfs --listen --listen-token-file --collectors --textfile-directory --remote-write --remote-write-header-file --otlp --otlp-header-file --once --dry-run --doctor --health --why --seconds --job --json --quiet --log-level --version --help' -- "$current")
}
complete -o filenames -F _ai_dashboard_agent ai-dashboard-agent
