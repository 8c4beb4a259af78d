// A row of the micro workloads: three numbers.
package weir.bench;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

public final class Row implements Folded {
  public static final TypeInformation<Row> TYPE = new FlatType<>(Row.class, new Serializer());

  public long key;
  public long value;
  /** Event time in milliseconds. */
  public long time;

  @Override
  public long fold() {
    return Numbers.folded(Numbers.folded(Numbers.folded(0, key), value), time);
  }

  public static final class Serializer extends FlatSerializer<Row> {
    @Override
    public Row createInstance() {
      return new Row();
    }

    @Override
    public void serialize(Row row, DataOutputView out) throws IOException {
      out.writeLong(row.key);
      out.writeLong(row.value);
      out.writeLong(row.time);
    }

    @Override
    protected void read(Row to, DataInputView in) throws IOException {
      to.key = in.readLong();
      to.value = in.readLong();
      to.time = in.readLong();
    }

    @Override
    protected void copyFields(Row from, Row to) {
      to.key = from.key;
      to.value = from.value;
      to.time = from.time;
    }

    @Override
    public int getLength() {
      return 24;
    }
  }
}
