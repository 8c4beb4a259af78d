// What this process and this machine have spent, from the operating system.
package weir.bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** A moment: times in nanoseconds. */
public record Machine(long wall, long millis, long process, long busy) {
  private static final OperatingSystemMXBean SYSTEM =
      (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
  /** Of the counters in /proc/stat: a hundredth of a second. */
  private static final long TICK_NANOS = 10_000_000;

  static Machine now() {
    long wall = System.nanoTime();
    return new Machine(wall, System.currentTimeMillis(), SYSTEM.getProcessCpuTime(), busyNanos());
  }

  /** Cores that others used between {@code before} and this; 0 where the system does not tell. */
  double othersSince(Machine before) {
    double others = (busy - before.busy) - (process - before.process);
    return Math.max(0, others / Math.max(1, wall - before.wall));
  }

  /** Of all cores and processes: user, nice, system, irq, softirq, steal. */
  private static long busyNanos() {
    try {
      String[] words = Files.readAllLines(Path.of("/proc/stat")).get(0).trim().split("\\s+");
      long ticks = 0;
      for (int i = 1; i <= 8; i++) {
        ticks += i == 4 || i == 5 ? 0 : Long.parseLong(words[i]);
      }
      return ticks * TICK_NANOS;
    } catch (IOException | RuntimeException e) {
      return 0;
    }
  }

  /** Resident memory of this process in MB; 0 where the system does not tell. */
  static long residentMegabytes() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmRSS:")) {
          return Long.parseLong(line.replaceAll("[^0-9]", "")) / 1024;
        }
      }
    } catch (IOException | RuntimeException e) {
      return 0;
    }
    return 0;
  }

  /** Milliseconds since this JVM was started. */
  static long sinceStart() {
    return System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime();
  }
}
