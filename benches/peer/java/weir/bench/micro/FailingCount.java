// A count that fails once: in its first attempt, at the first row from the middle of the input on at which
// a checkpoint is complete.
package weir.bench.micro;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.util.Collector;
import weir.bench.Meter;
import weir.bench.Pair;
import weir.bench.Row;

final class FailingCount extends Count implements CheckpointListener {
  private final long rows;
  private transient boolean fails;
  private transient boolean isComplete;
  private transient long left;

  /** Of {@code rows} rows each subtask has about its share. */
  FailingCount(long rows) {
    this.rows = rows;
  }

  @Override
  public void open(OpenContext context) {
    super.open(context);
    var task = getRuntimeContext().getTaskInfo();
    fails = task.getAttemptNumber() == 0 && task.getIndexOfThisSubtask() == 0;
    left = rows / task.getNumberOfParallelSubtasks() / 2;
  }

  @Override
  public void processElement(Row row, Context context, Collector<Pair> output) throws Exception {
    if (fails && --left < 0 && isComplete) {
      Meter.current().fails();
      throw new IllegalStateException("this failure is what the workload is for");
    }
    super.processElement(row, context, output);
  }

  @Override
  public void notifyCheckpointComplete(long checkpoint) {
    isComplete = true;
  }
}
