#!/bin/sh
# Makes Rust guests buildable: finds or installs a compiler with a standard library for
# wasm32-unknown-unknown and the linker that turns cargo's output into a component, proves it on a
# small crate, and writes what it found to $WEIR_CACHE/guest-toolchain.env, which `cargo xtask
# guests` reads.
#
# Two routes, tried in this order (WEIR_GUEST_TOOLCHAIN=rustup|distribution takes only the one):
#   rustup        the rustc in PATH has the target, or `rustup target add` brings it
#   distribution  Debian's rustc-web, cargo-web and rust-web-src; std is built once from their source
#                 into a sysroot of our own in the cache
# Idempotent, and quick where the last run's answer still holds.
set -eu

target=wasm32-unknown-unknown
here=$(cd "$(dirname "$0")" && pwd)
cache=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}
answer=$cache/guest-toolchain.env
wanted=${WEIR_GUEST_TOOLCHAIN:-auto}
format=1 # of the answer; raise it when what is written or proved changes

# A shell that cargo started would lead the wrong compiler to the wrong libraries.
unset RUSTC RUSTUP_TOOLCHAIN RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER LD_LIBRARY_PATH || true

say() { echo "guest toolchain: $*" >&2; }

# The answer of the last run holds as long as it names this compiler and all files are there.
answer_holds() ( # compiler-version rustc; in a shell of its own, for the names it sets
    [ -f "$answer" ] || return 1
    cargo='' linker='' wasm_ld='' sysroot=''
    while IFS='=' read -r key value; do
        case $key in
            format) [ "$value" = "$format" ] || return 1 ;;
            compiler) [ "$value" = "$1" ] || return 1 ;;
            rustc) [ "$value" = "$2" ] || return 1 ;;
            cargo) cargo=$value ;;
            linker) linker=$value ;;
            wasm-ld) wasm_ld=$value ;;
            sysroot) sysroot=$value ;;
        esac
    done <"$answer"
    [ -x "$cargo" ] && [ -x "$linker" ] && has_std "$sysroot" &&
        { [ -z "$wasm_ld" ] || [ -x "$wasm_ld" ]; }
)

has_std() { # sysroot
    for library in "$1/lib/rustlib/$target/lib"/libstd-*.rlib; do
        [ -f "$library" ] && return 0
    done
    return 1
}

version_of() { # rustc -> "1.95.0 <commit>"
    "$1" -vV 2>/dev/null |
        awk '/^release:/ { r = $2 } /^commit-hash:/ { h = $2 } END { print r, h }'
}

