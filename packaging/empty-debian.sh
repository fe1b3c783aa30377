# An empty Debian in a folder, for scripts that try a package: source it with $deb set. Gives $root, with the package in /package.deb, and
# in_root COMMAND. Needs root, debootstrap and unshare. Debian comes from where this machine's apt has it from, or, where EMPTY_DEBIAN names
# a folder, as a copy of that one, which the first that asks for it makes.

fail() {
  echo "$(basename "$0" .sh): $*" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "needs root"
command -v debootstrap >/dev/null || fail "needs debootstrap; on Debian: apt-get install debootstrap"
[ -f "$deb" ] || fail "there is no $deb"

# Makes the folder $1.
bootstrap() {
  mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | awk '$2 !~ /security|updates|backports/ { print $1; exit }')
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  [ -n "$mirror" ] || fail "this machine's apt has no source"
  # Certificates and settings that this machine's apt needs to reach its mirror.
  debootstrap --variant=minbase --include=init-system-helpers,ca-certificates "$suite" "$1" "$mirror" >"$1.log" 2>&1 || {
    tail -n 20 "$1.log" >&2
    rm -f "$1.log"
    fail "debootstrap failed"
  }
  rm -f "$1.log"
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
if [ -z "${EMPTY_DEBIAN:-}" ]; then
  bootstrap "$root"
else
  if [ ! -d "$EMPTY_DEBIAN" ]; then
    rm -rf "$EMPTY_DEBIAN.new"
    bootstrap "$EMPTY_DEBIAN.new"
    mv "$EMPTY_DEBIAN.new" "$EMPTY_DEBIAN"
  fi
  cp -a "$EMPTY_DEBIAN/." "$root/"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
for settings in /etc/apt/apt.conf /etc/apt/apt.conf.d; do
  [ ! -e "$settings" ] || cp -a "$settings" "$root/etc/apt/"
done
cp "$deb" "$root/package.deb"
# Users other than root look into it as well.
chmod 755 "$root"

# A mount namespace of its own: what is mounted there is gone with the shell, whatever happens.
in_root() {
  unshare --mount sh -ec '
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys" 2>/dev/null || true
    root=$1
    shift
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
  ' sh "$root" "$@"
}
