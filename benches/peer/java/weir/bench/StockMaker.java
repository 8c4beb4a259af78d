// Our records for Flink's own `DataGeneratorSource`, which gives a reader a range of the numbers: number j
// of range s becomes record s + j * ranges, so that subtasks make the same as those of {@link StrideSource}.
package weir.bench;

import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.connector.datagen.source.GeneratorFunction;

final class StockMaker<T> implements GeneratorFunction<Long, T> {
  private final Maker<T> maker;
  private final long n;
  private final int ranges;
  private final boolean metered;
  private transient Progress progress;
  /** The range of the last number. */
  private transient long from;
  private transient long to;
  private transient int range;

  StockMaker(Maker<T> maker, long n, int ranges, boolean metered) {
    this.maker = maker;
    this.n = n;
    this.ranges = ranges;
    this.metered = metered;
  }

  @Override
  public void open(SourceReaderContext context) {
    progress = metered ? Meter.current().progress(context.getIndexOfSubtask()) : Progress.none();
    maker.open();
  }

  @Override
  public T map(Long boxed) {
    long number = boxed;
    if (number < from || number >= to) {
      enter(number);
    }
    progress.row();
    return maker.make(range + (number - from) * ranges);
  }

  /** The first ranges have one number more where they cannot all have as many. */
  private void enter(long number) {
    to = 0;
    range = -1;
    do {
      range++;
      from = to;
      to += n / ranges + (range < n % ranges ? 1 : 0);
    } while (number >= to);
  }
}
