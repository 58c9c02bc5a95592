#!/usr/bin/env bash
# Sets up libvips and photographs, builds reprise and compares the two. May be run again at any time.
#   scripts/bench.sh            all of it: about half an hour, 8 GB of disk
#   scripts/bench.sh --quick    fewer and smaller originals, fewer repetitions: a few minutes
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_build_tools
# Photographs of 5120 × 2880, and what measures memory and pins processes to two cores.
need_packages plasma-workspace-wallpapers time util-linux
need_test_python

say "Building and comparing"
BENCH_PYTHON=$DEPS/venv/bin/python cargo bench --locked --bench compare -- "$@"
