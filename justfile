# The front door. `./jw` runs this with a `just` that it finds or installs.

set shell := ["sh", "-eu", "-c"]

# What is built and fetched lies outside the clone, so that another clone and CI may use it again.
export WEIR_CACHE := env('WEIR_CACHE', env('XDG_CACHE_HOME', home_directory() / '.cache') / 'weir')
export CARGO_TARGET_DIR := env('CARGO_TARGET_DIR', WEIR_CACHE / 'target')

# C and C++ of dependencies is compiled once, whatever cargo forgets.
ccache := `command -v ccache || true`
export CC := env('CC', if ccache == '' { 'cc' } else { 'ccache cc' })
export CXX := env('CXX', if ccache == '' { 'c++' } else { 'ccache c++' })

# A recipe that comes after `setup` runs in a `just` of its own, which sees what setup has
# installed.
then := quote(just_executable()) + ' --justfile ' + quote(justfile()) + ' --no-deps'

clippy := 'cargo clippy --workspace --all-targets --all-features'
clippy_guests := clippy + ' --target-dir ' + quote(CARGO_TARGET_DIR / 'guest-sdk') + ' --manifest-path'

on_postgres := '--features weir-connector-postgres/server,weir-tests/postgres --test server --test postgres'
on_s3 := '--features weir-snapshot-store-s3/server,weir-tests/s3 --test bucket --test s3'

simulation := 'cargo test --release --quiet -p weir-checkpoint --lib -- --nocapture simulation::every'

