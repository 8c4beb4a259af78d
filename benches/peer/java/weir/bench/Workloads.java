// All workloads by name.
package weir.bench;

import weir.bench.micro.Micro;
import weir.bench.nexmark.Queries;

final class Workloads {
  private Workloads() {}

  static Workload of(Options options) {
    String name = options.text("workload");
    Workload micro = Micro.named(name);
    Workload workload = micro != null ? micro : Queries.named(name);
    if (micro == null && options.oneOf("style", "tuned", "stock").equals("stock")) {
      throw new IllegalArgumentException("`style=stock` is for the micro workloads, not `" + name + "`");
    }
    if (workload == null) {
      throw new IllegalArgumentException("`workload=" + name + "` is not known");
    }
    return workload;
  }
}
