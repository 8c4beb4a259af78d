#!/bin/sh
# Stands in for valgrind: counts 5,000 instructions for the start and 100 for each batch.
set -eu
if [ "$1" = --version ]; then
    echo valgrind-of-the-test
    exit
fi
while [ "$1" != run ]; do shift; done
echo "==1== Collected : $((5000 + $3 * 100))" >&2
