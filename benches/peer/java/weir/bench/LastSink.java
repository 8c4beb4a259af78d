// A sink for rows that replace each other: the sum is over the last row of each key, while all are
// counted.
package weir.bench;

import java.io.Serializable;
import java.util.HashMap;
import java.util.Map;

public final class LastSink<T extends Folded> extends CountingSink<T> {
  private final Key<T> key;
  private transient Map<Long, Long> folds;

  /** What rows replace each other by. */
  public interface Key<T> extends Serializable {
    long of(T row);
  }

  public LastSink(Key<T> key) {
    super(false);
    this.key = key;
  }

  @Override
  public void open() throws Exception {
    super.open();
    folds = new HashMap<>();
  }

  @Override
  protected void take(T row) {
    folds.put(key.of(row), row.fold());
    count(0);
  }

  @Override
  protected long sum() {
    return folds.values().stream().mapToLong(Long::longValue).sum();
  }
}
