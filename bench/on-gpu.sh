#!/usr/bin/env bash
# On a machine with a real GPU: what the agent reads beside nvidia-smi's own words, idle and at work, what a sample costs, and
# `--why` on trainers whose limit is known. Writes one text file. Needs the driver, the published agent and Python 3.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
agent=$root/artifacts/publish/linux-x64/ai-dashboard-agent
output=$root/artifacts/on-gpu.txt

usage() {
  cat <<'END'
usage: bench/on-gpu.sh [--agent FILE] [--output FILE]

  --agent FILE   the agent (artifacts/publish/linux-x64/ai-dashboard-agent)
  --output FILE  where the text goes (artifacts/on-gpu.txt)
END
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --agent | --output)
      [ $# -ge 2 ] || { echo "on-gpu: $1 needs a value" >&2; exit 2; }
      case $1 in
        --agent) agent=$2 ;;
        --output) output=$2 ;;
      esac
      shift 2
      ;;
    *)
      echo "on-gpu: unknown option '$1'; --help lists the options" >&2
      exit 2
      ;;
  esac
done

[ -x "$agent" ] || { echo "on-gpu: there is no agent at '$agent'" >&2; exit 2; }
command -v nvidia-smi >/dev/null || { echo "on-gpu: there is no nvidia-smi here" >&2; exit 2; }
mkdir -p "$(dirname "$output")"

held=

# Only what was started here, by its number; the trainers end with it.
# shellcheck disable=SC2317  # Called by the trap.
let_go() {
  [ -z "$held" ] || { kill "$held" 2>/dev/null; wait "$held" 2>/dev/null; }
  held=
}
trap let_go EXIT

# hold NAME SECONDS: starts a trainer on the GPU, and waits until it works.
hold() {
  python3 "$here/lab/lab.py" --gpu --hold --only "$1" --seconds "$2" >/dev/null 2>"$output.lab" &
  held=$!
  sleep 12
  kill -0 "$held" 2>/dev/null || { echo "the trainer did not start:"; tail -5 "$output.lab"; }
}

# part TITLE COMMAND...: a heading, what the command says, and how it ended.
part() {
  printf '\n==== %s\n$ %s\n' "$1" "${*:2}"
  timeout 90 "${@:2}" 2>&1
  printf -- '---- exit code %d\n' $?
}

fields=$(nvidia-smi --help-query-gpu 2>/dev/null | sed -n 's/^"\([a-z][a-z0-9_.]*\)".*/\1/p' | paste -sd, -)

# state NAME: everything that is to be had of the GPUs now.
state() {
  part "$1: nvidia-smi" nvidia-smi
  part "$1: nvidia-smi, every field" nvidia-smi --query-gpu="$fields" --format=csv
  part "$1: nvidia-smi -q" nvidia-smi -q
  part "$1: nvidia-smi, processes" nvidia-smi --query-compute-apps=pid,process_name,used_gpu_memory,gpu_uuid --format=csv
  part "$1: nvidia-smi pmon" nvidia-smi pmon -c 1
  part "$1: the agent by NVML" "$agent" --once --dry-run --gpu-source nvml
  part "$1: the agent by nvidia-smi" "$agent" --once --dry-run --gpu-source nvidia-smi
}

why() {
  hold "$1" 120
  part "--why: $1" "$agent" --why --seconds 30
  part "--why --json: $1" "$agent" --why --json --seconds 5
  let_go
}

{
  part "the machine" uname -srm
  part "the driver" cat /proc/driver/nvidia/version
  part "the agent" "$agent" --version
  part "the doctor" "$agent" --doctor
  state idle
  hold compute 60
  state "at work"
  part "cost: 2,000 samples at work" env AI_DASHBOARD_TEST_BACK_TO_BACK=2000 "$agent" --dry-run --cpu-sample-interval 0 --gpu-source nvml
  let_go
  why compute
  why loader-one-worker
  why held-idle
  why two-jobs-one-gpu
} | tee "$output"

rm -f "$output.lab"
echo "on-gpu: $output"
