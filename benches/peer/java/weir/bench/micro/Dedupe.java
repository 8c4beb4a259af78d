// Lets the first row of each key and value pass.
package weir.bench.micro;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;
import weir.bench.Row;

final class Dedupe extends KeyedProcessFunction<Long, Row, Pair> {
  private transient MapState<Long, Boolean> seen;
  private transient Pair out;

  @Override
  public void open(OpenContext context) {
    seen = getRuntimeContext().getMapState(new MapStateDescriptor<>("seen", Types.LONG, Types.BOOLEAN));
    out = new Pair();
  }

  @Override
  public void processElement(Row row, Context context, Collector<Pair> output) throws Exception {
    if (!seen.contains(row.value)) {
      seen.put(row.value, Boolean.TRUE);
      output.collect(out.with(row.key, row.value));
    }
  }
}
