// Takes a millisecond for each row.
package weir.bench.micro;

import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import weir.bench.Row;

final class Slow extends KeyedProcessFunction<Long, Row, Row> {
  @Override
  public void processElement(Row row, Context context, Collector<Row> output) throws Exception {
    Thread.sleep(1);
    output.collect(row);
  }
}
