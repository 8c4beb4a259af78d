// The part of a source's numbers that one subtask makes: from `next` on in steps, as many as the source
// has subtasks.
package weir.bench;

import java.nio.ByteBuffer;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.core.io.SimpleVersionedSerializer;

public final class Stride implements SourceSplit {
  final int subtask;
  final long next;

  Stride(int subtask, long next) {
    this.subtask = subtask;
    this.next = next;
  }

  @Override
  public String splitId() {
    return Integer.toString(subtask);
  }

  static final class Serializer implements SimpleVersionedSerializer<Stride> {
    @Override
    public int getVersion() {
      return 1;
    }

    @Override
    public byte[] serialize(Stride stride) {
      return ByteBuffer.allocate(12).putInt(stride.subtask).putLong(stride.next).array();
    }

    @Override
    public Stride deserialize(int version, byte[] bytes) {
      ByteBuffer buffer = ByteBuffer.wrap(bytes);
      return new Stride(buffer.getInt(), buffer.getLong());
    }
  }
}
