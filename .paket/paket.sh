#!/bin/sh
# Runs paket with NUGET_SOURCE set to the feed that NuGet is configured with on this machine, which is what the
# placeholder in paket.dependencies and paket.lock stands for. Directory.Build.targets calls it, so that a plain
# `dotnet build` and an IDE restore without any preparation. A value that is already set is left alone.
set -eu

if [ -z "${NUGET_SOURCE:-}" ]; then
  # Lines read "E <url>" for an enabled source; further letters say where it is configured.
  NUGET_SOURCE=$(dotnet nuget list source --format short | sed -n 's/^E[A-Z]* //p' | head -n 1)
  if [ -z "$NUGET_SOURCE" ]; then
    echo "error PAKET: NuGet has no enabled package source on this machine: add one with 'dotnet nuget add source', or set NUGET_SOURCE." >&2
    exit 1
  fi
  export NUGET_SOURCE
fi

# A fresh clone that is built without build.fsx has not restored its tools yet. The projects of the solution are
# restored side by side, hence the lock.
if ! dotnet paket --version >/dev/null 2>&1; then
  if command -v flock >/dev/null 2>&1; then
    artifacts=$(dirname "$0")/../artifacts
    mkdir -p "$artifacts"
    flock "$artifacts/tool-restore.lock" dotnet tool restore
  else
    dotnet tool restore
  fi
fi

exec dotnet paket "$@"
