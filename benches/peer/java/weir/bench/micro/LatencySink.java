// The sink that measures how old rows are, from when the run counts on. What is summed are key and count.
package weir.bench.micro;

import weir.bench.CountingSink;
import weir.bench.Histogram;
import weir.bench.Meter;
import weir.bench.Numbers;
import weir.bench.Row;

final class LatencySink extends CountingSink<Row> {
  private transient Histogram ages;
  private transient boolean counts;

  LatencySink() {
    super(true);
  }

  @Override
  public void open() throws Exception {
    super.open();
    ages = new Histogram();
  }

  @Override
  protected void take(Row row) {
    count(Numbers.folded(Numbers.folded(0, row.key), row.value));
    counts = counts || Meter.current().begin() != null;
    if (counts) {
      ages.add(System.nanoTime() - row.time);
    }
  }

  @Override
  public void endInput() {
    Meter.current().aged(ages);
    super.endInput();
  }
}
