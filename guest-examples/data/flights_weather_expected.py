"""What the job `flights-weather` must give, computed from the data and nothing else.

    python3 guest-examples/data/flights_weather_expected.py FLIGHTS.csv WEATHER.csv

The files are `flights.csv.zst` and `weather.csv.zst` of this folder, unpacked. Prints for each sink
how many rows it has and the SHA-256 over its rows sorted bytewise, each ended by a newline. Needs the
standard library only.
"""

import bisect
import csv
import hashlib
import json
import sys
from collections import defaultdict

MINUTE = 60_000
OLDEST = 180 * MINUTE


def main(flights, weather):
    reports = defaultdict(list)
    for row in csv.DictReader(open(weather, newline="")):
        reports[row["origin"]].append((int(row["time_ms"]), row))
    times = {}
    for origin, of_origin in reports.items():
        of_origin.sort(key=lambda report: report[0])
        times[origin] = [time for time, _ in of_origin]

    departed, reported = [], []
    for flight in csv.DictReader(open(flights, newline="")):
        if not flight["departed_ms"]:
            continue
        at = int(flight["departed_ms"])
        of_origin = reports[flight["origin"]]
        latest = bisect.bisect_right(times[flight["origin"]], at) - 1
        found = None
        if latest >= 0 and at - of_origin[latest][0] <= OLDEST:
            found = of_origin[latest][1]
        departed.append({"left": flight, "right": found})
        for time, report in of_origin[bisect.bisect_left(times[flight["origin"]], at - MINUTE) :]:
            if time > at:
                break
            reported.append({"left": flight, "right": report})

    expected = {}
    for sink, rows in [("departed", departed), ("reported", reported)]:
        lines = sorted(json.dumps(row, separators=(",", ":")).encode() for row in rows)
        digest = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
        expected[sink] = {"rows": len(lines), "sha256": digest}
    json.dump(expected, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
