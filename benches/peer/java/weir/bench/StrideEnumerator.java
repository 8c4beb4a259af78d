// Gives subtask s of a source the stride s, once. What it keeps are the strides that nobody has; the
// others come back with the state of their readers.
package weir.bench;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.SimpleVersionedSerializer;

final class StrideEnumerator implements SplitEnumerator<Stride, List<Stride>> {
  private final SplitEnumeratorContext<Stride> context;
  private final TreeMap<Integer, Stride> free = new TreeMap<>();

  StrideEnumerator(SplitEnumeratorContext<Stride> context, List<Stride> free) {
    this.context = context;
    free.forEach(stride -> this.free.put(stride.subtask, stride));
  }

  static List<Stride> all(int subtasks) {
    List<Stride> strides = new ArrayList<>();
    for (int subtask = 0; subtask < subtasks; subtask++) {
      strides.add(new Stride(subtask, subtask));
    }
    return strides;
  }

  @Override
  public void start() {}

  @Override
  public void addReader(int subtask) {
    Stride stride = free.remove(subtask);
    if (stride != null) {
      context.assignSplit(stride, subtask);
    }
    context.signalNoMoreSplits(subtask);
  }

  @Override
  public void addSplitsBack(List<Stride> strides, int subtask) {
    strides.forEach(stride -> free.put(stride.subtask, stride));
    if (context.registeredReaders().containsKey(subtask)) {
      addReader(subtask);
    }
  }

  @Override
  public void handleSplitRequest(int subtask, String host) {}

  @Override
  public List<Stride> snapshotState(long checkpoint) {
    return new ArrayList<>(free.values());
  }

  @Override
  public void close() {}

  static final class Serializer implements SimpleVersionedSerializer<List<Stride>> {
    @Override
    public int getVersion() {
      return 1;
    }

    @Override
    public byte[] serialize(List<Stride> free) {
      ByteBuffer buffer = ByteBuffer.allocate(free.size() * 12);
      free.forEach(stride -> buffer.putInt(stride.subtask).putLong(stride.next));
      return buffer.array();
    }

    @Override
    public List<Stride> deserialize(int version, byte[] bytes) {
      List<Stride> free = new ArrayList<>();
      for (ByteBuffer buffer = ByteBuffer.wrap(bytes); buffer.hasRemaining(); ) {
        free.add(new Stride(buffer.getInt(), buffer.getLong()));
      }
      return free;
    }
  }
}
