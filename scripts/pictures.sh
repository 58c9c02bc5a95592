#!/usr/bin/env bash
# Makes the pictures of a cut-out and of a colour conversion in docs/, and prints how far the conversion is from the one
# by littleCMS's own tool.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

need_build_tools
need_packages liblcms2-utils libimage-exiftool-perl
need_test_python

say "Building reprise (a few minutes the first time)"
cargo build --release --locked
reprise=${CARGO_TARGET_DIR:-target}/release/reprise
python=$DEPS/venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "A cut-out"
"$python" scripts/pictures.py path samples/originals/01-mug-on-white.jpg "$work/mug.jpg"
"$reprise" convert "$work/mug.jpg" "$work/mug.tif" --clip-path
"$python" scripts/pictures.py cutout "$work/mug.jpg" "$work/mug.tif" docs/cutout.jpg

say "A conversion from CMYK to sRGB"
bowl=samples/originals/05-fruit-bowl-cmyk.jpg
"$reprise" convert "$bowl" "$work/cmyk.tif" --maintain-pixel-type --compression none
"$reprise" convert "$bowl" "$work/ours.tif" --compression none
exiftool -q -b -ICC_Profile "$work/ours.tif" >"$work/srgb.icc"
exiftool -q -b -ICC_Profile "$work/cmyk.tif" >"$work/cmyk.icc"
# Relative colorimetric with black-point compensation, all levels.
tificc -t1 -b -i "$work/cmyk.icc" -o "$work/srgb.icc" "$work/cmyk.tif" "$work/theirs.tif"
"$python" scripts/pictures.py conversion "$work/ours.tif" "$work/theirs.tif" docs/cmyk.jpg
