// Query 12: how many bids each bidder makes in a second by the clock. Flink drops windows of processing
// time that are open at the end of input; so the window is made by hand, with a second timer for the end,
// which also costs less than the window operator.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.TimeDomain;
import org.apache.flink.streaming.api.TimerService;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;

final class BidderSeconds extends KeyedProcessFunction<Long, Id, BidderSeconds.Bids> {
  private static final long SIZE_MILLIS = 1_000;

  /** End of the window, and bids in it. */
  private transient ValueState<Pair> window;
  private transient Bids out;

  /** Which rows come out depends on the clock: what must be right is the number of bids. */
  public static final class Bids implements weir.bench.Folded {
    public long bidder;
    public long count;

    @Override
    public long fold() {
      return count;
    }
  }

  @Override
  public void open(OpenContext context) {
    window = getRuntimeContext().getState(new ValueStateDescriptor<>("window", Pair.TYPE));
    out = new Bids();
  }

  @Override
  public void processElement(Id bidder, Context context, Collector<Bids> output) throws Exception {
    TimerService timers = context.timerService();
    long now = timers.currentProcessingTime();
    Pair open = window.value();
    if (open == null || now >= open.key) {
      if (open != null) {
        emit(bidder.id, open, output);
      }
      open = new Pair().with(now - now % SIZE_MILLIS + SIZE_MILLIS, 0);
      timers.registerProcessingTimeTimer(open.key - 1);
      timers.registerEventTimeTimer(Long.MAX_VALUE);
    }
    open.value++;
    window.update(open);
  }

  @Override
  public void onTimer(long at, OnTimerContext context, Collector<Bids> output) throws Exception {
    Pair open = window.value();
    boolean ends = context.timeDomain() == TimeDomain.EVENT_TIME || open != null && open.key - 1 <= at;
    if (open != null && ends) {
      emit(context.getCurrentKey(), open, output);
      window.clear();
    }
  }

  private void emit(long bidder, Pair closed, Collector<Bids> output) {
    out.bidder = bidder;
    out.count = closed.value;
    output.collect(out);
  }
}
