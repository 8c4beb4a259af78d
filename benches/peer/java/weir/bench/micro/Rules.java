// Rows that look up a rule, which comes by a broadcast input. Each rule is acknowledged by each subtask
// with a row (rule, ACKNOWLEDGED), which the sink counts apart; the rows begin when all are there.
package weir.bench.micro;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.co.BroadcastProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Maker;
import weir.bench.Numbers;
import weir.bench.Pair;
import weir.bench.Row;

final class Rules extends BroadcastProcessFunction<Row, Pair, Pair> {
  static final long COUNT = 1_000;
  static final long ACKNOWLEDGED = -1;
  static final MapStateDescriptor<Long, Long> STATE =
      new MapStateDescriptor<>("rules", Types.LONG, Types.LONG);

  private transient Pair out;

  @Override
  public void open(OpenContext context) {
    out = new Pair();
  }

  @Override
  public void processElement(Row row, ReadOnlyContext context, Collector<Pair> output) throws Exception {
    Long rule = context.getBroadcastState(STATE).get(row.value % COUNT);
    output.collect(out.with(row.key, rule));
  }

  @Override
  public void processBroadcastElement(Pair rule, Context context, Collector<Pair> output) throws Exception {
    context.getBroadcastState(STATE).put(rule.key, rule.value);
    output.collect(out.with(rule.key, ACKNOWLEDGED));
  }

  /** Rule r is 16 bits of its number. */
  static final class Of extends Maker<Pair> {
    private transient Pair rule;

    @Override
    protected void open() {
      rule = new Pair();
    }

    @Override
    protected Pair make(long i) {
      return rule.with(i, Numbers.mix(i) & 0xffff);
    }

    @Override
    protected long time(Pair made) {
      throw new UnsupportedOperationException("rules have no event time");
    }
  }
}