find_linker() { # compiler's own sysroot
    for linker in "$1"/lib/rustlib/*/bin/wasm-component-ld; do
        if [ -x "$linker" ]; then
            echo "$linker"
            return 0
        fi
    done
    command -v wasm-component-ld || {
        say "there is no wasm-component-ld in $1"
        return 1
    }
}

is_component() { # file; its preamble says version 0d, layer 1
    [ "$(od -An -tx1 -N8 "$1" | tr -d ' \n')" = 0061736d0d000100 ]
}

# Builds a crate that needs std and checks that what comes out is a component.
prove() { # rustc linker wasm-ld sysroot
    work=$(mktemp -d)
    printf '%s\n' '#[unsafe(no_mangle)]' \
        'pub extern "C" fn probe(x: i32) -> i32 { format!("{x}").len() as i32 }' >"$work/probe.rs"
    if "$1" --edition 2024 --crate-type cdylib --target "$target" --sysroot "$4" \
        -C opt-level=s -C lto=fat -C panic=abort -C linker="$2" -C linker-flavor=wasm-ld \
        ${3:+-C link-arg=--wasm-ld-path="$3"} -o "$work/probe.wasm" "$work/probe.rs" \
        >"$work/log" 2>&1 && is_component "$work/probe.wasm"; then
        rm -rf "$work"
        return 0
    fi
    say "$1 builds no component with $2:"
    tail -n 5 "$work/log" >&2
    rm -rf "$work"
    return 1
}

write_answer() { # route version rustc cargo linker wasm-ld sysroot
    mkdir -p "$cache"
    {
        echo "format=$format"
        echo "route=$1"
        echo "compiler=$2"
        echo "rustc=$3"
        echo "cargo=$4"
        echo "linker=$5"
        echo "wasm-ld=$6"
        echo "sysroot=$7"
    } >"$answer.$$"
    mv "$answer.$$" "$answer"
    say "$1: rustc $2"
}

# Waits no longer than $1 seconds where the system can limit a command.
limited() {
    seconds=$1
    shift
    if command -v timeout >/dev/null 2>&1; then set -- timeout "$seconds" "$@"; fi
    "$@" </dev/null
}

# Asks rustup for the target, once per compiler: where its servers cannot be reached each try would
# cost the whole limit. It is short only where the distribution can step in.
add_by_rustup() { # version
    refused="$cache/rustup-refused-$(echo "$1" | tr ' ' '-')"
    [ "$wanted" = rustup ] || [ ! -f "$refused" ] || return 1
    command -v rustup >/dev/null 2>&1 || return 1
    limit=300
    if [ "$wanted" = auto ] && command -v apt-get >/dev/null 2>&1; then limit=15; fi
    say "rustup target add $target (at most $limit s)"
    if limited "$limit" rustup target add "$target" >&2; then return 0; fi
    mkdir -p "$cache"
    echo "rustup target add $target failed; remove this file to have it tried again" >"$refused"
    say "rustup did not bring the target; to try again: rustup target add $target"
    return 1
}

by_rustup() {
    command -v rustc >/dev/null 2>&1 || return 1
    own=$(rustc --print sysroot)
    rustc=$own/bin/rustc
    [ -x "$rustc" ] || rustc=$(command -v rustc)
    cargo=$own/bin/cargo
    [ -x "$cargo" ] || cargo=$(command -v cargo)
    version=$(version_of "$rustc")
    if answer_holds "$version" "$rustc"; then return 0; fi
    if ! has_std "$own"; then
        add_by_rustup "$version" || return 1
        has_std "$own" || return 1
    fi
    linker=$(find_linker "$own") || return 1
    prove "$rustc" "$linker" "" "$own" || return 1
    write_answer rustup "$version" "$rustc" "$cargo" "$linker" "" "$own"
}

# Builds std for the target into $1, all or nothing. The crate around it is empty; the embedded
# bitcode is what lets guests be linked with LTO. The crates that std needs lie beside its source.
build_std() { # sysroot
    source=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library
    say "building std for $target (once, about two minutes)"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/std-build.XXXXXX")
    mkdir "$work/src"
    : >"$work/src/lib.rs"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' \
        >"$work/Cargo.toml"
    if ! (cd "$work" && RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
        CARGO_TARGET_DIR="$work/target" CARGO_INCREMENTAL=0 \
        /usr/bin/cargo build --release --offline --target "$target" -Zbuild-std=std,panic_abort \
        --config 'source.crates-io.replace-with="std-vendor"' \
        --config "source.std-vendor.directory=\"$source/vendor\"" >"$work/log" 2>&1); then
        tail -n 20 "$work/log" >&2
        say "std could not be built, see $work/log"
        return 1
    fi
    libraries=$work/sysroot/lib/rustlib/$target/lib
    mkdir -p "$libraries" &&
        cp "$work/target/$target/release/deps"/*.rlib "$libraries/" &&
        rm -f "$libraries"/libempty-*.rlib &&
        rm -rf "$1" && mv "$work/sysroot" "$1" || return 1
    rm -rf "$work"
}

by_distribution() {
    rustc=/usr/bin/rustc
    if [ -x "$rustc" ] && answer_holds "$(version_of "$rustc")" "$rustc"; then return 0; fi
    if ! dpkg -s rustc-web cargo-web rust-web-src rust-web-llvm >/dev/null 2>&1; then
        sh "$here/apt-install.sh" rustc-web cargo-web rust-web-src rust-web-llvm || return 1
    fi
    # rust-lld is a link into a package that these do not ask for.
    lld=$(readlink /usr/bin/rust-lld) || return 1
    lld=${lld##*/}
    wasm_ld=/usr/bin/wasm-ld${lld#lld}
    [ -x "$wasm_ld" ] || sh "$here/apt-install.sh" "$lld" || return 1
    version=$(version_of "$rustc")
    sysroot=$cache/guest-sysroot-$(echo "$version" | tr ' ' '-')
    linker=$(find_linker "$("$rustc" --print sysroot)") || return 1
    has_std "$sysroot" || build_std "$sysroot" || return 1
    prove "$rustc" "$linker" "$wasm_ld" "$sysroot" || return 1
    write_answer distribution "$version" "$rustc" /usr/bin/cargo "$linker" "$wasm_ld" "$sysroot"
}

case $wanted in
    auto) by_rustup || by_distribution || status=1 ;;
    rustup) by_rustup || status=1 ;;
    distribution) by_distribution || status=1 ;;
    *)
        say "WEIR_GUEST_TOOLCHAIN is '$wanted'; it may be auto, rustup or distribution"
        exit 2
        ;;
esac
if [ "${status:-0}" != 0 ]; then
    say "none found. With the network: rustup target add $target, then ./jw setup."
    say "On Debian 12 or later: apt-get install rustc-web cargo-web rust-web-src, then ./jw setup."
    exit 1
fi
