// Collects three values of each key, then emits their sum and begins anew.
package weir.bench.micro;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;
import weir.bench.Row;

final class Threes extends KeyedProcessFunction<Long, Row, Pair> {
  private static final int FULL = 3;

  private transient ListState<Long> values;
  private transient ValueState<Integer> size;
  private transient Pair out;

  @Override
  public void open(OpenContext context) {
    values = getRuntimeContext().getListState(new ListStateDescriptor<>("values", Types.LONG));
    size = getRuntimeContext().getState(new ValueStateDescriptor<>("size", Types.INT));
    out = new Pair();
  }

  @Override
  public void processElement(Row row, Context context, Collector<Pair> output) throws Exception {
    values.add(row.value);
    Integer before = size.value();
    int now = before == null ? 1 : before + 1;
    if (now < FULL) {
      size.update(now);
      return;
    }
    long sum = 0;
    for (Long value : values.get()) {
      sum += value;
    }
    values.clear();
    size.clear();
    output.collect(out.with(row.key, sum));
  }
}
