"""What the queries of Nexmark must give: plain loops over the events.

Of a query whose rows replace each other, those are given that are the last of their key (q4, q18).
"""

from collections import Counter, defaultdict, namedtuple

from oracle.numbers64 import MASK, STEP, mix

PER_MS = 1
START = 1_700_000_000_000
FIRST = "Ada Ben Cleo Dora Emil Flora Gus Hanna Igor Jana Karl".split()
LAST = "Adler Becker Carver Dunn Ellis Fischer Grant Hobbs Ivers".split()
CITIES = "Phoenix Tucson Fresno Oakland Boise Portland Salem Seattle Tacoma Laramie".split()
STATES = "AZ CA ID OR WA WY".split()
CHANNELS = "search social video mail".split()
PRICES = [int(10 ** (i / 1000) * 100 + 0.5) for i in range(6000)]

Person = namedtuple("Person", "id name city state time")
Auction = namedtuple("Auction", "id reserve time expires seller category")
Bid = namedtuple("Bid", "auction bidder price channel url time extra")


def letters(draw, begin, count):
    return "".join(chr(97 + (draw >> 4 * j & 15)) for j in range(begin, begin + count))


def event(e):
    seed = mix((e + STEP) & MASK)

    def d(k):
        return mix((seed + k * STEP) & MASK)

    epoch, place = divmod(e, 50)
    time = START + e // PER_MS
    if place == 0:
        name = FIRST[d(1) % 11] + " " + LAST[d(2) % 9]
        return Person(1000 + epoch, name, CITIES[d(5) % 10], STATES[d(6) % 6], time)
    if place <= 3:
        hot = epoch // 100 * 100
        seller = hot if d(4) % 4 else max(0, epoch - d(5) % 100)
        expires = time + 1 + d(3) % 20_000
        return Auction(1000 + 3 * epoch + place - 1, PRICES[d(2) % 6000], time, expires,
                       1000 + seller, 10 + d(6) % 5)
    last = 3 * epoch + 2
    auction = last // 100 * 100 if d(1) % 2 else max(0, last - d(2) % 100)
    bidder = epoch // 100 * 100 + 1 if d(3) % 4 else max(0, epoch - d(4) % 1000)
    channel = CHANNELS[d(7) % 4] if d(6) % 2 else f"channel-{d(7) % 10_000}"
    path = "/".join(letters(d(8), i, 5) for i in (0, 5, 10))
    url = f"https://auctions.example.com/{path}/bid"
    length = 68 - 13 + d(9) % 26
    extra = "".join(letters(d(16 + block), 0, 16) for block in range(5))[:length]
    return Bid(1000 + auction, 1000 + bidder, PRICES[d(5) % 6000], channel, url, time, extra)


def events(n, kind):
    return [one for one in map(event, range(n)) if isinstance(one, kind)]


def bids(n):
    return events(n, Bid)


def euros(n):
    return [bid._replace(price=bid.price * 908 // 1000) for bid in bids(n)]


def some_auctions(n):
    return [(bid.auction, bid.price) for bid in bids(n) if bid.auction % 123 == 0]


def sellers(n):
    persons = {one.id: one for one in events(n, Person) if one.state in ("OR", "ID", "CA")}
    mine = [one for one in events(n, Auction) if one.category == 10 and one.seller in persons]
    return [(*persons[one.seller][1:4], one.id) for one in mine]


def averages(n):
    """All winning bids are rows; given is the last one of each category."""
    highest = Counter()
    auctions = {one.id: one for one in events(n, Auction)}
    for bid in bids(n):
        auction = auctions.get(bid.auction)
        if auction and auction.time <= bid.time <= auction.expires:
            highest[auction.id] = max(highest[auction.id], bid.price)
    prices = defaultdict(list)
    for auction, price in highest.items():
        prices[auctions[auction].category].append(price)
    last = [(key, sum(all_) // len(all_), sum(all_), len(all_)) for key, all_ in prices.items()]
    return last, len(highest)


def hot_auctions(n):
    counts = defaultdict(Counter)
    for bid in bids(n):
        first = bid.time - bid.time % 2_000 + 2_000
        for end in range(first, bid.time + 10_001, 2_000):
            counts[end][bid.auction] += 1
    return [(end, auction, count) for end, window in counts.items()
            for auction, count in window.items() if count == max(window.values())]


def highest_bids(n):
    windows = defaultdict(list)
    for bid in bids(n):
        windows[bid.time // 10_000 * 10_000 + 10_000].append(bid)
    return [(end, bid.price, bid.auction, bid.bidder) for end, window in windows.items()
            for bid in window if bid.price == max(other.price for other in window)]


def new_sellers(n):
    begin = {one.id: one.time // 10_000 for one in events(n, Person)}
    return [(one.seller, one.time // 10_000 * 10_000, one.id) for one in events(n, Auction)
            if begin.get(one.seller) == one.time // 10_000]


def sessions(n):
    times = defaultdict(list)
    for bid in bids(n):
        times[bid.bidder].append(bid.time)
    for bidder, all_ in times.items():
        first, last, count = all_[0], all_[0], 0
        for time in all_:
            if time - last > 1_000:
                yield bidder, first, count
                first, count = time, 0
            last, count = time, count + 1
        yield bidder, first, count


def side_table(n):
    return [(*bid[:3], mix(bid.auction % 10_000) & 0xFFFF) for bid in bids(n)]


def last_bids(n):
    last = defaultdict(lambda: (0, 0))
    changes = []
    for bid in bids(n):
        key, now = (bid.bidder, bid.auction), (bid.time, bid.price)
        if now > last[key]:
            last[key] = now
            changes.append((*key, bid.price, bid.time))
    return [(*key, price, time) for key, (time, price) in last.items()], changes


def top_bids(n):
    top = defaultdict(list)
    output = []
    for bid in bids(n):
        kept, new = top[bid.auction], (-bid.price, bid.time, bid.bidder)
        rank = 1 + sum(other <= new for other in kept)
        if rank <= 10:
            kept[:] = sorted([*kept, new])[:10]
            output.append((bid.auction, rank, bid.price, bid.bidder))
    return output


def category_bids(n):
    auctions = {one.id: one for one in events(n, Auction) if one.category == 10}
    return [(*bid[:3], auctions[bid.auction].seller, auctions[bid.auction].reserve)
            for bid in bids(n) if bid.auction in auctions]
