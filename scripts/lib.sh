# Shared by the scripts of this folder: messages, and what a machine is.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export root

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

fail() {
  printf 'cx: %s\n' "$*" >&2
  exit 1
}

# require_debian WHAT BY_HAND: installing needs Debian's packages and root; else one message, what to do by hand.
require_debian() {
  [ -r /etc/debian_version ] && command -v apt-get > /dev/null ||
    fail "$1 is missing, and this is not Debian or Ubuntu; $2"
  [ "$(id -u)" = 0 ] || fail "$1 is missing, and installing it needs root; run this as root, or $2"
}

apt_install() {
  [ -n "${apt_updated:-}" ] || {
    apt-get update -qq -o DPkg::Lock::Timeout=300 > /dev/null ||
      fail "Debian's packages are not reachable; connect this machine to a network, or install by hand: $*"
    apt_updated=1
  }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" \
    > /tmp/cx-apt.log 2>&1 || {
    tail -n 5 /tmp/cx-apt.log >&2
    fail "apt-get could not install: $*"
  }
}

# debian_suite SUITE: its packages are known to apt, and chosen only when asked for.
debian_suite() {
  local from to=/etc/apt/sources.list.d/cx-$1.sources
  [ -f "$to" ] && return
  from=$(grep -ls '^URIs:' /etc/apt/sources.list.d/debian.sources || true)
  if [ -n "$from" ]; then
    awk -v suite="$1" 'BEGIN { RS = ""; ORS = "\n\n" } !/-security/ { gsub(/Suites:[^\n]*/, "Suites: " suite); print }' \
      "$from" > "$to"
  else
    awk -v suite="$1" '/^deb / && !/-security|-updates/ { sub(/^deb (\[[^]]*\] )?/, ""); print $1; exit }' \
      /etc/apt/sources.list | { read -r uri && printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$1" > "$to"; }
  fi
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$1" > "/etc/apt/preferences.d/cx-$1"
  unset apt_updated
}
