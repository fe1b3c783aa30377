#!/bin/sh
# Makes the .deb and the .tar.gz of a published dashboard:
# packaging/package-dashboard.sh FOLDER VERSION DEBIAN_VERSION RUNTIME DOCUMENTS DIRECTORY; deb.sh says what these are.
set -eu
umask 022

program=$1
here=$(cd "$(dirname "$0")" && pwd)
name=ai-dashboard
parts=$here/deb-dashboard
. "$here/deb.sh"

# ---- .deb
folder=usr/lib/$name
mkdir -p "$stage/$folder"
cp -R "$program/." "$stage/$folder/"
# Traces for LTTng, whose library nothing else needs, and dumps of crashes, which systemd takes.
rm -f "$stage/$folder/libcoreclrtraceptprovider.so" "$stage/$folder/createdump"
# What editors show of the libraries, and what MapStaticAssets alone would read.
rm -f "$stage/$folder/"*.xml "$stage/$folder/$name.staticwebassets.endpoints.json"
# NuGet unpacks every file as executable; this one is.
find "$stage/$folder" -type f -exec chmod 644 {} +
chmod 755 "$stage/$folder/$name"
find "$stage/$folder" -type d -exec chmod 755 {} +
mkdir -p "$stage/usr/bin"
ln -s ../lib/$name/$name "$stage/usr/bin/$name"

for unit in $name.service $name-backup.service $name-backup.timer; do
  put 644 "$here/systemd/$unit" lib/systemd/system/$unit
done
put_common operations operations-access operations-limits alerts dashboard-api

# The libraries that the runtime's own are linked against. OpenSSL it opens by name, and does nothing without it.
libraries=$(find "$stage/$folder" -name '*.so' | LC_ALL=C sort)
# shellcheck disable=SC2086
if is_own_architecture; then
  depends=$(libraries_of --ignore-missing-info -l"$stage/$folder" "$stage/$folder/$name" $libraries)
else
  # Debian's tool would need that architecture's libraries; these are what Microsoft says of its own.
  depends="libc6 (>= $(glibc_of "$stage/$folder/$name" $libraries)), libgcc-s1 (>= 3.0), libstdc++6 (>= 5)"
fi
build "$depends" "libssl3 | libssl3t64, adduser, init-system-helpers (>= 1.54~)"

# ---- .tar.gz
folder=$work/$name-$version-$runtime
mkdir "$folder"
cp -R "$program/." "$folder/"
# The same as above.
find "$folder" -type f -exec chmod 644 {} +
chmod 755 "$folder/$name" "$folder/createdump"
install -d "$folder/completions" "$folder/systemd"
install -m 644 "$here/completions/$name".* "$folder/completions/"
install -m 644 "$here/systemd/$name.service" "$here/systemd/$name-backup.service" "$here/systemd/$name-backup.timer" "$folder/systemd/"
install -m 644 "$parts/default" "$folder/systemd/"
for document in "$name.8" README.md CHANGELOG.md LICENSE THIRD-PARTY-NOTICES.txt; do
  install -m 644 "$documents/$document" "$folder/"
done
sh "$here/archive.sh" "$folder" "$target/$(basename "$folder").tar.gz"
