// Query 4, first step: the highest bid of each auction in its time, told when that is over. A bid may come
// before its auction; it waits until the watermark has passed its time, then it counts for nothing. The bids
// of an auction have one timer: when it is due, there is another where some have come since.
package weir.bench.nexmark;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;

final class WinningBids extends KeyedProcessFunction<Long, Part, Pair> {
  private transient ValueState<Offer> offer;
  /** Time and price. */
  private transient ListState<Pair> waiting;
  private transient Pair out;

  /** Of an auction its end and category, of a bid its price. */
  static boolean fields(Event event, Part to) {
    switch (event.kind) {
      case Event.AUCTION -> to.with(
          event.kind, event.auction.id, event.auction.expires, event.auction.category);
      case Event.BID -> to.with(event.kind, event.bid.auction, event.bid.price, 0);
      default -> {
        return false;
      }
    }
    return true;
  }

  @Override
  public void open(OpenContext context) {
    offer = getRuntimeContext().getState(new ValueStateDescriptor<>("offer", Offer.TYPE));
    waiting = getRuntimeContext().getListState(new ListStateDescriptor<>("waiting", Pair.TYPE));
    out = new Pair();
  }

  @Override
  public void processElement(Part part, Context context, Collector<Pair> output) throws Exception {
    if (part.kind == Event.AUCTION) {
      begin(part, context);
      return;
    }
    Offer known = offer.value();
    if (known == null) {
      known = new Offer();
      waitUntil(context.timestamp(), known, context);
    }
    if (!known.isKnown) {
      waiting.add(new Pair().with(context.timestamp(), part.a));
      return;
    }
    long before = known.highest;
    known.bid(context.timestamp(), part.a);
    if (known.highest != before) {
      offer.update(known);
    }
  }

  private void begin(Part auction, Context context) throws Exception {
    Offer begun = new Offer();
    begun.isKnown = true;
    begun.begins = context.timestamp();
    begun.ends = auction.a;
    begun.category = auction.b;
    if (offer.value() != null) {
      for (Pair bid : waiting.get()) {
        begun.bid(bid.key, bid.value);
      }
      waiting.clear();
    }
    offer.update(begun);
    context.timerService().registerEventTimeTimer(begun.ends);
  }

  @Override
  public void onTimer(long at, OnTimerContext context, Collector<Pair> output) throws Exception {
    Offer over = offer.value();
    if (over == null || over.ends > at) {
      return;
    }
    if (!over.isKnown) {
      lookAtWaiting(at, over, context);
      return;
    }
    offer.clear();
    if (over.highest > 0) {
      output.collect(out.with(over.category, over.highest));
    }
  }

  /** No auction can come any more that bids up to this time are for. */
  private void lookAtWaiting(long at, Offer unknown, OnTimerContext context) throws Exception {
    List<Pair> later = new ArrayList<>();
    long latest = at;
    for (Pair bid : waiting.get()) {
      if (bid.key > at) {
        later.add(bid);
        latest = Math.max(latest, bid.key);
      }
    }
    waiting.update(later);
    if (latest > at) {
      waitUntil(latest, unknown, context);
    } else {
      offer.clear();
    }
  }

  /** The auction is not known: its bids are looked at again when this time has passed. */
  private void waitUntil(long time, Offer unknown, Context context) throws Exception {
    unknown.ends = time;
    offer.update(unknown);
    context.timerService().registerEventTimeTimer(time);
  }
}
