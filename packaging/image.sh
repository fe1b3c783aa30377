#!/bin/sh
# Makes an OCI image, as an archive, from a program's .deb: packaging/image.sh DEB VERSION REVISION CACHE DIRECTORY. The image has the files of that
# package which a container needs, the libraries that the program loads, taken from Debian's packages with their licences, and nothing else: no
# shell, no package manager. CACHE keeps what apt fetches, for the next call. Needs root, buildah, jq, dpkg-dev and apt; the packages come from where
# this machine's apt has its own from. SOURCE_DATE_EPOCH is the time that all files get.
set -eu
umask 022

deb=$1
version=$2
revision=$3
cache=$4
target=$5

fail() {
  echo "image.sh: $*" >&2
  exit 1
}

for tool in buildah jq dpkg-deb apt-get sha256sum tar; do
  command -v "$tool" >/dev/null || fail "needs $tool; on Debian: apt-get install buildah jq dpkg-dev"
done
[ "$(id -u)" -eq 0 ] || fail "needs root, because buildah gives files to users"
: "${SOURCE_DATE_EPOCH:?image.sh needs SOURCE_DATE_EPOCH}"
[ -f "$deb" ] || fail "there is no $deb"

name=$(dpkg-deb --field "$deb" Package)
architecture=$(dpkg-deb --field "$deb" Architecture)
case $architecture in
  amd64) runtime=linux-x64 triplet=x86_64-linux-gnu loader=lib64/ld-linux-x86-64.so.2 ;;
  arm64) runtime=linux-arm64 triplet=aarch64-linux-gnu loader=lib/ld-linux-aarch64.so.1 ;;
  *) fail "$deb is of $architecture; images are made for amd64 and arm64" ;;
esac

mkdir -p "$target" "$cache"
target=$(cd "$target" && pwd)
cache=$(cd "$cache" && pwd)/$architecture
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# ---- Debian's packages

# apt with a state of its own and of that architecture alone; the machine's stays as it is.
mkdir -p "$cache/state/lists/partial" "$cache/archives/partial"
: >"$cache/state/status"
apt() {
  command="$1"
  shift
  apt-get --quiet --quiet -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User=root \
    -o Dir::State="$cache/state" -o Dir::State::status="$cache/state/status" -o Dir::Cache="$cache" "$command" "$@"
}
apt update >"$work/update" 2>&1 || {
  cat "$work/update" >&2
  fail "apt-get update failed for $architecture"
}

# Newer releases of Debian and Ubuntu call it by another name.
ssl=libssl3
! apt-cache -o Dir::State="$cache/state" -o Dir::Cache="$cache" -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
  show libssl3t64 >/dev/null 2>&1 || ssl=libssl3t64
