// The events of Nexmark: of 50 in a row one is a person, three are auctions and 46 are bids. Each is made
// from its number alone. Which draw makes which field is the same on Weir's side.
package weir.bench.nexmark;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import weir.bench.Maker;

final class EventMaker extends Maker<Event> {
  static final long START = 1_700_000_000_000L;

  private static final int ROUND = 50;
  private static final int AUCTIONS = 3;
  private static final long FIRST_ID = 1_000;
  /** The person, or the auction, that is new in each so many is a hot one. */
  private static final long HOT_EACH = 100;
  private static final String[] FIRST_NAMES = {
    "Ada", "Ben", "Cleo", "Dora", "Emil", "Flora", "Gus", "Hanna", "Igor", "Jana", "Karl"
  };
  private static final String[] LAST_NAMES = {
    "Adler", "Becker", "Carver", "Dunn", "Ellis", "Fischer", "Grant", "Hobbs", "Ivers"
  };
  private static final String[] CITIES = {
    "Phoenix", "Tucson", "Fresno", "Oakland", "Boise", "Portland", "Salem", "Seattle", "Tacoma", "Laramie"
  };
  private static final String[] STATES = {"AZ", "CA", "ID", "OR", "WA", "WY"};
  private static final String[] HOT_CHANNELS = {"search", "social", "video", "mail"};
  private static final byte[] URL =
      "https://auctions.example.com/-----/-----/-----/bid".getBytes(StandardCharsets.ISO_8859_1);

  private final long perMilli;
  private transient long[] prices;
  private transient Draws draws;
  private transient Event event;
  private transient byte[] url;
  private transient byte[] path;

  EventMaker(long perMilli) {
    this.perMilli = perMilli;
  }

  @Override
  protected void open() {
    prices = new long[6_000];
    Arrays.setAll(prices, i -> Math.round(Math.pow(10, i / 1000.0) * 100));
    draws = new Draws();
    event = new Event();
    url = URL.clone();
    path = new byte[16];
  }

  @Override
  protected Event make(long e) {
    draws.of(e);
    long round = e / ROUND;
    int place = (int) (e % ROUND);
    long time = START + e / perMilli;
    if (place == 0) {
      event.kind = Event.PERSON;
      fill(event.person, round, time);
    } else if (place <= AUCTIONS) {
      event.kind = Event.AUCTION;
      fill(event.auction, round, place, time);
    } else {
      event.kind = Event.BID;
      fill(event.bid, round, time);
    }
    return event;
  }

  @Override
  protected long time(Event made) {
    return made.time();
  }

  private void fill(Person person, long round, long time) {
    person.id = FIRST_ID + round;
    person.name = of(FIRST_NAMES, 1) + " " + of(LAST_NAMES, 2);
    String letters = draws.letters(3, 12);
    person.email = letters.substring(0, 7) + "@" + letters.substring(7) + ".com";
    person.card = card(draws.get(4));
    person.city = of(CITIES, 5);
    person.state = of(STATES, 6);
    person.time = time;
    int texts = person.name.length() + person.email.length() + person.card.length()
        + person.city.length() + person.state.length();
    person.extra = draws.letters(16, fillerLength(200 - 8 - texts, 7));
  }

  private void fill(Auction auction, long round, int place, long time) {
    auction.id = FIRST_ID + AUCTIONS * round + place - 1;
    auction.item = draws.letters(9, 20);
    auction.description = draws.letters(16, 3 + (int) draws.below(8, 98));
    auction.initial = price(1);
    auction.reserve = price(2);
    auction.time = time;
    auction.expires = time + 1 + draws.below(3, 20_000);
    long seller = (draws.get(4) & 3) > 0 ? hot(round) : Math.max(0, round - draws.below(5, 100));
    auction.seller = FIRST_ID + seller;
    auction.category = 10 + draws.below(6, 5);
    auction.extra = draws.letters(32, fillerLength(500 - 48 - 20 - auction.description.length(), 7));
  }

  private void fill(Bid bid, long round, long time) {
    long last = AUCTIONS * round + AUCTIONS - 1;
    long auction = (draws.get(1) & 1) > 0 ? hot(last) : Math.max(0, last - draws.below(2, 100));
    long bidder = (draws.get(3) & 3) > 0 ? hot(round) + 1 : Math.max(0, round - draws.below(4, 1_000));
    bid.auction = FIRST_ID + auction;
    bid.bidder = FIRST_ID + bidder;
    bid.price = price(5);
    boolean hotChannel = (draws.get(6) & 1) > 0;
    bid.channel = hotChannel ? HOT_CHANNELS[(int) (draws.get(7) & 3)] : "channel-" + draws.below(7, 10_000);
    bid.url = url();
    bid.time = time;
    bid.extra = draws.letters(16, fillerLength(68, 9));
  }

  private static long hot(long number) {
    return number / HOT_EACH * HOT_EACH;
  }

  private long price(long draw) {
    return prices[(int) draws.below(draw, prices.length)];
  }

  private String of(String[] table, long draw) {
    return table[(int) draws.below(draw, table.length)];
  }

  private String url() {
    Draws.write(draws.get(8), path, 0);
    System.arraycopy(path, 0, url, 29, 5);
    System.arraycopy(path, 5, url, 35, 5);
    System.arraycopy(path, 10, url, 41, 5);
    return new String(url, StandardCharsets.ISO_8859_1);
  }

  /** Four groups of four digits. */
  private static String card(long draw) {
    byte[] card = "0000 0000 0000 0000".getBytes(StandardCharsets.ISO_8859_1);
    for (int group = 0; group < 4; group++) {
      int digits = (int) (draw >>> 16 * group & 0xffff) % 10_000;
      for (int at = group * 5 + 3; at >= group * 5; at--) {
        card[at] += (byte) (digits % 10);
        digits /= 10;
      }
    }
    return new String(card, StandardCharsets.ISO_8859_1);
  }

  /** What is left of a row's length, give or take a fifth. */
  private int fillerLength(int left, long draw) {
    int delta = left / 5;
    return left - delta + (int) draws.below(draw, 2L * delta);
  }
}
