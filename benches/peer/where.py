#!/usr/bin/env python3
"""Where the time of a workload goes on Weir: what part of the samples each part of it has.

    where.py PROGRAM CELL...

PROGRAM is a `weir-bench-peer` that has its symbols (`CARGO_PROFILE_RELEASE_STRIP=none`), CELL the
name of one, such as `count-1e3-heap-p1` (`weir-bench-peer --list`). Needs `perf`. Prints a line of
Markdown for each: nanoseconds of CPU a row as measured without `perf`, and how they are divided. A
function is counted where it was called, with all that the compiler has put into it.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

SECONDS = "1.5"
# Of the first that matches.
PARTS = [
    ("source and sink", r"weir_benches|xxh"),
    ("guest", r"perf-\d+\.map|/jitted-|\[JIT\]"),
    ("call", r"weir_component|wasmtime|wasm_"),
    ("windows", r"weir_operators|weir_window"),
    ("state", r"weir_state"),
    ("edges", r"weir_model|weir_runtime::exchange|weir_formats|weir_event_time"),
    ("copies", r"__mem(move|cpy|set|cmp)"),
    ("memory", r"malloc|calloc|realloc|_int_|cfree|unlink_chunk|clear_page|page_fault|handle_mm"
     r"|do_anonymous|folio|mem_cgroup|rmqueue|unmap|zap_|\bpte_|_pte\b"),
]
REST = "system and rest"


def run(program, cell, *before):
    """Measures a cell three times, by way of another program where one is given."""
    command = [*before, program, "--no-flink", "--no-native", "--no-hand", "--repeats", "3"]
    with tempfile.TemporaryDirectory() as results:
        command += ["--seconds", SECONDS, "--perf-map", "--results", results, "--only", cell]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{cell}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout + done.stderr


def cost(program, cell):
    """Nanoseconds of CPU a row: the median of what is said."""
    said = re.findall(r"= Weir [\d.]+ M rows/s, (\d+) ns", run(program, cell))
    return sorted(map(int, said))[len(said) // 2] if said else 0


def shares(program, cell):
    """What part of the samples of the tasks each part has."""
    with tempfile.TemporaryDirectory() as folder:
        data = str(pathlib.Path(folder) / "perf.data")
        run(program, cell, "perf", "record", "-q", "-F", "4000", "-o", data)
        script = ["perf", "script", "-i", data, "--comm", "weir-task", "-F", "ip,sym,dso"]
        lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    counts = collections.Counter()
    for line in lines.splitlines():
        if line.strip():
            part = next((name for name, of in PARTS if re.search(of, line)), REST)
            counts[part] += 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def main():
    program, *cells = sys.argv[1:] or sys.exit(__doc__)
    names = [name for name, _ in PARTS] + [REST]
    print("| | ns | " + " | ".join(names) + " |\n| --- | --- |" + " --- |" * len(names))
    for cell in cells:
        nanoseconds, of = cost(program, cell), shares(program, cell)
        parts = " | ".join(f"{nanoseconds * of.get(name, 0):.0f}" for name in names)
        print(f"| `{cell}` | {nanoseconds} | {parts} |", flush=True)


main()
