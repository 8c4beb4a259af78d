// One run of a workload: what was asked for, and the ends that all jobs share.
package weir.bench;

import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
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

  Run(StreamExecutionEnvironment env, Options options, long n, long rate, boolean last) {
    this.env = env;
    this.options = options;
    this.n = n;
    this.rate = rate;
    this.last = last;
  }

  /** The source, of records without event time. */
  public <T> DataStreamSource<T> source(Maker<T> maker, TypeInformation<T> type, Metered metered) {
    StrideSource<T> source = new StrideSource<>(maker, n, false, rate, metered == Metered.SOURCE, false);
    return env.fromSource(source, WatermarkStrategy.noWatermarks(), "source", type);
  }

  /** The source, of records with event time that are out of order by so much at most. */
  public <T> DataStreamSource<T> timedSource(
      Maker<T> maker, TypeInformation<T> type, Duration disorder, Metered metered) {
    StrideSource<T> source = new StrideSource<>(maker, n, true, rate, metered == Metered.SOURCE, false);
    return env.fromSource(source, WatermarkStrategy.forBoundedOutOfOrderness(disorder), "source", type);
  }

  /** A small second source, whose records all subtasks acknowledge before {@link #gatedSource} begins. */
  public <T> DataStream<T> untilAllAreAcknowledged(Maker<T> maker, long count, TypeInformation<T> type) {
    Gate.set(count * env.getParallelism());
    StrideSource<T> source = new StrideSource<>(maker, count, false, 0, false, false);
    return env.fromSource(source, WatermarkStrategy.noWatermarks(), "acknowledged", type).setParallelism(1);
  }

  /** As {@link #source}, metered in the sink; waits for the acknowledgements. */
  public <T> DataStream<T> gatedSource(Maker<T> maker, TypeInformation<T> type) {
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
