// A row of output of the keyed workloads: a key and a number.
package weir.bench;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

public final class Pair implements Folded {
  public static final TypeInformation<Pair> TYPE = new FlatType<>(Pair.class, new Serializer());

  public long key;
  public long value;

  public Pair with(long key, long value) {
    this.key = key;
    this.value = value;
    return this;
  }

  @Override
  public long fold() {
    return Numbers.folded(Numbers.folded(0, key), value);
  }

  public static final class Serializer extends FlatSerializer<Pair> {
    @Override
    public Pair createInstance() {
      return new Pair();
    }

    @Override
    public void serialize(Pair pair, DataOutputView out) throws IOException {
      out.writeLong(pair.key);
      out.writeLong(pair.value);
    }

    @Override
    protected void read(Pair to, DataInputView in) throws IOException {
      to.key = in.readLong();
      to.value = in.readLong();
    }

    @Override
    protected void copyFields(Pair from, Pair to) {
      to.key = from.key;
      to.value = from.value;
    }

    @Override
    public int getLength() {
      return 16;
    }
  }
}
