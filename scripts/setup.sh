#!/bin/sh
# Installs what this machine lacks to build and test Weir, and nothing else; quick when all is
# there. Needed: cargo, a C and a C++ compiler, and libclang (for bindings to RocksDB). Wanted:
# ccache, and valgrind, which counts instructions. Guests: their toolchain.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: there is no cargo in PATH; install Rust 1.95 or later (rustup is the usual way)" >&2
    exit 1
fi

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    for library in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib*/libclang*.so* /usr/local/lib/libclang*.so* \
        /opt/homebrew/opt/llvm/lib/libclang.dylib /Library/Developer/CommandLineTools/usr/lib/libclang.dylib; do
        case $library in *-cpp*) continue ;; esac
        [ -e "$library" ] && return 0
    done
    return 1
}

needed=
command -v cc >/dev/null 2>&1 || needed="gcc libc6-dev"
command -v c++ >/dev/null 2>&1 || needed="$needed g++"
has_libclang || needed="$needed libclang-dev"
wanted=
command -v ccache >/dev/null 2>&1 || wanted="ccache"
command -v valgrind >/dev/null 2>&1 || wanted="$wanted valgrind"

if [ -n "$needed$wanted" ]; then
    # shellcheck disable=SC2086 # lists of words
    if ! sh "$here/apt-install.sh" $needed $wanted; then
        if [ -n "$needed" ]; then exit 1; fi
        echo "setup: going on without: $wanted (slower builds without ccache, no ./jw guard without valgrind)" >&2
    fi
fi

sh "$here/guest-toolchain.sh"
