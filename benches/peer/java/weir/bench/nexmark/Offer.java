// State of query 4: what is known of an auction.
package weir.bench.nexmark;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import weir.bench.FlatSerializer;
import weir.bench.FlatType;

public final class Offer {
  public static final TypeInformation<Offer> TYPE = new FlatType<>(Offer.class, new Serializer());

  /** Whether the auction has come; else bids wait for it. */
  public boolean isKnown;
  public long category;
  public long begins;
  /** The last moment of the auction; while it is not known, when bids that wait are looked at. */
  public long ends;
  /** 0 if there was no bid. */
  public long highest;

  void bid(long time, long price) {
    if (time >= begins && time <= ends) {
      highest = Math.max(highest, price);
    }
  }

  public static final class Serializer extends FlatSerializer<Offer> {
    @Override
    public Offer createInstance() {
      return new Offer();
    }

    @Override
    public void serialize(Offer offer, DataOutputView out) throws IOException {
      out.writeBoolean(offer.isKnown);
      out.writeLong(offer.category);
      out.writeLong(offer.begins);
      out.writeLong(offer.ends);
      out.writeLong(offer.highest);
    }

    @Override
    protected void read(Offer to, DataInputView in) throws IOException {
      to.isKnown = in.readBoolean();
      to.category = in.readLong();
      to.begins = in.readLong();
      to.ends = in.readLong();
      to.highest = in.readLong();
    }

    @Override
    protected void copyFields(Offer from, Offer to) {
      to.isKnown = from.isKnown;
      to.category = from.category;
      to.begins = from.begins;
      to.ends = from.ends;
      to.highest = from.highest;
    }

    @Override
    public int getLength() {
      return 33;
    }
  }
}
