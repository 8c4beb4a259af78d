#!/bin/sh
# Writes the bindings in src/ anew from the contract in wit/, or with --check says whether they are up
# to date. The optional interfaces have bindings of their own, so that a component exports only those
# it asks for.
#
# Needs the generator in the version that Cargo.toml names for `wit-bindgen`:
#   cargo install wit-bindgen-cli --version 0.63.0 --locked --no-default-features --features rust
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

generate() { # world, module
    "${WIT_BINDGEN:-wit-bindgen}" rust ../../wit --world "$1" --out-dir "$out" --format \
        --pub-export-macro --default-bindings-module "\$crate::$2" \
        --additional-derive-attributes Clone --additional-derive-attributes PartialEq >/dev/null
}
generate operator bindings
generate checkpointed-part checkpointed_bindings
generate evolving-part evolving_bindings
generate timed-part timed_bindings
generate keyed-broadcast-part keyed_broadcast_bindings
generate aggregate-part aggregate_bindings
generate window-function-part window_function_bindings
generate trigger-part trigger_bindings
generate join-part join_bindings
generate enrich-part enrich_bindings

if [ "${1:-}" = "--check" ]; then
    cmp "$out/operator.rs" src/bindings.rs
    cmp "$out/checkpointed_part.rs" src/checkpointed_bindings.rs
    cmp "$out/evolving_part.rs" src/evolving_bindings.rs
    cmp "$out/timed_part.rs" src/timed_bindings.rs
    cmp "$out/keyed_broadcast_part.rs" src/keyed_broadcast_bindings.rs
    cmp "$out/aggregate_part.rs" src/aggregate_bindings.rs
    cmp "$out/window_function_part.rs" src/window_function_bindings.rs
    cmp "$out/trigger_part.rs" src/trigger_bindings.rs
    cmp "$out/join_part.rs" src/join_bindings.rs
    cmp "$out/enrich_part.rs" src/enrich_bindings.rs
else
    cp "$out/operator.rs" src/bindings.rs
    cp "$out/checkpointed_part.rs" src/checkpointed_bindings.rs
    cp "$out/evolving_part.rs" src/evolving_bindings.rs
    cp "$out/timed_part.rs" src/timed_bindings.rs
    cp "$out/keyed_broadcast_part.rs" src/keyed_broadcast_bindings.rs
    cp "$out/aggregate_part.rs" src/aggregate_bindings.rs
    cp "$out/window_function_part.rs" src/window_function_bindings.rs
    cp "$out/trigger_part.rs" src/trigger_bindings.rs
    cp "$out/join_part.rs" src/join_bindings.rs
    cp "$out/enrich_part.rs" src/enrich_bindings.rs
fi
