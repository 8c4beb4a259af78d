// How many records a window has.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.AggregateFunction;

final class Counting implements AggregateFunction<Id, Long, Long> {
  @Override
  public Long createAccumulator() {
    return 0L;
  }

  @Override
  public Long add(Id id, Long count) {
    return count + 1;
  }

  @Override
  public Long getResult(Long count) {
    return count;
  }

  @Override
  public Long merge(Long one, Long other) {
    return one + other;
  }
}
