// All workloads by name.
package weir.bench;

import weir.bench.micro.Micro;

final class Workloads {
  private Workloads() {}

  static Workload named(String name) {
    Workload workload = Micro.named(name);
    if (workload == null) {
      throw new IllegalArgumentException("`workload=" + name + "` is not known");
    }
    return workload;
  }
}
