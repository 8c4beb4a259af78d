"""Makes the input of this job and, by other means than Weir, what must come of it.

    python3 data.py

Rows are `sensor,ms`, in order of time. A sensor is idle 2,000 ms after its last row. It is one file:
of several, one may be begun when the others are far ahead, and its rows are late.
"""

import json
import pathlib
import random

AFTER = 2000
here = pathlib.Path(__file__).parent
random.seed(20261127)
rows = {f"s{n}": [] for n in range(160)}
results, lines, now = [], [], 0
for _ in range(12_000):
    now += random.randint(0, 16)
    sensor = random.choice(list(rows))
    rows[sensor].append(now)
    lines.append(f"{sensor},{now}\n")
for sensor, times in rows.items():
    first = 0
    for at, time in enumerate(times):
        last = at + 1 == len(times)
        if last or times[at + 1] - time >= AFTER:
            alert = {"key": sensor, "idle_since_ms": time, "rows": at + 1 - first}
            results.append(json.dumps(alert, separators=(",", ":")))
            first = at + 1
(here / "rows.csv").write_text("".join(lines), encoding="utf-8")
(here / "expected").mkdir(exist_ok=True)
(here / "expected" / "out").write_text("\n".join(results) + "\n", encoding="utf-8")
print(len(results), "alerts")
