// Query 3: persons with their auctions, whichever comes first. Both are kept for ever.
package weir.bench.nexmark;

import java.util.Set;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

final class Sellers extends KeyedProcessFunction<Long, Trader, Trader> {
  private static final Set<String> STATES = Set.of("OR", "ID", "CA");
  private static final long CATEGORY = 10;

  private transient ValueState<Trader> person;
  private transient ListState<Long> auctions;
  private transient Trader out;

  static boolean fields(Event event, Trader to) {
    to.kind = event.kind;
    if (event.kind == Event.PERSON && STATES.contains(event.person.state)) {
      to.person = event.person.id;
      to.name = event.person.name;
      to.city = event.person.city;
      to.state = event.person.state;
      return true;
    }
    if (event.kind == Event.AUCTION && event.auction.category == CATEGORY) {
      to.person = event.auction.seller;
      to.auction = event.auction.id;
      return true;
    }
    return false;
  }

  @Override
  public void open(OpenContext context) {
    person = getRuntimeContext().getState(new ValueStateDescriptor<>("person", Trader.TYPE));
    auctions = getRuntimeContext().getListState(new ListStateDescriptor<>("auctions", Types.LONG));
    out = new Trader();
  }

  @Override
  public void processElement(Trader trader, Context context, Collector<Trader> output) throws Exception {
    if (trader.kind == Event.PERSON) {
      for (Long auction : auctions.get()) {
        emit(trader, auction, output);
      }
      Trader kept = new Trader();
      kept.person = trader.person;
      kept.name = trader.name;
      kept.city = trader.city;
      kept.state = trader.state;
      person.update(kept);
      return;
    }
    auctions.add(trader.auction);
    Trader seller = person.value();
    if (seller != null) {
      emit(seller, trader.auction, output);
    }
  }

  private void emit(Trader seller, long auction, Collector<Trader> output) {
    out.name = seller.name;
    out.city = seller.city;
    out.state = seller.state;
    out.auction = auction;
    output.collect(out);
  }
}
