// Query 19: the ten highest bids of each auction, told whenever a bid becomes one of them. Of bids of the
// same price the earlier one is higher, then that of the lower bidder.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

final class TopBids extends KeyedProcessFunction<Long, Part, Answer> {
  private static final int KEPT = 10;
  /** Price, time and bidder. */
  private static final int FIELDS = 3;

  /** From the highest on. */
  private transient ValueState<LongList> top;
  private transient Answer out;

  @Override
  public void open(OpenContext context) {
    top = getRuntimeContext().getState(new ValueStateDescriptor<>("top", LongList.TYPE));
    out = new Answer();
  }

  @Override
  public void processElement(Part bid, Context context, Collector<Answer> output) throws Exception {
    LongList bids = top.value();
    if (bids == null) {
      bids = new LongList();
    }
    long time = context.timestamp();
    int at = bids.size;
    while (at > 0 && isHigher(bid, time, bids.items, at - FIELDS)) {
      at -= FIELDS;
    }
    if (at == KEPT * FIELDS) {
      return;
    }
    if (bids.size == KEPT * FIELDS) {
      bids.size -= FIELDS;
    }
    bids.open(at, FIELDS);
    bids.items[at] = bid.b;
    bids.items[at + 1] = time;
    bids.items[at + 2] = bid.a;
    top.update(bids);
    output.collect(out.with(bid.key, at / FIELDS + 1, bid.b, bid.a));
  }

  /** Whether a bid comes before the one that is kept there; one that is equal to it does not. */
  private static boolean isHigher(Part bid, long time, long[] kept, int at) {
    if (bid.b != kept[at]) {
      return bid.b > kept[at];
    }
    return time != kept[at + 1] ? time < kept[at + 1] : bid.a < kept[at + 2];
  }
}
