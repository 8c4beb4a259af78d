// What a query needs of an event: of which kind it is, what it is keyed by, and two more numbers. Both
// sides of a join are in one stream, which costs less than two inputs.
package weir.bench.nexmark;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import weir.bench.FlatSerializer;
import weir.bench.FlatType;

public final class Part {
  public static final TypeInformation<Part> TYPE = new FlatType<>(Part.class, new Serializer());

  public byte kind;
  public long key;
  public long a;
  public long b;

  Part with(byte kind, long key, long a, long b) {
    this.kind = kind;
    this.key = key;
    this.a = a;
    this.b = b;
    return this;
  }

  public static final class Serializer extends FlatSerializer<Part> {
    @Override
    public Part createInstance() {
      return new Part();
    }

    @Override
    public void serialize(Part part, DataOutputView out) throws IOException {
      out.writeByte(part.kind);
      out.writeLong(part.key);
      out.writeLong(part.a);
      out.writeLong(part.b);
    }

    @Override
    protected void read(Part to, DataInputView in) throws IOException {
      to.with(in.readByte(), in.readLong(), in.readLong(), in.readLong());
    }

    @Override
    protected void copyFields(Part from, Part to) {
      to.with(from.kind, from.key, from.a, from.b);
    }

    @Override
    public int getLength() {
      return 25;
    }
  }
}
