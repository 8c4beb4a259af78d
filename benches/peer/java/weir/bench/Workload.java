// A job of the comparison, by name.
package weir.bench;

public interface Workload {
  /** Puts the job's operators between {@code run}'s sources and its sink. */
  void build(Run run);
}
