#!/bin/sh
# Installs the agent as its users do, each in an empty root: from the apt repository, by install.sh with apt, by install.sh without any package manager,
# and by rpm. packaging/try-install.sh RELEASE-DIRECTORY. Needs root, debootstrap and unshare; rpm where the release has an .rpm.
set -eu

release=$(cd "$1" && pwd)
architecture=$(dpkg --print-architecture)
name=ai-dashboard-agent
deb=$(find "$release" -name "${name}_*_$architecture.deb")
. "$(dirname "$0")/empty-debian.sh"

gone() { # gone PATH...
  for path in "$@"; do
    [ ! -e "$root$path" ] || fail "$path is still there"
  done
}
there() {
  for path in "$@"; do
    [ -e "$root$path" ] || fail "$path is not there"
  done
}
variables=/etc/default/$name
mkdir "$root/release" "$root/repository"
cp "$release"/* "$root/release/"
tar -xzf "$(find "$release" -name 'ai-dashboard-apt-*.tar.gz')" -C "$root/repository" --strip-components 1

echo "== apt install $name, from the repository"
echo 'deb [trusted=yes] file:/repository stable main' >"$root/etc/apt/sources.list.d/ai-dashboard.list"
in_root apt-get update --quiet --quiet -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/ai-dashboard.list -o Dir::Etc::sourceparts=-
in_root apt-get install --yes --quiet --quiet --no-install-recommends $name >/dev/null 2>&1 || fail "apt does not install from the repository"
in_root $name --version
in_root apt-get purge --yes $name >/dev/null 2>&1
gone /usr/bin/$name $variables

echo "== install.sh, with apt"
in_root sh /release/install.sh --dry-run
gone /usr/bin/$name
in_root sh /release/install.sh --url file:///release 2>&1 | tail -n 1
there /usr/bin/$name /lib/systemd/system/$name.service
echo '# mine' >>"$root$variables"
in_root sh /release/install.sh >/dev/null 2>&1 || fail "a second time fails"
in_root sh /release/install.sh --uninstall 2>&1 | tail -n 1
gone /usr/bin/$name
grep -q '# mine' "$root$variables" || fail "the configuration is gone"
in_root sh /release/install.sh --uninstall --purge >/dev/null 2>&1
gone $variables /etc/$name
in_root sh /release/install.sh --uninstall

echo "== install.sh, with a file that is not the release's"
printf 'x' >>"$root/release/$(basename "$deb")"
if in_root sh /release/install.sh 2>"$root/said"; then fail "a file with another checksum is installed"; fi
cat "$root/said"
grep -q 'is not the file of the release' "$root/said" || fail "it does not say why"
gone /usr/bin/$name

echo "== install.sh, without a package manager"
for tool in dpkg dpkg-query apt-get apt; do
  mv "$root/usr/bin/$tool" "$root/usr/bin/$tool.away"
done
in_root sh /release/install.sh --prefix /opt/agent | tail -n 1
there /opt/agent/bin/$name /etc/systemd/system/$name.service $variables /opt/agent/share/man/man8/$name.8
grep -q '^ExecStart=/opt/agent/bin/' "$root/etc/systemd/system/$name.service" || fail "the unit does not start what was installed"
in_root /opt/agent/bin/$name --once --dry-run | head -c 80
echo
before=$(find "$root/opt" "$root/etc" | sort | sha256sum)
in_root sh /release/install.sh --prefix /opt/agent >/dev/null || fail "a second time fails"
[ "$(find "$root/opt" "$root/etc" | sort | sha256sum)" = "$before" ] || fail "a second time leaves other files"
in_root sh /release/install.sh --prefix /opt/agent --uninstall
gone /opt/agent/bin/$name /etc/systemd/system/$name.service /opt/agent/share
there $variables
in_root sh /release/install.sh --prefix /opt/agent --uninstall --purge
left=$(find "$root" -xdev -name "*$name*" -not -path "$root/release/*" -not -path "$root/repository/*" -not -path '*/var/log/*' -not -path '*/proc/*' \
  -not -path '*/var/lib/apt/*' -not -path '*/var/cache/*' -not -path '*/package.deb')
[ -z "$left" ] || fail "left behind: $left"

rpm=$(find "$release" -name "$name-[0-9]*.$(uname -m).rpm")
if [ -n "$rpm" ]; then
  echo "== rpm, in a root that has nothing"
  command -v rpm >/dev/null || fail "needs rpm; on Debian: apt-get install rpm"
  empty=$root/empty
  mkdir -p "$empty/bin"
  # There is no shell for the scripts, and no glibc for the program; rpm --test with what is needed says what that is.
  rpm --root "$empty" --initdb
  needed=$(rpm --root "$empty" --install --test "$rpm" 2>&1 | sed -n 's/^[[:space:]]*\(.*\) is needed by .*/\1/p')
  echo "$needed" | grep -q '^libc.so.6(GLIBC_' || fail "rpm does not ask for glibc: $needed"
  other=$(echo "$needed" | grep -Ev '^(libc|libm|libdl|libpthread|librt|ld-linux[-a-z0-9_]*)\.so\.[0-9]+\(|^/bin/sh|^rtld' || true)
  [ -z "$other" ] || fail "rpm asks for more than glibc and a shell: $other"
  rpm --root "$empty" --install --nodeps --noscripts --ignorearch "$rpm"
  cmp "$empty/usr/bin/$name" "$(dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$root/empty" ./usr/bin/$name --transform 's|.*|from-deb|' && echo "$empty/from-deb")" ||
    fail "the program of the .rpm is not that of the .deb"
  rpm --root "$empty" --verify --nodeps $name || fail "the files are not as the package has them"
  rpm --root "$empty" --erase --noscripts $name
  [ ! -e "$empty/usr/bin/$name" ] || fail "rpm leaves the program behind"
fi
echo "installed and removed in every way"
