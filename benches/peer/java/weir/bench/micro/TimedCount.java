// How often each key has come, as {@link Count}, with the time of the row that was counted.
package weir.bench.micro;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Row;

final class TimedCount extends KeyedProcessFunction<Long, Row, Row> {
  private transient ValueState<Long> count;
  private transient Row out;

  @Override
  public void open(OpenContext context) {
    count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
    out = new Row();
  }

  @Override
  public void processElement(Row row, Context context, Collector<Row> output) throws Exception {
    Long before = count.value();
    long now = before == null ? 1 : before + 1;
    count.update(now);
    out.key = row.key;
    out.value = now;
    out.time = row.time;
    output.collect(out);
  }
}
