#!/usr/bin/env bash
# Fuzzes one way in, or all of them, starting from the corpora in fuzz/corpus and the files of the tests.
#   scripts/fuzz.sh [TARGET] [SECONDS]      targets: job preset original metadata pyramid profile psd indesign postscript inks
# What crashes is left in fuzz/artifacts; mend it and put the file into fuzz/corpus/TARGET, which the tests run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_build_tools
export RUSTC_WRAPPER=$ROOT/fuzz/rustc.sh
targets=(job preset original metadata pyramid profile psd indesign postscript inks)
[ $# -eq 0 ] || [ "$1" = all ] || targets=("$1")
seconds=${2:-60}

seeds() {
    case $1 in
    job) printf '%s\n' samples/jobs tests/data/job ;;
    original) printf '%s\n' tests/data/decode tests/data/jpeg ;;
    metadata) printf '%s\n' tests/data/jpeg ;;
    profile) printf '%s\n' profiles ;;
    indesign | postscript | inks) printf '%s\n' tests/data/documents ;;
    psd) printf '%s\n' tests/data/psd ;;
    esac
}

say "Building the fuzzers"
cargo build --manifest-path fuzz/Cargo.toml --bins
for target in "${targets[@]}"; do
    say "$target: $seconds s"
    mkdir -p "fuzz/artifacts/$target" "fuzz/found/$target"
    mapfile -t seeds < <(seeds "$target")
    "${CARGO_TARGET_DIR:-fuzz/target}/debug/$target" "fuzz/found/$target" "fuzz/corpus/$target" "${seeds[@]}" \
        -max_total_time="$seconds" -artifact_prefix="fuzz/artifacts/$target/" -max_len=200000 -timeout=20 \
        -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1 2>&1 | tail -n 12
done
