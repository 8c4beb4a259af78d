// The source of all jobs: makes records 0..n, subtask s of p those with the numbers s, s + p, s + 2p, ...
// in this order. It is a source of the current interface with nothing in the way of a record: no boxed
// number, no queue, one object for all records.
package weir.bench;

import java.util.List;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.SimpleVersionedSerializer;

public final class StrideSource<T> implements Source<T, Stride, List<Stride>> {
  final Maker<T> maker;
  final long n;
  /** Whether records carry their event time. */
  final boolean timed;
  /** Records a second over all subtasks; 0 for as many as go. */
  final double rate;
  /** Whether this source's records are the run's progress, see {@link Meter}. */
  final boolean metered;
  /** Whether it waits for the {@link Gate}. */
  final boolean gated;

  public StrideSource(Maker<T> maker, long n, boolean timed, double rate, boolean metered, boolean gated) {
    this.maker = maker;
    this.n = n;
    this.timed = timed;
    this.rate = rate;
    this.metered = metered;
    this.gated = gated;
  }

  @Override
  public Boundedness getBoundedness() {
    return Boundedness.BOUNDED;
  }

  @Override
  public SourceReader<T, Stride> createReader(SourceReaderContext context) {
    return new StrideReader<>(this, context.getIndexOfSubtask(), context.currentParallelism());
  }

  @Override
  public SplitEnumerator<Stride, List<Stride>> createEnumerator(SplitEnumeratorContext<Stride> context) {
    return new StrideEnumerator(context, StrideEnumerator.all(context.currentParallelism()));
  }

  @Override
  public SplitEnumerator<Stride, List<Stride>> restoreEnumerator(
      SplitEnumeratorContext<Stride> context, List<Stride> free) {
    return new StrideEnumerator(context, free);
  }

  @Override
  public SimpleVersionedSerializer<Stride> getSplitSerializer() {
    return new Stride.Serializer();
  }

  @Override
  public SimpleVersionedSerializer<List<Stride>> getEnumeratorCheckpointSerializer() {
    return new StrideEnumerator.Serializer();
  }
}
