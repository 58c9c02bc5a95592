#!/usr/bin/env bash
# Sets up this machine, builds reprise and runs two jobs on the sample originals. May be run again at any time.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_build_tools
need_pdfium
need_packages ghostscript ffmpeg

say "Building reprise (a few minutes the first time)"
cargo build --release --locked
reprise=${CARGO_TARGET_DIR:-target}/release/reprise
library=demo-library

say "What this machine has"
"$reprise" doctor || true

# Job files name handles as a fresh library numbers them, so the demonstration starts anew each time.
say "Making the library $library and taking in the originals"
rm -rf "$library"
"$reprise" init "$library"
"$reprise" ingest "$library" samples/originals

# Exit code 1 says that some assets failed: the results and the log are there all the same, so go on and show them.
outcome=0
run_job() {
    local code=0
    "$reprise" run "$library" "samples/jobs/$1" --report "$library/reports/$2" || code=$?
    [ "$code" -le 1 ] || exit "$code"
    [ "$code" -eq 0 ] || outcome=$code
}

say "Job 1, IPS XML: sharpened pyramids of all originals"
run_job reprocess.xml reprocess.html
say "Job 2, JSON: products on plain ground cropped and cut out"
run_job cutout.json cutout.html

say "Jobs"
"$reprise" log "$library"

say "Where the results are"
cat <<END
  pyramid TIFFs    $(find "$library/pyramids" -name '*.tif' | wc -l) files in $library/pyramids/
  reports          $ROOT/$library/reports/reprocess.html
                   $ROOT/$library/reports/cutout.html   (pictures before and after; open them in a browser)
  job log          $reprise log $library 'j|1'
  assets           $reprise assets $library
END
exit "$outcome"
