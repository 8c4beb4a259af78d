// Flink's side of the comparison: starts Flink in this JVM and runs one workload as often as it is told
// on standard input. The protocol is in the README of benches/peer.
package weir.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.flink.runtime.checkpoint.CheckpointStatsSnapshot;

public final class Peer {
  private static final List<String> OPTIONS = List.of(
      "workload", "parallelism", "keys", "vals", "per_ms", "backend", "checkpoint", "unaligned",
      "buffer_timeout", "style", "dir");
  private static final List<String> RUN_OPTIONS = List.of("n", "warm", "rate", "seconds", "last");

  private final Options options;
  private final int parallelism;
  private final Workload workload;

  private Peer(Options options) {
    this.options = options;
    parallelism = options.count("parallelism", 1);
    workload = Workloads.of(options);
  }

  public static void main(String[] words) throws Exception {
    Peer peer;
    try {
      peer = new Peer(new Options(List.of(words), OPTIONS));
    } catch (IllegalArgumentException e) {
      System.err.println("flink: " + e.getMessage());
      System.exit(2);
      return;
    }
    try (Cluster cluster = new Cluster(peer.options)) {
      say("READY " + new Result()
          .number("jvm_ms", Machine.sinceStart())
          .number("rss_mb", Machine.residentMegabytes()));
      peer.serve(cluster);
    }
    // Threads of Flink's may linger.
    System.exit(0);
  }

  private void serve(Cluster cluster) throws IOException {
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      List<String> words = List.of(line.trim().split("\\s+"));
      switch (words.get(0)) {
        case "" -> { }
        case "quit" -> {
          return;
        }
        case "run" -> say("RESULT " + run(cluster, words.subList(1, words.size())));
        default -> say("RESULT " + new Result().text("error", "`" + line + "` is not run or quit"));
      }
    }
  }

  private Result run(Cluster cluster, List<String> words) {
    try {
      Options asked = new Options(words, RUN_OPTIONS);
      long n = asked.number("n");
      long seconds = asked.number("seconds", 0);
      Meter meter = Meter.begin(asked.number("warm", 0), parallelism);
      Run run = new Run(cluster.environment(), options, n, asked.number("rate", 0), asked.flag("last"));
      workload.build(run);
      CheckpointStatsSnapshot stats = cluster.run(run.env, seconds);
      return result(meter, n, stats);
    } catch (Exception e) {
      return new Result().text("error", told(e));
    }
  }

  private Result result(Meter meter, long n, CheckpointStatsSnapshot stats) {
    Machine begin = meter.begin();
    Machine end = meter.end();
    if (begin == null || end == null) {
      throw new IllegalStateException("the run ended within its warm-up");
    }
    Result result = new Result()
        .number("rows", (meter.isCut() ? meter.out() : n) - meter.warmed())
        .number("wall_ns", end.wall() - begin.wall())
        .number("cpu_ns", end.process() - begin.process())
        .number("out", meter.out())
        .text("sum", Long.toUnsignedString(meter.sum()))
        .number("rss_mb", Machine.residentMegabytes())
        .decimal("cores_used_by_others", end.othersSince(begin))
        .number("first_row_ms", meter.firstOutputMillis())
        .checkpoints(stats, begin.millis(), end.millis())
        .text("error", null);
    if (!meter.ages().isEmpty()) {
      result
          .decimal("p50_us", meter.ages().micros(0.5))
          .decimal("p99_us", meter.ages().micros(0.99))
          .decimal("p999_us", meter.ages().micros(0.999));
    }
    if (options.text("workload").equals("recovery")) {
      if (meter.recoveryMillis() < 0) {
        throw new IllegalStateException("the job did not fail: no checkpoint was complete before its end");
      }
      result.number("recovery_ms", meter.recoveryMillis());
    }
    return result;
  }

  /** An error and what it came from, the innermost last. */
  private static String told(Throwable error) {
    StringBuilder told = new StringBuilder();
    for (Throwable one = error; one != null; one = one.getCause()) {
      told.append(told.length() > 0 ? ": " : "").append(one);
    }
    return told.toString();
  }

  private static void say(String line) {
    System.out.println(line);
    System.out.flush();
  }
}
