// One subtask of the source. It has a stride from its assignment on until the end; the position in it is
// its state.
package weir.bench;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.core.io.InputStatus;

final class StrideReader<T> implements SourceReader<T, Stride> {
  private static final CompletableFuture<Void> NOW = CompletableFuture.completedFuture(null);

  private final Maker<T> maker;
  private final long n;
  private final int step;
  private final boolean timed;
  private final Progress progress;
  private final Gate gate;
  private final Pace pace;
  private final CompletableFuture<Void> assigned = new CompletableFuture<>();
  private int stride = -1;
  private long next;

  StrideReader(StrideSource<T> source, int subtask, int subtasks) {
    maker = source.maker;
    n = source.n;
    step = subtasks;
    timed = source.timed;
    progress = source.metered ? Meter.current().progress(subtask) : Progress.none();
    gate = source.gated ? Gate.current() : Gate.OPEN;
    pace = source.rate > 0 ? new Pace(source.rate / subtasks) : null;
  }

  @Override
  public void start() {
    maker.open();
  }

  @Override
  public InputStatus pollNext(ReaderOutput<T> output) {
    if (!isReady()) {
      return InputStatus.NOTHING_AVAILABLE;
    }
    if (next >= n) {
      return InputStatus.END_OF_INPUT;
    }
    T made = maker.make(next);
    next += step;
    progress.row();
    if (timed) {
      output.collect(made, maker.time(made));
    } else {
      output.collect(made);
    }
    return InputStatus.MORE_AVAILABLE;
  }

  private boolean isReady() {
    return stride >= 0 && gate.isOpen() && (pace == null || next >= n || pace.takes());
  }

  @Override
  public CompletableFuture<Void> isAvailable() {
    if (stride < 0) {
      return assigned;
    }
    if (!gate.isOpen()) {
      return gate.opened();
    }
    return pace == null || next >= n ? NOW : pace.due();
  }

  @Override
  public void addSplits(List<Stride> strides) {
    for (Stride stride : strides) {
      if (this.stride >= 0) {
        throw new IllegalStateException("a second stride, " + stride.subtask + ", beside " + this.stride);
      }
      this.stride = stride.subtask;
      next = stride.next;
    }
    assigned.complete(null);
  }

  @Override
  public List<Stride> snapshotState(long checkpoint) {
    return stride < 0 ? List.of() : List.of(new Stride(stride, next));
  }

  @Override
  public void notifyNoMoreSplits() {}

  @Override
  public void close() {}
}
