// What a line of words `key=value` says. A key that is not known is an error, so that none is mistyped
// and a benchmark measures something else.
package weir.bench;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public final class Options {
  private final Map<String, String> values = new LinkedHashMap<>();

  Options(Iterable<String> words, List<String> known) {
    for (String word : words) {
      int equals = word.indexOf('=');
      String key = equals < 0 ? word : word.substring(0, equals);
      if (equals < 0 || !known.contains(key)) {
        throw new IllegalArgumentException("`" + word + "` is not one of " + String.join("=, ", known) + "=");
      }
      if (values.put(key, word.substring(equals + 1)) != null) {
        throw new IllegalArgumentException("`" + key + "=` is given twice");
      }
    }
  }

  public String text(String key, String otherwise) {
    return values.getOrDefault(key, otherwise);
  }

  public String text(String key) {
    String value = values.get(key);
    if (value == null) {
      throw new IllegalArgumentException("`" + key + "=` is missing");
    }
    return value;
  }

  /** A whole number from 0 on. */
  public long number(String key, long otherwise) {
    return values.containsKey(key) ? number(key) : otherwise;
  }

  public long number(String key) {
    String value = text(key);
    try {
      long number = Long.parseLong(value);
      if (number >= 0) {
        return number;
      }
    } catch (NumberFormatException e) {
      // told below
    }
    throw new IllegalArgumentException("`" + key + "=" + value + "`: a whole number from 0 on is expected");
  }

  /** A whole number from 1 on that an `int` holds. */
  public int count(String key, int otherwise) {
    long number = number(key, otherwise);
    if (number < 1 || number > Integer.MAX_VALUE) {
      String expected = "`: a whole number from 1 on is expected";
      throw new IllegalArgumentException("`" + key + "=" + number + expected);
    }
    return (int) number;
  }

  public boolean flag(String key) {
    return Boolean.parseBoolean(oneOf(key, "false", "true"));
  }

  /** One of {@code choices}, the first if nothing is said. */
  public String oneOf(String key, String... choices) {
    String value = text(key, choices[0]);
    if (!List.of(choices).contains(value)) {
      String known = String.join(" or ", choices);
      throw new IllegalArgumentException("`" + key + "=" + value + "` is not " + known);
    }
    return value;
  }
}
