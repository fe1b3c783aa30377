#compdef ai-dashboard
# Completion of ai-dashboard for zsh. Written by `build.fsx -t Docs`.
local -a commands=(
  'serve:receives samples, stores them and shows the page'
  'register-server:registers a server and prints its token, or changes it'
  'list-servers:lists the servers'
  'remove-server:removes a server and all its samples'
  'backup:copies the database to a new file, or into a directory, even while it is in use'
  'check:says whether the database is intact, what is in it, and how much space is left'
  'health:asks the dashboard that serves the database whether samples are stored'
  'restore:replaces the database with a backup, and keeps the old one beside it'
  'export:writes the history in the database to a metrics cluster'
  'users:add, remove, list'
  'tokens:add, remove, list'
  'enrol-keys:add, remove, list'
  'alerts:test, list'
)
if (( CURRENT == 2 )); then
  _describe command commands
  return
fi
local command=$words[2]
shift words
(( CURRENT-- ))
if [[ $command == users ]]; then
  if (( CURRENT == 2 )); then
    commands=(
      'add:adds a user who may log in, or changes password and role'
      'remove:removes a user and ends their sessions'
      'list:lists the users'
    )
    _describe command commands
    return
  fi
  command="$command $words[2]"
  shift words
  (( CURRENT-- ))
fi
if [[ $command == tokens ]]; then
  if (( CURRENT == 2 )); then
    commands=(
      'add:makes a bearer token for a script and prints it'
      'remove:removes a token, which is refused from then on'
      'list:lists the tokens by name'
    )
    _describe command commands
    return
  fi
  command="$command $words[2]"
  shift words
  (( CURRENT-- ))
fi
if [[ $command == enrol-keys ]]; then
  if (( CURRENT == 2 )); then
    commands=(
      'add:makes a key that machines use to register themselves, and prints it'
      'remove:removes a key; its machines keep their tokens'
      'list:lists the keys, and how many servers each has enrolled'
    )
    _describe command commands
    return
  fi
  command="$command $words[2]"
  shift words
  (( CURRENT-- ))
fi
if [[ $command == alerts ]]; then
  if (( CURRENT == 2 )); then
    commands=(
      'test:sends a test over a channel of alerts, and says whether it was delivered'
      'list:lists the channels of alerts'
    )
    _describe command commands
    return
  fi
  command="$command $words[2]"
  shift words
  (( CURRENT-- ))
