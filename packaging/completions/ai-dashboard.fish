# Completion of ai-dashboard for fish. Written by `build.fsx -t Docs`.
complete -c ai-dashboard -f
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a serve -d 'receives samples, stores them and shows the page'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a register-server -d 'registers a server and prints its token, or changes it'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a list-servers -d 'lists the servers'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a remove-server -d 'removes a server and all its samples'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a backup -d 'copies the database to a new file, or into a directory, even while it is in use'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a check -d 'says whether the database is intact, what is in it, and how much space is left'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a health -d 'asks the dashboard that serves the database whether samples are stored'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a restore -d 'replaces the database with a backup, and keeps the old one beside it'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a export -d 'writes the history in the database to a metrics cluster'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a users -d 'add, remove, list'
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and not __fish_seen_subcommand_from add remove list' -a add -d 'adds a user who may log in, or changes password and role'
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and not __fish_seen_subcommand_from add remove list' -a remove -d 'removes a user and ends their sessions'
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and not __fish_seen_subcommand_from add remove list' -a list -d 'lists the users'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a tokens -d 'add, remove, list'
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and not __fish_seen_subcommand_from add remove list' -a add -d 'makes a bearer token for a script and prints it'
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and not __fish_seen_subcommand_from add remove list' -a remove -d 'removes a token, which is refused from then on'
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and not __fish_seen_subcommand_from add remove list' -a list -d 'lists the tokens by name'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a enrol-keys -d 'add, remove, list'
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and not __fish_seen_subcommand_from add remove list' -a add -d 'makes a key that machines use to register themselves, and prints it'
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and not __fish_seen_subcommand_from add remove list' -a remove -d 'removes a key; its machines keep their tokens'
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and not __fish_seen_subcommand_from add remove list' -a list -d 'lists the keys, and how many servers each has enrolled'
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts' -a alerts -d 'test, list'
complete -c ai-dashboard -n '__fish_seen_subcommand_from alerts; and not __fish_seen_subcommand_from test list' -a test -d 'sends a test over a channel of alerts, and says whether it was delivered'
complete -c ai-dashboard -n '__fish_seen_subcommand_from alerts; and not __fish_seen_subcommand_from test list' -a list -d 'lists the channels of alerts'
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l listen -d 'where to listen, http or https; no other address is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l database -d 'database file; created if it does not exist' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l retention-days -d 'days for which minutes are kept, counted from the newest sample' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l raw-hours -d 'hours for which single samples are kept' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l users-file -d 'file of the users who may log in, written by the users commands; read again when it changes' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l tokens-file -d 'file of tokens for scripts, written by the tokens commands; read again when it changes' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l viewer-password-file -d 'file with one password that all viewers share' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l oidc-authority -d 'OpenID Connect provider to log in with' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l oidc-client-id -d 'this dashboard\'s client id at the provider' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l oidc-client-secret-file -d 'file with the client secret that the provider issued' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l oidc-admins -d 'claim that makes an admin, such as groups=admins; without it there are no admins' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l oidc-viewers -d 'claim that makes a viewer; without it everybody who can log in at the provider is one' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l trusted-proxy -d 'addresses or networks of reverse proxies, separated by commas; X-Forwarded-For and X-Forwarded-Proto are accepted only from them' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l trust-proxy-user -d 'header in which a reverse proxy passes the user that it has logged in; accepted only from --trusted-proxy or, without that, from this machine' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l tls-certificate -d 'PEM file with the certificate and its chain, for https; read again when it changes' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l tls-key -d 'PEM file with the certificate\'s key; read again when it changes' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l plain-http-behind-proxy -d 'listen on other than loopback addresses without TLS, behind a proxy that terminates it' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l alerts -d 'JSON file with the rules of alerts and the channels over which they are sent' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l public-url -d 'URL at which people open the dashboard; links in messages begin with it' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l metrics-url -d 'Prometheus-compatible API (VictoriaMetrics, Mimir, Thanos, Prometheus) to which the agents push; figures are read from it instead of the database' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l metrics-header-file -d 'file with the headers that this API requires, one per line, such as Authorization' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l metrics-tenant -d 'tenant whose figures these are (Mimir, Cortex: X-Scope-OrgID); VictoriaMetrics has it in the URL' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l metrics-write-url -d 'where that cluster takes remote-write; posted samples are passed on to it, and refused without it' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l metrics-outbox -d 'directory of the posted samples that the cluster does not have yet' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l metrics-outbox-mebibytes -d 'at most so many MiB of them wait; after that samples are refused, and agents keep them' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l accounts-in-state -d 'users and tokens are those of --state, written by the users and tokens commands with --state, instead of files' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l server-samples -d 'samples per second that each server may send on average' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l server-kilobytes -d 'KiB per second that each server may send on average' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l server-devices -d 'disks, GPUs and fans that are known of each server at a time' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l address-connections -d 'connections that one address may have at a time' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l address-streams -d 'pages with live figures that one address may have open' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l database -d 'database file; created if it does not exist' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l name -d 'display name of the server' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l hostname -d 'the server\'s host name' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l description -d 'description of the server' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l rotate-token -d 'make a new token; the old one is refused from then on' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l active -d 'accept its samples, which is the default' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l inactive -d 'refuse its samples with 403' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from list-servers' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from list-servers' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from list-servers' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from remove-server' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from remove-server' -l yes -d 'do not ask; needed without a terminal' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from remove-server' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from remove-server' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -l keep -d 'how many backups stay in a directory; older ones are deleted' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from check' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from check' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from check' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from health' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from health' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from health' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -l database -d 'the database that the backup replaces' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -l yes -d 'do not ask; needed without a terminal' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from export' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from export' -l to -d 'where the cluster takes remote-write, such as http://127.0.0.1:8428/api/v1/write' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from export' -l header-file -d 'file with the headers that it requires, one per line, such as Authorization or X-Scope-OrgID' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from export' -l server -d 'only this server' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from export' -l from -d 'only samples from this time on, such as 2026-11-01 or 2026-11-01T12:00:00Z' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from export' -l until -d 'only samples before' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from add' -l users-file -d 'the file of users; created if missing' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from add' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from add' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from add' -l role -d 'viewer (may only look) or admin (may also change things)' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from remove' -l users-file -d 'the file of users' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from remove' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from remove' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from list' -l users-file -d 'the file of users' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from list' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from users; and __fish_seen_subcommand_from list' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from add' -l tokens-file -d 'the file of tokens; created if missing' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from add' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from add' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from add' -l role -d 'viewer (may only look) or admin (may also change things)' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from remove' -l tokens-file -d 'the file of tokens' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from remove' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from remove' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from list' -l tokens-file -d 'the file of tokens' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from list' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from tokens; and __fish_seen_subcommand_from list' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from add' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from add' -l labels -d 'labels of its machines, such as room=3,team=vision' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from add' -l expires -d 'when it expires: 12h, 30d, a day such as 2027-01-31, or never' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from add' -l key-file -d 'write the key into this file instead of printing it; if both already exist, nothing is done' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from add' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from add' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from remove' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from remove' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from remove' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from list' -l database -d 'the database\'s file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from list' -l state -d 'PostgreSQL database for what several dashboards share, such as postgres://dashboard@db.example/dashboard; without it, --database is used' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from enrol-keys; and __fish_seen_subcommand_from list' -l state-password-file -d 'file with the password for --state; without it PGPASSWORD or PGPASSFILE' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from alerts; and __fish_seen_subcommand_from test' -l alerts -d 'the file of alerts' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from alerts; and __fish_seen_subcommand_from test' -l public-url -d 'URL at which people open the dashboard; without it the test has no link' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from alerts; and __fish_seen_subcommand_from list' -l alerts -d 'the file of alerts' -r -F
complete -c ai-dashboard -l help -s h -d 'print the options and exit' -f
