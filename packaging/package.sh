#!/bin/sh
# Makes the .deb and the .tar.gz of a published agent: packaging/package.sh BINARY VERSION DIRECTORY. Needs dpkg-dev and gzip.
# The same commit gives the same bytes: all times are that of the commit.
set -eu

binary=$1
version=$2
target=$3
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
name=ai-dashboard-agent

for tool in dpkg-deb dpkg-shlibdeps dpkg-architecture gzip tar; do
  command -v "$tool" >/dev/null || {
    echo "Package needs $tool; on Debian and Ubuntu: apt-get install dpkg-dev gzip" >&2
    exit 1
  }
done

# A release has no git history with it; then the time is the changelog's.
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/CHANGELOG.md")
export SOURCE_DATE_EPOCH

architecture=$(dpkg-architecture -qDEB_HOST_ARCH)
maintainer=maintainers@functional-agent.example
mkdir -p "$target"
target=$(cd "$target" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- .deb
stage=$work/deb
put() { # put MODE SOURCE PATH
  install -D -m "$1" "$2" "$stage/$3"
}

put 755 "$binary" usr/bin/$name
put 644 "$here/systemd/$name.service" lib/systemd/system/$name.service
put 644 "$here/deb/default" etc/default/$name
put 644 "$here/systemd/$name.service.d/jobs.conf" usr/share/doc/$name/examples/jobs.conf
install -d -m 700 "$stage/etc/$name"
put 644 "$here/man/$name.8" usr/share/man/man8/$name.8
put 644 "$here/completions/$name.bash" usr/share/bash-completion/completions/$name
put 644 "$here/completions/$name.zsh" usr/share/zsh/vendor-completions/_$name
put 644 "$here/completions/$name.fish" usr/share/fish/vendor_completions.d/$name.fish
put 644 "$here/deb/lintian-overrides" usr/share/lintian/overrides/$name
put 644 "$root/CHANGELOG.md" usr/share/doc/$name/changelog

{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n'
  sed -n 's/^Copyright (c) /Copyright: /p' "$root/LICENSE"
  printf 'License: Expat\n'
  sed -n '/^Permission is hereby granted/,$p' "$root/LICENSE" | sed 's/^$/./; s/^/ /'
} >"$work/copyright"
put 644 "$work/copyright" usr/share/doc/$name/copyright

{
  printf '%s (%s) stable; urgency=medium\n\n' $name "$version"
  printf '  * Release %s; what changed stands in changelog.gz.\n\n' "$version"
  printf ' -- FunctionalAgent contributors <%s>  %s\n' "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >"$work/changelog.Debian"
put 644 "$work/changelog.Debian" usr/share/doc/$name/changelog.Debian

gzip -9n "$stage/usr/share/man/man8/$name.8" "$stage/usr/share/doc/$name/changelog" "$stage/usr/share/doc/$name/changelog.Debian"

# The libraries that the executable is linked against, with the versions it needs.
mkdir "$work/debian"
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' $name $name >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$stage/usr/bin/$name" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
size=$(du -k -s --apparent-size "$stage" | cut -f1)

install -d -m 755 "$stage/DEBIAN"
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@MAINTAINER@/$maintainer/" \
  -e "s/@DEPENDS@/$depends, init-system-helpers (>= 1.54~)/" "$here/deb/control.in" >"$stage/DEBIAN/control"
printf '/etc/default/%s\n' $name >"$stage/DEBIAN/conffiles"
install -m 755 "$here/deb/postinst" "$here/deb/prerm" "$here/deb/postrm" "$stage/DEBIAN/"
(cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$work/md5sums"
install -m 644 "$work/md5sums" "$stage/DEBIAN/md5sums"
chmod 755 "$stage" "$stage/etc" "$stage/usr" "$stage/lib"
dpkg-deb --root-owner-group -Zxz --build "$stage" "$target/${name}_${version}_$architecture.deb" >/dev/null

# ---- .tar.gz
folder=$name-$version-linux-$architecture
mkdir -p "$work/$folder/completions"
install -m 755 "$binary" "$work/$folder/$name"
install -m 644 "$here/systemd/$name.service" "$here/systemd/$name.service.d/jobs.conf" "$here/man/$name.8" "$here/deb/default" "$root/README.md" "$root/CHANGELOG.md" \
  "$root/LICENSE" "$work/$folder/"
install -m 644 "$here/completions/"* "$work/$folder/completions/"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$folder" |
  gzip -9n >"$target/$folder.tar.gz"

printf '%s\n' "$target/${name}_${version}_$architecture.deb" "$target/$folder.tar.gz"
