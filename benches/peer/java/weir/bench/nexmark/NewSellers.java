// Query 8: who is new and sells something in the same ten seconds. A window of a person has whether the
// person came in it, and the auctions.
package weir.bench.nexmark;

import java.time.Duration;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

final class NewSellers {
  private NewSellers() {}

  /** Keyed by the person; of an auction its id. */
  static boolean fields(Event event, Part to) {
    switch (event.kind) {
      case Event.PERSON -> to.with(event.kind, event.person.id, 0, 0);
      case Event.AUCTION -> to.with(event.kind, event.auction.seller, event.auction.id, 0);
      default -> {
        return false;
      }
    }
    return true;
  }

  static SingleOutputStreamOperator<Answer> of(DataStream<Part> parts) {
    return parts
        .keyBy(part -> part.key, Types.LONG)
        .window(TumblingEventTimeWindows.of(Duration.ofSeconds(10)))
        .aggregate(new Both(), new Told(), LongList.TYPE, Types.POJO(Answer.class));
  }

  /** The head is how often the person came. */
  private static final class Both implements AggregateFunction<Part, LongList, LongList> {
    @Override
    public LongList createAccumulator() {
      return new LongList();
    }

    @Override
    public LongList add(Part part, LongList both) {
      if (part.kind == Event.PERSON) {
        both.head++;
      } else {
        both.add(part.a);
      }
      return both;
    }

    @Override
    public LongList getResult(LongList both) {
      return both;
    }

    @Override
    public LongList merge(LongList one, LongList other) {
      one.head += other.head;
      for (int i = 0; i < other.size; i++) {
        one.add(other.items[i]);
      }
      return one;
    }
  }

  private static final class Told implements WindowFunction<LongList, Answer, Long, TimeWindow> {
    @Override
    public void apply(Long person, TimeWindow window, Iterable<LongList> both, Collector<Answer> output) {
      LongList auctions = both.iterator().next();
      Answer out = new Answer();
      for (long times = 0; times < auctions.head; times++) {
        for (int i = 0; i < auctions.size; i++) {
          output.collect(out.with(person, window.getStart(), auctions.items[i]));
        }
      }
    }
  }
}
