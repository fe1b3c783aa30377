#!/bin/sh
# Installs a program of a release of FunctionalAgent: `sh install.sh --help` lists what it takes, docs/install.md says more. It asks nothing.
#
# What is fetched is held against the release's SHA256SUMS before anything is installed.
set -eu

# Of the release that this file belongs to.
release=0.0.0

usage() {
  cat <<'END'
USAGE: install.sh [OPTION ...]

  --url URL          folder of the release: http, https, file, or a path
                     (default: the folder of this file, where SHA256SUMS is in it)
  --program NAME     ai-dashboard-agent (default) or ai-dashboard
  --format FORMAT    deb, rpm or tar (default: what this machine's package manager takes, else tar)
  --prefix DIRECTORY where tar is unpacked (default: /usr/local)
  --uninstall        removes the program; configuration and data stay
  --purge            with --uninstall: removes configuration, tokens and data too
  --dry-run          says what would be done, and does none of it
  --version          prints the release that this file belongs to
  --help, -h         prints this
END
}

say() {
  echo "install.sh: $*"
}

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

refuse() {
  echo "install.sh: $*; see install.sh --help" >&2
  exit 2
}

url=
program=ai-dashboard-agent
format=
prefix=/usr/local
has_prefix=
action=install
purge=
dry=

while [ $# -gt 0 ]; do
  option=${1%%=*}
  case $1 in
    --url=* | --program=* | --format=* | --prefix=*) value=${1#*=} ;;
    --url | --program | --format | --prefix)
      [ $# -ge 2 ] || refuse "$1 needs a value"
      value=$2
      shift
      ;;
    --uninstall | --purge | --dry-run | --version | --help | -h) value= ;;
    *) refuse "\"$1\" is not an option" ;;
  esac
  case $option in
    --url) url=$value ;;
    --program) program=$value ;;
    --format) format=$value ;;
    --prefix)
      prefix=$value
      has_prefix=yes
      ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    --dry-run) dry=yes ;;
    --version)
      echo "install.sh $release"
      exit 0
      ;;
    --help | -h)
      usage
      exit 0
      ;;
  esac
  shift
done

case $program in
  ai-dashboard-agent | ai-dashboard) ;;
  *) refuse "--program: \"$program\" is neither ai-dashboard-agent nor ai-dashboard" ;;
esac
case $format in
  '' | deb | rpm | tar) ;;
  *) refuse "--format: \"$format\" is not deb, rpm or tar" ;;
