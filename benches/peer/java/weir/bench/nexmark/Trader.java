// What query 3 needs of a person or an auction, keyed by the person: and, with all its fields, what comes
// out of it.
package weir.bench.nexmark;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.types.StringValue;
import weir.bench.FlatSerializer;
import weir.bench.FlatType;
import weir.bench.Folded;
import weir.bench.Numbers;

public final class Trader implements Folded {
  public static final TypeInformation<Trader> TYPE = new FlatType<>(Trader.class, new Serializer());

  public byte kind = Event.PERSON;
  public long person;
  /** Of a person. */
  public String name = "";
  public String city = "";
  public String state = "";
  /** Of an auction: its id. */
  public long auction;

  @Override
  public long fold() {
    return Numbers.folded(Numbers.folded(Numbers.folded(Numbers.folded(0, name), city), state), auction);
  }

  public static final class Serializer extends FlatSerializer<Trader> {
    @Override
    public Trader createInstance() {
      return new Trader();
    }

    @Override
    public void serialize(Trader trader, DataOutputView out) throws IOException {
      out.writeByte(trader.kind);
      out.writeLong(trader.person);
      if (trader.kind == Event.AUCTION) {
        out.writeLong(trader.auction);
      } else {
        StringValue.writeString(trader.name, out);
        StringValue.writeString(trader.city, out);
        StringValue.writeString(trader.state, out);
      }
    }

    @Override
    protected void read(Trader to, DataInputView in) throws IOException {
      to.kind = in.readByte();
      to.person = in.readLong();
      if (to.kind == Event.AUCTION) {
        to.auction = in.readLong();
      } else {
        to.name = StringValue.readString(in);
        to.city = StringValue.readString(in);
        to.state = StringValue.readString(in);
      }
    }

    @Override
    protected void copyFields(Trader from, Trader to) {
      to.kind = from.kind;
      to.person = from.person;
      to.name = from.name;
      to.city = from.city;
      to.state = from.state;
      to.auction = from.auction;
    }
  }
}
