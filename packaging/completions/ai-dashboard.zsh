#compdef ai-dashboard
# Completion of ai-dashboard for zsh. Written by `build.fsx -t Docs`.
local -a commands=(
  'serve:receives samples, stores them and shows the page'
  'register-server:registers a server and prints its token, or changes it'
  'list-servers:lists the servers'
  'remove-server:removes a server and all its samples'
  'backup:copies the database into a new file, or into one in a directory, while it is in use or not'
  'check:looks whether the database is whole, what is in it, and how much room there is'
  'restore:puts a backup in the place of the database, which is kept beside it'
)
if (( CURRENT == 2 )); then
  _describe command commands
  return
fi
local command=$words[2]
shift words
(( CURRENT-- ))
case $command in
  (serve)
      _arguments \
        '--listen[where to listen; no other address is ever bound]:URL: ' \
        '--database[the databases file; made if it is not there]:PATH:_files' \
        '--retention-days[days for which minutes are kept, up to the newest sample]:DAYS: ' \
        '--raw-hours[hours for which single samples are kept]:HOURS: ' \
        '--viewer-password-file[file with the password to look with; needed to listen beyond this machine]:PATH:_files' \
        '--trust-proxy-user[header in which a proxy in front names the user that it let in]:HEADER: ' \
        '--help[print the options and exit]' ;;
  (register-server)
      _arguments \
        '--database[the databases file; made if it is not there]:PATH:_files' \
        '--name[what people call the server]:NAME: ' \
        '--hostname[the servers host name]:NAME: ' \
        '--description[what it is]:TEXT: ' \
        '--rotate-token[make a new token; the old one is refused from then on]' \
        '--active[take its samples, which is the default]' \
        '--inactive[refuse its samples with 403]' \
        '1:SLUG: ' \
        '--help[print the options and exit]' ;;
  (list-servers)
      _arguments \
        '--database[the databases file]:PATH:_files' \
        '--help[print the options and exit]' ;;
  (remove-server)
      _arguments \
        '--database[the databases file]:PATH:_files' \
        '--yes[do not ask; without a terminal it is needed]' \
        '1:SLUG: ' \
        '--help[print the options and exit]' ;;
  (backup)
      _arguments \
        '--database[the databases file]:PATH:_files' \
        '--keep[of the backups in a directory only so many stay, the newest]:NUMBER: ' \
        '1:FILE:_files' \
        '--help[print the options and exit]' ;;
  (check)
      _arguments \
        '--database[the databases file]:PATH:_files' \
        '--help[print the options and exit]' ;;
  (restore)
      _arguments \
        '--database[the database that the backup takes the place of]:PATH:_files' \
        '--yes[do not ask; without a terminal it is needed]' \
        '1:FILE:_files' \
        '--help[print the options and exit]' ;;
esac
