#!/bin/sh
# Makes the .deb and the .tar.gz of a published dashboard:
# packaging/package-dashboard.sh FOLDER VERSION DEBIAN_VERSION RUNTIME DOCUMENTS DIRECTORY.
# RUNTIME is linux-x64 or linux-arm64; DOCUMENTS is what build/Release/Documents.fs wrote for it. Needs dpkg-dev, binutils and gzip.
# SOURCE_DATE_EPOCH is the time that all files get, so that the same commit gives the same bytes.
set -eu
umask 022

program=$1
version=$2
debian=$3
runtime=$4
documents=$5
target=$6
here=$(cd "$(dirname "$0")" && pwd)
name=ai-dashboard

for tool in dpkg-deb dpkg-shlibdeps dpkg-architecture readelf gzip tar; do
  command -v "$tool" >/dev/null || {
    echo "Package needs $tool; on Debian and Ubuntu: apt-get install dpkg-dev gzip" >&2
    exit 1
  }
done

: "${SOURCE_DATE_EPOCH:?package-dashboard.sh needs SOURCE_DATE_EPOCH}"
export SOURCE_DATE_EPOCH

case $runtime in
  linux-x64) architecture=amd64 ;;
  linux-arm64) architecture=arm64 ;;
  *)
    echo "package-dashboard.sh knows no Debian architecture for $runtime" >&2
    exit 1
    ;;
esac
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
put 644 "$here/deb-dashboard/default" etc/default/$name
install -d -m 700 "$stage/etc/$name"
put 644 "$documents/$name.8" usr/share/man/man8/$name.8
put 644 "$here/completions/$name.bash" usr/share/bash-completion/completions/$name
put 644 "$here/completions/$name.zsh" usr/share/zsh/vendor-completions/_$name
put 644 "$here/completions/$name.fish" usr/share/fish/vendor_completions.d/$name.fish
put 644 "$here/deb-dashboard/lintian-overrides" usr/share/lintian/overrides/$name
put 644 "$documents/CHANGELOG.md" usr/share/doc/$name/changelog
put 644 "$documents/README.md" usr/share/doc/$name/README.md
for document in operations operations-access operations-limits alerts dashboard-api; do
  put 644 "$here/../docs/$document.md" usr/share/doc/$name/$document.md
done
put 644 "$documents/THIRD-PARTY-NOTICES.txt" usr/share/doc/$name/THIRD-PARTY-NOTICES.txt
# Debian keeps licences in this file, that of the package included, and wants no LICENSE beside it.
put 644 "$documents/copyright" usr/share/doc/$name/copyright

{
  printf '%s (%s) stable; urgency=medium\n\n' $name "$debian"
  printf '  * Release %s; what changed stands in changelog.gz.\n\n' "$version"
  printf ' -- FunctionalAgent contributors <%s>  %s\n' "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >"$work/changelog.Debian"
put 644 "$work/changelog.Debian" usr/share/doc/$name/changelog.Debian

gzip -9n "$stage/usr/share/man/man8/$name.8" "$stage/usr/share/doc/$name/changelog" "$stage/usr/share/doc/$name/changelog.Debian" \
  "$stage/usr/share/doc/$name/README.md" "$stage/usr/share/doc/$name/THIRD-PARTY-NOTICES.txt"

# The libraries that the runtime's own are linked against. OpenSSL it opens by name, and does nothing without it.
libraries=$(find "$stage/$folder" -name '*.so' | LC_ALL=C sort)
if [ "$architecture" = "$(dpkg-architecture -qDEB_HOST_ARCH)" ]; then
  mkdir "$work/debian"
  printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' $name $name >"$work/debian/control"
  # shellcheck disable=SC2086
  depends=$(cd "$work" && dpkg-shlibdeps -O --ignore-missing-info -l"$stage/$folder" "$stage/$folder/$name" $libraries 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
else
  # Debian's tool would need that architecture's libraries; these are what Microsoft says of its own.
  glibc=$(for file in "$stage/$folder/$name" $libraries; do readelf --version-info "$file" | grep -o 'GLIBC_[0-9.]*' || true; done |
    sed 's/GLIBC_//' | sort -V | tail -n 1)
  depends="libc6 (>= $glibc), libgcc-s1 (>= 3.0), libstdc++6 (>= 5)"
fi
[ -n "$depends" ] || {
  echo "package-dashboard.sh found no library that $name depends on" >&2
  exit 1
}
depends="$depends, libssl3 | libssl3t64, adduser, init-system-helpers (>= 1.54~)"
# By Debian's rule, which does not depend on the file system: each file in whole KiB, and one for everything else.
size=$(find "$stage" -type f -printf '%s\n' -o -printf '1\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')

install -d -m 755 "$stage/DEBIAN"
sed -e "s/@VERSION@/$debian/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@MAINTAINER@/$maintainer/" \
  -e "s/@DEPENDS@/$depends/" "$here/deb-dashboard/control.in" >"$stage/DEBIAN/control"
printf '/etc/default/%s\n' $name >"$stage/DEBIAN/conffiles"
install -m 755 "$here/deb-dashboard/postinst" "$here/deb-dashboard/prerm" "$here/deb-dashboard/postrm" "$stage/DEBIAN/"
(cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$work/md5sums"
install -m 644 "$work/md5sums" "$stage/DEBIAN/md5sums"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$stage" "$target/${name}_${debian}_$architecture.deb" >/dev/null

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
install -m 644 "$here/deb-dashboard/default" "$folder/systemd/"
for document in "$name.8" README.md CHANGELOG.md LICENSE THIRD-PARTY-NOTICES.txt; do
  install -m 644 "$documents/$document" "$folder/"
done
sh "$here/archive.sh" "$folder" "$target/$(basename "$folder").tar.gz"
