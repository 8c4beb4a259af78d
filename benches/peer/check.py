#!/usr/bin/env python3
"""Checks the jobs on Flink against plain loops over some thousand rows.

    check.py [WORKLOAD...]

Each runs at parallelism 1 and 2, on the heap and in RocksDB, without and with checkpoints, three
times in one JVM; number and fold of its output must be what is computed here. Needs what
scripts/flink.sh needs.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # in the clone

from oracle import micro, nexmark
from oracle.numbers64 import MASK, fold

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "flink.sh"
CELLS = [(1, "heap", 0), (2, "heap", 20), (1, "rocksdb", 20), (2, "rocksdb", 0)]
EVENTS = 60_000


def rows(output):
    """What a run must tell: the least and the most rows, and their sum."""
    output = list(output)
    return len(output), len(output), sum(fold(*row) for row in output) & MASK


def query(of):
    return open_query(lambda parallelism: rows(of(EVENTS)))


def open_query(of, run=""):
    return [f"per_ms={nexmark.PER_MS}"], EVENTS, of, run


def bench(n, keys, of, run=""):
    return [f"keys={keys}"], n, lambda parallelism: rows(of(n, keys)), run


def averages(parallelism):
    last, count = nexmark.averages(EVENTS)
    return count, count, rows(last)[2]


def bidder_seconds(parallelism):
    bids = nexmark.bids(EVENTS)
    return len({bid.bidder for bid in bids}), len(bids), len(bids)


def last_bids(parallelism):
    """Summed are the last rows; how often they changed is open where subtasks interleave."""
    last, changes = nexmark.last_bids(EVENTS)
    most = len(changes) if parallelism == 1 else EVENTS
    return len(changes) if parallelism == 1 else len(last), most, rows(last)[2]


def top_bids(parallelism):
    output = nexmark.top_bids(EVENTS)
    return rows(output) if parallelism == 1 else (1, EVENTS, None)


# Words of the command line, rows, what comes out, and words of the run.
WORKLOADS = {
    "chained": bench(20_000, 1_000, micro.passthrough),
    "hop": bench(20_001, 1_000, micro.passthrough),
    "keyed": bench(20_001, 1_000, micro.passthrough),
    "count": bench(20_000, 777, micro.count),
    "dedupe": bench(20_000, 500, micro.dedupe),
    "list": bench(20_000, 3_000, micro.threes),
    "window": bench(20_000, 50, micro.windows(10_000, 10_000)),
    "sliding": bench(3_000, 20, micro.windows(3_600_000, 60_000)),
    "broadcast": bench(20_000, 1_000, micro.broadcast),
    "latency": bench(20_000, 777, micro.count, "rate=20000"),
    "recovery": bench(20_000, 777, micro.count, "rate=20000"),
    "q0": query(nexmark.bids),
    "q1": query(nexmark.euros),
    "q2": query(nexmark.some_auctions),
    "q3": query(nexmark.sellers),
    "q4": open_query(averages),
    "q5": query(nexmark.hot_auctions),
    "q7": query(nexmark.highest_bids),
    "q8": query(nexmark.new_sellers),
    "q11": query(nexmark.sessions),
    "q12": open_query(bidder_seconds),
    "q13": query(nexmark.side_table),
    "q18": open_query(last_bids, "last=true"),
    "q19": open_query(top_bids),
    "q20": query(nexmark.category_bids),
}


# Those that can also be made of what Flink brings.
STOCK = ["chained", "hop", "keyed", "count", "dedupe", "list", "window", "sliding"]
for stock in STOCK:
    words, *rest = WORKLOADS[stock]
    WORKLOADS[f"{stock} style=stock"] = [*words, "style=stock"], *rest


def check(name, parallelism, backend, checkpoint, folder):
    words, n, of, run = WORKLOADS[name]
    least, most, folds = of(parallelism)
    cell = f"{name} p{parallelism} {backend} checkpoint={checkpoint}"
    command = ["sh", SCRIPT, "run", f"workload={name.split()[0]}", f"parallelism={parallelism}",
               f"backend={backend}", f"checkpoint={checkpoint}", f"dir={folder}", *words]
    asked = f"run n={n} warm={n // 4} {run}\n" * 3 + "quit\n"
    told = subprocess.run(command, input=asked, capture_output=True, text=True)
    results = [line[7:] for line in told.stdout.splitlines() if line.startswith("RESULT ")]
    for line in results:
        result = json.loads(line)
        if result["error"] is not None:
            sys.exit(f"{cell}: {result['error']}")
        if not least <= result["out"] <= most:
            sys.exit(f"{cell}: {result['out']} rows, expected {least} to {most}")
        if folds is not None and int(result["sum"]) != folds:
            sys.exit(f"{cell}: the sum is {result['sum']}, expected {folds}")
        if not 0 < result["rows"] <= n or result["wall_ns"] <= 0 or result["cpu_ns"] < 0:
            sys.exit(f"{cell}: this cannot have been measured: {line}")
    if len(results) != 3:
        sys.exit(f"{cell}: {len(results)} results of 3\n{told.stdout}{told.stderr}")
    print(f"{cell}: {result['out']} rows, as expected", flush=True)


def main():
    for name in sys.argv[1:] or WORKLOADS:
        if name not in WORKLOADS:
            sys.exit(f"{name} is none of {', '.join(WORKLOADS)}")
        for parallelism, backend, checkpoint in CELLS:
            if name == "recovery" and checkpoint == 0:
                continue
            with tempfile.TemporaryDirectory() as folder:
                check(name, parallelism, backend, checkpoint, folder)


if __name__ == "__main__":
    main()
