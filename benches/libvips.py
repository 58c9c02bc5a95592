"""libvips' side of `compare.rs`: one piece of work per process.

Prints one JSON object: the seconds of the work alone, without starting Python and loading the library, and the peak
memory of all its processes in KiB.
"""

import json
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

import pyvips


def save(image, out, compression, quality, **options):
    image.tiffsave(
        str(out),
        tile=True,
        tile_width=256,
        tile_height=256,
        compression=compression,
        predictor="horizontal",
        Q=int(quality),
        **options,
    )


def pyramid(source, out, compression, quality):
    image = pyvips.Image.new_from_file(source, access="sequential")
    save(image, out, compression, quality, pyramid=True, depth="onetile", bigtiff=image.width * image.height > 1 << 29)


def unsharp(source, out, compression, quality, amount, sigma):
    """Levels sharpened by libvips' own operations, each in a file, for `tiffsave` does not sharpen on the way."""
    amount, sigma = float(amount), float(sigma)
    level = pyvips.Image.new_from_file(source, access="sequential").copy_memory()
    save(level, out, compression, quality)
    number = 0
    while max(level.width, level.height) > 256:
        number += 1
        level = level.shrink(2, 2).copy_memory()
        difference = level - level.gaussblur(sigma, precision="integer")
        sharpened = (level + amount * difference).rint().cast("uchar").copy(interpretation=level.interpretation)
        save(sharpened, f"{out}.{number}.tif", compression, quality)


def one_of_many(work):
    pyramid(*work)
    return os.getpid(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def batch(folder, out, compression, quality, processes):
    sources = sorted(Path(folder).iterdir())
    Path(out).mkdir(exist_ok=True)
    work = [(str(s), f"{out}/{s.stem}.tif", compression, quality) for s in sources]
    # A fresh process each: libvips' threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(int(processes)) as pool:
        peaks = dict(pool.imap_unordered(one_of_many, work, chunksize=4))
    return sum(peaks.values())


def originals(folder, count, *photographs):
    """Baseline JPEGs of 1 to 2 megapixels, cut out of photographs at different places and scales."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    images = [pyvips.Image.new_from_file(p, access="random").copy_memory() for p in photographs]
    for number in range(int(count)):
        image = images[number % len(images)]
        width, height = 1200 + number * 37 % 480, 850 + number * 23 % 340
        x, y = number * 977 % (image.width - width), number * 613 % (image.height - height)
        image.crop(x, y, width, height).jpegsave(f"{folder}/{number:05}.jpg", Q=90)


def crop(source, out, x, y, width, height):
    pyvips.Image.new_from_file(source).crop(int(x), int(y), int(width), int(height)).pngsave(out)


def flatten(source, out):
    pyvips.Image.new_from_file(source).flatten().pngsave(out)


def levels(source, prefix):
    """Every level as a PNG file."""
    for page in range(pyvips.Image.new_from_file(source).get("n-pages")):
        pyvips.Image.new_from_file(source, page=page).pngsave(f"{prefix}{page}.png", compression=1)


def version():
    return {"libvips": ".".join(str(pyvips.version(n)) for n in range(3)), "pyvips": pyvips.__version__}


if __name__ == "__main__":
    modes = [pyramid, unsharp, batch, originals, crop, flatten, levels, version]
    mode = {m.__name__: m for m in modes}[sys.argv[1]]
    start = time.perf_counter()
    result = mode(*sys.argv[2:])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + (result if isinstance(result, int) else 0)
    more = result if isinstance(result, dict) else {}
    print(json.dumps({"seconds": seconds, "peak_kib": peak, **more}))
