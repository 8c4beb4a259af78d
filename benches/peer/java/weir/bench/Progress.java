// Counts the rows of one subtask, of a sink or of a source, for the run's meter. A row costs an addition
// and a comparison; the others hear of it every so many rows.
package weir.bench;

final class Progress {
  private static final long STEP = 256;

  private final Meter meter;
  private final int subtask;
  private long count;
  private long report;

  Progress(Meter meter, int subtask) {
    this.meter = meter;
    this.subtask = subtask;
    report = meter == null ? Long.MAX_VALUE : 1;
  }

  /** Counts for nobody. */
  static Progress none() {
    return new Progress(null, 0);
  }

  void row() {
    if (++count >= report) {
      report = count + STEP;
      meter.reached(subtask, count);
    }
  }
}
