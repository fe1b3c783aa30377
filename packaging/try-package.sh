#!/bin/sh
# Installs a .deb of the agent in an empty Debian, asks its doctor, removes and purges it, and looks at what is left:
# packaging/try-package.sh DEB. Needs root, debootstrap and unshare.
set -eu

deb=$1
. "$(dirname "$0")/empty-debian.sh"

echo "== apt install ./package.deb"
in_root apt-get install --yes --no-install-recommends ./package.deb 2>&1 | tail -n 12

echo "== ai-dashboard-agent --version"
in_root ai-dashboard-agent --version

echo "== ai-dashboard-agent --doctor --dry-run"
# Without a webapp it reports what is missing with exit code 1; anything else is a broken package.
code=0
in_root ai-dashboard-agent --doctor --dry-run || code=$?
[ "$code" -le 1 ] || fail "the doctor ended with exit code $code"

echo "== ai-dashboard-agent --once --dry-run"
in_root ai-dashboard-agent --once --dry-run | head -c 200
echo

for path in lib/systemd/system/ai-dashboard-agent.service etc/default/ai-dashboard-agent usr/bin/ai-dashboard-agent; do
  [ -e "$root/$path" ] || fail "/$path is not there"
done
if find "$root/etc/systemd/system" -name 'ai-dashboard-agent*' | grep -q .; then
  fail "a service that is not configured was enabled"
fi

echo "== upgrade of a configured one keeps the configuration"
echo 'AI_DASHBOARD_HOST=http://127.0.0.1:1' >>"$root/etc/default/ai-dashboard-agent"
in_root apt-get install --yes --reinstall --no-install-recommends ./package.deb >/dev/null 2>&1
grep -q 'AI_DASHBOARD_HOST=http://127.0.0.1:1' "$root/etc/default/ai-dashboard-agent" || fail "the configuration was overwritten"

echo "== apt remove, then purge"
in_root apt-get remove --yes ai-dashboard-agent >/dev/null 2>&1
[ ! -e "$root/usr/bin/ai-dashboard-agent" ] || fail "the program is still there"
[ -e "$root/etc/default/ai-dashboard-agent" ] || fail "remove took the configuration"
in_root apt-get purge --yes ai-dashboard-agent >/dev/null 2>&1
left=$(find "$root" -xdev -name '*ai-dashboard-agent*' -not -path '*/var/log/*' -not -path '*/proc/*')
[ -z "$left" ] || fail "left behind: $left"
echo "nothing left behind"
