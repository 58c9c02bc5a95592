"""The sets: objects, camera and light of every photograph."""

from studio import CHESS, FRUIT, LAMP, LENS, LIPSTICK, MUG, PEARS, TUMBLER, Scene

WHITE = (1.0, 1.0, 1.0)


def light(k, tint=WHITE):
    return tuple(k * c for c in tint)


WARM, COOL = (1.0, 0.93, 0.84), (0.90, 0.96, 1.0)

SETS = {
    "mug": Scene(
        MUG, eye=(0.35, 1.55, 4.1), target=(0.10, 0.47, 0.0), fov=22,
        softboxes=[((-2.6, 2.6, 1.0), (0, 0.5, 0), 0.8, 1.3, light(9)), ((2.9, 1.6, 1.4), (0, 0.5, 0), 0.35, 1.4, light(8)),
                   ((0, 4.4, -0.8), (0, 0, 0), 2.4, 1.5, light(4.2))],
        dome=(0.45, 0.45, 0.46, 0.5, 0.5, 0.5), seed=11, exposure=0.92),
    "tumbler": Scene(
        TUMBLER, eye=(-0.25, 1.30, 4.2), target=(0.09, 0.50, 0.0), fov=20,
        softboxes=[((-2.4, 2.4, 1.4), (0, 0.5, 0), 0.7, 1.3, light(6.0, WARM)), ((2.8, 1.8, 0.6), (0, 0.5, 0), 0.4, 1.4, light(6, COOL)),
                   ((0, 4.2, -0.6), (0, 0, 0), 2.0, 1.2, light(2.2))],
        dome=(0.30, 0.30, 0.31, 0.30, 0.30, 0.31), seed=12, exposure=0.92),
    "lens": Scene(
        LENS, eye=(0.6, 2.05, 3.6), target=(0.0, 0.46, 0.0), fov=23,
        softboxes=[((-2.2, 2.6, 0.2), (0, 0.5, 0), 0.5, 1.6, light(8, COOL)), ((2.3, 1.5, 1.2), (0, 0.5, 0), 0.22, 1.5, light(9, WARM)),
                   ((0.3, 3.6, -2.2), (0, 0.4, 0), 1.5, 0.6, light(6))],
        dome=(0.02, 0.02, 0.025, 0.10, 0.11, 0.13), seed=13, exposure=1.5),
    "chess": Scene(
        CHESS, eye=(0.75, 1.35, 3.9), target=(-0.08, 0.66, 0.0), fov=28, aperture=0.035, focus=4.0,
        softboxes=[((-3.0, 2.8, 0.8), (0, 0.5, 0), 0.7, 1.4, light(9)), ((2.6, 2.4, -2.0), (0, 0.6, 0), 0.5, 1.2, light(9))],
        dome=(0.02, 0.02, 0.02, 0.07, 0.07, 0.07), seed=14, wall_z=-3.2, exposure=1.7),
    "fruit": Scene(
        FRUIT, eye=(0.0, 1.75, 4.2), target=(0.02, 0.40, 0.05), fov=24, aperture=0.05, focus=4.2,
        softboxes=[((-3.2, 2.8, 0.6), (0, 0.4, 0), 1.0, 1.2, light(8.5, WARM)), ((3.2, 2.0, -1.2), (0, 0.4, 0), 0.5, 1.2, light(3.2, COOL))],
        dome=(0.08, 0.08, 0.085, 0.20, 0.21, 0.23), seed=15, wall_z=-2.4, exposure=1.92),
    "pears": Scene(
        PEARS, eye=(0.1, 0.95, 3.6), target=(0.04, 0.30, 0.0), fov=27, aperture=0.04, focus=3.5,
        softboxes=[((-2.8, 1.9, 0.5), (0, 0.3, 0), 0.6, 1.0, light(11))],
        dome=(0.03, 0.03, 0.03, 0.07, 0.07, 0.07), seed=16, wall_z=-1.6, exposure=1.35),
    "lamp": Scene(
        LAMP, eye=(0.15, 1.30, 5.9), target=(0.06, 0.98, 0.0), fov=31, aperture=0.03, focus=5.4,
        softboxes=[((-4.0, 2.6, 2.5), (0, 0.8, 0), 0.8, 1.2, light(3.2, COOL))],
        lamps=[((0, 1.50, 0), (0, 9, 0), 0.12, 0.12, light(75, (1.0, 0.70, 0.38))), ((0, 1.48, 0), (0, 0, 0), 0.12, 0.12, light(75, (1.0, 0.70, 0.38)))],
        dome=(0.03, 0.035, 0.04, 0.07, 0.08, 0.10), seed=17, wall_z=-0.9, exposure=1.5, clamp=0.5),
    "lipstick": Scene(
        LIPSTICK, eye=(0.5, 1.35, 4.4), target=(0.26, 0.58, 0.0), fov=24,
        softboxes=[((-2.2, 2.2, 1.0), (0, 0.6, 0), 0.5, 1.5, light(7)), ((2.6, 1.6, 1.0), (0, 0.5, 0), 0.25, 1.5, light(8)),
                   ((0, 4.2, -0.8), (0, 0, 0), 2.4, 1.2, light(3.6))],
        dome=(0.30, 0.30, 0.30, 0.36, 0.36, 0.36), seed=18, exposure=0.95),
}

#: width, height, samples per pixel, distance at which shadows end on a white backdrop (0: keep the floor)
SHOTS = {
    "pears": (1200, 900, 32, 0.0),
    "tumbler": (960, 960, 20, 0.0),
    "mug": (1600, 1200, 14, 7.0),
    "lens": (768, 512, 24, 0.0),
    "chess": (800, 600, 16, 0.0),
    "lipstick": (880, 660, 12, 7.0),
    "fruit": (1080, 720, 10, 0.0),
    "lamp": (900, 1200, 8, 0.0),
}
