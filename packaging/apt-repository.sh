#!/bin/sh
# Makes an apt repository of packages: packaging/apt-repository.sh DIRECTORY DEB... The folder is what a web server or a disk offers as it is. Needs
# dpkg-dev and gzip, with SIGN_KEY also gpg: the key that signs it, by its id, fingerprint or address. SOURCE_DATE_EPOCH is the time that all files get.
set -eu
umask 022

target=$1
shift
fail() {
  echo "apt-repository.sh: $*" >&2
  exit 1
}

: "${SOURCE_DATE_EPOCH:?apt-repository.sh needs SOURCE_DATE_EPOCH}"
[ $# -gt 0 ] || fail "was given no package"
for tool in dpkg-scanpackages dpkg-deb gzip sha256sum; do
  command -v "$tool" >/dev/null || fail "needs $tool; on Debian and Ubuntu: apt-get install dpkg-dev gzip"
done

mkdir -p "$target"
for deb in "$@"; do
  program=$(dpkg-deb --field "$deb" Package)
  install -D -m 644 "$deb" "$target/pool/main/a/$program/$(basename "$deb")"
done

cd "$target"
suite=dists/stable
for architecture in amd64 arm64; do
  folder=$suite/main/binary-$architecture
  mkdir -p "$folder"
  # Every package that is there, not the newest alone: who pins one finds it.
  dpkg-scanpackages --multiversion --arch "$architecture" pool >"$folder/Packages" 2>/dev/null
  gzip -9nk "$folder/Packages"
done

{
  echo "Origin: FunctionalAgent"
  echo "Label: FunctionalAgent"
  echo "Suite: stable"
  echo "Codename: stable"
  echo "Date: $(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S UTC')"
  echo "Architectures: amd64 arm64"
  echo "Components: main"
  echo "Description: Monitoring agent and dashboard of machines that train models"
  echo "SHA256:"
  (cd "$suite" && find main -type f | LC_ALL=C sort | while read -r file; do
    echo " $(sha256sum "$file" | cut -d ' ' -f 1) $(stat -c %s "$file") $file"
  done)
} >"$suite/Release"

if [ -n "${SIGN_KEY:-}" ]; then
  command -v gpg >/dev/null || fail "needs gpg to sign with $SIGN_KEY; on Debian and Ubuntu: apt-get install gnupg"
  # The time of the commit, so that a second signature by the same key is the same.
  sign() {
    gpg --batch --yes --quiet --faked-system-time "$SOURCE_DATE_EPOCH!" --local-user "$SIGN_KEY" "$@"
  }
  sign --armor --detach-sign --output "$suite/Release.gpg" "$suite/Release" &&
    sign --clearsign --output "$suite/InRelease" "$suite/Release" ||
    fail "gpg does not sign with $SIGN_KEY; gpg --list-secret-keys lists the keys that it has"
  gpg --batch --armor --export "$SIGN_KEY" >archive-key.asc
fi
