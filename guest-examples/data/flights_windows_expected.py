"""What the job `flights-windows` must give, computed from the data and nothing else.

    zstd -dc guest-examples/data/flights.csv.zst | python3 guest-examples/data/flights_windows_expected.py

Prints for each sink how many rows it has and the SHA-256 over its rows sorted bytewise, each ended
by a newline. Needs the standard library only, and what the machine knows of time zones.
"""

import csv
import hashlib
import json
import sys
from bisect import bisect_right
from collections import defaultdict
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR = 3_600_000
DAY = 24 * HOUR
GAP = 12 * HOUR


NEW_YORK = ZoneInfo("America/New_York")


def midnights():
    """When the days of the data begin in New York, in milliseconds."""
    first = date(2012, 12, 30)
    days = [first + timedelta(days=n) for n in range(370)]
    return [int(datetime(d.year, d.month, d.day, tzinfo=NEW_YORK).timestamp()) * 1000 for d in days]


def main():
    starts = midnights()
    local_days = defaultdict(list)
    # Of each airport and day, flights, the sum of their delays, and late ones since the last warning.
    so_far = defaultdict(lambda: [0, 0, 0])
    warnings = []
    hourly = defaultdict(lambda: [0, 0])
    daily = defaultdict(lambda: [0, 0])
    of_tail = defaultdict(list)
    for row in csv.DictReader(sys.stdin):
        if not row["departed_ms"]:
            continue
        departed = int(row["departed_ms"])
        delay = int(row["dep_delay_min"]) if row["dep_delay_min"] else 0
        hour = departed // HOUR * HOUR
        windows = [hourly[row["origin"], hour]]
        windows += [daily[row["origin"], hour - back * HOUR] for back in range(24)]
        for window in windows:
            window[0] += 1
            window[1] += delay
        day = bisect_right(starts, departed) - 1
        local_days[row["origin"], day].append(int(row["dep_delay_min"]))
        today = so_far[row["origin"], departed // DAY]
        today[0] += 1
        today[1] += int(row["dep_delay_min"])
        if int(row["dep_delay_min"]) >= 60:
            today[2] += 1
            if today[2] == 10:
                today[2] = 0
                warnings.append(((row["origin"], departed // DAY * DAY), today[:2]))
        if row["tail"]:
            of_tail[row["tail"]].append((departed, int(row["distance_miles"])))

    def windows(totals):
        for (origin, start), (flights, delay) in totals:
            yield {
                "origin": origin,
                "window_start_ms": start,
                "flights": flights,
                "dep_delay_sum": delay,
            }

    def sessions():
        for tail, flights in of_tail.items():
            flights.sort()
            session = None
            for departed, miles in flights:
                # Windows that follow each other without a gap are one.
                if session and departed <= session["last_ms"] + GAP:
                    session["last_ms"] = departed
                    session["flights"] += 1
                    session["distance_miles"] += miles
                    continue
                if session:
                    yield session
                session = {
                    "tail": tail,
                    "first_ms": departed,
                    "last_ms": departed,
                    "flights": 1,
                    "distance_miles": miles,
                }
            yield session

    def medians():
        for (origin, day), delays in local_days.items():
            delays.sort()
            yield {
                "origin": origin,
                "window_start_ms": starts[day],
                "hours": (starts[day + 1] - starts[day]) // HOUR,
                "flights": len(delays),
                "median_dep_delay_min": delays[(len(delays) - 1) // 2],
            }

    expected = {}
    sinks = {
        "daily": windows(daily.items()),
        "hourly": windows(hourly.items()),
        "medians": medians(),
        "sessions": sessions(),
        "warnings": windows(warnings),
    }
    for sink, rows in sinks.items():
        lines = sorted(json.dumps(row, separators=(",", ":")).encode() for row in rows)
        digest = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
        expected[sink] = {"rows": len(lines), "sha256": digest}
    json.dump(expected, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
