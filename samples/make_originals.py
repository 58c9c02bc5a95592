#!/usr/bin/env python3
"""Makes the sample originals: photographs from the small studio beside this file, and two pages of print work.

    python3 make_originals.py --cmyk-profile coated.icc [--frames DIR] [--only NAME,NAME] [OUT]

Needs numpy, numba, Pillow, tifffile, imagecodecs and the DejaVu fonts; README.md says where the profile comes from.
Nothing depends on the clock or on chance: the same versions on the same machine give the same files.
"""

import argparse
import io
import math
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageDraw, ImageFilter, ImageFont

import scenes
import studio

FONTS = Path("/usr/share/fonts/truetype/dejavu")
CREATOR = "reprise sample studio"


# ---------------------------------------------------------------- from light to samples

def srgb(linear):
    return np.where(linear < 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def develop(linear, shoulder=0.6):
    """Linear up to `shoulder`, then a parabola that reaches white at 2 - shoulder; sRGB curve; 0-1."""
    linear = np.maximum(linear, 0)
    t = np.clip((linear - shoulder) / (2 - 2 * shoulder), 0, 1)
    return srgb(np.where(linear < shoulder, linear, shoulder + (1 - shoulder) * t * (2 - t)))


def grain(picture, sigma, seed):
    """Sensor noise, weaker in the highlights; pure white stays pure."""
    noise = np.random.default_rng(seed).normal(0, sigma / 255, picture.shape[:2] + (1,))
    return np.clip(picture + noise * np.clip((1 - picture) * 4, 0, 1), 0, 1)


def samples8(picture):
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def samples16(picture, bits=12):
    """16-bit samples with the tonal depth of a camera."""
    top = (1 << bits) - 1
    return np.round(np.round(np.clip(picture, 0, 1) * top) * 65535 / top).astype(np.uint16)


def luma(picture):
    return picture @ np.array([0.299, 0.587, 0.114])


# ---------------------------------------------------------------- metadata

def srgb_profile():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)  # creation time, the only thing that changes
    return bytes(profile)


def xmp(title, description):
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
<dc:creator><rdf:Seq><rdf:li>{CREATOR}</rdf:li></rdf:Seq></dc:creator>
<xmpRights:WebStatement>https://creativecommons.org/publicdomain/zero/1.0/</xmpRights:WebStatement>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def iptc(title, caption):
    """IPTC-IIM records in UTF-8: object name, by-line, caption."""
    def record(number, dataset, value):
        return bytes([0x1C, number, dataset]) + struct.pack(">H", len(value)) + value

    return (record(1, 90, b"\x1b%G") + record(2, 0, b"\x00\x04") + record(2, 5, title.encode())
            + record(2, 80, CREATOR.encode()) + record(2, 120, caption.encode()))


def app13(block):
    """JPEG segment with one Photoshop image resource: IPTC-NAA."""
    resource = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(block)) + block + b"\0" * (len(block) & 1)
    body = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


# ---------------------------------------------------------------- the originals

def mug_on_white(shot, out):
    """Product photo on white: baseline JPEG 4:2:0, sRGB, 300 dpi, XMP and IPTC."""
    title, caption = "Stoneware mug, lagoon glaze", "Hand-thrown stoneware mug with lagoon glaze, 350 ml, on white."
    picture = grain(develop(shot("mug")["rgb"], 0.8), 0.5, 11)
    Image.fromarray(samples8(picture)).save(
        out, quality=90, subsampling="4:2:0", optimize=True, dpi=(300, 300), icc_profile=srgb_profile(),
        xmp=xmp(title, caption), extra=app13(iptc(title, caption)))


def cutout(shot, out):
    """The same kind of product, cut out: PNG RGBA with a soft edge, white behind what is transparent."""
    frame = shot("tumbler")
    picture, cover = develop(frame["rgb"]), frame["coverage"]
    # Colour of edge pixels comes from inside the object, so that no floor shines through the edge.
    colour = np.where((cover > 0.999)[..., None], picture, 0.0)
    known = (cover > 0.999).astype(float)
    for _ in range(6):
        near, weight = np.zeros_like(colour), np.zeros_like(known)
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            near += np.roll(colour * known[..., None], (dy, dx), (0, 1))
            weight += np.roll(known, (dy, dx), (0, 1))
        fresh = (known == 0) & (weight > 0)
        colour[fresh] = near[fresh] / weight[fresh][:, None]
        known[fresh] = 1
    colour[known == 0] = 1
    alpha = Image.fromarray(samples8(cover)).filter(ImageFilter.GaussianBlur(0.7))
    picture = Image.fromarray(samples8(colour)).convert("RGBA")
    picture.putalpha(alpha)
    clear = np.asarray(alpha)[..., None] == 0
    pixels = np.where(clear, np.array([255, 255, 255, 0], np.uint8), np.asarray(picture))
    Image.fromarray(pixels).save(out, optimize=True, dpi=(300, 300), icc_profile=srgb_profile())


