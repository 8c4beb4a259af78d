// A bid for something.
package weir.bench.nexmark;

import static weir.bench.Numbers.folded;

import weir.bench.Folded;

public class Bid implements Folded {
  public long auction;
  public long bidder;
  /** In cents. */
  public long price;
  public String channel;
  public String url;
  /** Event time in milliseconds. */
  public long time;
  public String extra;

  @Override
  public long fold() {
    return foldInto(0);
  }

  long foldInto(long h) {
    h = folded(folded(folded(folded(h, auction), bidder), price), channel);
    return folded(folded(folded(h, url), time), extra);
  }
}
