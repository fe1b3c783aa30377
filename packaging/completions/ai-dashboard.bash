# Completion of ai-dashboard for bash. Written by `build.fsx -t Docs`.
_ai_dashboard() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W 'serve register-server list-servers remove-server backup check restore --help --version' -- "$current"); return
  fi
  case $previous in
    --database|--viewer-password-file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --listen|--retention-days|--raw-hours|--trust-proxy-user|--name|--hostname|--description|--keep) return ;;
  esac
  case ${COMP_WORDS[1]} in
    serve) words='--listen --database --retention-days --raw-hours --viewer-password-file --trust-proxy-user --help' ;;
    register-server) words='--database --name --hostname --description --rotate-token --active --inactive --help' ;;
    list-servers) words='--database --help' ;;
    remove-server) words='--database --yes --help' ;;
    backup) words='--database --keep --help' ;;
    check) words='--database --help' ;;
    restore) words='--database --yes --help' ;;
  esac
  case $current in
    -*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    *)
      case ${COMP_WORDS[1]} in
        backup|restore) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
      esac ;;
  esac
}
complete -o filenames -F _ai_dashboard ai-dashboard
