// The queries of Nexmark, by name. Each takes what it needs of the one stream of events.
package weir.bench.nexmark;

import java.io.Serializable;
import java.time.Duration;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamSource;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.util.Collector;
import weir.bench.Folded;
import weir.bench.LastSink;
import weir.bench.Pair;
import weir.bench.Run;
import weir.bench.Run.Metered;
import weir.bench.Workload;

public final class Queries {
  private static final TypeInformation<Answer> ANSWER = Types.POJO(Answer.class);
  private static final TypeInformation<Bid> BID = Types.POJO(Bid.class);

  private Queries() {}

  /** Null if there is none of this name. */
  public static Workload named(String name) {
    return switch (name) {
      case "events" -> run -> sink(run, events(run));
      case "q0" -> run -> sink(run, bids(run));
      case "q1" -> run -> sink(run, bids(run).map(new Euros()).returns(BID));
      case "q2" -> run -> sink(run, someAuctions(run));
      case "q3" -> run -> sink(run, Projection.of(events(run), Trader.TYPE, Trader::new, Sellers::fields)
          .keyBy(trader -> trader.person, Types.LONG)
          .process(new Sellers())
          .returns(Trader.TYPE));
      case "q4" -> Queries::averages;
      case "q5" -> run -> sink(run, HotAuctions.of(ids(run, bid -> bid.auction)));
      case "q7" -> run -> sink(run, HighestBids.of(bidParts(run)));
      case "q8" -> run -> sink(run, NewSellers.of(parts(run, NewSellers::fields)));
      case "q11" -> run -> sink(run, Sessions.of(ids(run, bid -> bid.bidder)));
      case "q12" -> run -> sink(run, ids(run, bid -> bid.bidder)
          .keyBy(id -> id.id, Types.LONG)
          .process(new BidderSeconds())
          .returns(Types.POJO(BidderSeconds.Bids.class)));
      case "q13" -> run -> sink(run, bids(run).map(new SideTable()).returns(ANSWER));
      case "q18" -> Queries::lastBids;
      case "q19" -> run -> sink(run, byKey(bidParts(run)).process(new TopBids()).returns(ANSWER));
      case "q20" -> run -> sink(run, byKey(parts(run, CategoryBids::fields))
          .process(new CategoryBids())
          .returns(ANSWER));
      default -> null;
    };
  }

  private static DataStreamSource<Event> events(Run run) {
    EventMaker maker = new EventMaker(run.options.count("per_ms", 100));
    return run.timedSource(maker, Types.POJO(Event.class), Duration.ZERO, Metered.SOURCE);
  }

  private static SingleOutputStreamOperator<Bid> bids(Run run) {
    return events(run)
        .flatMap((Event event, Collector<Bid> output) -> {
          if (event.kind == Event.BID) {
            output.collect(event.bid);
          }
        })
        .returns(BID);
  }

  private static DataStream<Part> parts(Run run, Projection.Fields<Part> fields) {
    return Projection.of(events(run), Part.TYPE, Part::new, fields);
  }

  /** Keyed by the auction: bidder and price. */
  private static DataStream<Part> bidParts(Run run) {
    return parts(run, (event, to) -> {
      if (event.kind != Event.BID) {
        return false;
      }
      to.with(Event.BID, event.bid.auction, event.bid.bidder, event.bid.price);
      return true;
    });
  }

  private static KeyedStream<Part, Long> byKey(DataStream<Part> parts) {
    return parts.keyBy(part -> part.key, Types.LONG);
  }

  /** One number of each bid. */
  private static DataStream<Id> ids(Run run, Number number) {
    return Projection.of(events(run), Id.TYPE, Id::new, (event, to) -> {
      if (event.kind != Event.BID) {
        return false;
      }
      to.id = number.of(event.bid);
      return true;
    });
  }

  private interface Number extends Serializable {
    long of(Bid bid);
  }

  /** Query 2. */
  private static SingleOutputStreamOperator<Pair> someAuctions(Run run) {
    return Projection.of(events(run), Pair.TYPE, Pair::new, (event, to) -> {
      if (event.kind != Event.BID || event.bid.auction % 123 != 0) {
        return false;
      }
      to.with(event.bid.auction, event.bid.price);
      return true;
    });
  }

  /** Query 4; in which order auctions of one moment end is open, so the last row of a category counts. */
  private static void averages(Run run) {
    SingleOutputStreamOperator<Answer> averages = byKey(parts(run, WinningBids::fields))
        .process(new WinningBids())
        .returns(Pair.TYPE)
        .keyBy(winning -> winning.key, Types.LONG)
        .process(new Averages())
        .returns(ANSWER);
    run.sink(averages, new LastSink<>(row -> row.fields[0]));
  }

  /** Query 18; what comes out at more than one subtask is determined only in the end. */
  private static void lastBids(Run run) {
    SingleOutputStreamOperator<Answer> last = bidParts(run)
        .keyBy(LastBids::key, Types.LONG)
        .process(new LastBids())
        .returns(ANSWER);
    if (run.last) {
      run.sink(last, new LastSink<>(LastBids::key));
    } else {
      sink(run, last);
    }
  }

  private static <T extends Folded> void sink(Run run, SingleOutputStreamOperator<T> stream) {
    run.sink(stream, Metered.SOURCE);
  }
}
