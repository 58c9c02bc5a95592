#!/usr/bin/env bash
# Sets up what the tests need and runs them all, on the CPU and on the shaders. May be run again at any time.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_build_tools
# Mesa's software Vulkan runs the shaders without a GPU; the others are programs that reopen what reprise writes.
need_packages libvulkan1 mesa-vulkan-drivers libtiff-tools openslide-tools libimage-exiftool-perl imagemagick \
    poppler-utils ghostscript ffmpeg
need_pdfium
need_test_python

# With these set, a test that finds its tool or the adapter missing fails instead of being skipped.
export REQUIRE_GPU=1 REPRISE_REQUIRE_TOOLS=1
export REPRISE_TEST_PYTHON=$DEPS/venv/bin/python
# Mesa's device-selection layer complains on standard error where there is no desktop session.
export NODEVICE_SELECT=1
# Found without this too, unless cargo builds outside the checkout.
export REPRISE_PDFIUM=$DEPS/pdfium

if cargo fmt --version >/dev/null 2>&1; then
    say "Checking the format"
    cargo fmt --check
fi
if cargo clippy --version >/dev/null 2>&1; then
    say "Checking with clippy"
    cargo clippy --locked --all-targets -- -D warnings
fi
say "Running all tests"
cargo test --locked
say "All tests passed"
