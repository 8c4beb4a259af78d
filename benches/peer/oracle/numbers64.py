"""The numbers that both engines make: a mixer of 64 bits, and the fold of a row."""

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def fold(*fields):
    h = 0
    for field in fields:
        if isinstance(field, str):
            field = len(field) * 31 + ord(field[-1]) if field else 0
        h = mix((h + field + STEP) & MASK)
    return h
