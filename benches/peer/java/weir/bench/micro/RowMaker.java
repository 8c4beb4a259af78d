// Rows of the micro workloads: keys and values in no order, event time with a disorder of a second.
package weir.bench.micro;

import static weir.bench.Numbers.STEP;
import static weir.bench.Numbers.mix;

import weir.bench.Maker;
import weir.bench.Row;

public class RowMaker extends Maker<Row> {
  /** No row is earlier than the latest one by more. */
  public static final long DISORDER_MILLIS = 1024;

  private static final long BEGIN = 10_000_000;

  private final long keys;
  private final Values values;
  private final long bound;
  /** Milliseconds from {@code rows} rows to the next as many. */
  private final long millis;
  private final long rows;
  private transient Row row;

  /** What the value of row i is. */
  public enum Values {
    /** i. */
    NUMBER,
    /** A number below the bound, in no order. */
    BOUNDED,
    /** The last 16 bits of i. */
    LOW,
    /** 16 bits that the key determines. */
    OF_KEY
  }

  public RowMaker(long keys, Values values, long bound, long rows, long millis) {
    this.keys = keys;
    this.values = values;
    this.bound = bound;
    this.rows = rows;
    this.millis = millis;
  }

  @Override
  protected void open() {
    row = new Row();
  }

  @Override
  protected Row make(long i) {
    long h = mix(i + STEP);
    row.key = below(keys, h);
    row.value = switch (values) {
      case NUMBER -> i;
      case BOUNDED -> below(bound, mix(h));
      case LOW -> i & 0xffff;
      case OF_KEY -> mix(row.key) & 0xffff;
    };
    row.time = BEGIN + after(i) - (h & (DISORDER_MILLIS - 1));
    return row;
  }

  /**
   * A number made one below a bound. By the bounds that there are, as the rows on Weir: to divide by one
   * that is known takes less.
   */
  private static long below(long bound, long number) {
    if (bound == 10) {
      return Long.remainderUnsigned(number, 10);
    } else if (bound == 1_000) {
      return Long.remainderUnsigned(number, 1_000);
    } else if (bound == 10_000) {
      return Long.remainderUnsigned(number, 10_000);
    } else if (bound == 100_000) {
      return Long.remainderUnsigned(number, 100_000);
    } else if (bound == 1_000_000) {
      return Long.remainderUnsigned(number, 1_000_000);
    }
    return Long.remainderUnsigned(number, bound);
  }

  private long after(long i) {
    if (rows == 100 && millis == 1) {
      return i / 100;
    }
    return rows == 1 ? i * millis : i * millis / rows;
  }

  @Override
  protected long time(Row made) {
    return made.time;
  }
}
