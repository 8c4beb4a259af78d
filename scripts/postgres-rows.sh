#!/bin/sh
# How many rows a second go into a table of PostgreSQL, by each way there is, as a table in Markdown:
# rows of 64 bytes of payload, by two writers, with a checkpoint a second; the median of three runs.
#
#   postgres.sh run sh postgres-rows.sh WEIR [ROWS]
set -eu
weir=$1 rows=${2:-2000000}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
export PGOPTIONS='-c client_min_messages=warning'
sql() { psql --quiet --no-psqlrc -h "$WEIR_POSTGRES" -U weir -d postgres -c "$1"; }

run() { # the lines that a way adds to the sink; prints rows a second
    sql "DROP TABLE IF EXISTS rows, weir_commits; CREATE TABLE rows (seq bigint, key text $2, payload text)"
    cat >"$folder/job.yaml" <<YAML
apiVersion: weir/v1
job: rows
parallelism: 2
checkpoint: { dir: checkpoints, interval: 1s }
restart: { strategy: none }
sources:
  made: { connector: generator, count: $rows, keys: 100000, payload: 64 }
sinks:
  out:
    connector: postgres
    from: made
    host: $WEIR_POSTGRES
    user: weir
    database: postgres
    table: rows
$1
YAML
    rm -rf "$folder/checkpoints"
    "$weir" run "$folder/job.yaml" --config none --output json 2>"$folder/log" >"$folder/report" ||
        { cat "$folder/log" "$folder/report" >&2; return 1; }
    python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
print(round(int(sys.argv[2]) * 1000 / report["duration_ms"]))' "$folder/report" "$rows"
}

way() { # its name, its lines, what its table needs
    all=
    for _ in 1 2 3; do
        one=$(run "$2" "$3") || exit 1
        all="$all $one"
    done
    echo "| $1 | $(printf '%s\n' $all | sort -n | sed -n 2p) |"
}

echo "| way | rows a second |"
echo "| --- | --- |"
way 'rows are added, at least once' '' ''
way '`upsert` by one of 100,000 keys' '    upsert: { keys: [key] }' 'PRIMARY KEY'
way '`by: two-phase-commit`' '    by: two-phase-commit' ''
way '`by: write-ahead-log`' '    by: write-ahead-log
    log-size: 1GiB' ''
