#!/usr/bin/env python3
"""Where the time of a workload goes on Weir: what part of the samples each part of it has.

    where.py PROGRAM CELL...

PROGRAM is a `weir-bench-peer` that has its symbols (`CARGO_PROFILE_RELEASE_STRIP=none`), CELL the
name of one, such as `count-1e3-heap-p1` (`weir-bench-peer --list`). Needs `perf`. Prints a line of
Markdown for each: nanoseconds of CPU a row as measured without `perf`, which are of the whole
process, divided as the samples of the threads of its tasks are, warm-up included. A function is
counted with all that the compiler has put into it.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

SECONDS = "1.5"
# Functions of components, which are named by `--perf-map`.
GUEST = r"\(/tmp/perf-\d+\.map\)|\(\[JIT\]"
# Of the first that matches the name of a function. The engine hashes keys in line; a hash that is
# called is that of rows, in the sink.
PARTS = [
    ("source and sink", r"weir_benches|xxh"),
    ("call", r"weir_component|wasmtime|wasm_"),
    ("windows", r"weir_operators|weir_window"),
    ("state", r"weir_state|rocksdb"),
    ("edges", r"weir_model|weir_runtime::exchange|weir_formats|weir_event_time"),
    ("copies", r"__mem(move|cpy|set|cmp)"),
    ("memory", r"malloc|calloc|realloc|_int_|cfree|unlink_chunk|clear_page|page_fault|handle_mm"
     r"|do_anonymous|folio|mem_cgroup|rmqueue|unmap|zap_|\bpte_|_pte\b"),
]
REST = "system and rest"


def run(program, cell, *before):
    """What is said of a cell, by way of another program where one is given."""
    command = [*before, program, "--no-flink", "--no-native", "--no-hand", "--repeats", "3"]
    with tempfile.TemporaryDirectory() as results:
        command += ["--seconds", SECONDS, "--perf-map", "--results", results, "--only", cell]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{cell}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout + done.stderr


def cost(program, cell):
    """Nanoseconds of CPU a row."""
    said = re.findall(r"= Weir [\d.]+ M rows/s, (\d+) ns", run(program, cell))
    return int(said[0]) if len(said) == 1 else sys.exit(f"{cell} is not the name of one cell")


def part_of(sample):
    """Which part a line of samples is of."""
    if re.search(GUEST, sample):
        return "guest"
    function = sample.rsplit(" (", 1)[0]
    return next((name for name, of in PARTS if re.search(of, function)), REST)


def shares(program, cell):
    """What part of the samples of the tasks each part has."""
    with tempfile.TemporaryDirectory() as folder:
        data = str(pathlib.Path(folder) / "perf.data")
        run(program, cell, "perf", "record", "-q", "-F", "4000", "-o", data)
        script = ["perf", "script", "-i", data, "--comm", "weir-task", "-F", "ip,sym,dso"]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
    counts = collections.Counter(part_of(line) for line in done.stdout.splitlines() if line.strip())
    total = sum(counts.values())
    if total == 0:
        sys.exit(f"{cell}: no samples of tasks: {done.stderr.strip()}")
    return {name: count / total for name, count in counts.items()}


def main():
    program, *cells = sys.argv[1:] or sys.exit(__doc__)
    names = ["guest"] + [name for name, _ in PARTS] + [REST]
    print("| | ns | " + " | ".join(names) + " |\n| --- | --- |" + " --- |" * len(names))
    for cell in cells:
        nanoseconds, of = cost(program, cell), shares(program, cell)
        parts = " | ".join(f"{nanoseconds * of.get(name, 0):.0f}" for name in names)
        print(f"| `{cell}` | {nanoseconds} | {parts} |", flush=True)


main()
