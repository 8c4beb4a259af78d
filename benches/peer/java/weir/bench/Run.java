// One run of a workload: what was asked for, and the ends that all jobs share.
package weir.bench;

import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamSource;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

public final class Run {
  public final StreamExecutionEnvironment env;
  public final Options options;
  public final long n;
  public final long rate;
  /** Whether of rows that replace each other only the last one is to be summed. */
  public final boolean last;

  /** Whether source and types are those that Flink brings. */
  private final boolean stock;

  Run(StreamExecutionEnvironment env, Options options, long n, long rate, boolean last) {
    this.env = env;
    this.options = options;
    this.n = n;
    this.rate = rate;
    this.last = last;
    stock = options.oneOf("style", "tuned", "stock").equals("stock");
    if (stock && rate > 0) {
      throw new IllegalArgumentException("`style=stock` has no `rate=`");
    }
  }

  /** The source, of records without event time. */
  public <T> DataStreamSource<T> source(Maker<T> maker, TypeInformation<T> type, Metered metered) {
    if (stock) {
      return stockSource(maker, type, WatermarkStrategy.noWatermarks(), metered);
    }
    StrideSource<T> source = new StrideSource<>(maker, n, false, rate, metered == Metered.SOURCE, false);
    return env.fromSource(source, WatermarkStrategy.noWatermarks(), "source", type);
  }

  /** The source, of records with event time that are out of order by so much at most. */
  public <T> DataStreamSource<T> timedSource(
      Maker<T> maker, TypeInformation<T> type, Duration disorder, Metered metered) {
    if (stock) {
      WatermarkStrategy<T> watermarks = WatermarkStrategy
          .<T>forBoundedOutOfOrderness(disorder)
          .withTimestampAssigner((row, none) -> maker.time(row));
      return stockSource(maker, type, watermarks, metered);
    }
    StrideSource<T> source = new StrideSource<>(maker, n, true, rate, metered == Metered.SOURCE, false);
    return env.fromSource(source, WatermarkStrategy.forBoundedOutOfOrderness(disorder), "source", type);
  }

  private <T> DataStreamSource<T> stockSource(
      Maker<T> maker, TypeInformation<T> type, WatermarkStrategy<T> watermarks, Metered metered) {
    int ranges = env.getParallelism();
    StockMaker<T> stock = new StockMaker<>(maker, n, ranges, metered == Metered.SOURCE);
    return env.fromSource(new DataGeneratorSource<>(stock, n, type), watermarks, "source", type);
  }

  /** The type of a record: with a serializer of ours, or as Flink sees a class of public fields. */
  public <T> TypeInformation<T> type(TypeInformation<T> ours) {
    return stock ? Types.POJO(ours.getTypeClass()) : ours;
  }

  /** A small second source, whose records all subtasks acknowledge before {@link #gatedSource} begins. */
  public <T> DataStream<T> untilAllAreAcknowledged(Maker<T> maker, long count, TypeInformation<T> type) {
    Gate.set(count * env.getParallelism());
    StrideSource<T> source = new StrideSource<>(maker, count, false, 0, false, false);
    return env.fromSource(source, WatermarkStrategy.noWatermarks(), "acknowledged", type).setParallelism(1);
  }

  /** As {@link #source}, metered in the sink; waits for the acknowledgements. */
  public <T> DataStream<T> gatedSource(Maker<T> maker, TypeInformation<T> type) {
    if (stock) {
      throw new IllegalArgumentException("`style=stock` has no source that waits for another");
    }
    StrideSource<T> source = new StrideSource<>(maker, n, false, rate, false, true);
    return env.fromSource(source, WatermarkStrategy.noWatermarks(), "source", type);
  }

  public <T extends Folded> void sink(SingleOutputStreamOperator<T> stream, Metered metered) {
    sink(stream, new CountingSink<>(metered == Metered.SINK));
  }

  public <T extends Folded> void sink(SingleOutputStreamOperator<T> stream, CountingSink<T> sink) {
    stream.transform("sink", TypeInformation.of(Void.class), sink);
  }

  /** Whose rows tell how far a run is. */
  public enum Metered {
    SOURCE,
    SINK
  }
}
