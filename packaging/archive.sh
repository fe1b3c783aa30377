#!/bin/sh
# Packs a folder into a .tar.gz whose bytes depend on nothing but the names, contents and executable bits of its files:
# packaging/archive.sh FOLDER TARGET. Needs GNU tar and gzip. SOURCE_DATE_EPOCH is the time that all files get, in seconds since 1970.
set -eu

folder=$1
target=$2
: "${SOURCE_DATE_EPOCH:?archive.sh needs SOURCE_DATE_EPOCH}"

# Neither the order of the directory, nor owner, umask, time or the name of the archive get into it.
LC_ALL=C tar -C "$(dirname "$folder")" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
  --mode=u+rwX,go+rX,go-w --mtime="@$SOURCE_DATE_EPOCH" -cf - "$(basename "$folder")" |
  gzip -n >"$target"
