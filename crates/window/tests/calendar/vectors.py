"""Windows of the calendar, computed from Python's zoneinfo and nothing of Weir.

    python3 crates/window/tests/calendar/vectors.py > crates/window/tests/calendar/vectors.txt

A line is a zone, what of the calendar windows are, by how many milliseconds they begin later, a time,
and the window it is in: its first millisecond, and the first one behind it. The windows of a zone are
laid out one after the other from the year before to the year behind, and the last one that begins at a
time or before it is that of the time. Needs the standard library only.
"""

from bisect import bisect_right
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
HOUR = 3_600_000
DAY = 24 * HOUR

# A zone, and days on which its clocks did something, or will by the rules of today.
DAYS = [
    ("UTC", [(2024, 2, 29), (1969, 12, 31)]),
    ("Europe/Berlin", [(2024, 3, 31), (2024, 10, 27), (2035, 3, 25), (1945, 5, 24)]),
    ("America/New_York", [(2013, 3, 10), (2013, 11, 3), (2040, 11, 4)]),
    ("America/Sao_Paulo", [(2018, 2, 18), (2018, 11, 4)]),  # at midnight
    ("America/St_Johns", [(2010, 11, 7), (2011, 3, 13)]),  # at one minute past midnight
    ("America/Havana", [(2024, 3, 10), (2024, 11, 3)]),  # over midnight
    ("Asia/Beirut", [(2022, 3, 27), (2022, 10, 30)]),
    ("Asia/Kathmandu", [(1986, 1, 1), (2020, 5, 5)]),  # a quarter of an hour
    ("Australia/Lord_Howe", [(2024, 4, 7), (2024, 10, 6)]),  # half an hour
    ("Pacific/Apia", [(2011, 12, 30), (2012, 4, 1)]),  # a day that never was
    ("Pacific/Chatham", [(2023, 9, 24), (2024, 4, 7)]),
    ("Africa/Casablanca", [(2024, 3, 10), (2024, 4, 14)]),
]
OFFSETS = {
    "day": [0, 6 * HOUR, 2 * HOUR + HOUR // 2],
    "week": [0, 6 * DAY],
    "month": [0, 14 * DAY],
    "quarter": [0],
    "year": [0, 59 * DAY],
}


def first_days(each, year):
    if each in ("day", "week"):
        day = date(year, 1, 1)
        if each == "week":
            day -= timedelta(days=day.weekday())
        step = timedelta(days=1 if each == "day" else 7)
        while day < date(year + 1, 1, 1):
            yield day
            day += step
        return
    for month in {"month": range(1, 13), "quarter": (1, 4, 7, 10), "year": (1,)}[each]:
        yield date(year, month, 1)


def begins(zone, day, offset):
    clocks = datetime(day.year, day.month, day.day) + timedelta(milliseconds=offset)
    # Shown twice, it is the first time; never shown, it is as if clocks had not been put forward.
    moment = clocks.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def main():
    for name, days in DAYS:
        zone = ZoneInfo(name)
        for year, month, day in days:
            noon = datetime(year, month, day, 12, tzinfo=timezone.utc)
            noon = (noon - EPOCH) // timedelta(milliseconds=1)
            for each, offsets in OFFSETS.items():
                for offset in offsets:
                    all_days = set()
                    for y in (year - 2, year - 1, year, year + 1, year + 2):
                        all_days.update(first_days(each, y))
                    starts = sorted({begins(zone, day, offset) for day in all_days})
                    quarters = range(-4 * 36, 4 * 36, 31) if each == "day" else [0]
                    times = {noon + quarter * HOUR // 4 for quarter in quarters}
                    for start in starts:
                        if abs(start - noon) < 40 * HOUR:
                            times.update((start - 1, start, start + 1))
                    for time in sorted(times):
                        at = bisect_right(starts, time)
                        print(name, each, offset, time, starts[at - 1], starts[at])


if __name__ == "__main__":
    main()
