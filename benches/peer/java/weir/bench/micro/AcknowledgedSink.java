// The sink of the broadcast join: rows that acknowledge a rule open the gate of the rows' source and are
// not output.
package weir.bench.micro;

import weir.bench.CountingSink;
import weir.bench.Gate;
import weir.bench.Pair;

final class AcknowledgedSink extends CountingSink<Pair> {
  AcknowledgedSink(boolean metered) {
    super(metered);
  }

  @Override
  protected void take(Pair row) {
    if (row.value == Rules.ACKNOWLEDGED) {
      Gate.current().count();
    } else {
      super.take(row);
    }
  }
}
