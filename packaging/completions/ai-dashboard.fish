# Completion of ai-dashboard for fish. Written by `build.fsx -t Docs`.
complete -c ai-dashboard -f
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a serve -d 'receives samples, stores them and shows the page'
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l listen -d 'where to listen; no other address is ever bound' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l database -d 'the databases file; made if it is not there' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l retention-days -d 'days for which minutes are kept, up to the newest sample' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l raw-hours -d 'hours for which single samples are kept' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l viewer-password-file -d 'file with the password to look with; needed to listen beyond this machine' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from serve' -l trust-proxy-user -d 'header in which a proxy in front names the user that it let in' -x
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a register-server -d 'registers a server and prints its token, or changes it'
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l database -d 'the databases file; made if it is not there' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l name -d 'what people call the server' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l hostname -d 'the servers host name' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l description -d 'what it is' -x
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l rotate-token -d 'make a new token; the old one is refused from then on' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l active -d 'take its samples, which is the default' -f
complete -c ai-dashboard -n '__fish_seen_subcommand_from register-server' -l inactive -d 'refuse its samples with 403' -f
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a list-servers -d 'lists the servers'
complete -c ai-dashboard -n '__fish_seen_subcommand_from list-servers' -l database -d 'the databases file' -r -F
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a remove-server -d 'removes a server and all its samples'
complete -c ai-dashboard -n '__fish_seen_subcommand_from remove-server' -l database -d 'the databases file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from remove-server' -l yes -d 'do not ask; without a terminal it is needed' -f
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a backup -d 'copies the database into a new file, or into one in a directory, while it is in use or not'
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -l database -d 'the databases file' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from backup' -l keep -d 'of the backups in a directory only so many stay, the newest' -x
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a check -d 'looks whether the database is whole, what is in it, and how much room there is'
complete -c ai-dashboard -n '__fish_seen_subcommand_from check' -l database -d 'the databases file' -r -F
complete -c ai-dashboard -n 'not __fish_seen_subcommand_from serve register-server list-servers remove-server backup check restore' -a restore -d 'puts a backup in the place of the database, which is kept beside it'
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -l database -d 'the database that the backup takes the place of' -r -F
complete -c ai-dashboard -n '__fish_seen_subcommand_from restore' -l yes -d 'do not ask; without a terminal it is needed' -f
complete -c ai-dashboard -l help -s h -d 'print the options and exit' -f