def lipstick(shot, out):
    """Product in the middle of a wide border of exactly one colour: PNG RGB for automatic crop."""
    frame = shot("lipstick")
    backdrop = np.array([0xF3, 0xEC, 0xE6]) / 255
    picture = develop(frame["rgb"], 0.8)
    picture *= 1 + (backdrop - 1) * (1 - frame["coverage"][..., None])
    page = np.broadcast_to((backdrop * 255 + 0.5).astype(np.uint8), (1000, 1500, 3)).copy()
    h, w = picture.shape[:2]
    page[170:170 + h, 360:360 + w] = samples8(picture)
    Image.fromarray(page).save(out, optimize=True, dpi=(300, 300), icc_profile=srgb_profile())


def fruit_cmyk(shot, out, profile):
    """Still life separated for coated paper: Adobe JPEG, CMYK stored inverted, with its profile."""
    picture = Image.fromarray(samples8(grain(develop(shot("fruit")["rgb"]), 0.7, 15)))
    to_cmyk = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), io.BytesIO(profile), "RGB", "CMYK",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    ImageCms.applyTransform(picture, to_cmyk).save(out, quality=86, optimize=True, dpi=(300, 300), icc_profile=profile)


def lens_16bit(shot, out):
    """Studio gradient: TIFF RGB with 16 bits, deflate with predictor."""
    tifffile.imwrite(
        out, samples16(develop(shot("lens")["rgb"])), photometric="rgb", compression="zlib", compressionargs={"level": 9},
        predictor=True, rowsperstrip=64, resolution=(300, 300), resolutionunit="INCH", iccprofile=srgb_profile(),
        metadata=None, software=CREATOR)


def chess_gray16(shot, out):
    """Black-and-white photograph: PNG gray with 16 bits."""
    gray = samples16(luma(develop(shot("chess")["rgb"])), bits=11)
    Image.fromarray(gray).save(out, optimize=True, dpi=(240, 240))


def chess_webp(shot, out):
    """Web picture: lossy WebP."""
    Image.fromarray(samples8(develop(shot("chess")["rgb"]))).save(out, quality=82, method=6)


def pears_gray(shot, out):
    """Progressive gray JPEG."""
    picture = grain(luma(develop(shot("pears")["rgb"] * 1.4))[..., None], 1.0, 16)[..., 0]
    Image.fromarray(samples8(picture)).save(out, quality=88, progressive=True, optimize=True, dpi=(240, 240))


def lamp_portrait(shot, out):
    """Portrait picture from a camera held upright: stored lying, EXIF orientation 6."""
    picture = samples8(grain(develop(shot("lamp")["rgb"]), 0.8, 17))
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "reprise", "sample studio", 6
    exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 300.0, 2
    Image.fromarray(np.ascontiguousarray(np.rot90(picture))).save(
        out, quality=88, subsampling="4:2:0", optimize=True, dpi=(300, 300), icc_profile=srgb_profile(), exif=exif)


def font(name, size):
    return ImageFont.truetype(str(FONTS / f"DejaVu{name}.ttf"), size)


GLAZES = [("Lagoon", "#1f6d86", "#3b97a8"), ("Oatmeal", "#cfc0a4", "#e6dcc8"), ("Terracotta", "#a5512f", "#c87a52"),
          ("Celadon", "#8fae97", "#bcd0bf"), ("Tenmoku", "#24160f", "#5a3420"), ("Saffron", "#d08a1c", "#eab655"),
          ("Oxblood", "#5c1016", "#8e2a2c"), ("Chalk", "#ecebe6", "#f9f8f5"), ("Ink", "#161d33", "#35436b"),
          ("Moss", "#4a5a2a", "#7d8c4e"), ("Plum", "#42203f", "#6f4469"), ("Slate", "#454d54", "#76808a")]

TEXT = ("Glazes are fired to 1260 \u00b0C in reduction. Tone and speckle vary with place in the kiln; judge colour in daylight, "
        "not on a screen. Food safe, dishwasher safe, not for the oven. ")


