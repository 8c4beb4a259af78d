// The random numbers of an event: each field has its own by number, and texts are made of them.
package weir.bench.nexmark;

import static weir.bench.Numbers.STEP;
import static weir.bench.Numbers.mix;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

final class Draws {
  private static final VarHandle EIGHT =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  /** Letters that a draw makes. */
  private static final int BLOCK = 16;

  private long seed;
  /** Longer by a block than the longest text. */
  private final byte[] letters = new byte[1024];

  void of(long event) {
    seed = mix(event + STEP);
  }

  long get(long number) {
    return mix(seed + number * STEP);
  }

  long below(long number, long bound) {
    return Long.remainderUnsigned(get(number), bound);
  }

  /** So many letters, 16 of each draw from {@code first} on. */
  String letters(long first, int length) {
    for (int at = 0; at < length; at += BLOCK) {
      write(get(first + at / BLOCK), letters, at);
    }
    return new String(letters, 0, length, StandardCharsets.ISO_8859_1);
  }

  /** Writes the sixteen letters of a draw: a to p for each half of a byte, from the lowest on. */
  static void write(long draw, byte[] to, int at) {
    EIGHT.set(to, at, spread(draw & 0xffff_ffffL));
    EIGHT.set(to, at + 8, spread(draw >>> 32));
  }

  /** Eight halves of bytes, each to a byte of its own. */
  private static long spread(long halves) {
    halves = (halves | halves << 16) & 0x0000_ffff_0000_ffffL;
    halves = (halves | halves << 8) & 0x00ff_00ff_00ff_00ffL;
    halves = (halves | halves << 4) & 0x0f0f_0f0f_0f0f_0f0fL;
    return halves + 0x6161_6161_6161_6161L;
  }
}
