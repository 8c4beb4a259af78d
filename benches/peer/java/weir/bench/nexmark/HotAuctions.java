// Query 5: the auctions with the most bids of the last ten seconds, each two seconds. First the bids of
// each auction are counted, then the counts of a window compared.
package weir.bench.nexmark;

import java.time.Duration;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

final class HotAuctions {
  private static final Duration SIZE = Duration.ofSeconds(10);
  private static final Duration SLIDE = Duration.ofSeconds(2);

  private HotAuctions() {}

  static SingleOutputStreamOperator<Answer> of(DataStream<Id> auctions) {
    DataStream<Part> counts = auctions
        .keyBy(id -> id.id, Types.LONG)
        .window(SlidingEventTimeWindows.of(SIZE, SLIDE))
        .aggregate(new Counting(), new Counted(), Types.LONG, Part.TYPE);
    // A count has the last millisecond of its window as its time, so all of one window meet here.
    return counts
        .keyBy(count -> count.key, Types.LONG)
        .window(TumblingEventTimeWindows.of(SLIDE))
        .aggregate(new Most(), new Told(), LongList.TYPE, Types.POJO(Answer.class));
  }

  /** Keyed by the end of the window: auction, and its bids. */
  private static final class Counted implements WindowFunction<Long, Part, Long, TimeWindow> {
    private transient Part out;

    @Override
    public void apply(Long auction, TimeWindow window, Iterable<Long> counts, Collector<Part> output) {
      if (out == null) {
        out = new Part();
      }
      output.collect(out.with(Event.BID, window.getEnd(), auction, counts.iterator().next()));
    }
  }

  private static final class Most extends Best<Part> {
    @Override
    long rating(Part count) {
      return count.b;
    }

    @Override
    void keep(Part count, LongList best) {
      best.add(count.a);
    }
  }

  private static final class Told implements WindowFunction<LongList, Answer, Long, TimeWindow> {
    @Override
    public void apply(Long end, TimeWindow window, Iterable<LongList> best, Collector<Answer> output) {
      Answer out = new Answer();
      LongList auctions = best.iterator().next();
      for (int i = 0; i < auctions.size; i++) {
        output.collect(out.with(end, auctions.items[i], auctions.head));
      }
    }
  }
}
