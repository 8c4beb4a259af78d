// Query 18: the last bid of each bidder for each auction, told whenever it is another. Of bids of the same
// millisecond the one with the higher price is the last.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;

final class LastBids extends KeyedProcessFunction<Long, Part, Answer> {
  private static final int HALF = 32;

  /** Time and price. */
  private transient ValueState<Pair> last;
  private transient Answer out;

  /** Bidder and auction in one number: ids are small. */
  static long key(Part bid) {
    return bid.a << HALF | bid.key;
  }

  /** As {@link #key(Part)}, of what comes out. */
  static long key(Answer row) {
    return row.fields[0] << HALF | row.fields[1];
  }

  @Override
  public void open(OpenContext context) {
    last = getRuntimeContext().getState(new ValueStateDescriptor<>("last", Pair.TYPE));
    out = new Answer();
  }

  @Override
  public void processElement(Part bid, Context context, Collector<Answer> output) throws Exception {
    long time = context.timestamp();
    Pair before = last.value();
    if (before == null) {
      before = new Pair();
    } else if (time < before.key || time == before.key && bid.b <= before.value) {
      return;
    }
    last.update(before.with(time, bid.b));
    output.collect(out.with(bid.a, bid.key, bid.b, time));
  }
}