# base-files says which Debian this is, for scanners and for NVIDIA's toolkit, which looks where libraries belong.
packages="base-files ca-certificates libc6 $ssl"
[ "$name" = ai-dashboard-agent ] || packages="$packages libgcc-s1 libstdc++6"
rm -f "$cache"/*.deb
# shellcheck disable=SC2086
(cd "$cache" && apt download $packages) || fail "apt-get download $packages failed for $architecture"

# ---- The files

put() { # put PACKAGE PATTERN... copies files of an unpacked package, links as links
  from=$work/debs/$1
  shift
  for pattern in "$@"; do
    found=$(cd "$from" && find . -path "./$pattern" \( -type f -o -type l \) | LC_ALL=C sort)
    [ -n "$found" ] || fail "$(basename "$from") has no $pattern"
    for file in $found; do
      mkdir -p "$root/$(dirname "$file")"
      cp -P "$from/$file" "$root/$file"
    done
  done
}

# Scanners take the packages of an image from there.
record() {
  mkdir -p "$root/var/lib/dpkg/status.d"
  dpkg-deb --field "$2" >"$root/var/lib/dpkg/status.d/$1"
}

unpack() { # unpack PACKAGE
  archive=$(find "$cache" -maxdepth 1 -name "$1_*.deb")
  mkdir -p "$work/debs/$1"
  dpkg-deb --extract "$archive" "$work/debs/$1"
}

for package in $packages; do
  unpack "$package"
  # GCC's libraries share the documents of another package.
  documents=$(readlink "$work/debs/$package/usr/share/doc/$package" || true)
  if [ -n "$documents" ]; then
    put "$package" "usr/share/doc/$package"
    record "$package" "$archive"
    package=$documents
    (cd "$cache" && apt download "$package") || fail "apt-get download $package failed for $architecture"
    unpack "$package"
  fi
  # Whether the libraries lie in /lib or in /usr/lib depends on the release of Debian.
  if [ -d "$work/debs/$package/usr/lib64" ]; then mv "$work/debs/$package/usr/lib64" "$work/debs/$package/lib64"; fi
  put "$package" "usr/share/doc/$package/copyright"
  record "$package" "$archive"
done

put base-files etc/debian_version usr/lib/os-release
mkdir -p "$root/etc/ssl/certs" "$root/usr/lib/ssl"
ln -s ../usr/lib/os-release "$root/etc/os-release"

# The last three are empty since glibc 2.34, but NVIDIA's library asks for them by name.
for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do
  put libc6 "*lib/$triplet/$library"
done
mkdir -p "$root/$(dirname "$loader")"
cp "$(find "$work/debs/libc6" -name "$(basename "$loader")" -type f | head -n 1)" "$root/$loader"
put "$ssl" "usr/lib/$triplet/libssl.so.3" "usr/lib/$triplet/libcrypto.so.3"
case " $packages " in
  *" libstdc++6 "*)
    put libgcc-s1 "*lib/$triplet/libgcc_s.so.1"
    put libstdc++6 "usr/lib/$triplet/libstdc++.so.6*"
    ;;
esac

# What update-ca-certificates would make of them.
find "$work/debs/ca-certificates/usr/share/ca-certificates" -name '*.crt' | LC_ALL=C sort | while read -r certificate; do
  cat "$certificate"
  echo
done >"$root/etc/ssl/certs/ca-certificates.crt"
ln -s ../../../etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s ../../../etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"

mkdir -p "$work/debs/$name"
dpkg-deb --extract "$deb" "$work/debs/$name"
record "$name" "$deb"
put "$name" "usr/bin/$name" "usr/share/doc/$name/copyright" "usr/share/doc/$name/THIRD-PARTY-NOTICES.txt.gz"
if [ "$name" = ai-dashboard ]; then
  put "$name" "usr/lib/$name/*"
  # For debuggers, which there are none of, and collectors of garbage that have to be asked for.
  rm -f "$root/usr/lib/$name/libmscordbi.so" "$root/usr/lib/$name/libmscordaccore.so" "$root/usr/lib/$name/libclrgc.so" \
    "$root/usr/lib/$name/libclrgcexp.so"
fi

# The user that the chart of the dashboard names too.
user=65532
printf 'root:x:0:0:root:/:/nonexistent\nnonroot:x:%s:%s:%s:/:/nonexistent\n' $user $user "$name" >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:%s:\n' $user >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

# ---- The image

if [ "$name" = ai-dashboard-agent ]; then
  title="AI dashboard agent"
  description="Monitoring agent for machines that train models; sees the host through mounts at /host/proc, /host/sys and /host/root"
  writable=spool
  health='["CMD", "ai-dashboard-agent", "--health"]'
  command='[]'
  # Where the mounts are, and where --health asks. An option goes before its variable.
  environment="AI_DASHBOARD_PROCFS=/host/proc AI_DASHBOARD_SYSFS=/host/sys AI_DASHBOARD_ROOTFS=/host/root AI_DASHBOARD_SPOOL=/spool
    AI_DASHBOARD_LISTEN=127.0.0.1:9835 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=utility"
else
  title="AI dashboard"
  description="Dashboard of machines that train models; keeps its database in /data"
  # An enrolment key may be handed over in /keys.
  writable="data keys"
  health='["CMD", "ai-dashboard", "health", "--database", "/data/ai-dashboard.db"]'
  command='["serve", "--database", "/data/ai-dashboard.db"]'
  # .NET's debugging interface would need a writable folder.
  environment="DOTNET_EnableDiagnostics=0"
fi

# These folders are for mounts, but are no volumes of the image's own: engines would keep what is in those without being asked.
# One layer: everything belongs to root and is as old as the commit, but what the program writes to.
for folder in tmp $writable; do
  mkdir "$root/$folder"
done
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -exec chmod u+rw,go+r,go-w {} +
chmod 1777 "$root/tmp"
for folder in $writable; do
  chmod 700 "$root/$folder"
  chown $user:$user "$root/$folder"
done
LC_ALL=C tar -C "$root" --format=gnu --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$work/layer.tar" .

# A store of its own, of which nothing stays.
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"
store() {
  buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"
}
container=$(store from scratch)
store add --quiet "$container" "$work/layer.tar" / >/dev/null
set --
for variable in PATH=/usr/bin $environment; do
  set -- "$@" --env "$variable"
done
label() {
  printf '%s' "org.opencontainers.image.$1=$2"
}
store config --os linux --arch "$architecture" --user $user:$user --workingdir / "$@" \
  --entrypoint "[\"/usr/bin/$name\"]" \
  --label "$(label title "$title")" --label "$(label description "$description")" --label "$(label version "$version")" \
  --label "$(label revision "$revision")" --label "$(label licenses MIT)" \
  --label "$(label vendor "FunctionalAgent contributors")" \
  --label "$(label created "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)")" "$container"
store commit --quiet --format oci --timestamp "$SOURCE_DATE_EPOCH" --signature-policy "$work/policy.json" "$container" "$name" >/dev/null
# A tag of an image has no plus sign.
tag=${version%%+*}
store push --quiet --signature-policy "$work/policy.json" "$name" "oci:$work/layout:$tag" >/dev/null

# buildah leaves the check of health out of an OCI image, whose standard has none. Docker reads it there all the same; others pass it over.
blobs=$work/layout/blobs/sha256
digest() { # digest FILE gives the file the name that it has as a blob
  sum=$(sha256sum "$1" | cut -d ' ' -f 1)
  mv "$1" "$blobs/$sum"
  echo "$sum"
}
index=$work/layout/index.json
manifest=$blobs/$(jq -r '.manifests[0].digest' "$index" | cut -d : -f 2)
config=$blobs/$(jq -r '.config.digest' "$manifest" | cut -d : -f 2)
jq -cS --argjson test "$health" --argjson command "$command" \
  '.config.Healthcheck = {Test: $test, Interval: 30000000000, Timeout: 10000000000, StartPeriod: 60000000000, Retries: 3}
    | .config.Cmd = $command' "$config" >"$work/config"
rm "$config"
size=$(stat -c %s "$work/config")
sum=$(digest "$work/config")
jq -cS --arg digest "sha256:$sum" --argjson size "$size" '.config.digest = $digest | .config.size = $size' "$manifest" >"$work/manifest"
rm "$manifest"
size=$(stat -c %s "$work/manifest")
sum=$(digest "$work/manifest")
# The names by which podman, docker and containerd find it once it is loaded.
jq -cS --arg digest "sha256:$sum" --argjson size "$size" --arg tag "$tag" --arg image "docker.io/library/$name:$tag" --arg architecture "$architecture" \
  '.manifests[0] |= (.digest = $digest | .size = $size | .platform = {os: "linux", architecture: $architecture}
    | .annotations = {"org.opencontainers.image.ref.name": $tag, "io.containerd.image.name": $image})' "$index" >"$work/index"
mv "$work/index" "$index"
archive=$target/$name-$version-$runtime.oci.tar
LC_ALL=C tar -C "$work/layout" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w --mtime="@$SOURCE_DATE_EPOCH" \
  -cf "$archive" blobs index.json oci-layout
echo "$(basename "$archive"): $(du --apparent-size --bytes --summarize "$root" | cut -f 1) bytes, $(stat -c %s "$archive") compressed, $(find "$root" -type f | wc -l) files"
