#!/bin/sh
# Makes the passwords, tokens and the certificate that compose.yaml mounts from secrets/. What is there already stays as it is. Run it as root: each file belongs to
# the user that its container runs as, and nobody else reads it.
set -eu
cd "$(dirname "$0")"

[ "$(id -u)" -eq 0 ] || { echo "make-secrets.sh: run it as root, so that the files can belong to the containers' users" >&2; exit 1; }
command -v openssl >/dev/null || { echo "make-secrets.sh: there is no openssl; install it" >&2; exit 1; }

# Users of the images: ai-dashboard, postgres, haproxy.
dashboard=65532
postgres=999
haproxy=99
host=${1:-dashboard.example.com}

umask 077
mkdir -p secrets/dashboard

# Each file appears whole or not at all: one that was begun would be kept for ever.
if [ ! -e secrets/postgres-password ]; then
  openssl rand -hex 32 >secrets/part
  mv secrets/part secrets/postgres-password
fi

# vmauth reads its tokens from its environment. Agents may write and nothing else; dashboards may read as well.
if [ ! -e secrets/vmauth.env ]; then
  # Apart, so that an openssl that fails ends this rather than makes an empty token.
  agents=$(openssl rand -hex 32)
  dashboards=$(openssl rand -hex 32)
  printf 'AGENTS_TOKEN=%s\nDASHBOARDS_TOKEN=%s\n' "$agents" "$dashboards" >secrets/part
  mv secrets/part secrets/vmauth.env
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
    -keyout secrets/key.part -out secrets/certificate.part 2>/dev/null
  cat secrets/certificate.part secrets/key.part >secrets/part
  mv secrets/part secrets/tls.pem
  rm secrets/certificate.part secrets/key.part
elif openssl x509 -in secrets/tls.pem -noout "$check" "$host" | grep -q 'NOT match'; then
  echo "make-secrets.sh: secrets/tls.pem stays as it is, and is not for $host; remove it and run this again for a new one" >&2
fi

# What agents trust, with --ca-file: without the key.
openssl x509 -in secrets/tls.pem -out secrets/agents-ca.pem

chown -R "$dashboard:$dashboard" secrets/dashboard
chown "$postgres:$postgres" secrets/postgres-password
chown "$haproxy:$haproxy" secrets/tls.pem
echo "secrets/ is complete but for secrets/dashboard/users: add who may log in, as docs/scale.md says."
