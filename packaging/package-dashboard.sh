#!/bin/sh
# Makes the .tar.gz of a published dashboard: packaging/package-dashboard.sh FOLDER VERSION RUNTIME DOCUMENTS DIRECTORY.
# DOCUMENTS is what build/Release/Documents.fs wrote for it. SOURCE_DATE_EPOCH is the time that all files get.
set -eu

program=$1
version=$2
runtime=$3
documents=$4
target=$5
here=$(cd "$(dirname "$0")" && pwd)
name=ai-dashboard-$version-$runtime
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/$name"
cp -R "$program/." "$work/$name/"
for document in README.md CHANGELOG.md LICENSE THIRD-PARTY-NOTICES.txt; do
  cp "$documents/$document" "$work/$name/"
done

# NuGet unpacks every file as executable; these two are.
find "$work/$name" -type f -exec chmod 644 {} +
chmod 755 "$work/$name/ai-dashboard" "$work/$name/createdump"
sh "$here/archive.sh" "$work/$name" "$target/$name.tar.gz"
