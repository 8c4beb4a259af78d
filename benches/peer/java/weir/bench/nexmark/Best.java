// The best things of a window: all that have the highest rating, as it is built up.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.AggregateFunction;

abstract class Best<T> implements AggregateFunction<T, LongList, LongList> {
  abstract long rating(T record);

  /** Puts down what is to be known of one of the best. */
  abstract void keep(T record, LongList best);

  @Override
  public LongList createAccumulator() {
    return new LongList();
  }

  @Override
  public LongList add(T record, LongList best) {
    if (best.isAmongBest(rating(record))) {
      keep(record, best);
    }
    return best;
  }

  @Override
  public LongList getResult(LongList best) {
    return best;
  }

  @Override
  public LongList merge(LongList one, LongList other) {
    if (other.size > 0 && one.isAmongBest(other.head)) {
      for (int i = 0; i < other.size; i++) {
        one.add(other.items[i]);
      }
    }
    return one;
  }
}
