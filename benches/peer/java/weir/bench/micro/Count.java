// How often each key has come.
package weir.bench.micro;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;
import weir.bench.Row;

class Count extends KeyedProcessFunction<Long, Row, Pair> {
  private transient ValueState<Long> count;
  private transient Pair out;

  @Override
  public void open(OpenContext context) {
    count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
    out = new Pair();
  }

  @Override
  public void processElement(Row row, Context context, Collector<Pair> output) throws Exception {
    Long before = count.value();
    long now = before == null ? 1 : before + 1;
    count.update(now);
    output.collect(out.with(row.key, now));
  }
}
