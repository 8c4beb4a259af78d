// So many records a second, by the clock from the first question on: what fell behind is made up for.
package weir.bench;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

final class Pace {
  /** A wake-up for each record would be the load, and not the record. */
  private static final long SHORTEST_NANOS = 200_000;

  private static final ScheduledExecutorService CLOCK = Executors.newSingleThreadScheduledExecutor(task -> {
    Thread thread = new Thread(task, "pace");
    thread.setDaemon(true);
    return thread;
  });

  private final double nanosEach;
  private long begun;
  private long taken = -1;
  /** Records that are due already, by the last look at the clock. */
  private long due;

  Pace(double rate) {
    nanosEach = 1e9 / rate;
  }

  /** Whether one more record is due; it counts as made then. */
  boolean takes() {
    if (taken < 0) {
      taken = 0;
      begun = System.nanoTime();
    }
    if (taken >= due) {
      due = (long) ((System.nanoTime() - begun) / nanosEach) + 1;
      if (taken >= due) {
        return false;
      }
    }
    taken++;
    return true;
  }

  CompletableFuture<Void> due() {
    if (taken < due) {
      return CompletableFuture.completedFuture(null);
    }
    long wait = Math.max(begun + (long) (taken * nanosEach) - System.nanoTime(), SHORTEST_NANOS);
    CompletableFuture<Void> future = new CompletableFuture<>();
    CLOCK.schedule(() -> future.complete(null), wait, TimeUnit.NANOSECONDS);
    return future;
  }
}
