// Query 11: how many bids each bidder makes until there is none for a second.
package weir.bench.nexmark;

import java.time.Duration;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

final class Sessions {
  private Sessions() {}

  static SingleOutputStreamOperator<Answer> of(DataStream<Id> bidders) {
    return bidders
        .keyBy(id -> id.id, Types.LONG)
        .window(EventTimeSessionWindows.withGap(Duration.ofSeconds(1)))
        .aggregate(new Counting(), new Told(), Types.LONG, Types.POJO(Answer.class));
  }

  private static final class Told implements WindowFunction<Long, Answer, Long, TimeWindow> {
    private transient Answer out;

    @Override
    public void apply(Long bidder, TimeWindow session, Iterable<Long> counts, Collector<Answer> output) {
      if (out == null) {
        out = new Answer();
      }
      output.collect(out.with(bidder, session.getStart(), counts.iterator().next()));
    }
  }
}