def colour_card(_, out):
    """Page of a catalogue at 150 dpi: swatches, ramps, type from 6 pt, hairlines, a zone plate. PNG RGB."""
    w, h, scale = 1240, 1754, 150 / 72
    page = Image.new("RGB", (w, h), "white")
    draw = ImageDraw.Draw(page)

    def text(x, y, words, points, name="Sans", fill="#1a1a1a"):
        draw.text((x, y), words, font=font(name, points * scale), fill=fill)

    def paste(x, y, values):
        page.paste(Image.fromarray(values.astype(np.uint8)), (x, y))

    text(90, 74, "Glaze card", 26, "Serif-Bold")
    text(92, 142, "STONEWARE \u00b7 AUTUMN COLLECTION \u00b7 12 GLAZES", 8)
    draw.line((90, 176, w - 90, 176), fill="#1a1a1a", width=2)
    for n, (name, low, high) in enumerate(GLAZES):
        x, y = 90 + (n % 4) * 270, 205 + (n // 4) * 215
        a, b = (np.array([int(c[k:k + 2], 16) for k in (1, 3, 5)], float) for c in (low, high))
        v, u = np.mgrid[0:150, 0:250] / np.array([150, 250]).reshape(2, 1, 1)
        t = np.clip(0.5 + 0.5 * np.sin(2.2 * u + 2.6 * v * v - 0.6), 0, 1)[..., None]
        paste(x, y, a + (b - a) * t + 0.5)
        text(x, y + 155, name, 9, "Sans-Bold")
        text(x + 250 - 58, y + 158, f"G {n + 101}", 7, fill="#666666")
    y = 862
    for n, (points, name) in enumerate([(6, "Sans"), (7, "Serif"), (8, "Sans"), (9, "Serif"), (10, "Sans"), (12, "Serif")]):
        text(90, y, f"{points} pt", 6, fill="#999999")
        text(150, y, "Hamburgefonstiv 0123456789 \u00e4\u00f6\u00fc\u00df \u00e9\u00e8\u00ea \u2013 The quick brown fox"[:[60, 60, 60, 48, 42, 32][n]].rstrip(), points, name)
        y += int(points * scale * 1.6)
    y += 10
    column = font("Sans", 6 * scale)
    words, line, lines = (TEXT * 3).split(), "", []
    for word in words:
        if draw.textlength(f"{line} {word}", font=column) > 620:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    for n, words in enumerate(lines + [line]):
        draw.text((90, y + n * 18), words, font=column, fill="#1a1a1a")
    draw.rectangle((90, y + 132, 710, y + 192), fill="#161d33")
    text(104, y + 140, "White on ink, 6 pt: fine type that sharpening must not fill in", 6, fill="white")
    text(104, y + 162, "White on ink, 7 pt serif: fine type that sharpening must keep", 7, "Serif", "white")
    # Zone plate: rings that reach one line per two pixels at the edge.
    side = 380
    v, u = np.mgrid[0:side, 0:side] - (side - 1) / 2
    rings = 127.5 + 127.5 * np.cos(math.pi * (u * u + v * v) / side)
    rings = np.where(np.hypot(u, v) < side / 2, rings, 255)
    paste(w - 90 - side, 866, np.repeat(rings[..., None] + 0.5, 3, 2).clip(0, 255))
    text(w - 90 - side, 866 + side + 8, "Zone plate to 0.5 cycles per pixel", 6, fill="#666666")
    # Hairlines: a fan, drawn eight times as large.
    fan = Image.new("L", (620 * 8, 150 * 8), 255)
    pen = ImageDraw.Draw(fan)
    for n in range(25):
        a = math.radians(90 * n / 24)
        pen.line((0, 1200, 4800 * math.cos(a), 1200 - 1160 * math.sin(a)), fill=0, width=6)
    page.paste(fan.resize((620, 150), Image.LANCZOS).convert("RGB"), (90, 1310))
    for n, points in enumerate((0.25, 0.5, 0.75, 1.0, 1.5, 2.0)):
        rule = Image.new("L", (380 * 4, 20 * 8), 255)
        ImageDraw.Draw(rule).rectangle((0, 40, 1520, 40 + points * scale * 8 - 1), fill=0)
        page.paste(rule.resize((330, 20), Image.BOX).convert("RGB"), (w - 90 - 330, 1326 + n * 22))
        text(w - 90 - 380, 1322 + n * 22, f"{points} pt", 6, fill="#666666")
    ramp = np.linspace(0, 255, w - 180)
    paste(90, 1490, np.broadcast_to(ramp[None, :, None], (44, w - 180, 3)))
    hue = np.linspace(0, 6, w - 180)
    rainbow = np.stack([np.clip(np.abs(hue - 3) - 1, 0, 1), np.clip(2 - np.abs(hue - 2), 0, 1), np.clip(2 - np.abs(hue - 4), 0, 1)], 1)
    fade = np.linspace(0, 1, 60)[:, None, None]
    paste(90, 1542, 255 * (rainbow[None] * (1 - fade) + fade) + 0.5)
    for n in range(22):
        level = round(n * 255 / 21)
        draw.rectangle((90 + n * 1060 // 22, 1612, 90 + (n + 1) * 1060 // 22 - 1, 1652), fill=(level, level, level))
    text(90, 1672, "Printed colours are a guide only. Item numbers G 101 to G 112.", 6, fill="#666666")
    text(w - 90 - 80, 1672, "page 14", 6, fill="#666666")
    page.save(out, optimize=True, dpi=(150, 150), icc_profile=srgb_profile())


def tea_label(_, out):
    """Label with colour bar and crop marks, drawn in ink coverage: TIFF CMYK, LZW, no profile."""
    w, h, k = 1000, 700, 4
    page = Image.new("CMYK", (w * k, h * k), (0, 0, 0, 0))
    draw = ImageDraw.Draw(page)

    def ink(c, m, y, black=0):
        return tuple(round(2.55 * v) for v in (c, m, y, black))

    def box(x0, y0, x1, y1, fill):
        draw.rectangle((x0 * k, y0 * k, x1 * k - 1, y1 * k - 1), fill=fill)

    def centred(y, words, size, name, fill, spacing=0):
        face = font(name, size * k)
        widths = [draw.textlength(c, font=face) + spacing * k for c in words]
        x = (500 * k) - (sum(widths) - spacing * k) / 2
        for c, step in zip(words, widths):
            draw.text((x, y * k), c, font=face, fill=fill)
            x += step

    green, cream, copper, leaf = ink(82, 38, 68, 42), ink(3, 4, 16), ink(18, 52, 78, 8), ink(52, 12, 60, 8)
    box(80, 60, 920, 580, green)
    box(100, 80, 900, 560, cream)
    box(106, 86, 894, 554, green)
    box(110, 90, 890, 550, cream)
    for side in (-1, 1):  # sprigs left and right
        for n in range(9):
            x, y = 500 + side * (300 - 4 * n), 500 - n * 42
            for turn in (-1, 1):
                points = []
                for s in range(41):
                    t = s / 20 if s <= 20 else (40 - s) / 20
                    bulge = 11 * math.sin(math.pi * t) * (1 if s <= 20 else -1)
                    a = math.radians(58 + 4 * n) * turn
                    u, v = 62 * t * (1 - 0.05 * n), bulge
                    points.append(((x + u * math.sin(a) + v * math.cos(a)) * k, (y - u * math.cos(a) + v * math.sin(a)) * k))
                draw.polygon(points, fill=leaf if (n + turn) % 2 else green)
            draw.line((x * k, (y + 6) * k, (x - side * 4) * k, (y - 42) * k), fill=green, width=2 * k)
    centred(128, "No. 27", 22, "Serif", copper, 3)
    centred(174, "MOUNTAIN", 54, "Serif-Bold", green, 5)
    centred(246, "GREEN TEA", 40, "Serif", green, 9)
    box(400, 316, 600, 318, copper)
    centred(336, "first flush \u00b7 hand-picked \u00b7 stone-dried", 17, "Serif", ink(0, 0, 0, 90))
    draw.ellipse((452 * k, 382 * k, 548 * k, 478 * k), fill=copper)
    draw.ellipse((458 * k, 388 * k, 542 * k, 472 * k), outline=cream, width=2 * k)
    centred(406, "100 g", 22, "Serif-Bold", cream)
    centred(438, "3.5 oz", 12, "Serif", cream)
    centred(502, "Infuse 3 g in 200 ml at 75 \u00b0C for two minutes. Keep dry and dark. Best before: see base of tin.", 9.5, "Sans",
            ink(0, 0, 0, 100))
    page = page.resize((w, h), Image.BOX)
    draw = ImageDraw.Draw(page)
    for x in (80, 919):
        for y0, y1 in ((22, 48), (592, 618)):
            draw.line((x, y0, x, y1), fill=ink(100, 100, 100, 100))
    for y in (60, 579):
        for x0, x1 in ((42, 68), (932, 958)):
            draw.line((x0, y, x1, y), fill=ink(100, 100, 100, 100))
    for n, patch in enumerate([(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, 0, 0), (0, 1, 1, 0), (1, 0, 1, 0)]):
        for m, share in enumerate((100, 75, 50, 25)):
            x = 80 + (n * 4 + m) * 30
            draw.rectangle((x, 636, x + 29, 666), fill=ink(*(share * p for p in patch)))
    page.save(out, compression="tiff_lzw", dpi=(300, 300))


def badge(_, out):
    """Sticker of a shop page: GIF with few colours and a transparent ground."""
    k, side = 8, 260
    art = Image.new("L", (side * k, side * k), 0)
    draw = ImageDraw.Draw(art)
    c = side * k / 2
    star = [(c + r * math.cos(math.pi * n / 24), c + r * math.sin(math.pi * n / 24))
            for n in range(48) for r in [(126 if n % 2 == 0 else 113) * k]]
    draw.polygon(star, fill=1)
    draw.ellipse((c - 100 * k, c - 100 * k, c + 100 * k, c + 100 * k), outline=2, width=3 * k)
    for words, size, y in (("NEW", 62, -54), ("this season", 21, 22)):
        face = font("Sans-Bold" if size > 40 else "Sans", size * k)
        draw.text((c - draw.textlength(words, font=face) / 2, c + y * k), words, font=face, fill=2)
    # Transparency in a GIF is on or off, so the outline is hard and only the inside is smoothed.
    layers = np.asarray(art)
    white = np.asarray(Image.fromarray((layers == 2).astype(np.uint8) * 255).resize((side, side), Image.BOX))
    solid = np.asarray(Image.fromarray((layers > 0).astype(np.uint8) * 255).resize((side, side), Image.BOX)) > 127
    steps = 15
    index = np.where(solid, 1 + np.round(white / 255 * steps), 0).astype(np.uint8)
    red = np.array([0xB8, 0x2E, 0x22])
    palette = [0, 0, 0] + [int(v) for n in range(steps + 1) for v in np.round(red + (255 - red) * n / steps)]
    picture = Image.fromarray(index, "P")
    picture.putpalette(palette)
    picture.save(out, transparency=0, optimize=False)


ORIGINALS = {
    "01-mug-on-white.jpg": mug_on_white,
    "02-mug-cutout.png": cutout,
    "03-lipstick-wide-border.png": lipstick,
    "04-glaze-card.png": colour_card,
    "05-fruit-bowl-cmyk.jpg": fruit_cmyk,
    "06-tea-label-cmyk.tif": tea_label,
    "07-lens-16bit.tif": lens_16bit,
    "08-chess-gray16.png": chess_gray16,
    "09-lamp-portrait.jpg": lamp_portrait,
    "10-pears-gray-progressive.jpg": pears_gray,
    "11-badge.gif": badge,
    "12-chess.webp": chess_webp,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "originals")
    parser.add_argument("--cmyk-profile", type=Path, help="ICC profile for the CMYK photograph")
    parser.add_argument("--frames", type=Path, help="keep rendered frames in this folder and take them from there")
    parser.add_argument("--only", help="names of originals, or parts of names, with commas between them")
    args = parser.parse_args()
    rendered = {}

    def shot(name):
        kept = args.frames and args.frames / f"{name}.npz"
        if name not in rendered and kept and kept.exists():
            rendered[name] = np.load(kept)
        if name not in rendered:
            width, height, spp, far = scenes.SHOTS[name]
            print(f"  rendering {name}, {width} x {height}, {spp} samples per pixel", flush=True)
            frame = studio.photograph(scenes.SETS[name], width, height, spp, far=far)
            rendered[name] = {"rgb": frame.rgb, "coverage": frame.coverage}
            if kept:
                args.frames.mkdir(parents=True, exist_ok=True)
                np.savez(kept, **{k: v.astype(np.float32) for k, v in rendered[name].items()})
        return rendered[name]

    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in ORIGINALS.items():
        if args.only and not any(part in name for part in args.only.split(",")):
            continue
        path = args.out / name
        if make is fruit_cmyk:
            if not args.cmyk_profile:
                print(f"{name}: left out, needs --cmyk-profile")
                continue
            make(shot, path, args.cmyk_profile.read_bytes())
        else:
            make(shot, path)
        print(f"{name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
