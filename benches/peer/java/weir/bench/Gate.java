// Holds a source back until something else of the job has happened so many times.
package weir.bench;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;

public final class Gate {
  static final Gate OPEN = new Gate(0);

  private static volatile Gate current = OPEN;

  private final AtomicLong left;
  private final CompletableFuture<Void> opened = new CompletableFuture<>();

  private Gate(long times) {
    left = new AtomicLong(times);
    if (times == 0) {
      opened.complete(null);
    }
  }

  /** The gate of this run; tasks run in this JVM and see it. */
  public static Gate current() {
    return current;
  }

  static void set(long times) {
    current = new Gate(times);
  }

  public void count() {
    if (left.decrementAndGet() == 0) {
      opened.complete(null);
    }
  }

  boolean isOpen() {
    return opened.isDone();
  }

  CompletableFuture<Void> opened() {
    return opened;
  }
}
