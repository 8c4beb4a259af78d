#!/bin/sh
# Makes Apache Flink and our jobs for it ready to run, in the cache; quick when all is there.
#
#   flink.sh classpath            prints the class path: Flink's jars and our compiled classes
#   flink.sh run KEY=VALUE...     runs the program of benches/peer (its README tells the keys)
#
# The jars come from a Python package, of which what the jobs need is kept. Our Java is compiled
# into a folder that is named by a digest of the sources, so that each clone finds its own. Nothing
# but the class path goes to standard output.
set -eu
version=2.3.0
digest=38ece876553286b3a285cf344c2d2038f8a7ca10da5df54d5107250386d64151
here=$(cd "$(dirname "$0")" && pwd)
peer=$here/../benches/peer
WEIR_CACHE=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}
flink=$WEIR_CACHE/flink-$version
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

say() { echo "flink: $*" >&2; }

sum() { # of standard input
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

needs_java() {
    major=$("${java}c" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p') || major=
    if [ "${major:-0}" -ge 17 ]; then return 0; fi
    say "${java}c is ${major:-missing}; a JDK of version 17 is needed (on Debian 12:" \
        "apt-get install openjdk-17-jdk-headless), in PATH or at JAVA_HOME"
    exit 1
}

needs_pip() {
    if python3 -m pip --version >/dev/null 2>&1; then return 0; fi
    say "there is no pip for python3, which brings Flink (on Debian: apt-get install python3-pip)"
    exit 1
}

# Puts what is ready in its place, unless another run was faster.
settle() { # folder
    if [ -d "$1" ]; then rm -rf "$work"; else mv "$work" "$1"; fi
    trap - EXIT
}

install() {
    needs_pip
    mkdir -p "$WEIR_CACHE"
    work=$(mktemp -d "$WEIR_CACHE/flink.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "fetching Apache Flink $version (once, 330 MB)"
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --dest "$work" "apache-flink-libraries==$version" >&2; then
        say "pip could not fetch apache-flink-libraries $version; with its network or index in" \
            "order, run this again"
        exit 1
    fi
    wheel=$(echo "$work"/*.whl)
    got=$(sum <"$wheel")
    if [ "$got" != "$digest" ]; then
        say "apache-flink-libraries $version has the SHA-256 $got where $digest was expected;" \
            "nothing was installed. Look where pip fetches from; if the package was published" \
            "anew, check it and put its digest into scripts/flink.sh"
        exit 1
    fi
    # The runtime with its state backends is one jar; the others are SQL, Scala, formats, plugins.
    python3 - "$wheel" "$work/lib" <<'PYTHON'
import pathlib
import re
import sys
import zipfile

wheel, lib = sys.argv[1], pathlib.Path(sys.argv[2])
lib.mkdir()
wanted = re.compile(r"pyflink/lib/((?:flink-dist|log4j-(?:api|core|slf4j-impl))-[\d.]+\.jar)")
jars = 0
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if match := wanted.fullmatch(name):
            (lib / match[1]).write_bytes(archive.read(name))
            jars += 1
if jars != 4:
    sys.exit(f"flink: {jars} jars of 4 are in {wheel}")
PYTHON
    rm -f "$wheel"
    settle "$flink"
}

# All or nothing: a folder of classes is there when all are compiled.
compile() {
    mkdir -p "$WEIR_CACHE/flink-classes"
    work=$(mktemp -d "$WEIR_CACHE/flink-classes/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$peer/log4j2.properties" "$work/"
    find "$peer/java" -name '*.java' >"$work/sources"
    if ! "${java}c" --release 17 -Xlint:all,-processing,-serial,-classfile,-try -Werror \
        -cp "$flink/lib/*" -d "$work" "@$work/sources" >&2; then
        say "the Java of benches/peer/java does not compile"
        exit 1
    fi
    rm -f "$work/sources"
    settle "$classes"
}

case ${1:-} in
    classpath | run) ;;
    *)
        sed -n 's/^# \{0,1\}//; 2,5p' "$0" >&2
        exit 2
        ;;
esac

needs_java
[ -d "$flink" ] || install
sources=$(cd "$peer" && find java log4j2.properties -type f | LC_ALL=C sort | while read -r file; do
    echo "$file"
    cat "$file"
done | sum)
classes=$WEIR_CACHE/flink-classes/$(echo "$sources" | cut -c 1-16)
[ -d "$classes" ] || compile

if [ "$1" = classpath ]; then
    echo "$flink/lib/*:$classes"
else
    shift
    exec "$java" "@$peer/jvm.options" -cp "$flink/lib/*:$classes" weir.bench.Peer "$@"
fi
