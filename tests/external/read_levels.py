"""Reads every level of pyramid TIFFs with libvips and with tifffile, and prints one JSON object per line.

usage: read_levels.py RAW_FOLDER < LIST

LIST holds one path per line. A line that starts with "raw " also writes the samples of each level, in native byte
order, to RAW_FOLDER/<number>.raw and names that file. Objects have a "reader": "libvips" and "tifffile" describe one
level each, "tags" all tags of one directory as tifffile reads them.
"""

import itertools
import json
import logging
import pathlib
import sys
import zlib

import numpy
import pyvips
import tifffile


class Strict(logging.Handler):
    """tifffile logs what it finds wrong and goes on; here that is a failure."""

    def emit(self, record):
        raise RuntimeError(f"tifffile: {record.getMessage()}")


def vips_levels(path):
    top = pyvips.Image.new_from_file(path, access="sequential")
    below = top.get("n-subifds") if "n-subifds" in top.get_fields() else 0
    if below:
        pages = [{}] + [{"subifd": n} for n in range(below)]
    else:
        count = top.get("n-pages") if "n-pages" in top.get_fields() else 1
        pages = [{"page": n} for n in range(count)]
    for options in pages:
        image = pyvips.Image.new_from_file(path, access="sequential", fail_on="warning", **options)
        blocks = {}
        for name in ("icc-profile-data", "xmp-data", "iptc-data"):
            if name in image.get_fields():
                blocks[name.split("-")[0]] = image.get(name).hex()
        yield image.numpy(), blocks


def tifffile_levels(path):
    with tifffile.TiffFile(path) as tiff:
        pages = list(tiff.pages)
        if pages[0].subifds:
            pages += list(pages[0].pages)
        for page in pages:
            tags = {
                str(tag.code): {
                    "type": int(tag.dtype),
                    "count": tag.count,
                    "value": tag.value.hex() if isinstance(tag.value, bytes) else json.loads(json.dumps(tag.value)),
                }
                for tag in page.tags
            }
            yield page.asarray(), tags


def describe(samples):
    samples = numpy.ascontiguousarray(samples)
    shape = samples.shape + (1,) * (3 - samples.ndim)
    return {
        "height": shape[0],
        "width": shape[1],
        "channels": shape[2],
        "bits": samples.dtype.itemsize * 8,
        "crc32": zlib.crc32(samples.tobytes()),
    }, samples


def main():
    logger = logging.getLogger("tifffile")
    logger.addHandler(Strict())
    folder = pathlib.Path(sys.argv[1])
    numbers = itertools.count()
    for line in sys.stdin.read().splitlines():
        raw, path = line.startswith("raw "), line.removeprefix("raw ")

        def report(reader, level, samples, **more):
            facts, samples = describe(samples)
            if raw:
                facts["raw"] = str(folder / f"{next(numbers)}.raw")
                samples.tofile(facts["raw"])
            print(json.dumps({"file": path, "reader": reader, "level": level, **facts, **more}))

        try:
            try:
                for level, (samples, blocks) in enumerate(vips_levels(path)):
                    report("libvips", level, samples, blocks=blocks)
            except pyvips.Error as error:
                if "support is not configured" not in str(error):
                    raise
                print(json.dumps({"file": path, "reader": "libvips", "level": 0, "unsupported": True}))
            for level, (samples, tags) in enumerate(tifffile_levels(path)):
                report("tifffile", level, samples)
                print(json.dumps({"file": path, "reader": "tags", "level": level, "tags": tags}))
        except Exception as error:
            print(json.dumps({"file": path, "reader": "error", "level": 0, "error": f"{type(error).__name__}: {error}"}))


main()
