// A record of output, which sinks compare by a fold over its fields.
package weir.bench;

public interface Folded {
  long fold();
}