[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Weir at work: real flights, killed in the middle, exactly once (--help tells the options)
demo *options: setup
    @{{ then }} _demo {{ options }}

# The job again and again, killed at random moments until it is done (--help tells the options)
crash *options: setup
    @{{ then }} _crash {{ options }}

# All tests, guests and tools included; prints how many passed
test: setup
    @{{ then }} _test

# The PostgreSQL sinks on a real server, which is started for it and stopped again
test-postgres: setup
    @{{ then }} _test-postgres

# Checkpoints in a bucket, on a real server, which is started for it and stopped again
test-s3: setup
    @{{ then }} _test-s3

# Checkpoints under random faults, other schedules every day; prints what failed, by seed
simulate schedules='100000' first_seed='': setup
    @first={{ quote(first_seed) }}; days=$(( $(date +%s) / 86400 )); \
    WEIR_SCHEDULES={{ quote(schedules) }} \
    WEIR_FIRST_SEED="${first:-$(( days * {{ schedules }} ))}" {{ simulation }}

# Whole jobs on both backends, each with something that fails; prints the seed of one that goes wrong
jobs count='1000' first_seed='': setup
    @days=$(( $(date +%s) / 86400 )); first={{ quote(first_seed) }}; \
    WEIR_JOBS={{ quote(count) }} WEIR_FIRST_SEED="${first:-$(( days * {{ count }} ))}" \
        cargo test --release --quiet -p weir-state-rocksdb --test jobs

# One of these schedules again, telling everything that happens
replay seed: setup
    @WEIR_SEED={{ quote(seed) }} {{ simulation }}

# Install what is missing (idempotent)
setup:
    @sh scripts/setup.sh
    @sh scripts/claim-target.sh

# The program `weir`, and all crates
build: setup
    @{{ then }} _build

# The example guests, as components
guests: setup
    @cargo xtask guests

# Formatting, clippy, and the rules of the house
lint: setup
    @{{ then }} _lint

# Speed, size and start-up of the release build, as a table for the README
figures *options: setup
    @cargo xtask figures {{ options }}

# What a row costs, native and as a component, in one run (--help tells the options)
bench *options: setup
    @{{ then }} _bench {{ options }}

# Weir beside Apache Flink, which is fetched the first time; needs Java 17 (--help tells the options)
bench-peer *options: setup
    @{{ then }} _bench-peer {{ options }}

# What a call into a guest costs, and its access to state (--write FILE puts the table there)
bench-boundary *options: setup
    @{{ then }} _bench-boundary {{ options }}

# Instructions of core paths, compared with those that are kept (--write keeps them; --only, --repeats)
guard *options: setup
    @{{ then }} _guard {{ options }}

# Rows a second into a table of PostgreSQL, by each way there is, on a server that is started for it
bench-postgres rows='2000000': setup
    @cargo build --release --package weir-host
    @sh scripts/postgres.sh run sh scripts/postgres-rows.sh \
        {{ quote(CARGO_TARGET_DIR / 'release/weir') }} {{ quote(rows) }}

# Format all Rust sources
fmt:
    cargo fmt --all
    cargo fmt --all --manifest-path guest-sdk/rust/Cargo.toml
    cargo fmt --all --manifest-path guest-examples/Cargo.toml

# The API documentation of all crates
doc: setup
    cargo doc --workspace --no-deps

# What CI runs: all steps, so that one that fails hides nothing, and the tests last
ci: setup
    @failed=; \
    for step in lint build guard demo crash test-postgres test-s3; do {{ then }} $step || failed="$failed $step"; done; \
    ./jw test || failed="$failed test"; \
    if [ -n "$failed" ]; then echo "ci: failed:$failed" >&2; exit 1; fi

[private]
_build:
    cargo build --workspace --bins

[private]
_lint:
    @failed=; \
    check() { echo "$*" >&2; "$@" || failed=yes; }; \
    check cargo fmt --all --check; \
    check cargo fmt --all --check --manifest-path guest-sdk/rust/Cargo.toml; \
    check cargo fmt --all --check --manifest-path guest-examples/Cargo.toml; \
    check {{ clippy }} -- -D warnings; \
    check {{ clippy_guests }} guest-sdk/rust/Cargo.toml -- -D warnings; \
    check {{ clippy_guests }} guest-examples/Cargo.toml -- -D warnings; \
    check cargo xtask tidy; \
    [ -z "$failed" ]

[private]
_demo *options:
    @cargo xtask guests
    @cargo build --workspace --bins
    @cargo xtask demo {{ options }}

[private]
_crash *options:
    @cargo xtask guests
    @cargo build --workspace --bins
    @cargo xtask crash {{ options }}

[private]
_bench *options:
    @cargo xtask guests
    @cargo build --release --package weir-host --package weir-benches --bins
    @CARGO_MANIFEST_DIR={{ quote(justfile_directory() / 'benches') }} \
        {{ quote(CARGO_TARGET_DIR / 'release/weir-bench') }} {{ options }}

# What is below wasmtime is counted in the release build, which takes a minute without it; calls into
# components in the build that CI has anyway, in which wasmtime and the guest are optimised as well.
[private]
_guard *options:
    @cargo xtask guests
    @cargo build --workspace --bins
    @cargo build --release --package weir-guard --no-default-features
    @{{ quote(CARGO_TARGET_DIR / 'release/weir-guard') }} check --counts benches/guard/counts.json \
        --calls {{ quote(CARGO_TARGET_DIR / 'debug/weir-guard') }} \
        --components guest-examples/target/components {{ options }}

[private]
_bench-peer *options:
    @cargo xtask guests
    @cargo build --release --package weir-host --package weir-benches --bins
    @CARGO_MANIFEST_DIR={{ quote(justfile_directory() / 'benches') }} \
        {{ quote(CARGO_TARGET_DIR / 'release/weir-bench-peer') }} {{ options }}

_bench-boundary *options:
    @cargo xtask guests
    @cargo build --release --package weir-host --package weir-benches --package weir-boundary --bins
    @{{ quote(CARGO_TARGET_DIR / 'release/weir-boundary') }} {{ options }}

[private]
_test:
    @cargo xtask guests
    @cargo xtask test

[private]
_test-s3:
    @cargo xtask guests
    @sh scripts/s3.sh cargo test --workspace {{ on_s3 }}

[private]
_test-postgres:
    @cargo xtask guests
    @sh scripts/postgres.sh run cargo test --workspace {{ on_postgres }}
