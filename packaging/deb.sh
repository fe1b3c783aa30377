# What both packages have in common, for package.sh and package-dashboard.sh, which set `name` and `parts` (the folder with what is Debian's own) and read this
# with their six arguments: WHAT VERSION DEBIAN_VERSION RUNTIME DOCUMENTS DIRECTORY. RUNTIME is linux-x64 or linux-arm64; DOCUMENTS is what build/Release/Documents.fs
# wrote for it. Needs dpkg-dev, binutils and gzip. SOURCE_DATE_EPOCH is the time that all files get, so that the same commit gives the same bytes.
# shellcheck shell=sh
script=$(basename "$0")
version=$2
debian=$3
runtime=$4
documents=$5
target=$6

for tool in dpkg-deb dpkg-shlibdeps dpkg-architecture readelf gzip tar; do
  command -v "$tool" >/dev/null || {
    echo "Package needs $tool; on Debian and Ubuntu: apt-get install dpkg-dev gzip" >&2
    exit 1
  }
done

: "${SOURCE_DATE_EPOCH:?$script needs SOURCE_DATE_EPOCH}"
export SOURCE_DATE_EPOCH

case $runtime in
  linux-x64) architecture=amd64 ;;
  linux-arm64) architecture=arm64 ;;
  *)
    echo "$script knows no Debian architecture for $runtime" >&2
    exit 1
    ;;
esac
maintainer=maintainers@functional-agent.example
mkdir -p "$target"
target=$(cd "$target" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/deb

put() { # put MODE SOURCE PATH
  install -D -m "$1" "$2" "$stage/$3"
}

put_common() { # put_common DOCUMENT…: settings, manual, completions, and the documents of docs/
  put 644 "$parts/default" "etc/default/$name"
  install -d -m 700 "$stage/etc/$name"
  put 644 "$documents/$name.8" "usr/share/man/man8/$name.8"
  put 644 "$here/completions/$name.bash" "usr/share/bash-completion/completions/$name"
  put 644 "$here/completions/$name.zsh" "usr/share/zsh/vendor-completions/_$name"
  put 644 "$here/completions/$name.fish" "usr/share/fish/vendor_completions.d/$name.fish"
  put 644 "$parts/lintian-overrides" "usr/share/lintian/overrides/$name"
  put 644 "$documents/CHANGELOG.md" "usr/share/doc/$name/changelog"
  put 644 "$documents/README.md" "usr/share/doc/$name/README.md"
  for document; do
    put 644 "$here/../docs/$document.md" "usr/share/doc/$name/$document.md"
  done
  put 644 "$documents/THIRD-PARTY-NOTICES.txt" "usr/share/doc/$name/THIRD-PARTY-NOTICES.txt"
  # Debian keeps licences in this file, that of the package included, and wants no LICENSE beside it.
  put 644 "$documents/copyright" "usr/share/doc/$name/copyright"

  {
    printf '%s (%s) stable; urgency=medium\n\n' "$name" "$debian"
    printf '  * Release %s; what changed stands in changelog.gz.\n\n' "$version"
    printf ' -- FunctionalAgent contributors <%s>  %s\n' "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
  } >"$work/changelog.Debian"
  put 644 "$work/changelog.Debian" "usr/share/doc/$name/changelog.Debian"

  gzip -9n "$stage/usr/share/man/man8/$name.8" "$stage/usr/share/doc/$name/changelog" "$stage/usr/share/doc/$name/changelog.Debian" \
    "$stage/usr/share/doc/$name/README.md" "$stage/usr/share/doc/$name/THIRD-PARTY-NOTICES.txt"
}

is_own_architecture() {
  [ "$architecture" = "$(dpkg-architecture -qDEB_HOST_ARCH)" ]
}

libraries_of() { # libraries_of OPTION-OR-FILE…: what dpkg-shlibdeps finds, for this machine's own architecture
  mkdir "$work/debian"
  printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$name" "$name" >"$work/debian/control"
  (cd "$work" && dpkg-shlibdeps -O "$@" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
}

glibc_of() { # glibc_of FILE…: the newest version of glibc that they ask for
  for file; do
    readelf --version-info "$file" | grep -o 'GLIBC_[0-9.]*' || true
  done | sed 's/GLIBC_//' | sort -V | tail -n 1
}

build() { # build LIBRARIES FURTHER-DEPENDENCIES
  [ -n "$1" ] || {
    echo "$script found no library that $name depends on" >&2
    exit 1
  }
  # By Debian's rule, which does not depend on the file system: each file in whole KiB, and one for everything else.
  size=$(find "$stage" -type f -printf '%s\n' -o -printf '1\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')

  install -d -m 755 "$stage/DEBIAN"
  sed -e "s/@VERSION@/$debian/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@MAINTAINER@/$maintainer/" \
    -e "s/@DEPENDS@/$1, $2/" "$parts/control.in" >"$stage/DEBIAN/control"
  printf '/etc/default/%s\n' "$name" >"$stage/DEBIAN/conffiles"
  install -m 755 "$parts/postinst" "$parts/prerm" "$parts/postrm" "$stage/DEBIAN/"
  (cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$work/md5sums"
  install -m 644 "$work/md5sums" "$stage/DEBIAN/md5sums"
  find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$stage" "$target/${name}_${debian}_$architecture.deb" >/dev/null
}
