#!/bin/sh
# Runs the images of a release as packaging/compose/compose.yaml does, in containers that buildah makes without an engine:
# packaging/try-images.sh DIRECTORY. Shows what is in them, holds the agent's sample against the host's own, and ends once the dashboard shows this
# machine. Needs root, buildah and jq.
set -eu

directory=$1
fail() {
  echo "try-images: $*" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "needs root"
for tool in buildah jq pgrep; do
  command -v "$tool" >/dev/null || fail "needs $tool; on Debian: apt-get install buildah jq procps"
done
case $(uname -m) in
  aarch64) runtime=linux-arm64 ;;
  *) runtime=linux-x64 ;;
esac

work=$(mktemp -d)
serving=
watching=
# buildah passes no signal on: the program is the last in a row of processes, and with it end those before it.
end() { # end PROCESS
  last=$1
  while next=$(pgrep --parent "$last" | head -n 1) && [ -n "$next" ]; do
    last=$next
  done
  kill "$last" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
clean() {
  for process in $watching $serving; do
    end "$process"
  done
  rm -rf "$work"
}
trap clean EXIT
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"
store() {
  buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"
}
archive() { # archive PROGRAM
  found=$(find "$directory" -name "$1-[0-9]*-$runtime.oci.tar")
  [ -n "$found" ] || fail "there is no $1-…-$runtime.oci.tar in $directory"
  echo "$found"
}
agent=$(store from --quiet --signature-policy "$work/policy.json" "oci-archive:$(archive ai-dashboard-agent)")
dashboard=$(store from --quiet --signature-policy "$work/policy.json" "oci-archive:$(archive ai-dashboard)")

for container in "$agent" "$dashboard"; do
  mounted=$(store mount "$container")
  echo "== what is in $container, but for the dashboard's assemblies"
  (cd "$mounted" && find . \( -type f -o -type l \) -not -path './usr/lib/ai-dashboard/*' -printf '%s\t%p\n' | LC_ALL=C sort -k 2)
  echo "$(find "$mounted" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.1f MiB", sum / 1048576 }') in $(find "$mounted" -type f | wc -l) files"
  store umount "$container" >/dev/null
done

# The mounts of compose.yaml.
mkdir -m 700 "$work/data" "$work/keys" "$work/spool"
chown 65532:65532 "$work/data" "$work/keys" "$work/spool"
chmod 755 "$work"
in_agent() { # in_agent [ENV=VALUE ...] -- ARGUMENT...
  set -- -- /usr/bin/ai-dashboard-agent "$@"
  # shellcheck disable=SC2086
  store run --isolation chroot $variables --volume /proc:/host/proc:ro --volume /sys:/host/sys:ro --volume /:/host/root:ro \
    --volume "$work/spool:/spool" --volume "$work/keys:/keys:ro" "$agent" "$@"
}
in_dashboard() {
  store run --isolation chroot --volume "$work/data:/data" --volume "$work/keys:/keys" "$dashboard" -- /usr/bin/ai-dashboard "$@"
}

facts() {
  jq -c '{disks: [.sample.disks[].device], interfaces: [.sample.network_interfaces[].name], memory: .sample.memory_total_bytes,
    cpus: .sample.cpu_count_logical, partitions: [.agent.system_info.partitions[].mountpoint]}'
}
echo "== the agent's sample, beside the host's"
# --once serves nothing.
variables="--env AI_DASHBOARD_LISTEN="
in_agent --once --dry-run >"$work/contained"
# The same program on the host, with the loader and the libraries of the image, which need not be the host's.
mounted=$(store mount "$agent")
loader=$(find "$mounted/lib64" "$mounted/lib" -maxdepth 1 -name 'ld-linux-*' 2>/dev/null | head -n 1)
triplet=$(basename "$(find "$mounted/usr/lib" -maxdepth 1 -name '*-linux-gnu')")
"$loader" --library-path "$mounted/lib/$triplet:$mounted/usr/lib/$triplet" "$mounted/usr/bin/ai-dashboard-agent" --once --dry-run >"$work/on-host"
store umount "$agent" >/dev/null
echo "on the host:   $(facts <"$work/on-host")"
echo "in the image:  $(facts <"$work/contained")"
[ "$(facts <"$work/on-host")" = "$(facts <"$work/contained")" ] || fail "the agent of the image does not see the host"
variables=

echo "== the dashboard, an enrolment key, the agent"
in_dashboard serve --database=/data/ai-dashboard.db --listen=http://127.0.0.1:0 >"$work/serve.out" 2>&1 &
serving=$!
waited=0
until in_dashboard health --database /data/ai-dashboard.db 2>/dev/null; do
  waited=$((waited + 1))
  [ $waited -lt 60 ] && kill -0 "$serving" || {
    cat "$work/serve.out" >&2
    fail "the dashboard of the image does not come up"
  }
  sleep 0.5
done
for _ in once again; do
  in_dashboard enrol-keys add compose --expires=never --key-file=/keys/enrol-key --database=/data/ai-dashboard.db
done
address=$(sed -n 's|.* listens on \(http://[^,]*\).*|\1|p' "$work/serve.out")
in_agent --host="$address" --enrol-key-file=/keys/enrol-key --listen=127.0.0.1:19835 >"$work/agent.out" 2>&1 &
watching=$!
waited=0
until in_agent --health --listen 127.0.0.1:19835 2>/dev/null && in_dashboard list-servers --database /data/ai-dashboard.db | grep -v ' never'; do
  waited=$((waited + 1))
  [ $waited -lt 60 ] && kill -0 "$watching" || {
    cat "$work/agent.out" >&2
    fail "the agent of the image sends nothing"
  }
  sleep 0.5
done
[ "$(stat -c %u "$work/data/ai-dashboard.db")" = 65532 ] || fail "the dashboard runs as another user than 65532"
[ "$(stat -c '%u %a' "$work/keys/enrol-key")" = "65532 600" ] || fail "others can read the key"
echo "the dashboard shows this machine"
