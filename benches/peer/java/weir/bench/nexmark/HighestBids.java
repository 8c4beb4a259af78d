// Query 7: the highest bids of each ten seconds, first of each auction, then of all.
package weir.bench.nexmark;

import java.time.Duration;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

final class HighestBids {
  private static final Duration SIZE = Duration.ofSeconds(10);

  private HighestBids() {}

  static SingleOutputStreamOperator<Answer> of(DataStream<Part> bids) {
    DataStream<Highest> ofAuction = bids
        .keyBy(bid -> bid.key, Types.LONG)
        .window(TumblingEventTimeWindows.of(SIZE))
        .aggregate(new OfAuction(), new Passed(), LongList.TYPE, Highest.TYPE);
    return ofAuction
        .keyBy(bid -> bid.end, Types.LONG)
        .window(TumblingEventTimeWindows.of(SIZE))
        .aggregate(new OfWindow(), new Told(), LongList.TYPE, Types.POJO(Answer.class));
  }

  private static final class OfAuction extends Best<Part> {
    @Override
    long rating(Part bid) {
      return bid.b;
    }

    @Override
    void keep(Part bid, LongList best) {
      best.add(bid.a);
    }
  }

  private static final class Passed implements WindowFunction<LongList, Highest, Long, TimeWindow> {
    @Override
    public void apply(Long auction, TimeWindow window, Iterable<LongList> best, Collector<Highest> output) {
      Highest out = new Highest();
      LongList bidders = best.iterator().next();
      for (int i = 0; i < bidders.size; i++) {
        output.collect(out.with(window.getEnd(), bidders.head, auction, bidders.items[i]));
      }
    }
  }

  /** Auction and bidder, by turns. */
  private static final class OfWindow extends Best<Highest> {
    @Override
    long rating(Highest bid) {
      return bid.price;
    }

    @Override
    void keep(Highest bid, LongList best) {
      best.add(bid.auction);
      best.add(bid.bidder);
    }
  }

  private static final class Told implements WindowFunction<LongList, Answer, Long, TimeWindow> {
    @Override
    public void apply(Long end, TimeWindow window, Iterable<LongList> best, Collector<Answer> output) {
      Answer out = new Answer();
      LongList bids = best.iterator().next();
      for (int i = 0; i < bids.size; i += 2) {
        output.collect(out.with(end, bids.head, bids.items[i], bids.items[i + 1]));
      }
    }
  }
}
