"""Makes the input of this job and, by other means than Weir, what must come of it.

    python3 data.py

Each speaker is in one file only, so that its words have an order.
"""

import json
import pathlib
import random

here = pathlib.Path(__file__).parent
words = "stream state barrier key über row Ärger task batch time".split()
random.seed(20261126)
results = []
for file in range(4):
    speakers = [f"s{file}-{n}" for n in range(25)]
    said = {speaker: [] for speaker in speakers}
    lines = []
    for _ in range(2500):
        speaker, word = random.choice(speakers), random.choice(words)
        if random.random() < 0.2:
            word += "."
        said[speaker].append(word)
        lines.append(f"{speaker},{word}\n")
        if word.endswith("."):
            letters = sum(c.isalpha() for w in said[speaker] for c in w)
            result = {"speaker": speaker, "sentence": " ".join(said[speaker]), "letters": letters}
            results.append(json.dumps(result, ensure_ascii=False, separators=(",", ":")))
            said[speaker] = []
    (here / f"words-{file}.csv").write_text("".join(lines), encoding="utf-8")
(here / "expected").mkdir(exist_ok=True)
(here / "expected" / "out").write_text("\n".join(results) + "\n", encoding="utf-8")
print(len(results), "sentences")
