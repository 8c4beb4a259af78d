// Rows of the workload that measures latency: their time is when they were made, by the clock of the JVM.
package weir.bench.micro;

import weir.bench.Row;

final class TimedRowMaker extends RowMaker {
  TimedRowMaker(long keys) {
    super(keys, Values.NUMBER, 1, 1, 1);
  }

  @Override
  protected Row make(long i) {
    Row row = super.make(i);
    row.time = System.nanoTime();
    return row;
  }
}
