//! Signed distances (negative inside) and the little vector algebra they need.

use std::f32::consts::{FRAC_PI_2, PI};

/// A point or a vector of the plane, `y` downwards.
pub(super) type Point = [f32; 2];

/// A colour, each channel nominally in `[0, 1]`.
pub(super) type Colour = [f32; 3];

/// `a + b`.
pub(super) fn add(a: Point, b: Point) -> Point {
    [a[0] + b[0], a[1] + b[1]]
}

/// `a - b`.
pub(super) fn sub(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

/// Euclidean length.
pub(super) fn length(p: Point) -> f32 {
    (p[0] * p[0] + p[1] * p[1]).sqrt()
}

/// Linear interpolation, `t = 0` gives `a`.
pub(super) fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// Every channel times `gain`.
pub(super) fn scale(colour: Colour, gain: f32) -> Colour {
    colour.map(|channel| channel * gain)
}

/// Sine of an angle in `[-π, π]`, by a polynomial: the same bits on every platform, which
/// the standard library's does not promise. Error below 2e-5.
pub(super) fn sin(angle: f32) -> f32 {
    let folded = if angle > FRAC_PI_2 {
        PI - angle
    } else if angle < -FRAC_PI_2 {
        -PI - angle
    } else {
        angle
    };
    let square = folded * folded;
    let tail = 1.0 / 120.0 - square * (1.0 / 5040.0 - square / 362_880.0);
    folded * (1.0 - square * (1.0 / 6.0 - square * tail))
}

/// Unit vector of an angle in `[-π, π]`: (cosine, sine).
pub(super) fn direction(angle: f32) -> Point {
    let shifted = if angle > FRAC_PI_2 {
        angle - 1.5 * PI
    } else {
        angle + FRAC_PI_2
    };
    [sin(shifted), sin(angle)]
}

/// `p` turned by the angle whose unit vector is `turn`.
pub(super) fn rotate(p: Point, turn: Point) -> Point {
    [
        p[0] * turn[0] - p[1] * turn[1],
        p[0] * turn[1] + p[1] * turn[0],
    ]
}

/// `p` turned back by the angle whose unit vector is `turn`.
pub(super) fn unrotate(p: Point, turn: Point) -> Point {
    rotate(p, [turn[0], -turn[1]])
}

/// Triangle wave of period 1, in `[-1, 1]`.
pub(super) fn wave(t: f32) -> f32 {
    4.0 * (t - (t + 0.5).floor()).abs() - 1.0
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Distance to an ellipse around the origin, to first order near its edge.
pub(super) fn ellipse(p: Point, radii: Point) -> f32 {
    let unit = [p[0] / radii[0], p[1] / radii[1]];
    let slope = length([unit[0] / radii[0], unit[1] / radii[1]]);
    let r = length(unit);
    if slope == 0.0 {
        -radii[0].min(radii[1])
    } else {
        r * (r - 1.0) / slope
    }
}

/// Distance to a circle around the origin.
pub(super) fn circle(p: Point, radius: f32) -> f32 {
    length(p) - radius
}

/// Distance to a box around the origin with corners of radius `round`.
pub(super) fn rounded_box(p: Point, half: Point, round: f32) -> f32 {
    let q = [p[0].abs() - half[0] + round, p[1].abs() - half[1] + round];
    length([q[0].max(0.0), q[1].max(0.0)]) + q[0].max(q[1]).min(0.0) - round
}

/// Distance to the segment from `a` to `b`, thickened by `radius`.
pub(super) fn capsule(p: Point, a: Point, b: Point, radius: f32) -> f32 {
    let (ap, ab) = (sub(p, a), sub(b, a));
    let square = (ab[0] * ab[0] + ab[1] * ab[1]).max(1e-12);
    let t = ((ap[0] * ab[0] + ap[1] * ab[1]) / square).clamp(0.0, 1.0);
    length([ap[0] - ab[0] * t, ap[1] - ab[1] * t]) - radius
}

/// Distance to a lens that is `2 * half_width` wide and bulges `up` above and `down` below
/// its axis; roughly, and never less than half the true one near the edge.
pub(super) fn lens(p: Point, half_width: f32, up: f32, down: f32) -> f32 {
    let x = p[0] / half_width;
    let bulge = 1.0 - x * x;
    (p[1] - down * bulge).max(-p[1] - up * bulge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_is_near_the_library_one() {
        for step in -100..=100 {
            let angle = step as f32 * PI / 100.0;
            assert!((sin(angle) - angle.sin()).abs() < 2e-5, "{angle}");
            assert!((direction(angle)[0] - angle.cos()).abs() < 2e-5, "{angle}");
        }
    }

    #[test]
    fn rotation_turns_back() {
        let turn = direction(0.7);
        let there_and_back = unrotate(rotate([0.3, -0.8], turn), turn);
        assert!(length(sub(there_and_back, [0.3, -0.8])) < 1e-4);
    }

    #[track_caller]
    fn check_edge(distance: impl Fn(Point) -> f32, edge: Point, inside: Point, outside: Point) {
        assert!(distance(edge).abs() < 1e-6, "{}", distance(edge));
        assert!(distance(inside) < -0.1, "{}", distance(inside));
        assert!(distance(outside) > 0.1, "{}", distance(outside));
    }

    #[test]
    fn distances_vanish_on_the_edge_and_are_negative_inside() {
        check_edge(
            |p| ellipse(p, [2.0, 1.0]),
            [2.0, 0.0],
            [0.0, 0.0],
            [0.0, 1.5],
        );
        check_edge(|p| circle(p, 3.0), [0.0, 3.0], [2.0, 2.0], [3.0, 2.0]);
        let stick = |p| capsule(p, [0.0, 0.0], [2.0, 0.0], 0.5);
        check_edge(stick, [1.0, 0.5], [2.3, 0.0], [1.0, -0.8]);
        let tile = |p| rounded_box(p, [1.0, 1.0], 0.5);
        check_edge(tile, [1.0, 0.0], [0.5, 0.5], [0.99, 0.99]);
        check_edge(
            |p| lens(p, 1.0, 0.25, 0.5),
            [0.0, 0.5],
            [0.0, 0.0],
            [0.0, -0.5],
        );
    }

    #[test]
    fn wave_has_period_one_and_full_swing() {
        for (t, height) in [
            (0.0, -1.0),
            (0.25, 0.0),
            (0.5, 1.0),
            (1.0, -1.0),
            (-0.5, 1.0),
        ] {
            assert!((wave(t) - height).abs() < 1e-6, "{t}");
        }
    }
}
