# Completion of ai-dashboard-agent for bash. Written by `build.fsx -t Docs`.
_ai_dashboard_agent() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  case $previous in
    --token-file|--ca-file|--client-cert|--client-key|--remote-write-header-file|--listen-token-file|--nvml-library)
      mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --spool|--procfs|--sysfs|--rootfs)
      mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W 'DEBUG INFO WARNING ERROR CRITICAL' -- "$current"); return ;;
    --gpu-source) mapfile -t COMPREPLY < <(compgen -W 'auto nvml nvidia-smi none' -- "$current"); return ;;
    --host|--server-slug|--token|--hostname|--interval|--cpu-sample-interval|--timeout|--disks|--interfaces|--label|--spool-max-mb|--remote-write|--listen) return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W '--host --server-slug --token --token-file --hostname --interval --cpu-sample-interval --timeout --once --disks --interfaces --label --quiet --log-level --insecure --ca-file --client-cert --client-key --spool --spool-max-mb --remote-write --remote-write-header-file --listen --listen-token-file --doctor --json --dry-run --gpu-source --nvml-library --procfs --sysfs --rootfs --version --help' -- "$current")
}
complete -o filenames -F _ai_dashboard_agent ai-dashboard-agent
