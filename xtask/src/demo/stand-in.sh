#!/bin/sh
# Stands in for `weir` in the tests of the demo. Its first run completes checkpoints 1 and 2, opens a
# file and waits to be killed; the second restores a checkpoint, commits what lies prepared beside the
# job file, two part files a sink, and prints a summary. `plan` beside the job file says what is wrong.
set -eu
there=${2%/*}
restored=2
epilogue() { :; }
. "$there/plan"
cd "$there/scratch"

case "$*" in
    *"--set sources.flights.rate=1000000"*) ;;
    *) exit 2 ;;
esac

take() {
    mkdir -p "checkpoints/flights/chk-$1"
    printf 'weir-metadata v1 crc32c=f01f9d27 length=3\n{}\n' >"checkpoints/flights/chk-$1/_metadata"
}

if [ ! -d checkpoints ]; then
    take 1
    take 2
    mkdir carriers switches worst
    echo torn >carriers/.flights-carriers-1-0-0.open
    exec sleep 600
fi
rm carriers/.flights-carriers-1-0-0.open
for sink in carriers switches worst; do
    cp "../prepared-$sink-0" "$sink/part-00000003-000-000.jsonl"
    cp "../prepared-$sink-1" "$sink/part-00000003-001-000.jsonl"
done
take 3
echo 3 >checkpoints/flights/FINISHED
epilogue
cat <<END
{"job": "flights", "state": "finished",
 "rows_in": {"flights": 60}, "rows_out": {"carriers": 60, "switches": 40, "worst": 50},
 "checkpoints": {"completed": 1, "failed": 0, "last_id": 3, "last_duration_ms": 2.5,
                 "last_size_bytes": 9},
 "restored_from": {"id": $restored, "path": "chk"},
 "recovery_ms": 1.5, "restarts": 0, "duration_ms": 12}
END
