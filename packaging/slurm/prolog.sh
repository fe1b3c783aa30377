#!/bin/sh
# For Slurm's Prolog=, on every node, as root: writes down which job has which GPU, so that the agent with --gpu-job-directory can name the
# job in the metrics of its GPUs. docs/slurm.md says how to install it. It ends with 0 whatever happens: any other code would take the node out of service.
set -u

jobs=${AI_DASHBOARD_GPU_JOB_DIRECTORY:-/run/gpu-jobs}

[ -n "${SLURM_JOB_ID:-}" ] && [ -n "${SLURM_JOB_GPUS:-}" ] || exit 0
mkdir -p "$jobs" || exit 0

for gpu in $(printf '%s' "$SLURM_JOB_GPUS" | tr ',' ' '); do
  case $gpu in
    *[!0-9]*) ;;
    # Jobs may share a GPU: a line for each.
    *) printf '%s\n' "$SLURM_JOB_ID" >>"$jobs/$gpu" ;;
  esac
done
exit 0
