#!/bin/sh
# Installs packages of the distribution: `apt-install.sh PACKAGE...`, without a question, as root or
# by sudo. The package lists are fetched only where the first try fails (a fresh machine has none,
# an old one stale ones), so that a run with good lists costs one call. Nothing is removed for it:
# where packages conflict it fails. Exit 1 with the command to type where it cannot.
set -eu

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: this system has no apt-get; install what corresponds to: $*" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root="sudo env"
else
    echo "setup: neither root nor sudo; ask for: apt-get install $*" >&2
    exit 1
fi

apt() {
    # shellcheck disable=SC2086 # as_root is two words on purpose
    $as_root DEBIAN_FRONTEND=noninteractive apt-get -qq --no-remove -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "setup: installing $*" >&2
if apt install -y "$@" >"$log" 2>&1; then exit 0; fi
echo "setup: fetching the package lists" >&2
apt update >"$log" 2>&1 || true # one broken list must not stop us: the install tells
if apt install -y "$@" >"$log" 2>&1; then exit 0; fi
tail -n 20 "$log" >&2
echo "setup: failed: apt-get install $*" >&2
exit 1
