// What makes the records of a source, each from its number alone.
package weir.bench;

import java.io.Serializable;

public abstract class Maker<T> implements Serializable {
  /** Is called in the task, before the first record. */
  protected void open() {}

  /** Makes record {@code i}, into an object that the next call overwrites. */
  protected abstract T make(long i);

  /** The event time of the record that was made last; asked for only where the job has event time. */
  protected abstract long time(T made);
}
