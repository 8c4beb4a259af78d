// The sink of all jobs: an operator that folds each row into a sum and drops it. Count and sum are in its
// state, so that after a recovery each row is in them once.
package weir.bench;

import java.util.List;
import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

public class CountingSink<T extends Folded> extends AbstractStreamOperator<Void>
    implements OneInputStreamOperator<T, Void>, BoundedOneInput {
  private final boolean metered;
  private transient Meter meter;
  private transient Progress progress;
  private transient ListState<Pair> state;
  private transient boolean begun;
  private transient boolean isRestarted;
  private transient long rows;
  private transient long sum;

  /** Metered: its rows are the run's progress. */
  public CountingSink(boolean metered) {
    this.metered = metered;
  }

  @Override
  public void open() throws Exception {
    super.open();
    meter = Meter.current();
    TaskInfo task = getRuntimeContext().getTaskInfo();
    isRestarted = task.getAttemptNumber() > 0;
    progress = metered ? meter.progress(task.getIndexOfThisSubtask()) : Progress.none();
  }

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    state = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("sum", Pair.TYPE));
    for (Pair saved : state.get()) {
      rows += saved.key;
      sum += saved.value;
    }
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    state.update(List.of(new Pair().with(rows, sum)));
  }

  @Override
  public void processElement(StreamRecord<T> record) throws Exception {
    take(record.getValue());
  }

  protected void take(T row) {
    count(row.fold());
  }

  /** Counts a row, by its fold. */
  protected final void count(long fold) {
    rows++;
    sum += fold;
    if (!begun) {
      begun = true;
      meter.output();
      if (isRestarted) {
        meter.recovers();
      }
    }
    progress.row();
  }

  protected long sum() {
    return sum;
  }

  @Override
  public void endInput() {
    meter.ended(rows, sum());
  }
}
