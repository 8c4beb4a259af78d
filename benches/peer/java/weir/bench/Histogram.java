// How often each duration came, to within a sixty-fourth of it.
package weir.bench;

public final class Histogram {
  /** Durations from 2^k to 2^(k+1) have as many places as this has bits. */
  private static final int BITS = 6;
  private static final int PLACES = 1 << BITS;

  private final long[] counts = new long[(Long.SIZE - BITS) * PLACES];
  private long all;

  public void add(long nanos) {
    counts[place(Math.max(0, nanos))]++;
    all++;
  }

  void add(Histogram other) {
    for (int place = 0; place < counts.length; place++) {
      counts[place] += other.counts[place];
    }
    all += other.all;
  }

  boolean isEmpty() {
    return all == 0;
  }

  /** The duration in microseconds that such a part of all does not exceed. */
  double micros(double part) {
    long left = (long) Math.ceil(all * part);
    int place = 0;
    while (place + 1 < counts.length && left > counts[place]) {
      left -= counts[place++];
    }
    return highest(place) / 1_000.0;
  }

  private static int place(long nanos) {
    int shift = Math.max(0, Long.SIZE - 1 - BITS - Long.numberOfLeadingZeros(nanos | 1));
    return (shift << BITS) + (int) (nanos >>> shift);
  }

  /** The longest duration of a place. */
  private static long highest(int place) {
    int shift = Math.max(0, (place >> BITS) - 1);
    return (((long) place - ((long) shift << BITS)) + 1 << shift) - 1;
  }
}
