// A row that comes out of a query, of numbers only. It goes no further than the sink that is chained to
// the query's last operator.
package weir.bench.nexmark;

import weir.bench.Folded;
import weir.bench.Numbers;

public class Answer implements Folded {
  public long[] fields = new long[5];
  public int size;

  Answer with(long a, long b, long c) {
    fields[0] = a;
    fields[1] = b;
    fields[2] = c;
    size = 3;
    return this;
  }

  Answer with(long a, long b, long c, long d) {
    with(a, b, c).fields[3] = d;
    size = 4;
    return this;
  }

  Answer with(long a, long b, long c, long d, long e) {
    with(a, b, c, d).fields[4] = e;
    size = 5;
    return this;
  }

  @Override
  public long fold() {
    long h = 0;
    for (int i = 0; i < size; i++) {
      h = Numbers.folded(h, fields[i]);
    }
    return h;
  }
}
