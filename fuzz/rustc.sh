#!/usr/bin/env bash
# Calls the compiler, with the coverage that libFuzzer looks at for the program's own crates. These are options of
# the stable compiler; what others wrote is built as always.
if [[ " $* " == *" --crate-name reprise "* || " $* " == *" fuzz/targets/"* || " $* " == *" targets/"*.rs" "* ]]; then
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=1
fi
exec "$@"
