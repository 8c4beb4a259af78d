"""Makes the input of this job and what must come of it.

    python3 data.py
"""

import collections
import pathlib
import random

here = pathlib.Path(__file__).parent
random.seed(13)
counts = collections.Counter()
passed, refused = [], []
for file in range(3):
    lines = []
    for number in range(2000):
        row = f"f{file}-{random.randrange(200)}"
        if number % 40 == 7:
            row = "!error"
        if number == 1000:
            row = "!panic"
        lines.append(row + "\n")
        if row.startswith("!"):
            refused.append(row)
            continue
        counts[row] += 1
        passed.append(f"{row}={counts[row]}")
    (here / f"rows-{file}.txt").write_text("".join(lines))
expected = here / "expected"
expected.mkdir(exist_ok=True)
(expected / "out").write_text("\n".join(passed) + "\n")
print(len(passed), len(refused))
