#!/usr/bin/env bash
# Measures what ai-dashboard takes and answers, and writes bench/RESULTS-ingest.md: samples acknowledged on disk and their
# latency at 1, 8 and 64 connections, bytes per sample, 14 days of one and of ten servers, and how long history takes then.
# Everything stays on the loopback interface; about fifteen minutes and a gigabyte of disk.
#
#   bench/ingest.sh [SECONDS]     length of a round, else 10
#
# DASHBOARD_BINARY names another program than the published one; BENCH_DIR another place for the databases than artifacts/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-10}
program=${DASHBOARD_BINARY:-artifacts/publish/linux-x64/ai-dashboard/ai-dashboard}
[ -x "$program" ] || { echo "There is no $program: run dotnet fsi build.fsx -t Publish, or set DASHBOARD_BINARY." >&2; exit 2; }

directory=${BENCH_DIR:-artifacts/bench-ingest}
rm -rf "$directory"
mkdir -p "$directory"

dotnet build bench/Ingest.Load --configuration Release --verbosity quiet
dotnet artifacts/bin/Ingest.Load/release/Ingest.Load.dll report "$(realpath "$program")" "$(realpath "$directory")" "$seconds" \
  >"$directory/results.md"
mv "$directory/results.md" bench/RESULTS-ingest.md
rm -rf "$directory"
cat bench/RESULTS-ingest.md
