#!/bin/sh
# For Slurm's Epilog=, on every node, as root: asks the agent of this node what the GPU time of the job went into, and keeps the answer as a file for the job's
# user. Then forgets which GPUs the job had (prolog.sh). docs/slurm.md says how to install it. It ends with 0 whatever happens: any other code would take the
# node out of service.
set -u

agent=${AI_DASHBOARD_AGENT:-ai-dashboard-agent}
# The variables of the agent's service, of which two are used here: where it listens, and the token for that.
defaults=${AI_DASHBOARD_DEFAULTS:-/etc/default/ai-dashboard-agent}
reports=${AI_DASHBOARD_JOB_REPORTS:-/var/log/ai-dashboard-jobs}
# Older reports are deleted.
days=${AI_DASHBOARD_JOB_REPORT_DAYS:-30}
jobs=${AI_DASHBOARD_GPU_JOB_DIRECTORY:-/run/gpu-jobs}

job=${SLURM_JOB_ID:-}
case $job in
  '' | *[!0-9]*) exit 0 ;;
esac

setting() { # setting NAME
  sed -n "s/^$1=//p" "$defaults" 2>/dev/null | tail -n 1 | sed "s/^[\"']//; s/[\"']\$//"
}

report() {
  AI_DASHBOARD_LISTEN=$(setting AI_DASHBOARD_LISTEN)
  AI_DASHBOARD_LISTEN_TOKEN_FILE=$(setting AI_DASHBOARD_LISTEN_TOKEN_FILE)
  [ -n "$AI_DASHBOARD_LISTEN" ] || return 0
  export AI_DASHBOARD_LISTEN AI_DASHBOARD_LISTEN_TOKEN_FILE

  # A job that held no GPU has no report; that is no error.
  text=$(timeout 10 "$agent" --why --job "$job" 2>/dev/null) || return 0
  mkdir -p -m 755 "$reports" || return 0
  file=$reports/$job.$(uname -n)
  (umask 077 && printf '%s\n' "$text" >"$file") || return 0
  [ -z "${SLURM_JOB_UID:-}" ] || chown "$SLURM_JOB_UID" "$file"
  find "$reports" -maxdepth 1 -type f -mtime "+$days" -delete
}

forget() {
  for file in "$jobs"/*; do
    [ -f "$file" ] || continue
    left=$(grep -vx "$job" "$file")
    if [ -z "$left" ]; then
      rm -f "$file"
    else
      printf '%s\n' "$left" >"$file.new" && mv "$file.new" "$file"
    fi
  done
}

report
forget
exit 0
