// The sum of a window, built up row by row, and the key it belongs to.
package weir.bench.micro;

import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import weir.bench.Pair;
import weir.bench.Row;

final class WindowSum implements AggregateFunction<Row, Long, Long> {
  @Override
  public Long createAccumulator() {
    return 0L;
  }

  @Override
  public Long add(Row row, Long sum) {
    return sum + row.value;
  }

  @Override
  public Long getResult(Long sum) {
    return sum;
  }

  @Override
  public Long merge(Long one, Long other) {
    return one + other;
  }

  static final class Keyed implements WindowFunction<Long, Pair, Long, TimeWindow> {
    private transient Pair out;

    @Override
    public void apply(Long key, TimeWindow window, Iterable<Long> sums, Collector<Pair> output) {
      if (out == null) {
        out = new Pair();
      }
      output.collect(out.with(key, sums.iterator().next()));
    }
  }
}
