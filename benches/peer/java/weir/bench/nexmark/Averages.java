// Query 4, second step: the average winning price of a category so far, with each winning bid.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Pair;

final class Averages extends KeyedProcessFunction<Long, Pair, Answer> {
  /** Sum and count. */
  private transient ValueState<Pair> soFar;
  private transient Answer out;

  @Override
  public void open(OpenContext context) {
    soFar = getRuntimeContext().getState(new ValueStateDescriptor<>("so-far", Pair.TYPE));
    out = new Answer();
  }

  @Override
  public void processElement(Pair winning, Context context, Collector<Answer> output) throws Exception {
    Pair now = soFar.value();
    if (now == null) {
      now = new Pair();
    }
    now.with(now.key + winning.value, now.value + 1);
    soFar.update(now);
    output.collect(out.with(winning.key, now.key / now.value, now.key, now.value));
  }
}
