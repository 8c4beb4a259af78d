// Something that is for sale.
package weir.bench.nexmark;

import static weir.bench.Numbers.folded;

public class Auction {
  public long id;
  public String item;
  public String description;
  public long initial;
  public long reserve;
  /** Event time in milliseconds. */
  public long time;
  /** The last moment of the auction. */
  public long expires;
  public long seller;
  public long category;
  public String extra;

  long foldInto(long h) {
    h = folded(folded(folded(folded(folded(h, id), item), description), initial), reserve);
    return folded(folded(folded(folded(folded(h, time), expires), seller), category), extra);
  }
}
