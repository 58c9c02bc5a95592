"""A small path tracer for signed distance fields: the studio in which the sample originals are photographed.

Scenes are distance functions with procedural materials, lit by rectangular softboxes and a dim dome. One camera
hit splits into a diffuse and a mirror path; both are averaged over `spp` samples, cleaned with an edge-stopping
filter that is guided by normal, depth and material, and put together again in linear light.

Lengths are in units of about 10 cm; y is up, the floor is y = 0, the camera looks towards -z.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numba import njit, prange
from PIL import Image

MUG, TUMBLER, LENS, CHESS, FRUIT, LAMP, LIPSTICK, PEARS, EMPTY = range(9)

# Materials.
(FLOOR, WALL, GLAZE, COFFEE, RUBBER, METAL, GLASS, BARREL, IVORY, EBONY, ORANGE, LEMON, APPLE, PEAR, STEM, WOOD, SHADE,
 BRASS, CERAMIC, BOOK_A, BOOK_B, PAGES, LACQUER, GOLD, LIPS, GREEN_APPLE) = range(1, 27)

jit = njit(cache=True, fastmath=True)


# ---------------------------------------------------------------- noise

@jit
def hash3(x, y, z):
    h = (x * 374761393 + y * 668265263 + z * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 13)) & 0xFFFFFF) / 16777216.0


@jit
def noise(x, y, z):
    ix, iy, iz = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - ix, y - iy, z - iz
    ix, iy, iz = int(ix), int(iy), int(iz)
    u, v, w = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    r = 0.0
    for k in range(2):
        a = hash3(ix, iy, iz + k) * (1 - u) + hash3(ix + 1, iy, iz + k) * u
        b = hash3(ix, iy + 1, iz + k) * (1 - u) + hash3(ix + 1, iy + 1, iz + k) * u
        r += (a * (1 - v) + b * v) * ((1 - w) if k == 0 else w)
    return r


@jit
def fbm(x, y, z, octaves):
    s, a, t = 0.0, 0.5, 0.0
    for _ in range(octaves):
        s += a * noise(x, y, z)
        t += a
        a *= 0.5
        x, y, z = x * 2.03 + 17.1, y * 2.03 + 5.3, z * 2.03 + 9.7
    return s / t


@jit
def smoothstep(a, b, x):
    t = min(1.0, max(0.0, (x - a) / (b - a)))
    return t * t * (3 - 2 * t)


@jit
def mix(a, b, t):
    return a + (b - a) * t


@jit
def spots(x, y, z, size):
    """1 inside round spots, one candidate in each cell of `size` cells per unit; most cells stay empty."""
    x, y, z = x * size, y * size, z * size
    ix, iy, iz = int(math.floor(x)), int(math.floor(y)), int(math.floor(z))
    h = hash3(ix, iy, iz)
    r = 0.10 + 0.22 * hash3(iz, ix, iy) ** 2
    px = ix + r + (1 - 2 * r) * hash3(ix + 71, iy, iz)
    py = iy + r + (1 - 2 * r) * hash3(ix, iy + 53, iz)
    pz = iz + r + (1 - 2 * r) * hash3(ix, iy, iz + 37)
    d = math.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2)
    return smoothstep(r, r * 0.75, d) if h > 0.35 else 0.0


# ---------------------------------------------------------------- distance fields

@jit
def smin(a, b, k):
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - h * h * k * 0.25


@jit
def smax(a, b, k):
    return -smin(-a, -b, k)


@jit
def box2(x, y, hx, hy, r):
    """Rectangle of half sides hx, hy with corners rounded by r."""
    qx, qy = abs(x) - hx + r, abs(y) - hy + r
    return math.hypot(max(qx, 0.0), max(qy, 0.0)) + min(max(qx, qy), 0.0) - r


@jit
def disc(r, y, radius, y0, y1, round_):
    """Cylinder around the y axis from y0 to y1."""
    return box2(r, y - 0.5 * (y0 + y1), radius, 0.5 * (y1 - y0), round_)


@jit
def box3(x, y, z, hx, hy, hz, r):
    qx, qy, qz = abs(x) - hx + r, abs(y) - hy + r, abs(z) - hz + r
    ox, oy, oz = max(qx, 0.0), max(qy, 0.0), max(qz, 0.0)
    return math.sqrt(ox * ox + oy * oy + oz * oz) + min(max(qx, max(qy, qz)), 0.0) - r


@jit
def cone2(r, y, r0, y0, r1, y1):
    """Truncated cone: radius r0 at y0, r1 at y1."""
    k = (r1 - r0) / (y1 - y0)
    side = (r - (r0 + k * (y - y0))) / math.sqrt(1 + k * k)
    return max(side, max(y0 - y, y - y1))


@jit
def mug(x, y, z, handle, height, radius):
    r = math.hypot(x, z)
    wall = radius + 0.015 * math.sin(3.3 * y / height)
    outer = disc(r, y, wall, 0.0, height, 0.045)
    inner = disc(r, y, wall - 0.05, 0.07, height + 0.6, 0.09)
    if handle:
        q = math.hypot(x - radius - 0.03, (y - 0.52 * height) * 0.78) - 0.225
        ring = (math.hypot(q / 0.042, z / 0.066) - 1.0) * 0.042
        outer = smin(outer, ring, 0.07)
    return smax(outer, -inner, 0.045)


@jit
def lens(r, y, angle):
    d = disc(r, y, 0.31, 0.0, 0.07, 0.008)
    m = METAL
    body = min(disc(r, y, 0.385, 0.05, 0.33, 0.015), disc(r, y, 0.40, 0.56, 0.74, 0.012))
    hood = disc(r, y, 0.445, 0.72, 1.0, 0.02)
    body = min(body, smin(hood, cone2(r, y, 0.40, 0.66, 0.445, 0.74), 0.01))
    steps = 0.012 * abs(((y * 26.0) % 1.0) - 0.5) if y > 0.8 else 0.0
    body = smax(body, -cone2(r, y, 0.27, 0.80, 0.425, 1.01) - steps, 0.006)
    if body < d:
        d, m = body, BARREL
    rib = 0.5 + 0.5 * math.cos(angle * 44.0)
    band = (disc(r, y, 0.415 + 0.012 * smoothstep(0.2, 0.6, rib), 0.345, 0.55, 0.008)) * 0.7
    if band < d:
        d, m = band, RUBBER
    dial = disc(r, y, 0.402, 0.60, 0.612, 0.003)
    if dial < d:
        d, m = dial, GOLD
    glass = smax(math.hypot(r, y - 0.44) - 0.46, r - 0.30, 0.01)
    if glass < d:
        d, m = glass, GLASS
    return d, m


@jit
def chess_base(r, y, s):
    d = disc(r, y, 0.30 * s, 0.0, 0.07, 0.03)
    d = smin(d, disc(r, y, 0.25 * s, 0.07, 0.14, 0.03), 0.02)
    return smin(d, disc(r, y, 0.19 * s, 0.13, 0.18, 0.02), 0.05)


@jit
def pawn(r, y):
    d = chess_base(r, y, 0.85)
    d = smin(d, cone2(r, y, 0.16, 0.12, 0.075, 0.52), 0.10)
    d = smin(d, disc(r, y, 0.135, 0.50, 0.54, 0.018), 0.03)
    return smin(d, math.hypot(r, y - 0.655) - 0.135, 0.02)


@jit
def bishop(x, y, z):
    r = math.hypot(x, z)
    d = chess_base(r, y, 0.95)
    d = smin(d, cone2(r, y, 0.17, 0.12, 0.075, 0.80), 0.12)
    d = smin(d, disc(r, y, 0.15, 0.78, 0.82, 0.018), 0.03)
    d = smin(d, disc(r, y, 0.11, 0.84, 0.87, 0.014), 0.03)
    head = (math.hypot(r, (y - 1.03) * 0.72) - 0.14) * 0.85
    slit = box3(x * 0.8 + (y - 1.08) * 0.6 - 0.08, x * 0.6 - (y - 1.08) * 0.8, z, 0.09, 0.012, 0.4, 0.002)
    head = smax(head, -slit, 0.01)
    d = smin(d, head, 0.03)
    return smin(d, math.hypot(r, y - 1.245) - 0.038, 0.015)


@jit
def king(x, y, z):
    r = math.hypot(x, z)
    d = chess_base(r, y, 1.08)
    d = smin(d, cone2(r, y, 0.19, 0.12, 0.085, 0.95), 0.14)
    d = smin(d, disc(r, y, 0.17, 0.93, 0.97, 0.018), 0.03)
    d = smin(d, disc(r, y, 0.125, 0.99, 1.02, 0.014), 0.03)
    d = smin(d, cone2(r, y, 0.085, 1.0, 0.16, 1.25), 0.03)
    d = smin(d, (math.hypot(r, (y - 1.25) * 2.2) - 0.15) * 0.45, 0.02)
    cross = min(box3(x, y - 1.43, z, 0.026, 0.10, 0.024, 0.01), box3(x, y - 1.45, z, 0.075, 0.026, 0.024, 0.01))
    return smin(d, cross, 0.012)


@jit
def rook(x, y, z):
    r = math.hypot(x, z)
    d = chess_base(r, y, 0.95)
    d = smin(d, cone2(r, y, 0.18, 0.12, 0.115, 0.62), 0.12)
    d = smin(d, disc(r, y, 0.165, 0.60, 0.64, 0.018), 0.03)
    top = disc(r, y, 0.165, 0.66, 0.86, 0.015)
    top = smax(top, -disc(r, y, 0.105, 0.78, 1.0, 0.01), 0.01)
    a = math.atan2(z, x)
    k = math.pi / 3.0
    a = (a + 10 * k + 0.5 * k) % k - 0.5 * k
    notch = box2(r * math.sin(a), y - 0.88, 0.03, 0.08, 0.004)
    return smin(d, smax(top, -notch, 0.01), 0.02)


@jit
def orange(x, y, z):
    r = math.sqrt(x * x + y * y * 1.04 + z * z)
    d = r - 0.205
    if d < 0.03:
        d += 0.0035 * (noise(x * 75, y * 75, z * 75) - 0.5)
        d += 0.015 * math.exp(-((x * x + z * z) / 0.0012)) * (1.0 if y > 0 else 0.0)
    return d * 0.9


@jit
def lemon(x, y, z):
    """Long axis along x."""
    d = (math.sqrt(x * x * 0.62 + y * y + z * z) - 0.158) * 0.85
    d = smin(d, math.sqrt((abs(x) - 0.215) ** 2 + y * y + z * z) - 0.022, 0.10)
    if d < 0.03:
        d += 0.003 * (noise(x * 55, y * 55, z * 55) - 0.5) + 0.004 * (noise(x * 14, y * 14, z * 14) - 0.5)
    return d * 0.85


@jit
def apple(x, y, z):
    """A spindle torus: the dimples are its poles."""
    r = math.hypot(x, z)
    lobes = 0.005 * math.cos(5.0 * math.atan2(z, x)) * smoothstep(0.1, -0.15, y)
    return (math.hypot(r - 0.085, y * (1.0 + 0.12 * (y < 0))) - 0.132 + lobes) * 0.9


@jit
def stem(x, y, z, y0, y1):
    t = min(1.0, max(0.0, (y - y0) / (y1 - y0)))
    bend = 0.03 * t * t
    return math.sqrt((x - bend) ** 2 + (y - (y0 + t * (y1 - y0))) ** 2 + z * z) - (0.009 + 0.005 * t)


@jit
def pear(x, y, z):
    x -= 0.06 * max(y, 0.0) ** 2
    d = smin(math.sqrt(x * x + y * y * 1.08 + z * z) - 0.22, math.sqrt(x * x + (y - 0.25) ** 2 + z * z) - 0.105, 0.20)
    if d < 0.03:
        d += 0.006 * (noise(x * 9, y * 9, z * 9) - 0.5)
    return d * 0.9


@jit
def bowl(r, y):
    ball = math.hypot(r, y - 0.68)
    d = abs(ball - 0.64) - 0.022
    d = smax(d, y - 0.42, 0.03)
    return smin(d, disc(r, y, 0.24, 0.0, 0.07, 0.02), 0.04)


@jit
def rot(a, b, c, s):
    return a * c - b * s, a * s + b * c


@jit
def field_(scene, x, y, z):
    """Distance to the nearest object and its material; floor and wall are not part of it."""
    d, m = 1e9, 0
    if scene == MUG:
        x, z = rot(x, z, 0.82, -0.57)
        d, m = mug(x, y, z, True, 0.95, 0.41), GLAZE
        c = disc(math.hypot(x, z), y, 0.37, 0.70, 0.745, 0.004)
        if c < d:
            d, m = c, COFFEE
    elif scene == TUMBLER:
        x, z = rot(x, z, 0.75, -0.66)
        d, m = mug(x, y, z, True, 1.02, 0.37), CERAMIC
    elif scene == LENS:
        d, m = lens(math.hypot(x, z), y, math.atan2(z, x))
    elif scene == CHESS:
        for i in range(5):
            px = -0.10 if i == 0 else (0.62 if i == 1 else (0.28 if i == 2 else (-0.85 if i == 3 else -0.62)))
            pz = -0.15 if i == 0 else (0.05 if i == 1 else (0.72 if i == 2 else (-0.55 if i == 3 else 0.42)))
            r = math.hypot(x - px, z - pz)
            a = r - 0.36
            if a < 0.04:
                if i == 0:
                    a = king(x - px, y, z - pz)
                elif i == 1:
                    a = bishop(x - px, y, z - pz)
                elif i == 3:
                    a = rook(x - px, y, z - pz)
                else:
                    a = pawn(r, y)
            if a < d:
                d, m = a, IVORY if i == 0 or i == 2 else EBONY
    elif scene == FRUIT:
        d, m = bowl(math.hypot(x, z), y), WOOD
        a = orange(x - 0.26, y - 0.41, z - 0.10)
        if a < d:
            d, m = a, ORANGE
        qx, qy = rot(x + 0.25, y - 0.42, 0.96, 0.28)
        a = apple(qx, qy, z - 0.13)
        if a < d:
            d, m = a, APPLE
        a = stem(qx, qy, z - 0.13, 0.06, 0.20)
        if a < d:
            d, m = a, STEM
        a = orange(x - 0.0, y - 0.40, z + 0.26)
        if a < d:
            d, m = a, ORANGE
        qx, qz = rot(x + 0.02, z - 0.03, 0.85, -0.53)
        qx, qy = rot(qx, y - 0.69, 0.97, 0.24)
        a = lemon(qx, qy, qz)
        if a < d:
            d, m = a, LEMON
        a = apple(x - 0.88, y - 0.145, z - 0.20)
        if a < d:
            d, m = a, GREEN_APPLE
        a = stem(x - 0.88, y - 0.145, z - 0.20, 0.06, 0.19)
        if a < d:
            d, m = a, STEM
        qx, qz = rot(x + 0.80, z - 0.50, 0.80, 0.60)
        a = lemon(qx, y - 0.158, qz)
        if a < d:
            d, m = a, LEMON
    elif scene == PEARS:
        for i in range(3):
            if i == 0:
                qx, qy, qz, c, s = x + 0.48, y - 0.21, z + 0.05, 0.98, 0.17
            elif i == 1:
                qx, qy, qz, c, s = x - 0.05, y - 0.21, z + 0.22, 0.995, -0.1
            else:
                qx, qy, qz, c, s = x - 0.52, y - 0.205, z - 0.28, 0.30, 0.954
            qx, qy = rot(qx, qy, c, s)
            a = pear(qx, qy, qz)
            if a < d:
                d, m = a, PEAR
            a = stem(qx - 0.012, qy, qz, 0.33, 0.47)
            if a < d:
                d, m = a, STEM
    elif scene == LAMP:
        r = math.hypot(x, z)
        b = smin((math.hypot(r, (y - 0.47) * 0.85) - 0.30) * 0.9, disc(r, y, 0.20, 0.0, 0.10, 0.03), 0.10)
        b = smin(b, disc(r, y, 0.08, 0.6, 0.92, 0.02), 0.12)
        if b < d:
            d, m = b, CERAMIC
        a = min(disc(r, y, 0.05, 0.90, 1.12, 0.01), disc(r, y, 0.20, -0.02, 0.035, 0.012))
        if a < d:
            d, m = a, BRASS
        k = (0.34 - 0.56) / 0.66
        side = (r - (0.56 + k * (y - 1.12))) / math.sqrt(1 + k * k)
        s = max(abs(side) - 0.006, abs(y - 1.45) - 0.33)
        if s < d:
            d, m = s, SHADE
        qx, qz = rot(x - 0.98, z - 0.12, 0.966, 0.259)
        for i in range(3):
            bx, bz = rot(qx, qz, math.cos(0.16 * i * i), math.sin(0.16 * i * i - 0.05 * i))
            h, y0 = (0.055, 0.055) if i == 0 else ((0.045, 0.155) if i == 1 else (0.04, 0.24))
            cover = box3(bx, y - y0, bz, 0.36 - 0.02 * i, h, 0.27 - 0.02 * i, 0.012)
            block = box3(bx - 0.02, y - y0, bz - 0.012, 0.37 - 0.02 * i, h - 0.012, 0.27 - 0.02 * i, 0.002)
            cover = max(cover, -block)
            if cover < d:
                d, m = cover, BOOK_A if i == 0 else (BOOK_B if i == 1 else BOOK_A + 0)
                if i == 2:
                    m = LACQUER
            leaf = box3(bx, y - y0, bz, 0.35 - 0.02 * i, h - 0.010, 0.26 - 0.02 * i, 0.003)
            if leaf < d:
                d, m = leaf, PAGES
        a = apple(x - 0.96, y - 0.425, z - 0.12)
        if a < d:
            d, m = a, APPLE
        a = stem(x - 0.96, y - 0.425, z - 0.12, 0.06, 0.19)
        if a < d:
            d, m = a, STEM
        a = math.sqrt((x + 0.80) ** 2 + (y - 0.27) ** 2 + (z - 0.35) ** 2) - 0.52
        if a < 0.04:
            mx, mz = rot(x + 0.80, z - 0.35, 0.6, 0.8)
            a = mug(mx * 1.75, y * 1.75, mz * 1.75, True, 0.95, 0.41) / 1.75
        if a < d:
            d, m = a, GLAZE
    elif scene == LIPSTICK:
        r = math.hypot(x, z)
        d, m = disc(r, y, 0.20, 0.0, 0.62, 0.012), LACQUER
        a = disc(r, y, 0.165, 0.6, 0.84, 0.008)
        a = min(a, disc(r, y, 0.204, 0.52, 0.56, 0.004))
        if a < d:
            d, m = a, GOLD
        a = disc(r, y, 0.142, 0.7, 1.30, 0.03)
        a = smax(a, (y - 1.12 - 0.95 * (x * 0.9 + z * 0.44)) * 0.72, 0.05)
        if a < d:
            d, m = a, LIPS
        qx, qy, qz = x - 0.66, y - 0.205, z - 0.25
        qx, qz = rot(qx, qz, 0.80, 0.60)
        r = math.hypot(qy, qz)
        a = disc(r, qx, 0.205, -0.46, 0.46, 0.014)
        a = smax(a, -disc(r, qx, 0.185, -0.6, 0.40, 0.01), 0.006)
        if a < d:
            d, m = a, LACQUER
        a = max(disc(r, qx, 0.209, -0.44, -0.40, 0.004), 0.19 - r)
        if a < d:
            d, m = a, GOLD
    return d, m


@jit
def bounds(scene):
    """Sphere around all objects: centre y and z, radius."""
    if scene == MUG or scene == TUMBLER:
        return 0.5, 0.0, 0.92
    if scene == LENS:
        return 0.5, 0.0, 0.70
    if scene == CHESS:
        return 0.72, 0.1, 1.45
    if scene == FRUIT:
        return 0.45, 0.1, 1.25
    if scene == PEARS:
        return 0.3, 0.0, 1.15
    if scene == LAMP:
        return 0.85, 0.15, 1.62
    return 0.6, 0.1, 1.25


@jit
def march(scene, ox, oy, oz, dx, dy, dz, tmax):
    """First object along a ray: distance and material, or (tmax, 0)."""
    if scene == EMPTY:
        return tmax, 0
    cy, cz, rad = bounds(scene)
    py, pz = oy - cy, oz - cz
    b = ox * dx + py * dy + pz * dz
    q = b * b - (ox * ox + py * py + pz * pz - rad * rad)
    if q <= 0.0:
        return tmax, 0
    q = math.sqrt(q)
    t = max(-b - q, 0.0)
    end = min(-b + q, tmax)
    for _ in range(160):
        if t >= end:
            return tmax, 0
        d, m = field_(scene, ox + t * dx, oy + t * dy, oz + t * dz)
        if d < 0.0003 + 0.0001 * t:
            return t, m
        t += d * 0.92
    return tmax, 0


@jit
def normal(scene, x, y, z):
    e = 0.0006
    a, _ = field_(scene, x + e, y - e, z - e)
    b, _ = field_(scene, x - e, y - e, z + e)
    c, _ = field_(scene, x - e, y + e, z - e)
    d, _ = field_(scene, x + e, y + e, z + e)
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    n = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-30)
    return nx * n, ny * n, nz * n


# ---------------------------------------------------------------- materials

@jit
def planks(u, v):
    """Oak boards along u: a factor for light and dark wood."""
    row = math.floor(v / 0.55)
    h = hash3(int(row), 7, 3)
    u = u + h * 9.0
    g = fbm(u * 1.2, v * 16.0, row, 4)
    ring = 0.5 + 0.5 * math.sin(26.0 * (v + 0.35 * fbm(u * 0.7, v * 1.5, row + 3.0, 3)) + 6 * h)
    pore = smoothstep(0.62, 0.75, noise(u * 6.0, v * 130.0, row))
    gap = smoothstep(0.006, 0.012, abs((v / 0.55) - math.floor(v / 0.55) - 0.0) * 0.55)
    return (0.66 + 0.3 * g + 0.12 * ring - 0.22 * pore + 0.16 * (h - 0.5)) * (0.25 + 0.75 * gap)


@jit
def material(scene, m, x, y, z, nx, ny, nz):
    """Albedo r g b, mirror reflectance at normal incidence r g b, roughness, emission r g b."""
    ar = ag = ab = 0.5
    fr = fg = fb = 0.04
    rough = 0.1
    er = eg = eb = 0.0
    if m == FLOOR:
        if scene == LAMP or scene == FRUIT:
            w = planks(x, z)
            ar, ag, ab = 0.50 * w, 0.30 * w, 0.155 * w
            if scene == FRUIT:
                ar, ag, ab = 0.36 * w, 0.27 * w, 0.19 * w
            rough = 0.32 + 0.12 * noise(x * 5, z * 40, 0.0)
        elif scene == CHESS:
            cx, cz = math.floor((x + 0.3) / 0.62), math.floor((z + 0.1) / 0.62)
            dark = (int(cx) + int(cz)) & 1
            v = fbm(x * 2.2 + 4 * fbm(x * 1.3, z * 1.3, 2.0, 3), z * 2.2, cx + 3 * cz, 4)
            v = 1.0 - 0.55 * math.exp(-abs(v - 0.5) * 28.0)
            a = 0.035 + 0.03 * (1 - v) if dark else 0.58 * (0.55 + 0.45 * v)
            ar = ag = ab = a
            rough = 0.05
        elif scene == PEARS:
            w = fbm(x * 90, 0.0, z * 6, 2) + fbm(x * 6, 3.0, z * 90, 2)
            ar, ag, ab = 0.46 * (0.7 + 0.3 * w), 0.45 * (0.7 + 0.3 * w), 0.43 * (0.7 + 0.3 * w)
            fr = fg = fb = 0.0
        elif scene == LENS:
            ar, ag, ab = 0.17, 0.18, 0.20
            rough = 0.16
        else:
            ar = ag = ab = 0.86
            fr = fg = fb = 0.0
            if scene == LIPSTICK:
                fr = fg = fb = 0.03
                rough = 0.08
    elif m == WALL:
        w = 0.92 + 0.08 * fbm(x * 3, y * 3, 1.0, 4)
        if scene == LAMP:
            ar, ag, ab = 0.30 * w, 0.37 * w, 0.38 * w
        elif scene == PEARS:
            ar = ag = ab = 0.20 * w
        else:
            ar, ag, ab = 0.30 * w, 0.29 * w, 0.27 * w
        fr = fg = fb = 0.0
    elif m == GLAZE:
        a = math.atan2(z, x)
        drip = 0.09 * fbm(a * 3.0, 0.0, 5.0, 3)
        speck = max(spots(x, y, z, 13.0), spots(x + 3, y, z, 27.0))
        edge = smoothstep(0.80, 0.95, y + 0.5 * drip)
        pool = fbm(x * 5, y * 2.2, z * 5, 4)
        ar = mix(0.020 + 0.035 * pool, 0.30, edge * 0.8)
        ag = mix(0.105 + 0.10 * pool, 0.20, edge * 0.8)
        ab = mix(0.165 + 0.13 * pool, 0.11, edge * 0.8)
        k = 1.0 - 0.65 * speck
        ar, ag, ab = ar * k, ag * k, ab * k
        fr = fg = fb = 0.05
        rough = 0.045
        if y < 0.085 + drip:
            g = 0.8 + 0.4 * fbm(x * 40, y * 40, z * 40, 3)
            ar, ag, ab = 0.50 * g, 0.36 * g, 0.25 * g
            fr = fg = fb = 0.0
    elif m == CERAMIC:
        g = 0.92 + 0.1 * fbm(x * 6, y * 6, z * 6, 3)
        speck = max(0.7 * spots(x, y, z, 34.0), spots(x + 5, y, z, 15.0))
        ar, ag, ab = 0.74 * g, 0.68 * g, 0.58 * g
        if scene == LAMP:
            ar, ag, ab = 0.10 * g, 0.22 * g, 0.20 * g
        k = 1.0 - 0.7 * speck
        ar, ag, ab = ar * k, ag * k * (1 - 0.06 * speck), ab * k * (1 - 0.14 * speck)
        rough = 0.07
        if scene == TUMBLER:
            line = 0.26 + 0.02 * math.sin(5 * math.atan2(z, x)) + 0.03 * fbm(x * 4, 1.0, z * 4, 2)
            if y < line:
                g = 0.75 + 0.5 * fbm(x * 35, y * 35, z * 35, 4)
                ar, ag, ab = 0.36 * g, 0.20 * g, 0.125 * g
                fr = fg = fb = 0.0
    elif m == COFFEE:
        ar, ag, ab = 0.022, 0.010, 0.005
        r = math.hypot(x, z)
        foam = smoothstep(0.30, 0.355, r + 0.02 * noise(x * 30, 0.0, z * 30))
        ar, ag, ab = mix(ar, 0.30, foam * 0.7), mix(ag, 0.17, foam * 0.7), mix(ab, 0.08, foam * 0.7)
        rough = 0.01
    elif m == RUBBER:
        ar = ag = ab = 0.018
        rough = 0.38
    elif m == BARREL:
        ar = ag = ab = 0.014
        rough = 0.17
        if 0.615 < y < 0.70:
            a = math.atan2(x, z)
            if abs(a) < 1.2 and 0.632 < y < 0.66:
                k = a / 0.13
                k = abs(k - math.floor(k + 0.5))
                if k < 0.07:
                    ar = ag = ab = 0.75
            if abs(a) < 0.02 and y > 0.664:
                ar, ag, ab = 0.8, 0.12, 0.04
    elif m == METAL:
        ar = ag = ab = 0.0
        fr, fg, fb = 0.72, 0.72, 0.74
        rough = 0.16
    elif m == GLASS:
        ar, ag, ab = 0.004, 0.003, 0.010
        fr, fg, fb = 0.055, 0.035, 0.105
        r = math.hypot(x, z)
        if r < 0.20:
            fr, fg, fb = 0.05, 0.08, 0.075
        rough = 0.004
    elif m == IVORY:
        w = fbm(x * 3 + 2, y * 14, z * 3, 4)
        ar, ag, ab = 0.62 + 0.16 * w, 0.55 + 0.16 * w, 0.43 + 0.15 * w
        rough = 0.12
    elif m == EBONY:
        w = fbm(x * 20, y * 3.0, z * 20, 4)
        ar, ag, ab = 0.02 + 0.05 * w, 0.018 + 0.032 * w, 0.016 + 0.02 * w
        rough = 0.13
    elif m == ORANGE:
        g = 0.85 + 0.3 * fbm(x * 7, y * 7, z * 7, 3)
        ar, ag, ab = 0.80 * g, 0.27 * g, 0.018
        rough = 0.27
    elif m == LEMON:
        g = 0.88 + 0.24 * fbm(x * 9, y * 9, z * 9, 3)
        ar, ag, ab = 0.84 * g, 0.60 * g, 0.045
        rough = 0.25
    elif m == APPLE:
        if scene == LAMP:
            px, py, pz = x - 0.96, y - 0.425, z - 0.12
        else:
            px, py, pz = x + 0.25, y - 0.42, z - 0.13
        r = math.hypot(px, pz)
        s = fbm(px / (r + 0.01) * 6, pz / (r + 0.01) * 6, py * 2.5, 4)
        t = smoothstep(0.30, 0.95, s * 0.75 + 0.45 * smoothstep(0.02, 0.14, py) * smoothstep(0.14, 0.02, r))
        t = max(t, 0.8 * smoothstep(0.55, 0.75, fbm(px * 6 + 4, py * 6, pz * 6, 2)))
        ar, ag, ab = mix(0.40, 0.66, t), mix(0.018, 0.30, t), mix(0.020, 0.05, t)
        dot = spots(px, py, pz, 30.0)
        ar, ag, ab = mix(ar, 0.75, dot * 0.6), mix(ag, 0.50, dot * 0.6), mix(ab, 0.25, dot * 0.6)
        rough = 0.13
    elif m == GREEN_APPLE:
        px, py, pz = x - 0.88, y - 0.145, z - 0.20
        s = fbm(px * 5, py * 5, pz * 5, 3)
        t = smoothstep(0.45, 0.85, s + 0.25 * px)
        ar, ag, ab = mix(0.33, 0.62, t), mix(0.45, 0.42, t), mix(0.05, 0.06, t)
        dot = spots(px, py, pz, 28.0)
        ar, ag, ab = mix(ar, 0.62, dot * 0.5), mix(ag, 0.65, dot * 0.5), mix(ab, 0.35, dot * 0.5)
        rough = 0.12
    elif m == PEAR:
        s = fbm(x * 7, y * 7, z * 7, 4)
        dot = max(spots(x, y, z, 26.0), spots(x + 2, y, z, 45.0))
        k = (0.36 + 0.34 * s) * (1 - 0.45 * dot)
        ar, ag, ab = k, k * 0.95, k * 0.5
        rough = 0.22
    elif m == STEM:
        k = 0.10 + 0.08 * noise(x * 80, y * 30, z * 80)
        ar, ag, ab = k * 1.2, k * 0.8, k * 0.5
        rough = 0.5
    elif m == WOOD:
        g = fbm(x * 1.6 + 3, y * 16, z * 5.0, 4)
        ring = 0.5 + 0.5 * math.sin(60.0 * (math.hypot(y * 1.2 + 0.4, z * 0.8) + 0.10 * fbm(x * 1.5, y * 2, z * 2, 3)))
        k = 0.45 + 0.40 * g + 0.30 * ring
        ar, ag, ab = 0.34 * k, 0.165 * k, 0.075 * k
        rough = 0.20
    elif m == SHADE:
        weave = 0.93 + 0.10 * noise(math.atan2(z, x) * 110, y * 6, 0.0) * noise(math.atan2(z, x) * 8, y * 120, 4.0)
        ar, ag, ab = 0.70, 0.62, 0.50
        fr = fg = fb = 0.0
        if nx * x + nz * z > 0 and abs(ny) < 0.8:
            hot = math.exp(-((y - 1.42) / 0.26) ** 2) * weave
            trim = 1.0 if 1.15 < y < 1.75 else 0.55
            er, eg, eb = 1.15 * hot * trim + 0.16, 0.66 * hot * trim + 0.08, 0.28 * hot * trim + 0.03
    elif m == BRASS or m == GOLD:
        ar = ag = ab = 0.0
        fr, fg, fb = 0.90, 0.68, 0.36
        rough = 0.06 if m == GOLD else 0.16
    elif m == BOOK_A:
        g = 0.8 + 0.4 * noise(x * 120, y * 120, z * 120)
        ar, ag, ab = 0.34 * g, 0.07 * g, 0.045 * g
        rough = 0.4
    elif m == BOOK_B:
        g = 0.8 + 0.4 * noise(x * 120, y * 120, z * 120)
        ar, ag, ab = 0.05 * g, 0.09 * g, 0.17 * g
        rough = 0.4
    elif m == PAGES:
        g = 0.78 + 0.22 * noise(x * 2, y * 260, z * 2)
        ar, ag, ab = 0.74 * g, 0.67 * g, 0.52 * g
        fr = fg = fb = 0.0
    elif m == LACQUER:
        ar, ag, ab = 0.010, 0.010, 0.012
        rough = 0.02
        if scene == LAMP:
            ar, ag, ab = 0.52, 0.40, 0.20
            rough = 0.4
    elif m == LIPS:
        ar, ag, ab = 0.47, 0.018, 0.045
        rough = 0.20
    return ar, ag, ab, fr, fg, fb, rough, er, eg, eb


# ---------------------------------------------------------------- light transport

@jit
def next_random(state):
    state = state * 6364136223846793005 + 1442695040888963407
    return state, ((state >> 33) & 0x3FFFFFFF) / 1073741824.0


@jit
def basis(nx, ny, nz):
    s = 1.0 if nz >= 0 else -1.0
    a = -1.0 / (s + nz)
    b = nx * ny * a
    return 1 + s * nx * nx * a, s * b, -s * nx, b, s + ny * ny * a, -ny


@jit
def cosine(nx, ny, nz, u, v):
    tx, ty, tz, bx, by, bz = basis(nx, ny, nz)
    r, a = math.sqrt(u), 2 * math.pi * v
    c, s, w = r * math.cos(a), r * math.sin(a), math.sqrt(max(0.0, 1 - u))
    return tx * c + bx * s + nx * w, ty * c + by * s + ny * w, tz * c + bz * s + nz * w


@jit
def mirror(dx, dy, dz, nx, ny, nz, rough, u, v):
    """Reflection at a micro-normal of the GGX distribution."""
    a2 = rough * rough * rough * rough if rough > 0.2 else rough * rough * 0.12
    c = math.sqrt((1 - u) / (1 + (a2 - 1) * u))
    s = math.sqrt(max(0.0, 1 - c * c))
    tx, ty, tz, bx, by, bz = basis(nx, ny, nz)
    p, q = s * math.cos(2 * math.pi * v), s * math.sin(2 * math.pi * v)
    hx, hy, hz = tx * p + bx * q + nx * c, ty * p + by * q + ny * c, tz * p + bz * q + nz * c
    k = 2 * (dx * hx + dy * hy + dz * hz)
    return dx - k * hx, dy - k * hy, dz - k * hz


@jit
def hit(scene, wall_z, ox, oy, oz, dx, dy, dz):
    t, m = 1e6, 0
    if dy < -1e-6:
        t, m = -oy / dy, FLOOR
    if wall_z > -90 and dz < -1e-6:
        tw = (wall_z - oz) / dz
        if tw < t:
            t, m = tw, WALL
    to, mo = march(scene, ox, oy, oz, dx, dy, dz, t)
    if mo != 0:
        return to, mo
    return t, m


@jit
def hit_lights(lights, ox, oy, oz, dx, dy, dz, tmax):
    best = -1
    for k in range(lights.shape[0]):
        q = lights[k]
        dn = dx * q[9] + dy * q[10] + dz * q[11]
        if dn >= -1e-9:
            continue
        t = ((q[0] - ox) * q[9] + (q[1] - oy) * q[10] + (q[2] - oz) * q[11]) / dn
        if t <= 1e-4 or t >= tmax:
            continue
        px, py, pz = ox + t * dx - q[0], oy + t * dy - q[1], oz + t * dz - q[2]
        u = (px * q[3] + py * q[4] + pz * q[5]) / (q[3] * q[3] + q[4] * q[4] + q[5] * q[5])
        v = (px * q[6] + py * q[7] + pz * q[8]) / (q[6] * q[6] + q[7] * q[7] + q[8] * q[8])
        if abs(u) <= 1 and abs(v) <= 1:
            tmax, best = t, k
    return tmax, best


@jit
def direct(scene, lights, only, x, y, z, nx, ny, nz, u, v):
    """Irradiance / pi from all softboxes, one shadow ray each; or from one of them, counted for all."""
    r = g = b = 0.0
    share = 1.0 if only < 0 else float(lights.shape[0])
    for k in range(lights.shape[0]):
        if only >= 0 and k != only:
            continue
        q = lights[k]
        su, sv = 2 * ((u + 0.37 * k) % 1.0) - 1, 2 * ((v + 0.61 * k) % 1.0) - 1
        lx, ly, lz = q[0] + su * q[3] + sv * q[6] - x, q[1] + su * q[4] + sv * q[7] - y, q[2] + su * q[5] + sv * q[8] - z
        d2 = lx * lx + ly * ly + lz * lz
        d = math.sqrt(d2)
        lx, ly, lz = lx / d, ly / d, lz / d
        c = lx * nx + ly * ny + lz * nz
        cl = -(lx * q[9] + ly * q[10] + lz * q[11])
        if c <= 0 or cl <= 0:
            continue
        _, m = march(scene, x, y, z, lx, ly, lz, d)
        if m != 0:
            continue
        w = share * c * cl * q[15] / (math.pi * d2)
        r, g, b = r + w * q[12], g + w * q[13], b + w * q[14]
    return r, g, b


@jit
def sky(env, dy):
    t = 0.5 + 0.5 * dy
    return mix(env[0], env[3], t), mix(env[1], env[4], t), mix(env[2], env[5], t)


@jit
def trace(scene, lights, env, wall_z, ox, oy, oz, dx, dy, dz, seen, depth, state):
    """Radiance along a ray; `seen`: softboxes count when hit (until the first diffuse bounce).

    Light that reaches a mirror by way of a diffuse bounce is left out: it would be sparks, not caustics.
    """
    r = g = b = 0.0
    tr = tg = tb = 1.0
    for _ in range(depth):
        t, m = hit(scene, wall_z, ox, oy, oz, dx, dy, dz)
        t2, k = hit_lights(lights, ox, oy, oz, dx, dy, dz, t)
        if k >= 0:
            if seen:
                q = lights[k]
                r, g, b = r + tr * q[12], g + tg * q[13], b + tb * q[14]
            break
        if m == 0:
            sr, sg, sb = sky(env, dy)
            r, g, b = r + tr * sr, g + tg * sg, b + tb * sb
            break
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        if m == FLOOR:
            nx, ny, nz = 0.0, 1.0, 0.0
        elif m == WALL:
            nx, ny, nz = 0.0, 0.0, 1.0
        else:
            nx, ny, nz = normal(scene, x, y, z)
        ar, ag, ab, fr, fg, fb, rough, er, eg, eb = material(scene, m, x, y, z, nx, ny, nz)
        r, g, b = r + tr * er, g + tg * eg, b + tb * eb
        c = max(0.0, -(dx * nx + dy * ny + dz * nz))
        s = (1 - c) ** 5
        if fg == 0.0:
            s = 0.0
        fr, fg, fb = fr + (1 - fr) * s, fg + (1 - fg) * s, fb + (1 - fb) * s
        p = min(0.9, max(0.0, (fr + fg + fb) / 3)) if ar + ag + ab > 0 else 1.0
        ox, oy, oz = x + nx * 0.002, y + ny * 0.002, z + nz * 0.002
        state, xi = next_random(state)
        state, u = next_random(state)
        state, v = next_random(state)
        if xi < p:
            dx, dy, dz = mirror(dx, dy, dz, nx, ny, nz, rough, u, v)
            tr, tg, tb = tr * fr / p, tg * fg / p, tb * fb / p
            if dx * nx + dy * ny + dz * nz <= 0:
                break
        else:
            w = 1.0 / (1 - p)
            tr, tg, tb = tr * ar * (1 - fr) * w, tg * ag * (1 - fg) * w, tb * ab * (1 - fb) * w
            state, xi = next_random(state)
            one = min(int(xi * lights.shape[0]), lights.shape[0] - 1)
            lr, lg, lb = direct(scene, lights, one, ox, oy, oz, nx, ny, nz, u, v)
            r, g, b = r + tr * lr, g + tg * lg, b + tb * lb
            state, u = next_random(state)
            state, v = next_random(state)
            dx, dy, dz = cosine(nx, ny, nz, u, v)
            seen = False
    return r, g, b, state


@njit(cache=True, fastmath=True, parallel=True)
def render_rows(scene, lights, env, wall_z, cam, width, height, spp, depth, clamp, seed, out):
    """`out`: height x width x 16: diffuse light, albedo, mirror light, normal, depth, coverage, material, floor."""
    ex, ey, ez, fx, fy, fz, rx, ry, rz, ux, uy, uz, tan, aperture, focus = cam
    for j in prange(height):
        for i in range(width):
            state = int(hash3(i, j, seed * 7919) * 16777216.0) * 1048583 + j * width + i
            shift = np.empty(8)
            for k in range(8):
                shift[k] = hash3(i, j, k * 131 + seed)
            acc = np.zeros(16)
            for n in range(spp):
                g1, g2 = n * 0.7548776662466927, n * 0.5698402909980532
                h1, h2 = n * 0.8191725133961645, n * 0.6710436067037893
                a, b = (shift[0] + g1) % 1.0, (shift[1] + g2) % 1.0
                # A tent filter of two pixels: what an anti-alias filter before a sensor does.
                a = math.sqrt(2 * a) - 1 if a < 0.5 else 1 - math.sqrt(2 - 2 * a)
                b = math.sqrt(2 * b) - 1 if b < 0.5 else 1 - math.sqrt(2 - 2 * b)
                px = (2 * (i + 0.5 + a) / width - 1) * tan * width / height
                py = (1 - 2 * (j + 0.5 + b) / height) * tan
                ox, oy, oz = ex, ey, ez
                dx, dy, dz = fx + px * rx + py * ux, fy + px * ry + py * uy, fz + px * rz + py * uz
                if aperture > 0:
                    q, w = math.sqrt((shift[2] + h1) % 1.0) * aperture, 2 * math.pi * ((shift[3] + h2) % 1.0)
                    lu, lv = q * math.cos(w), q * math.sin(w)
                    ox, oy, oz = ex + lu * rx + lv * ux, ey + lu * ry + lv * uy, ez + lu * rz + lv * uz
                    dx, dy, dz = ex + focus * dx - ox, ey + focus * dy - oy, ez + focus * dz - oz
                q = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx * q, dy * q, dz * q
                t, m = hit(scene, wall_z, ox, oy, oz, dx, dy, dz)
                if m == 0:
                    continue
                x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                if m == FLOOR:
                    nx, ny, nz = 0.0, 1.0, 0.0
                    acc[15] += 1
                elif m == WALL:
                    nx, ny, nz = 0.0, 0.0, 1.0
                else:
                    nx, ny, nz = normal(scene, x, y, z)
                    acc[13] += 1
                ar, ag, ab, fr, fg, fb, rough, er, eg, eb = material(scene, m, x, y, z, nx, ny, nz)
                c = max(0.0, -(dx * nx + dy * ny + dz * nz))
                s = (1 - c) ** 5 if fg > 0 else 0.0
                s *= 1 - 0.6 * rough
                fr, fg, fb = fr + (1 - fr) * s, fg + (1 - fg) * s, fb + (1 - fb) * s
                sx, sy, sz = x + nx * 0.002, y + ny * 0.002, z + nz * 0.002
                if ar + ag + ab > 0:
                    lr, lg, lb = direct(scene, lights, -1, sx, sy, sz, nx, ny, nz, (shift[4] + g1) % 1.0,
                                        (shift[5] + g2) % 1.0)
                    qx, qy, qz = cosine(nx, ny, nz, (shift[6] + h1) % 1.0, (shift[7] + h2) % 1.0)
                    kr, kg, kb, state = trace(scene, lights, env, wall_z, sx, sy, sz, qx, qy, qz, False, depth, state)
                    kr, kg, kb = min(kr, clamp), min(kg, clamp), min(kb, clamp)
                    acc[0] += (lr + kr) * (1 - fr)
                    acc[1] += (lg + kg) * (1 - fg)
                    acc[2] += (lb + kb) * (1 - fb)
                acc[3], acc[4], acc[5] = acc[3] + ar, acc[4] + ag, acc[5] + ab
                acc[6], acc[7], acc[8] = acc[6] + er, acc[7] + eg, acc[8] + eb
                if fg > 0:
                    qx, qy, qz = mirror(dx, dy, dz, nx, ny, nz, rough, (shift[6] + g1) % 1.0, (shift[7] + g2) % 1.0)
                    if qx * nx + qy * ny + qz * nz > 0:
                        kr, kg, kb, state = trace(scene, lights, env, wall_z, sx, sy, sz, qx, qy, qz, True, depth, state)
                        acc[6] += min(kr, 5.0 * clamp) * fr
                        acc[7] += min(kg, 5.0 * clamp) * fg
                        acc[8] += min(kb, 5.0 * clamp) * fb
                acc[9], acc[10], acc[11] = acc[9] + nx, acc[10] + ny, acc[11] + nz
                acc[12] += t
                acc[14] += m
            for k in range(16):
                out[j, i, k] = acc[k] / spp


#: Linear level of a retouched backdrop: clipped to white by the tone curve.
WHITE_LEVEL = 1.25


@dataclass
class Scene:
    """A set: what stands in it, where the camera is and how it is lit."""

    objects: int
    eye: tuple
    target: tuple
    fov: float
    #: (centre, look-at, half width, half height, radiance r g b)
    softboxes: list
    #: dome at the bottom and at the top
    dome: tuple = (0.10, 0.10, 0.10, 0.30, 0.30, 0.31)
    wall_z: float = -99.0
    aperture: float = 0.0
    focus: float = 0.0
    exposure: float = 1.0
    seed: int = 1
    #: most light that one indirect path may bring; keeps sparks out of dark sets
    clamp: float = 2.5
    #: rectangles with explicit normals, for lamps inside the set
    lamps: list = field(default_factory=list)


def unit(v):
    v = np.asarray(v, float)
    return v / np.linalg.norm(v)


def rectangle(centre, look_at, half_w, half_h, radiance):
    n = unit(np.subtract(look_at, centre))
    side = np.array([0, 1, 0]) if abs(n[1]) < 0.95 else np.array([0, 0, 1])
    u = unit(np.cross(side, n)) * half_w
    v = unit(np.cross(n, u)) * half_h
    return np.concatenate([centre, u, v, n, radiance, [4 * half_w * half_h]])


@dataclass
class Frame:
    """Linear light, height x width x 3, and coverage masks 0-1."""

    rgb: np.ndarray
    coverage: np.ndarray
    floor: np.ndarray


def photograph(scene: Scene, width: int, height: int, spp: int, depth: int = 3, denoise: int = 4, far: float = 0.0) -> Frame:
    """Renders a set.

    With `far` the floor is divided by its own picture without objects, so that only shadow is left on a white
    backdrop, and beyond that distance from the camera there is no shadow.
    """
    eye, target = np.array(scene.eye, float), np.array(scene.target, float)
    f = unit(target - eye)
    r = unit(np.cross(f, [0, 1, 0]))
    u = np.cross(r, f)
    cam = (*eye, *f, *r, *u, math.tan(math.radians(scene.fov) / 2), scene.aperture, scene.focus or
           float(np.linalg.norm(target - eye)))
    lights = np.array([rectangle(*s) for s in scene.softboxes + scene.lamps])
    out = np.zeros((height, width, 16))
    render_rows(scene.objects, lights, np.array(scene.dome), scene.wall_z, cam, width, height, spp, depth, scene.clamp,
                scene.seed, out)
    diffuse, albedo, gloss = out[..., 0:3], out[..., 3:6], out[..., 6:9]
    guide = np.concatenate([out[..., 9:12] * 4.0, out[..., 12:13] * 2.0, out[..., 14:15] * 3.0], axis=2)
    diffuse = clean(diffuse, guide, denoise, 1.0)
    gloss = clean(gloss, guide, min(denoise, 3), 0.8)
    rgb = (diffuse * albedo + gloss) * scene.exposure
    if far:
        bare = photograph(replace(scene, objects=EMPTY), width // 12, height // 12, 128, depth, 5).rgb
        bare = np.stack([np.asarray(Image.fromarray(bare[..., c].astype(np.float32)).resize((width, height), Image.BICUBIC))
                         for c in range(3)], 2)
        floor, objects = out[..., 15:16], out[..., 13:14]
        # Shadow fades to none far away and at the edges of the picture, where backdrops are retouched to one colour.
        depth_ = out[..., 12:13] / np.maximum(floor + objects, 1e-6)
        y, x = np.mgrid[0:height, 0:width]
        inside = np.minimum(np.minimum(x, width - 1 - x) / width, np.minimum(y, height - 1 - y) / height)[..., None]
        shadow = np.clip(inside / 0.12 - 0.25, 0, 1) * np.clip((far - depth_) / 1.5, 0, 1)
        shadow = floor * shadow * shadow * (3 - 2 * shadow)
        lost = np.clip(1 - objects, 0, 1)
        bare = np.maximum(bare, 0.02)
        rgb = rgb * (1 - floor) + shadow * rgb / bare * WHITE_LEVEL + (lost - shadow) * WHITE_LEVEL
    return Frame(without_sparks(rgb), out[..., 13], out[..., 15])


def without_sparks(rgb):
    """Holds each sample between the third smallest and the third largest of its eight neighbours."""
    padded = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")
    h, w = rgb.shape[:2]
    near = np.sort(np.stack([padded[y:y + h, x:x + w] for y in range(3) for x in range(3) if (y, x) != (1, 1)]), axis=0)
    return np.clip(rgb, near[2], near[5])


def clean(light, guide, rounds, strength):
    """Edge-avoiding a-trous wavelet filter (Dammertz et al. 2010): kernel steps 1, 2, 4 ... pixels."""
    for n in range(rounds):
        light = clean_once(light, np.log1p(4 * light), guide, 1 << n, 6.0 * 4.0 ** n / strength ** 2)
    return light


@njit(cache=True, fastmath=True, parallel=True)
def clean_once(light, tone, guide, step, tone_weight):
    h, w = light.shape[:2]
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
    out = np.empty_like(light)
    for y in prange(h):
        for x in range(w):
            r = g = b = total = 0.0
            for a in range(5):
                v = min(max(y + (a - 2) * step, 0), h - 1)
                for c in range(5):
                    u = min(max(x + (c - 2) * step, 0), w - 1)
                    apart = 0.0
                    for k in range(5):
                        apart += (guide[v, u, k] - guide[y, x, k]) ** 2 * 6.0
                    for k in range(3):
                        apart += (tone[v, u, k] - tone[y, x, k]) ** 2 * tone_weight
                    q = kernel[a] * kernel[c] * math.exp(-apart)
                    r, g, b, total = r + q * light[v, u, 0], g + q * light[v, u, 1], b + q * light[v, u, 2], total + q
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = r / total, g / total, b / total
    return out
