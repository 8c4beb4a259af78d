// Query 1: bids with their price in euro.
package weir.bench.nexmark;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;

final class Euros extends RichMapFunction<Bid, Bid> {
  private transient Bid out;

  @Override
  public void open(OpenContext context) {
    out = new Bid();
  }

  @Override
  public Bid map(Bid bid) {
    out.auction = bid.auction;
    out.bidder = bid.bidder;
    out.price = bid.price * 908 / 1_000;
    out.channel = bid.channel;
    out.url = bid.url;
    out.time = bid.time;
    out.extra = bid.extra;
    return out;
  }
}
