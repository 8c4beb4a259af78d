#!/bin/sh
# Writes src/bindings.rs anew from the contract in wit/, or with --check says whether it is up to date.
#
# Needs the generator in the version that Cargo.toml names for `wit-bindgen`:
#   cargo install wit-bindgen-cli --version 0.63.0 --locked --no-default-features --features rust
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"${WIT_BINDGEN:-wit-bindgen}" rust ../../wit --world operator --out-dir "$out" --format \
    --pub-export-macro --default-bindings-module '$crate::bindings' \
    --additional-derive-attributes Clone --additional-derive-attributes PartialEq >/dev/null

if [ "${1:-}" = "--check" ]; then
    cmp "$out/operator.rs" src/bindings.rs
else
    cp "$out/operator.rs" src/bindings.rs
fi
