#!/bin/sh
# Makes the .rpm of a program from its .deb, so that both have the same files: packaging/package-rpm.sh DEB VERSION DIRECTORY. VERSION is in Debian's form,
# which is rpm's too. Needs rpmbuild (Debian: rpm) and dpkg-deb. SOURCE_DATE_EPOCH is the time that all files get.
set -eu
umask 022

deb=$1
version=$2
target=$3
here=$(cd "$(dirname "$0")" && pwd)
fail() {
  echo "package-rpm.sh: $*" >&2
  exit 1
}

: "${SOURCE_DATE_EPOCH:?package-rpm.sh needs SOURCE_DATE_EPOCH}"
for tool in rpmbuild dpkg-deb; do
  command -v "$tool" >/dev/null || fail "needs $tool; on Debian and Ubuntu: apt-get install rpm dpkg-dev"
done

name=$(dpkg-deb --field "$deb" Package)
case $(dpkg-deb --field "$deb" Architecture) in
  amd64) architecture=x86_64 ;;
  arm64) architecture=aarch64 ;;
  *) fail "$deb is of $(dpkg-deb --field "$deb" Architecture); packages are made for amd64 and arm64" ;;
esac

mkdir -p "$target"
target=$(cd "$target" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/files
dpkg-deb --extract "$deb" "$root"

# What is Debian's alone, and where others keep the rest.
rm -rf "$root/usr/share/lintian" "$root/usr/share/doc/$name/changelog.Debian.gz"
mkdir -p "$root/usr/lib/systemd"
mv "$root/lib/systemd/system" "$root/usr/lib/systemd/system"
rmdir "$root/lib/systemd" "$root/lib"
mkdir -p "$root/usr/share/zsh/site-functions"
mv "$root/usr/share/zsh/vendor-completions/_$name" "$root/usr/share/zsh/site-functions/_$name"
rmdir "$root/usr/share/zsh/vendor-completions"

{
  (cd "$root" && find . -type f -o -type l) | LC_ALL=C sort | sed 's|^\.||' | while read -r file; do
    case $file in
      /etc/default/*) echo "%config(noreplace) $file" ;;
      /usr/share/doc/*) echo "%doc $file" ;;
      *) echo "$file" ;;
    esac
  done
  echo "%dir %attr(0700,root,root) /etc/$name"
  [ ! -d "$root/usr/lib/$name" ] || (cd "$root" && find "usr/lib/$name" -type d | LC_ALL=C sort | sed 's|^|%dir /|')
} >"$work/list"
summary=$(dpkg-deb --field "$deb" Description | head -n 1)
description=$(dpkg-deb --field "$deb" Description | tail -n +2 | sed 's/^ //; s/^\.$//')

cat >"$work/$name.spec" <<END
Name: $name
Version: $version
Release: 1
Summary: $summary
License: MIT
Group: Applications/System
Recommends: ca-certificates
$(cat "$here/rpm/$name.requires")

%description
$description

%install
mkdir -p %{buildroot}
cp -a $root/. %{buildroot}/

$(cat "$here/rpm/$name.scripts")

%files -f $work/list
END

# The programs are built, stripped and packed already: rpm is to leave them as they are. The dashboard's libraries are nobody else's.
rpmbuild -bb --quiet --target "$architecture-linux" \
  --define "_topdir $work/top" --define "_rpmdir $work/out" --define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' \
  --define 'debug_package %{nil}' --define '__os_install_post %{nil}' --define '_build_id_links none' \
  --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
  --define '_binary_payload w9.zstdio' --define '_source_filedigest_algorithm 8' --define '_binary_filedigest_algorithm 8' \
  --define '__provides_exclude_from ^/usr/lib/ai-dashboard/.*$' \
  --define '__requires_exclude ^lib(mscordaccore|mscordbi|coreclr|hostfxr|hostpolicy|clrjit|lttng-ust)\.so' \
  --define "_dbpath $work/db" "$work/$name.spec" >"$work/said" 2>&1 || {
  cat "$work/said" >&2
  fail "rpmbuild failed"
}
cp "$work/out/$name-$version-1.$architecture.rpm" "$target/"