esac
case $prefix in
  /*) prefix=${prefix%/} ;;
  *) refuse "--prefix: \"$prefix\" is not an absolute path" ;;
esac
[ -z "$purge" ] || [ $action = uninstall ] || refuse "--purge needs --uninstall"
[ -z "$has_prefix" ] || [ -z "$format" ] || [ "$format" = tar ] || refuse "--prefix needs --format tar: a $format knows its own places"
# A prefix is a wish for the archive.
[ -z "$has_prefix" ] || format=tar

has() {
  command -v "$1" >/dev/null 2>&1
}

# What is run is shown; with --dry-run that is all.
act() {
  if [ -n "$dry" ]; then
    say "would run: $*"
  else
    "$@"
  fi
}

[ -n "$dry" ] || [ "$(id -u)" -eq 0 ] || fail "needs root; run it with sudo"

variables=/etc/default/$program
secrets=/etc/$program
record=$prefix/share/$program/installed-files
units="$program.service"
[ "$program" = ai-dashboard-agent ] || units="$units $program-backup.service $program-backup.timer"

booted() {
  [ -d /run/systemd/system ] && has systemctl
}

# Without a receiver, a slug and a token the agent could only fail; the dashboard needs nothing.
configured() {
  [ "$program" = ai-dashboard ] || {
    grep -Eq '^[[:space:]]*AI_DASHBOARD_HOST=.' "$variables" 2>/dev/null &&
      { grep -Eq '^[[:space:]]*AI_DASHBOARD_ENROL_KEY_FILE=.' "$variables" 2>/dev/null ||
        { grep -Eq '^[[:space:]]*AI_DASHBOARD_SERVER_SLUG=.' "$variables" 2>/dev/null &&
          { grep -q '[^[:space:]]' "$secrets/ingest-token" 2>/dev/null ||
            grep -Eq '^[[:space:]]*AI_DASHBOARD_TOKEN(_FILE)?=.' "$variables" 2>/dev/null; }; }; }
  }
}

by_deb() {
  has dpkg-query || return 1
  case $(dpkg-query --show --showformat='${db:Status-Status}' "$program" 2>/dev/null) in
    installed) ;;
    # Removed before, and not purged.
    config-files) [ -n "$purge" ] ;;
    *) return 1 ;;
  esac
}
by_rpm() {
  has rpm && rpm --query "$program" >/dev/null 2>&1
}

# ---- Removal

remove_tar() {
  if booted; then
    # shellcheck disable=SC2086
    act systemctl disable --now $units || true
  fi
  # Folders after what is in them, the list's own among them; those that others use stay.
  paths=$(sort -r "$record")
  act rm -f "$record"
  [ -n "$dry" ] || rmdir "$(dirname "$record")" 2>/dev/null || true
  echo "$paths" | while read -r path; do
    if [ -n "$dry" ]; then
      say "would remove $path"
    elif [ -d "$path" ] && [ ! -L "$path" ]; then
      rmdir "$path" 2>/dev/null || true
    else
      rm -f "$path"
    fi
  done
  if booted; then
    act systemctl daemon-reload
  fi
}

remove_rpm() {
  # rpm takes configuration that was not changed along with the program.
  kept=
  if [ -z "$purge" ] && [ -z "$dry" ] && [ -f "$variables" ]; then
    kept=$(mktemp)
    cp -p "$variables" "$kept"
  fi
  act rpm --erase "$program"
  if [ -n "$kept" ]; then
    cp -p "$kept" "$variables"
    rm -f "$kept" "$variables.rpmsave"
  fi
}

if [ $action = uninstall ]; then
  found=
  if by_deb; then
    found=yes
    if has apt-get; then
      act env DEBIAN_FRONTEND=noninteractive apt-get "$([ -n "$purge" ] && echo purge || echo remove)" --yes "$program"
    else
      act dpkg "$([ -n "$purge" ] && echo --purge || echo --remove)" "$program"
    fi
  fi
  if by_rpm; then
    found=yes
    remove_rpm
  fi
  if [ -f "$record" ]; then
    found=yes
    remove_tar
  fi
  if [ -n "$purge" ]; then
    for path in "$variables" "$variables.rpmsave" "$secrets" "/var/lib/$program" "/var/lib/private/$program"; do
      if [ -e "$path" ]; then
        found=yes
        act rm -rf "$path"
      fi
    done
  fi
  [ -n "$found" ] || {
    say "$program is not installed; there is nothing to remove"
    exit 0
  }
  if [ -n "$dry" ]; then
    :
  elif [ -n "$purge" ]; then
    say "$program is removed, with configuration and data"
  else
    say "$program is removed; its configuration is still in $variables and $secrets, which --uninstall --purge removes too"
  fi
  exit 0
fi

# ---- What fits this machine

case $(uname -s) in
  Linux) ;;
  *) fail "the programs run on Linux, and this is $(uname -s)" ;;
esac
case $(uname -m) in
  x86_64 | amd64) runtime=linux-x64 deb=amd64 rpm=x86_64 ;;
  aarch64 | arm64) runtime=linux-arm64 deb=arm64 rpm=aarch64 ;;
  *) fail "there are programs for x86_64 and aarch64, and this machine is $(uname -m); build them from the source" ;;
esac
[ -n "$format" ] ||
  if has dpkg && [ -d /var/lib/dpkg/info ]; then
    format=deb
  elif has rpm && { has dnf || has yum || has zypper || [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; }; then
    format=rpm
  else
    format=tar
  fi

if [ -z "$url" ]; then
  url=$(cd "$(dirname "$0")" 2>/dev/null && pwd) || url=
  [ -f "$url/SHA256SUMS" ] || refuse "--url is missing: beside this file there is no SHA256SUMS that would say which files the release has"
fi
url=${url%/}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # fetch NAME
  case $url in
    http://* | https://*)
      # A name may have characters that an address must escape.
      escaped=$(echo "$1" | sed 's/+/%2B/g; s/~/%7E/g')
      if has curl; then
        curl --fail --silent --show-error --location --retry 3 --max-time 600 --output "$work/$1" "$url/$escaped" 2>"$work/error"
      elif has wget; then
        wget --quiet --tries=3 --timeout=60 --output-document="$work/$1" "$url/$escaped" 2>"$work/error"
      else
        fail "needs curl or wget to fetch $url/$1; install one of them, or fetch the release yourself and give its folder as --url"
      fi
      ;;
    file://*) cp "${url#file://}/$1" "$work/$1" 2>"$work/error" ;;
    *://*) refuse "--url: \"$url\" is neither http, https, file nor a path" ;;
    *) cp "$url/$1" "$work/$1" 2>"$work/error" ;;
  esac || fail "$url/$1 cannot be fetched: $(tail -n 1 "$work/error"); check --url"
}

fetch SHA256SUMS
case $format in
  deb) pattern="${program}_[^/]*_$deb\\.deb" ;;
  rpm) pattern="$program-[0-9][^/]*\\.$rpm\\.rpm" ;;
  tar) pattern="$program-[0-9][^/]*-$runtime\\.tar\\.gz" ;;
esac
file=$(sed -n "s|^[0-9a-f]\\{64\\}  \\($pattern\\)\$|\\1|p" "$work/SHA256SUMS")
case $file in
  '') fail "the release at $url has no $format of $program for $(uname -m); SHA256SUMS there lists what it has, and --format takes another kind" ;;
  *"
"*) fail "SHA256SUMS at $url lists more than one $format of $program, so it is not that of one release; get it again from where the release is" ;;
esac
expected=$(sed -n "s|^\\([0-9a-f]\\{64\\}\\)  $(echo "$file" | sed 's/[.]/\\&/g')\$|\\1|p" "$work/SHA256SUMS")

if [ -n "$dry" ]; then
  say "would fetch $url/$file, and install it if its checksum is $expected"
else
  fetch "$file"
  found=$(sha256sum "$work/$file" | cut -d ' ' -f 1)
  [ "$found" = "$expected" ] ||
    fail "$file from $url is not the file of the release: its checksum is $found, and SHA256SUMS says $expected; nothing was installed, fetch it again, and do not use it if that stays so"
fi

# ---- Installation

install_deb() {
  # apt brings what the package depends on, and drops its privileges to fetch that.
  chmod 755 "$work"
  [ -n "$dry" ] || chmod 644 "$work/$file"
  if has apt-get; then
    act env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold "$work/$file"
  else
    act dpkg --install "$work/$file"
  fi
}

install_rpm() {
  if has dnf; then
    act dnf install --assumeyes --nogpgcheck "$work/$file"
  elif has yum; then
    act yum install --assumeyes --nogpgcheck "$work/$file"
  elif has zypper; then
    act zypper --non-interactive install --allow-unsigned-rpm "$work/$file"
  else
    act rpm --upgrade --replacepkgs "$work/$file"
  fi
}

# Copies a file of the archive, and remembers it.
put() { # put MODE SOURCE TARGET
  folder=$(dirname "$3")
  # Folders that are made here go when they are empty.
  missing=
  while [ ! -d "$folder" ]; do
    missing="$folder
$missing"
    folder=$(dirname "$folder")
  done
  printf '%s' "$missing" | while read -r made; do
    [ -z "$made" ] || {
      mkdir -m 755 "$made"
      echo "$made" >>"$work/installed"
    }
  done
  # Under another name first: a program that runs cannot be written over.
  cp "$2" "$3.new"
  chmod "$1" "$3.new"
  mv -f "$3.new" "$3"
  echo "$3" >>"$work/installed"
}

install_tar() {
  top=${file%.tar.gz}
  source=$work/$top
  if [ -n "$dry" ]; then
    say "would unpack $file to $prefix, with its units in /etc/systemd/system and its variables in $variables"
    return
  fi
  tar -xzf "$work/$file" -C "$work"
  "$source/$program" --version >"$work/said" 2>&1 ||
    fail "$program does not run on this machine: $(head -n 1 "$work/said"); it needs glibc 2.34 or newer, see docs/install.md"
  [ ! -f "$record" ] || cp "$record" "$work/before"
  if [ "$program" = ai-dashboard-agent ]; then
    put 755 "$source/$program" "$prefix/bin/$program"
    services=$source
  else
    (cd "$source" && find . -type f -not -path './completions/*' -not -path './systemd/*' -not -name '*.md' -not -name LICENSE \
      -not -name THIRD-PARTY-NOTICES.txt -not -name '*.8') | sort >"$work/files"
    while read -r path; do
      path=${path#./}
      mode=644
      [ ! -x "$source/$path" ] || mode=755
      put $mode "$source/$path" "$prefix/lib/$program/$path"
    done <"$work/files"
    mkdir -p "$prefix/bin"
    ln -sfn "../lib/$program/$program" "$prefix/bin/$program"
    echo "$prefix/bin/$program" >>"$work/installed"
    services=$source/systemd
  fi
  for document in README.md CHANGELOG.md LICENSE THIRD-PARTY-NOTICES.txt; do
    put 644 "$source/$document" "$prefix/share/doc/$program/$document"
  done
  put 644 "$source/$program.8" "$prefix/share/man/man8/$program.8"
  put 644 "$source/completions/$program.bash" "$prefix/share/bash-completion/completions/$program"
  put 644 "$source/completions/$program.zsh" "$prefix/share/zsh/site-functions/_$program"
  put 644 "$source/completions/$program.fish" "$prefix/share/fish/vendor_completions.d/$program.fish"
  if has systemctl || [ -d /etc/systemd/system ]; then
    for unit in $units; do
      # systemd looks for programs in its own folders alone.
      sed "s|^ExecStart=$program|ExecStart=$prefix/bin/$program|" "$services/$unit" >"$work/$unit"
      put 644 "$work/$unit" "/etc/systemd/system/$unit"
    done
  fi
  [ -e "$variables" ] || install_variables
  [ -d "$secrets" ] || mkdir -m 700 "$secrets"
  if [ "$program" = ai-dashboard ] && ! grep -q '^ai-dashboard:' /etc/passwd; then
    if has useradd; then
      useradd --system --user-group --home-dir /var/lib/ai-dashboard --no-create-home --shell /usr/sbin/nologin ai-dashboard
    else
      say "there is no useradd here: make the user ai-dashboard, whom the service runs as, yourself"
    fi
  fi
  if [ "$program" = ai-dashboard ] && grep -q '^ai-dashboard:' /etc/passwd; then
    for folder in /var/lib/ai-dashboard /var/backups/ai-dashboard; do
      [ -d "$folder" ] || {
        mkdir -p "$folder"
        chmod 700 "$folder"
        chown ai-dashboard:ai-dashboard "$folder"
      }
    done
  fi
  # What an older release had and this one has not goes.
  if [ -f "$work/before" ]; then
    sort -r "$work/before" | while read -r path; do
      grep -Fqx "$path" "$work/installed" || {
        if [ -d "$path" ] && [ ! -L "$path" ]; then
          # Made by the first installation, and still in use.
          if ! rmdir "$path" 2>/dev/null; then echo "$path" >>"$work/installed"; fi
        else
          rm -f "$path"
        fi
      }
    done
  fi
  mkdir -p "$(dirname "$record")"
  sort -u "$work/installed" >"$record"
  if booted; then
    systemctl daemon-reload
    # shellcheck disable=SC2086
    if [ -f "$work/before" ]; then
      systemctl try-restart $units || true
    elif configured; then
      systemctl enable --now "$(echo "$units" | cut -d ' ' -f 1)" || true
      [ "$program" = ai-dashboard-agent ] || systemctl enable --now $program-backup.timer || true
    fi
  fi
}

install_variables() {
  mkdir -p "$(dirname "$variables")"
  cp "$services/default" "$variables"
  chmod 644 "$variables"
}

case $format in
  deb) install_deb ;;
  rpm) install_rpm ;;
  tar) install_tar ;;
esac

[ -z "$dry" ] || exit 0
if configured; then
  say "$program is installed from $file"
else
  say "$program is installed from $file, and not started, because it is not configured yet: put AI_DASHBOARD_HOST and AI_DASHBOARD_SERVER_SLUG into $variables and the ingest token into $secrets/ingest-token, then: systemctl enable --now $program"
fi
