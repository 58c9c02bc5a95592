#!/usr/bin/env python3
"""Makes the files of this folder and golden.txt. See README.md."""

import os
import subprocess
import sys

import blake3
import numpy as np
import tifffile
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
os.chdir(HERE)


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


def scene(width, height, channels, top):
    """Gradients, an edge and a little noise: every channel differs."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    noise = np.random.default_rng(7)
    planes = []
    for c in range(channels):
        plane = (x * (c + 1) / width + y * (channels - c) / height) / (channels + 1)
        plane[(x + 2 * y > width) & (x > 5 + 3 * c)] *= 0.4
        planes.append(plane + noise.uniform(0, 0.02, plane.shape))
    return np.clip(np.stack(planes, -1) * top, 0, top)


W, H = 37, 29
rgb8 = scene(W, H, 3, 255).astype(np.uint8)
rgba8 = scene(W, H, 4, 255).astype(np.uint8)
gray8 = scene(W, H, 1, 255)[..., 0].astype(np.uint8)
rgb16 = scene(W, H, 3, 65535).astype(np.uint16)
gray16 = scene(W, H, 1, 65535)[..., 0].astype(np.uint16)
la16 = scene(W, H, 2, 65535).astype(np.uint16)
cmyk8 = scene(W, H, 4, 255).astype(np.uint8)
bits = ((np.indices((H, W)).sum(0) // 3) % 2 == 0) | (gray8 > 150)

golden = {}


def gold(name, pixels):
    """Remembers what a decoder must give: shape, depth, samples in order (16-bit ones little-endian)."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    digest = blake3.blake3(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()).hexdigest()
    height, width, channels = pixels.shape
    golden[name] = f"{name} {width} {height} {channels} {pixels.dtype.itemsize * 8} {digest}"


def tiff(name, pixels, *tiffcp, **write):
    """Writes with tifffile, recodes with libtiff's tiffcp, and takes the golden from what was written."""
    tifffile.imwrite("plain.tif", pixels, metadata=None, **write)
    run("tiffcp", *tiffcp, "plain.tif", name)
    os.remove("plain.tif")


# TIFF: libtiff's codecs and containers around known samples.
for name, options in {
    "rgb8-none.tif": ["-c", "none", "-r", "8"],
    "rgb8-none-big-endian.tif": ["-B", "-c", "none"],
    "rgb8-lzw-predictor.tif": ["-c", "lzw:2", "-r", "8"],
    "rgb8-lzw.tif": ["-c", "lzw", "-r", "5"],
    "rgb8-deflate-predictor.tif": ["-c", "zip:2"],
    "rgb8-packbits.tif": ["-c", "packbits", "-r", "7"],
    "rgb8-zstd.tif": ["-c", "zstd:2"],
    "rgb8-tiles-deflate.tif": ["-t", "-w", "16", "-l", "16", "-c", "zip"],
    "rgb8-bigtiff-tiles-lzw.tif": ["-8", "-t", "-w", "32", "-l", "16", "-c", "lzw:2"],
    "rgb8-planar-lzw-predictor.tif": ["-p", "separate", "-c", "lzw:2", "-r", "8"],
    "rgb8-planar-tiles.tif": ["-p", "separate", "-t", "-w", "16", "-l", "16", "-c", "zip"],
    "rgb8-lsb-first.tif": ["-f", "lsb2msb", "-c", "lzw"],
}.items():
    tiff(name, rgb8, *options, photometric="rgb")
    gold(name, rgb8)
