"""What the micro workloads must give: plain loops over the rows."""

from collections import Counter, defaultdict

from oracle.numbers64 import MASK, STEP, mix

BEGIN = 10_000_000


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
    "keyed": (20_001, 1_000, passthrough),
    "count": (20_000, 777, count),
    "dedupe": (20_000, 500, dedupe),
    "list": (20_000, 3_000, threes),
    "window": (20_000, 50, windows(10_000, 10_000)),
    "sliding": (3_000, 20, windows(3_600_000, 60_000)),
    "broadcast": (20_000, 1_000, broadcast),
}
