#!/bin/sh
# Installs a .deb of the dashboard in an empty Debian, serves as its user, makes and restores a backup, removes and purges it, and looks at
# what is left: packaging/try-package-dashboard.sh DEB. Needs root, debootstrap and unshare.
set -eu

deb=$1
. "$(dirname "$0")/empty-debian.sh"

echo "== apt install ./package.deb"
in_root apt-get install --yes --no-install-recommends ./package.deb 2>&1 | tail -n 12

database=/var/lib/ai-dashboard/ai-dashboard.db
as_user() {
  in_root setpriv --reuid=ai-dashboard --regid=ai-dashboard --clear-groups env HOME=/var/lib/ai-dashboard "$@"
}

echo "== ai-dashboard --version"
in_root ai-dashboard --version
[ "$(stat -c %a "$root/var/lib/ai-dashboard")" = 700 ] || fail "others can look into /var/lib/ai-dashboard"
[ "$(stat -c %a "$root/etc/ai-dashboard")" = 700 ] || fail "others can look into /etc/ai-dashboard"
for unit in ai-dashboard.service ai-dashboard-backup.timer; do
  find "$root/etc/systemd/system" -name "$unit" | grep -q . || fail "$unit was not enabled"
done

echo "== register-server and serve as its user"
as_user ai-dashboard register-server gpu-box-01 --database $database | head -n 1
# It is asked to end once it listens, and has to end in good order.
# shellcheck disable=SC2016
as_user sh -ec '
  ai-dashboard serve --listen http://127.0.0.1:0 --database "$1" >/tmp/serve.out &
  for _ in $(seq 300); do
    ! grep -q " listens on " /tmp/serve.out || break
    sleep 0.1
  done
  kill -TERM $!
  wait $!
  grep " listens on " /tmp/serve.out
' sh "$database" || fail "serve failed"
as_user ai-dashboard check --database $database

echo "== a backup as the service makes it, and restore"
start=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/ai-dashboard-backup.service" |
  sed 's|${BACKUP_DIRECTORY}|/var/backups/ai-dashboard|; s|${BACKUP_KEEP}|14|; s|${STATE_DIRECTORY}|/var/lib/ai-dashboard|')
# shellcheck disable=SC2086
as_user $start
as_user ai-dashboard restore "/var/backups/ai-dashboard/$(ls "$root/var/backups/ai-dashboard")" --yes --database $database

echo "== upgrade of a configured one keeps configuration and database"
echo '# mine' >>"$root/etc/default/ai-dashboard"
in_root apt-get install --yes --reinstall --no-install-recommends ./package.deb >/dev/null 2>&1
grep -q '# mine' "$root/etc/default/ai-dashboard" || fail "the configuration was overwritten"
as_user ai-dashboard list-servers --database $database | grep -q gpu-box-01 || fail "the database was lost"

echo "== apt remove, then purge"
in_root apt-get remove --yes ai-dashboard >/dev/null 2>&1
[ ! -e "$root/usr/lib/ai-dashboard" ] || fail "the program is still there"
[ -e "$root$database" ] || fail "remove took the database"
in_root apt-get purge --yes ai-dashboard >/dev/null 2>&1
[ -n "$(ls "$root/var/backups/ai-dashboard")" ] || fail "purge took the backups"
left=$(find "$root" -xdev -name '*ai-dashboard*' -not -path '*/var/log/*' -not -path '*/proc/*' -not -path '*/var/backups/*')
[ -z "$left" ] || fail "left behind: $left"
echo "nothing left behind but backups"
