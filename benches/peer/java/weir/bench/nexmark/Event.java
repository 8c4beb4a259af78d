// An event of the market: of one kind, the fields of the others have old contents.
package weir.bench.nexmark;

import weir.bench.Folded;
import weir.bench.Numbers;

public class Event implements Folded {
  public static final byte PERSON = 0;
  public static final byte AUCTION = 1;
  public static final byte BID = 2;

  public byte kind;
  public Person person = new Person();
  public Auction auction = new Auction();
  public Bid bid = new Bid();

  public long time() {
    return switch (kind) {
      case PERSON -> person.time;
      case AUCTION -> auction.time;
      default -> bid.time;
    };
  }

  @Override
  public long fold() {
    long h = Numbers.folded(0, kind);
    return switch (kind) {
      case PERSON -> person.foldInto(h);
      case AUCTION -> auction.foldInto(h);
      default -> bid.foldInto(h);
    };
  }
}
