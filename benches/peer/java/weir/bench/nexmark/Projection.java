// The first operator of each query, chained to the source: passes on what the query needs, into a record
// that each call overwrites.
package weir.bench.nexmark;

import java.io.Serializable;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.util.Collector;
import org.apache.flink.util.function.SerializableSupplier;

final class Projection<T> extends RichFlatMapFunction<Event, T> {
  private final SerializableSupplier<T> record;
  private final Fields<T> fields;
  private transient T out;

  /** Sets the fields of a record; says whether the event is wanted at all. */
  interface Fields<T> extends Serializable {
    boolean set(Event event, T to);
  }

  private Projection(SerializableSupplier<T> record, Fields<T> fields) {
    this.record = record;
    this.fields = fields;
  }

  static <T> SingleOutputStreamOperator<T> of(
      DataStream<Event> events, TypeInformation<T> type, SerializableSupplier<T> record, Fields<T> fields) {
    return events.flatMap(new Projection<>(record, fields)).returns(type);
  }

  @Override
  public void open(OpenContext context) {
    out = record.get();
  }

  @Override
  public void flatMap(Event event, Collector<T> output) {
    if (fields.set(event, out)) {
      output.collect(out);
    }
  }
}
