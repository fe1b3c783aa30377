#!/bin/sh
# Makes the passwords, tokens and the certificate that compose.yaml mounts from secrets/. What is there already stays as it is. Run it as root, with the name or the
# address at which people and agents reach the dashboards: each file belongs to the user that its container runs as, and nobody else reads it.
set -eu
cd "$(dirname "$0")"

fail() {
  echo "make-secrets.sh: $1" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "run it as root, so that the files can belong to the containers' users"
command -v openssl >/dev/null || fail "there is no openssl; install it"

# Users of the images: ai-dashboard, postgres, haproxy.
dashboard=65532
postgres=999
haproxy=99
host=${1:-dashboard.example.com}

# An address is another kind of name in a certificate.
case $host in
  *[!0-9.]*) case $host in *:*) kind=IP check=-checkip ;; *) kind=DNS check=-checkhost ;; esac ;;
  *) kind=IP check=-checkip ;;
esac

umask 077
mkdir -p secrets/dashboard
part=secrets/part
trap 'rm -f "$part" "$part.key"' EXIT

# A file appears when it is whole.
keep() { mv "$part" "secrets/$1"; }

random() { openssl rand -hex 32 || fail "openssl makes no random numbers"; }

if [ ! -e secrets/postgres-password ]; then
  random >"$part"
  keep postgres-password
fi

# vmauth reads its tokens from its environment. Agents may write and nothing else; dashboards may read as well.
if [ ! -e secrets/vmauth.env ]; then
  agents=$(random)
  dashboards=$(random)
  printf 'AGENTS_TOKEN=%s\nDASHBOARDS_TOKEN=%s\n' "$agents" "$dashboards" >"$part"
  keep vmauth.env
fi

# What the agents get: --remote-write-header-file.
sed -n 's/^AGENTS_TOKEN=/Authorization: Bearer /p' secrets/vmauth.env >secrets/agents-headers
sed -n 's/^DASHBOARDS_TOKEN=/Authorization: Bearer /p' secrets/vmauth.env >secrets/dashboard/cluster-headers
cp secrets/postgres-password secrets/dashboard/postgres-password

case $host in
  *:*) kind=IP check=-checkip ;;
  *[!0-9.]*) kind=DNS check=-checkhost ;;
  *) kind=IP check=-checkip ;;
esac

# For the beginning; your own certificate and key, one after the other, take its place.
if [ ! -e secrets/tls.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj "/CN=$host" -addext "subjectAltName=$kind:$host" \
    -keyout "$part.key" -out "$part" 2>/dev/null || fail "openssl makes no certificate for \"$host\"; give the name or the address of the dashboards"
  cat "$part.key" >>"$part"
  keep tls.pem
fi

# Without its key, for those who are to believe it: --ca-file of the agents.
openssl x509 -in secrets/tls.pem -out secrets/agents-ca.pem 2>/dev/null || fail "secrets/tls.pem holds no certificate; remove it, and it is made anew"

if [ $# -gt 0 ]; then
  case $(openssl x509 -in secrets/tls.pem -noout "$check" "$host") in
    *"does match"*) ;;
    *) fail "secrets/tls.pem is a certificate for another name than \"$host\"; remove it, and it is made anew" ;;
  esac
fi

chown -R "$dashboard:$dashboard" secrets/dashboard
chown "$postgres:$postgres" secrets/postgres-password
chown "$haproxy:$haproxy" secrets/tls.pem
echo "secrets/ is complete but for secrets/dashboard/users: add who may log in, as docs/scale.md says."
echo "Agents get secrets/agents-headers and, as long as the certificate is this one, secrets/agents-ca.pem."
