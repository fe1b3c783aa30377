# Completion of ai-dashboard for bash. Written by `build.fsx -t Docs`.
_ai_dashboard() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W 'serve register-server list-servers remove-server backup check health restore export users tokens enrol-keys alerts --help --version' -- "$current"); return
  fi
  case $previous in
    --database|--users-file|--tokens-file|--viewer-password-file|--oidc-client-secret-file|--tls-certificate|--tls-key|--alerts|--metrics-header-file|--metrics-outbox|--state-password-file|--header-file|--key-file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --listen|--retention-days|--raw-hours|--oidc-authority|--oidc-client-id|--oidc-admins|--oidc-viewers|--trusted-proxy|--trust-proxy-user|--public-url|--metrics-url|--metrics-tenant|--metrics-write-url|--metrics-outbox-mebibytes|--state|--server-samples|--server-kilobytes|--server-devices|--address-connections|--address-streams|--name|--hostname|--description|--keep|--to|--server|--from|--until|--role|--labels|--expires) return ;;
  esac
  case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
    'serve '*) words='--listen --database --retention-days --raw-hours --users-file --tokens-file --viewer-password-file --oidc-authority --oidc-client-id --oidc-client-secret-file --oidc-admins --oidc-viewers --trusted-proxy --trust-proxy-user --tls-certificate --tls-key --plain-http-behind-proxy --alerts --public-url --metrics-url --metrics-header-file --metrics-tenant --metrics-write-url --metrics-outbox --metrics-outbox-mebibytes --state --state-password-file --accounts-in-state --server-samples --server-kilobytes --server-devices --address-connections --address-streams --help' ;;
    'register-server '*) words='--database --name --hostname --description --rotate-token --active --inactive --state --state-password-file --help' ;;
    'list-servers '*) words='--database --state --state-password-file --help' ;;
    'remove-server '*) words='--database --yes --state --state-password-file --help' ;;
    'backup '*) words='--database --keep --state --state-password-file --help' ;;
    'check '*) words='--database --state --state-password-file --help' ;;
    'health '*) words='--database --state --state-password-file --help' ;;
    'restore '*) words='--database --yes --state --state-password-file --help' ;;
    'export '*) words='--database --to --header-file --server --from --until --help' ;;
    'users add') words='--users-file --state --state-password-file --role --help' ;;
    'users remove') words='--users-file --state --state-password-file --help' ;;
    'users list') words='--users-file --state --state-password-file --help' ;;
    'tokens add') words='--tokens-file --state --state-password-file --role --help' ;;
    'tokens remove') words='--tokens-file --state --state-password-file --help' ;;
    'tokens list') words='--tokens-file --state --state-password-file --help' ;;
    'enrol-keys add') words='--database --labels --expires --key-file --state --state-password-file --help' ;;
    'enrol-keys remove') words='--database --state --state-password-file --help' ;;
    'enrol-keys list') words='--database --state --state-password-file --help' ;;
    'alerts test') words='--alerts --public-url --help' ;;
    'alerts list') words='--alerts --help' ;;
    'users '*) words='add remove list' ;;
    'tokens '*) words='add remove list' ;;
    'enrol-keys '*) words='add remove list' ;;
    'alerts '*) words='test list' ;;
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
