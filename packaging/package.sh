#!/bin/sh
# Makes the .deb and the .tar.gz of a published agent: packaging/package.sh BINARY VERSION DEBIAN_VERSION RUNTIME DOCUMENTS DIRECTORY; deb.sh says what these are.
set -eu
umask 022

binary=$1
here=$(cd "$(dirname "$0")" && pwd)
name=ai-dashboard-agent
parts=$here/deb
. "$here/deb.sh"

# ---- .deb
put 755 "$binary" usr/bin/$name
put 644 "$here/systemd/$name.service" lib/systemd/system/$name.service
put 644 "$here/systemd/$name.service.d/jobs.conf" usr/share/doc/$name/examples/jobs.conf
put 755 "$here/slurm/prolog.sh" usr/share/doc/$name/examples/slurm/prolog.sh
put 755 "$here/slurm/epilog.sh" usr/share/doc/$name/examples/slurm/epilog.sh
put_common systemd prometheus verdict containers slurm

# The libraries that the executable is linked against, with the versions it needs.
if is_own_architecture; then
  depends=$(libraries_of "$stage/usr/bin/$name")
else
  # Debian's tool would need that architecture's libraries. All that the executable is linked against is of glibc.
  others=$(readelf --dynamic "$stage/usr/bin/$name" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
    grep -Ev '^(libc|libm|libdl|libpthread|librt|ld-linux-.*)\.so\.[0-9]+$' || true)
  [ -z "$others" ] || {
    echo "package.sh cannot tell which packages of $architecture have $others" >&2
    exit 1
  }
  depends="libc6 (>= $(glibc_of "$stage/usr/bin/$name"))"
fi
build "$depends" "init-system-helpers (>= 1.54~)"

# ---- .tar.gz
folder=$work/$name-$version-$runtime
mkdir -p "$folder/completions" "$folder/slurm"
install -m 755 "$binary" "$folder/$name"
install -m 644 "$here/systemd/$name.service" "$here/systemd/$name.service.d/jobs.conf" "$parts/default" "$documents/$name.8" "$documents/README.md" "$documents/CHANGELOG.md" \
  "$documents/LICENSE" "$documents/THIRD-PARTY-NOTICES.txt" "$folder/"
install -m 644 "$here/completions/"* "$folder/completions/"
install -m 755 "$here/slurm/"*.sh "$folder/slurm/"
sh "$here/archive.sh" "$folder" "$target/$(basename "$folder").tar.gz"
