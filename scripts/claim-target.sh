#!/bin/sh
# Marks cargo's target folder as last used by this clone. Clones share the folder, so that
# dependencies are built once, but cargo tells their crates of ours apart by time stamps alone: a
# clone whose files are older than the other's last build would be given the other's program. So
# where the last user was another clone, what cargo remembers of the crates of this one is dropped;
# dependencies stay.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
target=${CARGO_TARGET_DIR:?}
mark=$target/.last-clone

if [ -f "$mark" ] && [ "$(cat "$mark")" = "$root" ]; then exit 0; fi
mkdir -p "$target"
find "$root" -name Cargo.toml -not -path '*/target/*' \
    -exec sed -n 's/^name *= *"\([^"]*\)".*/\1/p' {} + | sort -u |
    while read -r crate; do
        # debug/, guest-sdk/debug/, guests/wasm32-unknown-unknown/release/
        for folder in "$target"/* "$target"/*/* "$target"/*/*/*; do
            [ ! -d "$folder/.fingerprint" ] || rm -rf "$folder/.fingerprint/$crate"-*
        done
    done
echo "$root" >"$mark"
