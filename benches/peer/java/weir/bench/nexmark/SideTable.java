// Query 13: bids with what a small table has for their auction.
package weir.bench.nexmark;

import java.util.Arrays;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import weir.bench.Numbers;

final class SideTable extends RichMapFunction<Bid, Answer> {
  private static final int ROWS = 10_000;

  private transient long[] table;
  private transient Answer out;

  @Override
  public void open(OpenContext context) {
    table = new long[ROWS];
    Arrays.setAll(table, key -> Numbers.mix(key) & 0xffff);
    out = new Answer();
  }

  @Override
  public Answer map(Bid bid) {
    return out.with(bid.auction, bid.bidder, bid.price, table[(int) (bid.auction % ROWS)]);
  }
}
