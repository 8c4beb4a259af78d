// What queries need of a bid that only count it.
package weir.bench.nexmark;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import weir.bench.FlatSerializer;
import weir.bench.FlatType;

public final class Id {
  public static final TypeInformation<Id> TYPE = new FlatType<>(Id.class, new Serializer());

  public long id;

  public static final class Serializer extends FlatSerializer<Id> {
    @Override
    public Id createInstance() {
      return new Id();
    }

    @Override
    public void serialize(Id id, DataOutputView out) throws IOException {
      out.writeLong(id.id);
    }

    @Override
    protected void read(Id to, DataInputView in) throws IOException {
      to.id = in.readLong();
    }

    @Override
    protected void copyFields(Id from, Id to) {
      to.id = from.id;
    }

    @Override
    public int getLength() {
      return 8;
    }
  }
}
