#!/usr/bin/env python3
"""Checks the micro workloads on Flink against plain loops over a few thousand rows.

    check.py [WORKLOAD...]

Each runs at parallelism 1 and 2, on the heap and in RocksDB, without and with checkpoints, three times
in one JVM; number and fold of its output must be what is computed here. Needs what scripts/flink.sh
needs.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
BEGIN = 10_000_000
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "flink.sh"


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def fold(*fields):
    h = 0
    for field in fields:
        h = mix((h + field + STEP) & MASK)
    return h


def rows(n, keys, value, time=lambda i: i // 100):
    for i in range(n):
        h = mix((i + STEP) & MASK)
        key = h % keys
        yield key, value(i, h, key), BEGIN + time(i) - (h & 1023)


def number(i, h, key):
    return i


def low(i, h, key):
    return i & 0xFFFF


def passthrough(n, keys):
    return list(rows(n, keys, number))


def count(n, keys):
    seen = Counter()
    output = []
    for key, _, _ in rows(n, keys, number):
        seen[key] += 1
        output.append((key, seen[key]))
    return output


def dedupe(n, keys):
    return {(key, value) for key, value, _ in rows(n, keys, lambda i, h, key: mix(h) % 10)}


def threes(n, keys):
    held = defaultdict(list)
    output = []
    for key, value, _ in rows(n, keys, lambda i, h, key: mix(key) & 0xFFFF):
        held[key].append(value)
        if len(held[key]) == 3:
            output.append((key, sum(held.pop(key))))
    return output


def windows(size, slide):
    def of(n, keys):
        # A tumbling window is one that slides by its size; there rows are close, else sparse.
        time = (lambda i: i // 100) if size == slide else (lambda i: i * 10)
        sums = Counter()
        for key, value, when in rows(n, keys, low, time):
            for start in range(when - when % slide, when - size, -slide):
                sums[key, start] += value
        return [(key, total) for (key, _), total in sums.items()]

    return of


def broadcast(n, keys):
    return [(key, mix(i % 1000) & 0xFFFF) for key, i, _ in rows(n, keys, number)]


# name: rows, keys, and what comes out
WORKLOADS = {
    "chained": (20_000, 1_000, passthrough),
    "hop": (20_001, 1_000, passthrough),
    "count": (20_000, 777, count),
    "dedupe": (20_000, 500, dedupe),
    "list": (20_000, 3_000, threes),
    "window": (20_000, 50, windows(10_000, 10_000)),
    "sliding": (3_000, 20, windows(3_600_000, 60_000)),
    "broadcast": (20_000, 1_000, broadcast),
}


def check(name, parallelism, backend, checkpoint, folder):
    n, keys, of = WORKLOADS[name]
    output = list(of(n, keys))
    expected = len(output), sum(fold(*row) for row in output) & MASK
    cell = f"{name} p{parallelism} {backend} checkpoint={checkpoint}"
    command = ["sh", SCRIPT, "run", f"workload={name}", f"parallelism={parallelism}", f"keys={keys}",
               f"backend={backend}", f"checkpoint={checkpoint}", f"dir={folder}"]
    asked = f"run n={n} warm={n // 4}\n" * 3 + "quit\n"
    told = subprocess.run(command, input=asked, capture_output=True, text=True)
    results = [line[7:] for line in told.stdout.splitlines() if line.startswith("RESULT ")]
    for line in results:
        result = json.loads(line)
        if result["error"] is not None:
            sys.exit(f"{cell}: {result['error']}")
        found = result["out"], int(result["sum"])
        if found != expected:
            sys.exit(f"{cell}: rows and sum are {found}, expected {expected}")
        if not 0 < result["rows"] <= n or result["wall_ns"] <= 0 or result["cpu_ns"] < 0:
            sys.exit(f"{cell}: this cannot have been measured: {line}")
    if len(results) != 3:
        sys.exit(f"{cell}: {len(results)} results of 3\n{told.stdout}{told.stderr}")
    print(f"{cell}: {expected[0]} rows, as expected", flush=True)


def main():
    for name in sys.argv[1:] or WORKLOADS:
        if name not in WORKLOADS:
            sys.exit(f"{name} is none of {', '.join(WORKLOADS)}")
        for parallelism, backend, checkpoint in [(1, "heap", 0), (2, "heap", 20), (1, "rocksdb", 20),
                                                 (2, "rocksdb", 0)]:
            with tempfile.TemporaryDirectory() as folder:
                check(name, parallelism, backend, checkpoint, folder)


if __name__ == "__main__":
    main()
