// A highest bid of a window, from the first step of query 7 to its second.
package weir.bench.nexmark;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import weir.bench.FlatSerializer;
import weir.bench.FlatType;

public final class Highest {
  public static final TypeInformation<Highest> TYPE = new FlatType<>(Highest.class, new Serializer());

  public long end;
  public long price;
  public long auction;
  public long bidder;

  Highest with(long end, long price, long auction, long bidder) {
    this.end = end;
    this.price = price;
    this.auction = auction;
    this.bidder = bidder;
    return this;
  }

  public static final class Serializer extends FlatSerializer<Highest> {
    @Override
    public Highest createInstance() {
      return new Highest();
    }

    @Override
    public void serialize(Highest highest, DataOutputView out) throws IOException {
      out.writeLong(highest.end);
      out.writeLong(highest.price);
      out.writeLong(highest.auction);
      out.writeLong(highest.bidder);
    }

    @Override
    protected void read(Highest to, DataInputView in) throws IOException {
      to.with(in.readLong(), in.readLong(), in.readLong(), in.readLong());
    }

    @Override
    protected void copyFields(Highest from, Highest to) {
      to.with(from.end, from.price, from.auction, from.bidder);
    }

    @Override
    public int getLength() {
      return 32;
    }
  }
}
