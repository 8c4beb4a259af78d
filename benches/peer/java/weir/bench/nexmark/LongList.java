// A number and a list of numbers: state and accumulators that hold few things of a key.
package weir.bench.nexmark;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import weir.bench.FlatSerializer;
import weir.bench.FlatType;

public final class LongList {
  public static final TypeInformation<LongList> TYPE = new FlatType<>(LongList.class, new Serializer());

  public long head;
  public long[] items = new long[2];
  public int size;

  void add(long item) {
    if (size == items.length) {
      items = Arrays.copyOf(items, size * 2);
    }
    items[size++] = item;
  }

  /** Puts numbers in front of number {@code at}; they have any value until they are set. */
  void open(int at, int count) {
    if (size + count > items.length) {
      items = Arrays.copyOf(items, Math.max(size + count, size * 2));
    }
    System.arraycopy(items, at, items, at + count, size - at);
    size += count;
  }

  /** Takes in something that is rated: what is less than the best so far is forgotten. */
  boolean isAmongBest(long rating) {
    if (size > 0 && rating < head) {
      return false;
    }
    if (size > 0 && rating > head) {
      size = 0;
    }
    head = rating;
    return true;
  }

  public static final class Serializer extends FlatSerializer<LongList> {
    @Override
    public LongList createInstance() {
      return new LongList();
    }

    @Override
    public void serialize(LongList list, DataOutputView out) throws IOException {
      out.writeLong(list.head);
      out.writeInt(list.size);
      for (int i = 0; i < list.size; i++) {
        out.writeLong(list.items[i]);
      }
    }

    @Override
    protected void read(LongList to, DataInputView in) throws IOException {
      to.head = in.readLong();
      int size = in.readInt();
      to.size = 0;
      for (int i = 0; i < size; i++) {
        to.add(in.readLong());
      }
    }

    @Override
    protected void copyFields(LongList from, LongList to) {
      to.head = from.head;
      to.size = from.size;
      to.items = from.items.clone();
    }
  }
}
