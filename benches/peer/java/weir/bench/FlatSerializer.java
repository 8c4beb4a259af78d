// What the serializers of our records share. A record is flat: mutable, with fields of primitives and
// texts, none of them null, so that it is written field by field without a byte more, and read into an
// object that is there already.
package weir.bench;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Subclasses have no state and a public constructor without arguments. */
public abstract class FlatSerializer<T> extends TypeSerializer<T> {
  /** Reads all fields of {@code to}. */
  protected abstract void read(T to, DataInputView in) throws IOException;

  protected abstract void copyFields(T from, T to);

  @Override
  public final T deserialize(T reuse, DataInputView in) throws IOException {
    read(reuse, in);
    return reuse;
  }

  @Override
  public final T deserialize(DataInputView in) throws IOException {
    return deserialize(createInstance(), in);
  }

  @Override
  public final T copy(T from) {
    return copy(from, createInstance());
  }

  @Override
  public final T copy(T from, T reuse) {
    copyFields(from, reuse);
    return reuse;
  }

  @Override
  public final void copy(DataInputView in, DataOutputView out) throws IOException {
    serialize(deserialize(in), out);
  }

  @Override
  public final boolean isImmutableType() {
    return false;
  }

  @Override
  public final TypeSerializer<T> duplicate() {
    return this;
  }

  @Override
  public int getLength() {
    return -1;
  }

  @Override
  public final boolean equals(Object other) {
    return other != null && other.getClass() == getClass();
  }

  @Override
  public final int hashCode() {
    return getClass().hashCode();
  }

  @Override
  public final TypeSerializerSnapshot<T> snapshotConfiguration() {
    return new FlatSnapshot<>(this);
  }
}