tiff("rgb16-deflate-predictor-big-endian.tif", rgb16, "-B", "-c", "zip:2", photometric="rgb")
gold("rgb16-deflate-predictor-big-endian.tif", rgb16)
tiff("gray16-lzw-predictor.tif", gray16, "-c", "lzw:2", photometric="minisblack")
gold("gray16-lzw-predictor.tif", gray16)
tiff("gray8-white-is-zero.tif", gray8, "-c", "zip", photometric="miniswhite")
gold("gray8-white-is-zero.tif", 255 - gray8)
tiff("cmyk8-lzw.tif", cmyk8, "-c", "lzw:2", photometric="separated")
gold("cmyk8-lzw.tif", cmyk8)
tiff("rgba8-unassociated.tif", rgba8, "-c", "zip:2", photometric="rgb", extrasamples=["unassalpha"])
gold("rgba8-unassociated.tif", rgba8)
alpha = rgba8[..., 3:].astype(np.uint32)
premultiplied = np.concatenate([(rgba8[..., :3] * alpha + 127) // 255, alpha], -1).astype(np.uint8)
tiff("rgba8-associated.tif", premultiplied, "-c", "zip", photometric="rgb", extrasamples=["assocalpha"])
color = premultiplied[..., :3].astype(np.uint32)
divided = np.minimum((color * 255 + alpha // 2) // np.maximum(alpha, 1), 255) * (alpha > 0)
gold("rgba8-associated.tif", np.concatenate([divided, alpha], -1).astype(np.uint8))
tiff("rgb8-extra-unspecified.tif", rgba8, "-c", "lzw:2", photometric="rgb", extrasamples=["unspecified"])
gold("rgb8-extra-unspecified.tif", rgba8[..., :3])
tiff("gray-alpha16.tif", la16, "-c", "zip:2", photometric="minisblack", extrasamples=["unassalpha"])
gold("gray-alpha16.tif", la16)
for name, options in {
    "bilevel-g4.tif": ["-c", "g4"],
    "bilevel-g3.tif": ["-c", "g3:1d"],
    "bilevel-g3-fill-lsb.tif": ["-f", "lsb2msb", "-c", "g3:1d:fill"],
    "bilevel-packbits.tif": ["-c", "packbits"],
}.items():
    tiff(name, bits, *options, photometric="minisblack")
    gold(name, np.where(bits, 255, 0).astype(np.uint8))
quantized = Image.fromarray(rgb8).quantize(13)
quantized.save("palette.tif")
run("tiffcp", "-c", "lzw", "palette.tif", "palette8-lzw.tif")
os.remove("palette.tif")
gold("palette8-lzw.tif", quantized.convert("RGB"))
Image.fromarray(rgb8).save("source.png")
run("convert", "source.png", "-colors", "13", "-type", "Palette", "-depth", "4", "-compress", "Zip", "palette4.tif")
gold("palette4.tif", Image.open("palette4.tif").convert("RGB"))
# JPEG in TIFF: lossy decoders differ by a level or two, so the samples of libjpeg are kept for comparison.
for name, options, pixels, write in [
    ("rgb8-jpeg-ycbcr", ["-c", "jpeg:90", "-r", "16"], rgb8, {"photometric": "rgb"}),
    ("rgb8-jpeg-tiles", ["-c", "jpeg:90", "-t", "-w", "16", "-l", "16"], rgb8, {"photometric": "rgb"}),
    ("rgb8-jpeg-raw", ["-c", "jpeg:r:90"], rgb8, {"photometric": "rgb"}),
    ("gray8-jpeg", ["-c", "jpeg:90"], gray8, {"photometric": "minisblack"}),
    ("cmyk8-jpeg", ["-c", "jpeg:90"], cmyk8, {"photometric": "separated"}),
]:
    tiff(f"{name}.tif", pixels, *options, **write)
    decoded = np.asarray(Image.open(f"{name}.tif"))
    with open(f"{name}.raw", "wb") as raw:
        raw.write(decoded.tobytes())
# Pages: a second page, and a page that is only a smaller copy.
tifffile.imwrite("pages.tif", rgb8, photometric="rgb", metadata=None)
tifffile.imwrite("pages.tif", gray8, photometric="minisblack", metadata=None, append=True)
gold("pages.tif", rgb8)
with tifffile.TiffWriter("reduced.tif") as out:
    out.write(rgb8, photometric="rgb", metadata=None)
    out.write(rgb8[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
gold("reduced.tif", rgb8)

# PNG.
run("convert", "source.png", "-interlace", "PNG", "rgb8-interlaced.png")
gold("rgb8-interlaced.png", rgb8)
rgb16.astype("<u2").tofile("raw.rgb")
run("convert", "-size", f"{W}x{H}", "-depth", "16", "-endian", "LSB", "rgb:raw.rgb", "-interlace", "PNG",
    "png48:rgb16-interlaced.png")
gold("rgb16-interlaced.png", rgb16)
Image.fromarray(gray16).save("gray16.png")
gold("gray16.png", gray16)
np.concatenate([la16[..., :1]] * 3 + [la16[..., 1:]], -1).astype("<u2").tofile("raw.rgba")
run("convert", "-size", f"{W}x{H}", "-depth", "16", "-endian", "LSB", "rgba:raw.rgba", "-define", "png:color-type=4",
    "-define", "png:bit-depth=16", "gray-alpha16.png")
gold("gray-alpha16.png", la16)
Image.fromarray(rgba8).save("rgba8.png")
gold("rgba8.png", rgba8)
quantized.save("palette8.png", transparency=3)
gold("palette8.png", Image.open("palette8.png").convert("RGBA"))
for depth in (1, 2, 4):
    colors = Image.fromarray(rgb8).quantize(2**depth)
    colors.save(f"palette{depth}.png", bits=depth)
    gold(f"palette{depth}.png", colors.convert("RGB"))
    top = 2**depth - 1
    levels = (gray8.astype(np.uint32) * top // 255 * (255 // top)).astype(np.uint8)
    Image.fromarray(levels).save("levels.png")
    run("convert", "levels.png", "-depth", depth, "-type", "Grayscale", f"gray{depth}.png")
    gold(f"gray{depth}.png", levels)
os.remove("levels.png")
Image.fromarray(rgb8).save("rgb8-trns.png", transparency=tuple(int(v) for v in rgb8[3, 4]))
hit = (rgb8 == rgb8[3, 4]).all(-1, keepdims=True)
gold("rgb8-trns.png", np.concatenate([rgb8, np.where(hit, 0, 255).astype(np.uint8)], -1))

# GIF.
frames = []
for step, source in enumerate((rgb8, rgb8[::-1])):
    frame = Image.fromarray(source).quantize(20)
    frame.save(f"frame{step}.gif")
    frames.append(frame)
run("gifsicle", "--delay", "10", "frame0.gif", "frame1.gif", "-o", "animated.gif")
gold("animated.gif", frames[0].convert("RGB"))
run("gifsicle", "--interlace", "frame0.gif", "-o", "interlaced.gif")
gold("interlaced.gif", frames[0].convert("RGB"))
frames[0].save("transparent.gif", transparency=5)
gold("transparent.gif", Image.open("transparent.gif").convert("RGBA"))

# WebP.
Image.fromarray(rgba8).save("source-alpha.png")
run("cwebp", "-quiet", "-lossless", "-exact", "source-alpha.png", "-o", "rgba8-lossless.webp")
gold("rgba8-lossless.webp", rgba8)
run("cwebp", "-quiet", "-lossless", "source.png", "-o", "rgb8-lossless.webp")
gold("rgb8-lossless.webp", rgb8)
for name, source in (("rgb8-lossy", "source.png"), ("rgba8-lossy", "source-alpha.png")):
    run("cwebp", "-quiet", "-q", "80", source, "-o", f"{name}.webp")
    with open(f"{name}.raw", "wb") as raw:
        raw.write(np.asarray(Image.open(f"{name}.webp")).tobytes())

# BMP.
Image.fromarray(rgb8).save("rgb24.bmp", dpi=(300, 300))
gold("rgb24.bmp", rgb8)
quantized.save("palette8.bmp")
gold("palette8.bmp", quantized.convert("RGB"))
run("convert", "palette8.bmp", "-compress", "RLE", "BMP3:palette8-rle.bmp")
gold("palette8-rle.bmp", quantized.convert("RGB"))
Image.fromarray(bits).save("bilevel.bmp")
gold("bilevel.bmp", np.repeat(np.where(bits, 255, 0).astype(np.uint8)[..., None], 3, -1))
run("convert", "source-alpha.png", "rgba32.bmp")
gold("rgba32.bmp", rgba8)

for leftover in ("source.png", "source-alpha.png", "raw.rgb", "raw.rgba", "frame0.gif", "frame1.gif"):
    os.remove(leftover)
with open("golden.txt", "w") as out:
    out.write("# name width height channels bits blake3-of-samples\n")
    out.writelines(line + "\n" for _, line in sorted(golden.items()))
print(len(golden), "goldens", file=sys.stderr)
