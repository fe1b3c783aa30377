#!/bin/sh
# Runs a published agent as a container would: in an empty root, with process, network and mount namespaces of its own, the host's
# /proc, /sys and / bound in. Compares what it says with what the agent says on the host: packaging/try-container.sh BINARY.
# Needs root, unshare, ldd and jq. No container engine is involved.
set -eu

binary=$1
fail() {
  echo "try-container: $*" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "needs root"
for tool in unshare ldd jq; do
  command -v "$tool" >/dev/null || fail "needs $tool"
done

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/proc" "$root/tmp" "$root/usr/bin" "$root/host/proc" "$root/host/sys" "$root/host/root"
cp "$binary" "$root/usr/bin/ai-dashboard-agent"
# What a base image with glibc has.
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
  install -D "$library" "$root$library"
done

# The mounts live in namespaces that end with the command.
contained() { # contained BINDS [ARGUMENT ...]
  unshare --mount sh -ec '
    root=$1
    binds=$2
    shift 2
    if [ "$binds" = host ]; then
      mount --rbind /proc "$root/host/proc"
      mount --rbind /sys "$root/host/sys"
      mount --rbind / "$root/host/root"
    fi
    exec unshare --pid --net --fork --mount sh -ec "mount -t proc proc \"\$0/proc\"; exec chroot \"\$0\" /usr/bin/ai-dashboard-agent --once --dry-run \"\$@\"" "$root" "$@"
  ' sh "$root" "$@"
}

facts() {
  jq -c '{disks: [.sample.disks[].device], interfaces: [.sample.network_interfaces[].name], memory: .sample.memory_total_bytes,
    cpus: .sample.cpu_count_logical, partitions: [.agent.system_info.partitions[].mountpoint]}'
}
processes() {
  jq .sample.process_count
}

"$binary" --once --dry-run >"$root/on-host"
contained host --procfs /host/proc --sysfs /host/sys --rootfs /host/root >"$root/contained"
contained none >"$root/alone"

echo "on the host:             $(facts <"$root/on-host"), $(processes <"$root/on-host") processes"
echo "contained, with mounts:  $(facts <"$root/contained"), $(processes <"$root/contained") processes"
echo "contained, without:      $(facts <"$root/alone"), $(processes <"$root/alone") processes"

[ "$(facts <"$root/on-host")" = "$(facts <"$root/contained")" ] || fail "the contained agent does not see the host"
difference=$(($(processes <"$root/on-host") - $(processes <"$root/contained")))
[ "${difference#-}" -le 20 ] || fail "the contained agent does not count the host's processes"
[ "$(processes <"$root/alone")" -le 3 ] || fail "without the mounts it counts processes that are not the container's"
echo "the contained agent sees the host"
