// Flink in this JVM: a job manager and one task manager with a slot for each subtask, configured as one
// would for speed.
package weir.bench;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.configuration.WebOptions;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.runtime.checkpoint.CheckpointStatsSnapshot;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

final class Cluster implements AutoCloseable {
  private final Configuration configuration;
  private final MiniCluster cluster;

  Cluster(Options options) throws Exception {
    configuration = configuration(options);
    MiniClusterConfiguration mini = new MiniClusterConfiguration.Builder()
        .setConfiguration(configuration)
        .setNumTaskManagers(1)
        .setNumSlotsPerTaskManager(options.count("parallelism", 1))
        .build();
    cluster = new MiniCluster(mini);
    cluster.start();
  }

  private static Configuration configuration(Options options) {
    Configuration to = new Configuration();
    String folder = options.text("dir");
    to.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.parse("512m"));
    to.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.parse("128m"));
    to.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.parse("128m"));
    to.set(CoreOptions.TMP_DIRS, folder);
    to.set(CoreOptions.DEFAULT_PARALLELISM, options.count("parallelism", 1));
    to.set(RestOptions.BIND_PORT, "0");
    // The figures of all checkpoints of a run are asked for at its end.
    to.set(WebOptions.CHECKPOINTS_HISTORY_SIZE, 10_000);

    // Records go on as they are along a chain, and no type without a serializer of its own gets by.
    to.set(PipelineOptions.OBJECT_REUSE, true);
    to.set(PipelineOptions.GENERIC_TYPES, false);
    if (!options.text("buffer_timeout", "").isEmpty()) {
      to.set(ExecutionOptions.BUFFER_TIMEOUT, Duration.ofMillis(options.number("buffer_timeout")));
    }
    setState(to, options, folder);
    return to;
  }

  private static void setState(Configuration to, Options options, String folder) {
    boolean rocks = options.oneOf("backend", "heap", "rocksdb").equals("rocksdb");
    to.set(StateBackendOptions.STATE_BACKEND, rocks ? "rocksdb" : "hashmap");
    long interval = options.number("checkpoint", 0);
    if (interval > 0) {
      to.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofMillis(interval));
      to.set(CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE, CheckpointingMode.EXACTLY_ONCE);
      to.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
      to.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + folder + "/checkpoints");
      to.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, rocks);
      to.set(CheckpointingOptions.ENABLE_UNALIGNED, options.flag("unaligned"));
    }
    boolean restarts = options.text("workload").equals("recovery");
    to.set(RestartStrategyOptions.RESTART_STRATEGY, restarts ? "fixed-delay" : "none");
    to.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, 1);
    to.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_DELAY, Duration.ZERO);
  }

  StreamExecutionEnvironment environment() {
    return StreamExecutionEnvironment.getExecutionEnvironment(configuration);
  }

  /** Runs a job to its end; cancels it after so many seconds if that is not 0. */
  CheckpointStatsSnapshot run(StreamExecutionEnvironment env, long seconds) throws Exception {
    JobGraph job = env.getStreamGraph().getJobGraph();
    cluster.submitJob(job).get();
    if (seconds > 0) {
      TimeUnit.SECONDS.sleep(seconds);
      Meter.current().cut();
      cluster.cancelJob(job.getJobID()).get();
    }
    JobResult result = cluster.requestJobResult(job.getJobID()).get();
    if (result.getSerializedThrowable().isPresent() && seconds == 0) {
      result.toJobExecutionResult(Cluster.class.getClassLoader()); // throws
    }
    return cluster.getArchivedExecutionGraph(job.getJobID()).get().getCheckpointStatsSnapshot();
  }

  @Override
  public void close() throws Exception {
    cluster.close();
  }
}
