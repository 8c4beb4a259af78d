// Query 20: bids with what is known of their auction, of those of one category. A bid may come before its
// auction. Both are kept for ever.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;

final class CategoryBids extends KeyedProcessFunction<Long, Part, Answer> {
  private static final long CATEGORY = 10;

  /** Seller and reserve. */
  private transient ValueState<Pair> auction;
  /** Bidder and price. */
  private transient ListState<Pair> bids;
  private transient Answer out;

  static boolean fields(Event event, Part to) {
    if (event.kind == Event.BID) {
      to.with(event.kind, event.bid.auction, event.bid.bidder, event.bid.price);
      return true;
    }
    if (event.kind == Event.AUCTION && event.auction.category == CATEGORY) {
      to.with(event.kind, event.auction.id, event.auction.seller, event.auction.reserve);
      return true;
    }
    return false;
  }

  @Override
  public void open(OpenContext context) {
    auction = getRuntimeContext().getState(new ValueStateDescriptor<>("auction", Pair.TYPE));
    bids = getRuntimeContext().getListState(new ListStateDescriptor<>("bids", Pair.TYPE));
    out = new Answer();
  }

  @Override
  public void processElement(Part part, Context context, Collector<Answer> output) throws Exception {
    Pair kept = new Pair().with(part.a, part.b);
    if (part.kind == Event.AUCTION) {
      for (Pair bid : bids.get()) {
        output.collect(out.with(part.key, bid.key, bid.value, part.a, part.b));
      }
      auction.update(kept);
      return;
    }
    bids.add(kept);
    Pair known = auction.value();
    if (known != null) {
      output.collect(out.with(part.key, part.a, part.b, known.key, known.value));
    }
  }
}
