// Measures one run. Time counts from when the metered rows (of the sinks, or of the source where outputs
// are fewer) have come to the number of the warm-up until the end of input has reached all sinks. All
// tasks of a run are in this JVM and find the meter here.
package weir.bench;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;

public final class Meter {
  /** Counters of two subtasks are on different cache lines. */
  private static final int APART = 16;

  private static volatile Meter current;

  private final long warm;
  private final int sinks;
  private final AtomicLongArray seen;
  private final AtomicLong out = new AtomicLong();
  private final AtomicLong sum = new AtomicLong();
  private int ended;
  private volatile Machine begin;
  private long warmed;
  private volatile Machine end;
  private volatile long firstOutput;
  private long failed;
  private long recovered;
  private boolean isCut;
  private final Histogram ages = new Histogram();

  private Meter(long warm, int subtasks) {
    this.warm = warm;
    sinks = subtasks;
    seen = new AtomicLongArray(subtasks * APART);
  }

  static Meter begin(long warm, int subtasks) {
    current = new Meter(warm, subtasks);
    return current;
  }

  public static Meter current() {
    return current;
  }

  Progress progress(int subtask) {
    return new Progress(this, subtask);
  }

  /** Takes note that a subtask has seen {@code count} rows. */
  void reached(int subtask, long count) {
    seen.set(subtask * APART, count);
    if (begin == null && seen() >= warm) {
      synchronized (this) {
        if (begin == null) {
          warmed = seen();
          begin = Machine.now();
        }
      }
    }
  }

  /** Rows that have been counted; while the meter runs, not more than some hundred behind a subtask. */
  long seen() {
    long rows = 0;
    for (int i = 0; i < seen.length(); i += APART) {
      rows += seen.get(i);
    }
    return rows;
  }

  /** A sink has its first row. */
  synchronized void output() {
    if (firstOutput == 0) {
      firstOutput = Math.max(1, Machine.sinceStart());
    }
  }

  /** The end of input has reached a sink, which has had so many rows. */
  synchronized void ended(long rows, long folds) {
    out.addAndGet(rows);
    sum.addAndGet(folds);
    if (++ended == sinks) {
      end = Machine.now();
    }
  }

  /** The job fails now, as planned. */
  public synchronized void fails() {
    failed = System.nanoTime();
  }

  /** A sink of the job that was started again has its first row. */
  synchronized void recovers() {
    if (failed != 0 && recovered == 0) {
      recovered = System.nanoTime();
    }
  }

  /** Milliseconds from the failure to the first row after it; -1 if there was none. */
  synchronized long recoveryMillis() {
    return recovered == 0 ? -1 : (recovered - failed) / 1_000_000;
  }

  /** A sink has rows of such ages. */
  public synchronized void aged(Histogram ages) {
    this.ages.add(ages);
  }

  Histogram ages() {
    return ages;
  }

  /** The run is not to come to its end: what was seen until now is what there is. */
  synchronized void cut() {
    isCut = true;
    out.set(seen());
    end = Machine.now();
  }

  boolean isCut() {
    return isCut;
  }

  /** When the warm-up was over; null before. */
  public Machine begin() {
    return begin;
  }

  Machine end() {
    return end;
  }

  /** Metered rows before time counted. */
  long warmed() {
    return warmed;
  }

  long out() {
    return out.get();
  }

  long sum() {
    return sum.get();
  }

  /** When the first row came to a sink, in milliseconds from the start of the JVM. */
  long firstOutputMillis() {
    return firstOutput;
  }
}
