// The line that tells of a run.
package weir.bench;

import java.util.Locale;
import java.util.StringJoiner;
import org.apache.flink.runtime.checkpoint.AbstractCheckpointStats;
import org.apache.flink.runtime.checkpoint.CheckpointStatsSnapshot;
import org.apache.flink.runtime.checkpoint.CheckpointStatsStatus;

final class Result {
  private final StringJoiner fields = new StringJoiner(",", "{", "}");

  Result number(String name, long value) {
    fields.add("\"" + name + "\":" + value);
    return this;
  }

  Result decimal(String name, double value) {
    fields.add(String.format(Locale.ROOT, "\"%s\":%.3f", name, value));
    return this;
  }

  Result text(String name, String value) {
    fields.add("\"" + name + "\":" + (value == null ? "null" : quoted(value)));
    return this;
  }

  /** Those that were completed between two moments. */
  Result checkpoints(CheckpointStatsSnapshot stats, long from, long to) {
    StringJoiner list = new StringJoiner(",", "[", "]");
    if (stats != null) {
      for (AbstractCheckpointStats one : stats.getHistory().getCheckpoints()) {
        boolean within = one.getTriggerTimestamp() >= from && one.getLatestAckTimestamp() <= to;
        if (one.getStatus() == CheckpointStatsStatus.COMPLETED && within) {
          list.add(new Result()
              .number("ms", one.getEndToEndDuration())
              .number("bytes", one.getCheckpointedSize())
              .number("full_bytes", one.getStateSize())
              .toString());
        }
      }
    }
    fields.add("\"checkpoints\":" + list);
    return this;
  }

  private static String quoted(String value) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char c : value.toCharArray()) {
      if (c == '"' || c == '\\') {
        quoted.append('\\').append(c);
      } else {
        quoted.append(c < ' ' ? ' ' : c);
      }
    }
    return quoted.append('"').toString();
  }

  @Override
  public String toString() {
    return fields.toString();
  }
}
