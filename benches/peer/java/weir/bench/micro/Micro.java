// The micro workloads: one operator each, between source and sink.
package weir.bench.micro;

import java.time.Duration;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.WindowAssigner;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import weir.bench.Options;
import weir.bench.Pair;
import weir.bench.Row;
import weir.bench.Run;
import weir.bench.Run.Metered;
import weir.bench.Workload;
import weir.bench.micro.RowMaker.Values;

public final class Micro {
  private static final Duration DISORDER = Duration.ofMillis(RowMaker.DISORDER_MILLIS);

  private static final WindowAssigner<Object, TimeWindow> TUMBLING =
      TumblingEventTimeWindows.of(Duration.ofSeconds(10));
  private static final WindowAssigner<Object, TimeWindow> SLIDING =
      SlidingEventTimeWindows.of(Duration.ofHours(1), Duration.ofMinutes(1));

  private Micro() {}

  /** Null if there is none of this name. */
  public static Workload named(String name) {
    return switch (name) {
      case "source" -> run -> run.sink(
          run.source(maker(run, Values.NUMBER, 1_000), run.type(Row.TYPE), Metered.SINK), Metered.SINK);
      case "chained" -> run -> passthrough(run, false);
      case "hop" -> run -> passthrough(run, true);
      case "keyed" -> run -> run.sink(
          byKey(run.source(maker(run, Values.NUMBER, 1_000), run.type(Row.TYPE), Metered.SINK))
              .map(row -> row)
              .returns(run.type(Row.TYPE)),
          Metered.SINK);
      case "count" -> run -> keyed(run, Values.NUMBER, 1_000, new Count(), Metered.SINK);
      case "dedupe" -> run -> keyed(run, Values.BOUNDED, 10_000, new Dedupe(), Metered.SOURCE);
      case "list" -> run -> keyed(run, Values.OF_KEY, 100_000, new Threes(), Metered.SOURCE);
      case "window" -> run -> window(run, TUMBLING, perMilli(run), 1);
      case "sliding" -> run -> window(run, SLIDING, 1, 10);
      case "broadcast" -> Micro::broadcast;
      case "latency" -> Micro::latency;
      case "recovery" -> run -> keyed(run, Values.NUMBER, 1_000_000, new FailingCount(run.n), Metered.SINK);
      case "pressure" -> run -> run.sink(
          byKey(run.source(maker(run, Values.NUMBER, 1_000), run.type(Row.TYPE), Metered.SINK))
              .process(new Slow())
              .returns(run.type(Row.TYPE)),
          Metered.SINK);
      default -> null;
    };
  }

  private static void passthrough(Run run, boolean hop) {
    SingleOutputStreamOperator<Row> rows = run
        .source(maker(run, Values.NUMBER, 1_000), run.type(Row.TYPE), Metered.SINK)
        .map(row -> row)
        .returns(run.type(Row.TYPE));
    run.sink(hop ? rows.startNewChain() : rows, Metered.SINK);
  }

  private static void keyed(
      Run run, Values values, int keys, KeyedProcessFunction<Long, Row, Pair> function, Metered metered) {
    DataStream<Row> rows = run.source(maker(run, values, keys), run.type(Row.TYPE), metered);
    run.sink(byKey(rows).process(function).returns(run.type(Pair.TYPE)), metered);
  }

  private static void window(Run run, WindowAssigner<Object, TimeWindow> windows, long rows, long millis) {
    RowMaker maker = new RowMaker(run.options.count("keys", 1_000), Values.LOW, 0, rows, millis);
    DataStream<Row> source = run.timedSource(maker, run.type(Row.TYPE), DISORDER, Metered.SOURCE);
    SingleOutputStreamOperator<Pair> sums = byKey(source)
        .window(windows)
        .aggregate(new WindowSum(), new WindowSum.Keyed(), Types.LONG, run.type(Pair.TYPE));
    run.sink(sums, Metered.SOURCE);
  }

  private static void broadcast(Run run) {
    DataStream<Pair> rules = run.untilAllAreAcknowledged(new Rules.Of(), Rules.COUNT, run.type(Pair.TYPE));
    SingleOutputStreamOperator<Pair> looked = run
        .gatedSource(maker(run, Values.NUMBER, 1_000), run.type(Row.TYPE))
        .connect(rules.broadcast(Rules.STATE))
        .process(new Rules())
        .returns(run.type(Pair.TYPE));
    run.sink(looked, new AcknowledgedSink(true));
  }

  private static void latency(Run run) {
    DataStream<Row> rows = run.source(
        new TimedRowMaker(run.options.count("keys", 1_000)), run.type(Row.TYPE), Metered.SINK);
    run.sink(byKey(rows).process(new TimedCount()).returns(run.type(Row.TYPE)), new LatencySink());
  }

  private static KeyedStream<Row, Long> byKey(DataStream<Row> rows) {
    return rows.keyBy(row -> row.key, Types.LONG);
  }

  private static RowMaker maker(Run run, Values values, int keys) {
    Options options = run.options;
    return new RowMaker(options.count("keys", keys), values, options.count("vals", 10), perMilli(run), 1);
  }

  private static long perMilli(Run run) {
    return run.options.count("per_ms", 100);
  }
}
