// Somebody who sells or bids.
package weir.bench.nexmark;

import static weir.bench.Numbers.folded;

public class Person {
  public long id;
  public String name;
  public String email;
  public String card;
  public String city;
  public String state;
  /** Event time in milliseconds. */
  public long time;
  public String extra;

  long foldInto(long h) {
    h = folded(folded(folded(folded(h, id), name), email), card);
    return folded(folded(folded(folded(h, city), state), time), extra);
  }
}