fi
case $command in
  ('serve')
      _arguments \
        '--listen[where to listen, http or https; no other address is used]:URL: ' \
        '--database[database file; created if it does not exist]:PATH:_files' \
        '--retention-days[days for which minutes are kept, counted from the newest sample]:DAYS: ' \
        '--raw-hours[hours for which single samples are kept]:HOURS: ' \
        '--users-file[file of the users who may log in, written by the users commands; read again when it changes]:PATH:_files' \
        '--tokens-file[file of tokens for scripts, written by the tokens commands; read again when it changes]:PATH:_files' \
        '--viewer-password-file[file with one password that all viewers share]:PATH:_files' \
        '--oidc-authority[OpenID Connect provider to log in with]:URL: ' \
        '--oidc-client-id[this dashboard'\''s client id at the provider]:ID: ' \
        '--oidc-client-secret-file[file with the client secret that the provider issued]:PATH:_files' \
        '--oidc-admins[claim that makes an admin, such as groups=admins; without it there are no admins]:CLAIM: ' \
        '--oidc-viewers[claim that makes a viewer; without it everybody who can log in at the provider is one]:CLAIM: ' \
        '--trusted-proxy[addresses or networks of reverse proxies, separated by commas; X-Forwarded-For and X-Forwarded-Proto are accepted only from them]:CIDR: ' \
        '--trust-proxy-user[header in which a reverse proxy passes the user that it has logged in; accepted only from --trusted-proxy or, without that, from this machine]:HEADER: ' \
        '--tls-certificate[PEM file with the certificate and its chain, for https; read again when it changes]:PATH:_files' \
        '--tls-key[PEM file with the certificate'\''s key; read again when it changes]:PATH:_files' \
        '--plain-http-behind-proxy[listen on other than loopback addresses without TLS, behind a proxy that terminates it]' \
        '--alerts[JSON file with the rules of alerts and the channels over which they are sent]:PATH:_files' \
        '--public-url[URL at which people open the dashboard; links in messages begin with it]:URL: ' \
        '--metrics-url[Prometheus-compatible API (VictoriaMetrics, Mimir, Thanos, Prometheus) to which the agents push; figures are read from it instead of the database]:URL: ' \
        '--metrics-header-file[file with the headers that this API requires, one per line, such as Authorization]:PATH:_files' \
        '--metrics-tenant[tenant whose figures these are (Mimir, Cortex\: X-Scope-OrgID); VictoriaMetrics has it in the URL]:NAME: ' \
        '--metrics-write-url[where that cluster takes remote-write; posted samples are passed on to it, and refused without it]:URL: ' \
        '--metrics-outbox[directory of the posted samples that the cluster does not have yet]:PATH:_files' \
        '--metrics-outbox-mebibytes[at most so many MiB of them wait; after that samples are refused, and agents keep them]:COUNT: ' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--accounts-in-state[users and tokens are those of --state, written by the users and tokens commands with --state, instead of files]' \
        '--server-samples[samples per second that each server may send on average]:COUNT: ' \
        '--server-kilobytes[KiB per second that each server may send on average]:COUNT: ' \
        '--server-devices[disks, GPUs and fans that are known of each server at a time]:COUNT: ' \
        '--address-connections[connections that one address may have at a time]:COUNT: ' \
        '--address-streams[pages with live figures that one address may have open]:COUNT: ' \
        '--help[print the options and exit]' ;;
  ('register-server')
      _arguments \
        '--database[database file; created if it does not exist]:PATH:_files' \
        '--name[display name of the server]:NAME: ' \
        '--hostname[the server'\''s host name]:NAME: ' \
        '--description[description of the server]:TEXT: ' \
        '--rotate-token[make a new token; the old one is refused from then on]' \
        '--active[accept its samples, which is the default]' \
        '--inactive[refuse its samples with 403]' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:SLUG: ' \
        '--help[print the options and exit]' ;;
  ('list-servers')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--help[print the options and exit]' ;;
  ('remove-server')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--yes[do not ask; needed without a terminal]' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:SLUG: ' \
        '--help[print the options and exit]' ;;
  ('backup')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--keep[how many backups stay in a directory; older ones are deleted]:NUMBER: ' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:FILE:_files' \
        '--help[print the options and exit]' ;;
  ('check')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--help[print the options and exit]' ;;
  ('health')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--help[print the options and exit]' ;;
  ('restore')
      _arguments \
        '--database[the database that the backup replaces]:PATH:_files' \
        '--yes[do not ask; needed without a terminal]' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:FILE:_files' \
        '--help[print the options and exit]' ;;
  ('export')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--to[where the cluster takes remote-write, such as http\://127.0.0.1\:8428/api/v1/write]:URL: ' \
        '--header-file[file with the headers that it requires, one per line, such as Authorization or X-Scope-OrgID]:PATH:_files' \
        '--server[only this server]:SLUG: ' \
        '--from[only samples from this time on, such as 2026-11-01 or 2026-11-01T12\:00\:00Z]:INSTANT: ' \
        '--until[only samples before]:INSTANT: ' \
        '--help[print the options and exit]' ;;
  ('users add')
      _arguments \
        '--users-file[the file of users; created if missing]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--role[viewer (may only look) or admin (may also change things)]:ROLE: ' \
        '1:NAME: ' \
        '--help[print the options and exit]' ;;
  ('users remove')
      _arguments \
        '--users-file[the file of users]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:NAME: ' \
        '--help[print the options and exit]' ;;
  ('users list')
      _arguments \
        '--users-file[the file of users]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--help[print the options and exit]' ;;
  ('tokens add')
      _arguments \
        '--tokens-file[the file of tokens; created if missing]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--role[viewer (may only look) or admin (may also change things)]:ROLE: ' \
        '1:NAME: ' \
        '--help[print the options and exit]' ;;
  ('tokens remove')
      _arguments \
        '--tokens-file[the file of tokens]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:NAME: ' \
        '--help[print the options and exit]' ;;
  ('tokens list')
      _arguments \
        '--tokens-file[the file of tokens]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--help[print the options and exit]' ;;
  ('enrol-keys add')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--labels[labels of its machines, such as room=3,team=vision]:LABELS: ' \
        '--expires[when it expires\: 12h, 30d, a day such as 2027-01-31, or never]:TIME: ' \
        '--key-file[write the key into this file instead of printing it; if both already exist, nothing is done]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:NAME: ' \
        '--help[print the options and exit]' ;;
  ('enrol-keys remove')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '1:NAME: ' \
        '--help[print the options and exit]' ;;
  ('enrol-keys list')
      _arguments \
        '--database[the database'\''s file]:PATH:_files' \
        '--state[PostgreSQL database for what several dashboards share, such as postgres\://dashboard@db.example/dashboard; without it, --database is used]:URL: ' \
        '--state-password-file[file with the password for --state; without it PGPASSWORD or PGPASSFILE]:PATH:_files' \
        '--help[print the options and exit]' ;;
  ('alerts test')
      _arguments \
        '--alerts[the file of alerts]:PATH:_files' \
        '--public-url[URL at which people open the dashboard; without it the test has no link]:URL: ' \
        '1:CHANNEL: ' \
        '--help[print the options and exit]' ;;
  ('alerts list')
      _arguments \
        '--alerts[the file of alerts]:PATH:_files' \
        '--help[print the options and exit]' ;;
esac
