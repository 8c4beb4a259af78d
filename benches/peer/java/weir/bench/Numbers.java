// The numbers that both engines make: a mixer of 64 bits, and the fold by which output is compared.
package weir.bench;

public final class Numbers {
  public static final long STEP = 0x9e3779b97f4a7c15L;

  private Numbers() {}

  public static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }

  /** Takes one more field into a fold, which begins at 0. */
  public static long folded(long before, long field) {
    return mix(before + field + STEP);
  }

  /** As {@link #folded(long, long)}, of a text: its length and its last character. */
  public static long folded(long before, String field) {
    int length = field.length();
    return folded(before, length == 0 ? 0 : length * 31L + field.charAt(length - 1));
  }
}
