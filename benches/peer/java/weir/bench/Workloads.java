// All workloads by name.
package weir.bench;

import weir.bench.micro.Micro;
import weir.bench.nexmark.Queries;

final class Workloads {
  private Workloads() {}

  static Workload named(String name) {
    Workload micro = Micro.named(name);
    Workload workload = micro != null ? micro : Queries.named(name);
    if (workload == null) {
      throw new IllegalArgumentException("`workload=" + name + "` is not known");
    }
    return workload;
  }
}
