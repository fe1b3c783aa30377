#!/usr/bin/env bash
# Measures the published agent beside collectd, node_exporter, a Python agent and a C program that only reads the same
# files, all on this machine and on the loopback interface, and writes bench/RESULTS.md. README.md beside this file says
# more; --help lists the options.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
work=$root/artifacts/bench
agent=$root/artifacts/publish/linux-x64/ai-dashboard-agent
results=$here/RESULTS.md
repeats=5
seconds=7
parts=cpu,memory,scaling
quick=()
given=("$@")

usage() {
  cat <<'END'
usage: bench/side-by-side.sh [--quick] [--repeats N] [--seconds N] [--parts cpu,memory,scaling] [--agent FILE] [--results FILE]

  --quick      one repeat of everything, short: whether it works, not what it costs; writes artifacts/bench/quick.md
  --repeats N  how often each figure is taken (5)
  --seconds N  how long each row of the once-a-second table is measured each time (7)
  --parts LIST which parts are measured (all)
  --agent FILE the agent to measure (artifacts/publish/linux-x64/ai-dashboard-agent)
  --results F  where the page goes (bench/RESULTS.md)
END
}

refuse() {
  echo "side-by-side: $1" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --quick)
      quick=(--quick)
      repeats=1
      seconds=4
      results=$work/quick.md
      shift
      ;;
    --repeats | --seconds | --parts | --agent | --results)
      [ $# -ge 2 ] || refuse "$1 needs a value"
      case $1 in
        --repeats) repeats=$2 ;;
        --seconds) seconds=$2 ;;
        --parts) parts=$2 ;;
        --agent)
          # Each program is run in a directory of its own.
          agent=$(realpath --canonicalize-existing -- "$2" 2>/dev/null) || refuse "--agent $2: no such file"
          ;;
        --results) results=$2 ;;
      esac
      shift 2
      ;;
    *) refuse "unknown option '$1'; --help lists the options" ;;
  esac
done

[[ $repeats =~ ^[1-9][0-9]?$ ]] || refuse "--repeats takes a number from 1 to 99, not '$repeats'"
[[ $seconds =~ ^[1-9][0-9]?$ ]] || refuse "--seconds takes a number from 1 to 99, not '$seconds'"
[[ $parts =~ ^(cpu|memory|scaling)(,(cpu|memory|scaling))*$ ]] || refuse "--parts takes some of cpu,memory,scaling, not '$parts'"
[ -x "$agent" ] || refuse "there is no agent at '$agent': run \`dotnet fsi build.fsx -t Publish\` first, or name one with --agent"

# The peers, from Debian. Their services must neither start nor be enabled for the next start of the machine: what is
# measured is started here, with a configuration of its own.
install_peers() {
  local packages=(prometheus-node-exporter collectd-core libcurl3-gnutls libyajl2 python3-psutil python3-requests gcc libc6-dev openssl)
  local services=(prometheus-node-exporter collectd)
  local missing=() new_services=() as_root=() package service

  for package in "${packages[@]}"; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done

  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id --user)" -eq 0 ] || as_root=(sudo)

  for service in "${services[@]}"; do
    [ -e "/lib/systemd/system/$service.service" ] || new_services+=("$service")
  done

  # invoke-rc.d asks this file before it starts a service. One that is there already may say otherwise.
  local policy=/usr/sbin/policy-rc.d kept=
  if [ -e "$policy" ]; then
    kept=$work/policy-rc.d
    cp --preserve "$policy" "$kept"
  fi
  # shellcheck disable=SC2317  # Called by the trap.
  put_back() {
    if [ -n "$kept" ]; then
      "${as_root[@]}" cp --preserve "$kept" "$policy"
    else
      "${as_root[@]}" rm -f "$policy"
    fi
  }
  trap put_back EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"

  "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update --quiet
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet --no-install-recommends "${missing[@]}"

  for service in "${new_services[@]}"; do
    if [ -e "/lib/systemd/system/$service.service" ]; then
      "${as_root[@]}" systemctl disable "$service.service"
    fi
  done

  put_back
  trap - EXIT
}

mkdir -p "$work"
install_peers

for program in floor exec_at; do
  gcc -O2 -Wall -Wextra -Werror -o "$work/$program" "$here/side_by_side/$program.c"
done

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
  -keyout "$work/key.pem" -out "$work/issuer.pem" 2>"$work/openssl.log"
cat "$work/issuer.pem" "$work/key.pem" >"$work/certificate.pem"

dotnet build "$here/Agent.Bench" --configuration Release --verbosity quiet

# From here on Ctrl-C is the measuring program's, which ends what it has started.
exec /usr/bin/python3 "$here/side_by_side/measure.py" --root "$root" --agent "$agent" \
  --trees "$root/artifacts/bin/Agent.Bench/release/Agent.Bench.dll" --results "$results" \
  --repeats "$repeats" --seconds "$seconds" --parts "$parts" "${quick[@]}" -- "${given[@]}"
