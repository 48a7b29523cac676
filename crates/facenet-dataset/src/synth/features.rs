//! Eyes, brows, nose, mouth, beard, and glasses before them.

use super::canvas::{Brush, Canvas, Site};
use super::geometry::{
    Colour, Point, add, capsule, circle, ellipse, lens, rotate, rounded_box, scale, smoothstep, sub,
};
use super::identity::{Beard, Face};
use super::shot::{Glasses, Shot};

const EYE_WHITE: Colour = [0.95, 0.94, 0.92];
const PUPIL: Colour = [0.03, 0.03, 0.04];
const LASH: Colour = [0.08, 0.05, 0.05];
const MOUTH_INSIDE: Colour = [0.25, 0.05, 0.07];
const TEETH: Colour = [0.96, 0.95, 0.9];
/// How far the nose stands out of the face: its share of the face's own parallax.
const NOSE_DEPTH: f32 = 0.3;

/// Paints everything on the face, from the deepest layer up.
pub(super) fn paint(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    paint_beard(canvas, face);
    for side in [-1.0, 1.0] {
        paint_eye(canvas, face, shot, side);
        paint_brow(canvas, face, shot, side);
    }
    paint_mouth(canvas, face, shot);
    paint_moustache(canvas, face);
    paint_nose(canvas, face, shot);
}

/// Coordinates of the eye of `side`, mirrored so that the outer corner is at positive `x`.
fn at_eye(site: &Site, face: &Face, side: f32, height: f32, tilt: Point) -> Point {
    rotate(
        [
            site.face[0] * side - face.eyes.spacing,
            site.face[1] - height,
        ],
        [tilt[0], -tilt[1]],
    )
}

fn paint_eye(canvas: &mut Canvas, face: &Face, shot: &Shot, side: f32) {
    let eyes = &face.eyes;
    let (w, open) = (eyes.half_width, eyes.roundness * shot.expression.lids);
    let window = canvas.around([side * eyes.spacing, eyes.height], w * 1.5);
    let place = |site: &Site| at_eye(site, face, side, eyes.height, eyes.tilt);
    let opening = |p: Point| lens(p, w, w * open * 0.9, w * open * 0.75);
    canvas.fill(&window, LASH, |site| opening(place(site)) - eyes.lash * 0.4);
    canvas.fill(&window, EYE_WHITE, |site| opening(place(site)));
    let gaze = [
        shot.expression.gaze[0] * w * side,
        shot.expression.gaze[1] * w,
    ];
    let iris = w * eyes.iris_size;
    let disc = |site: &Site, radius: f32| {
        let p = place(site);
        circle(sub(p, gaze), radius).max(opening(p))
    };
    canvas.fill(&window, eyes.iris, |site| disc(site, iris));
    canvas.fill(&window, PUPIL, |site| disc(site, iris * 0.5));
    let glint = add(gaze, [iris * -0.35 * side, iris * -0.4]);
    canvas.fill(&window, EYE_WHITE, |site| {
        circle(sub(place(site), glint), iris * 0.25)
    });
    canvas.fill(&window, LASH, |site| {
        let p = place(site);
        let lid = -w * open * 0.9 * (1.0 - (p[0] / w) * (p[0] / w));
        ((p[1] - lid).abs() - eyes.lash).max(p[0].abs() - w * 1.05)
    });
}

fn paint_brow(canvas: &mut Canvas, face: &Face, shot: &Shot, side: f32) {
    let (brows, eyes) = (&face.brows, &face.eyes);
    let top = eyes.height - eyes.half_width * eyes.roundness * 0.9;
    let height = top - brows.gap - shot.expression.brows;
    let w = brows.half_width;
    let window = canvas.around([side * eyes.spacing, height], w + 0.2);
    canvas.fill(&window, brows.colour, |site| {
        let p = at_eye(site, face, side, height, brows.tilt);
        let bend = brows.arch * (1.0 - (p[0] / w) * (p[0] / w));
        capsule([p[0], p[1] + bend], [-w, 0.0], [w, 0.0], brows.thickness)
    });
}

fn paint_nose(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    let nose = &face.nose;
    let tip = face.eyes.height + nose.length;
    let lean = [NOSE_DEPTH * shot.yaw * 0.8, NOSE_DEPTH * shot.pitch * 0.8];
    let side = if shot.light.from[0] > 0.0 { -1.0 } else { 1.0 };
    let place = |site: &Site, dx: f32, dy: f32| sub(site.face, [lean[0] + dx, tip + lean[1] + dy]);
    let (w, dark) = (nose.half_width, scale(face.skin, 0.62));
    let window = canvas.around([0.0, tip - 0.5 * nose.length], 0.5 * nose.length + 2.0 * w);
    let bridge = [side * w * 0.5 - lean[0], -nose.length * 0.8];
    let brush = Brush {
        opacity: 0.35 + 0.4 * nose.ridge,
        softness: 0.04,
    };
    canvas.blend(&window, brush, |site| {
        (
            dark,
            capsule(
                place(site, 0.0, 0.0),
                bridge,
                [side * w * 0.85, -0.04],
                0.02,
            ),
        )
    });
    canvas.fill(&window, dark, |site| {
        lens(place(site, 0.0, 0.02), w * 1.2, 0.02, w * 0.5)
    });
    let brush = Brush {
        opacity: 0.8,
        softness: 0.03,
    };
    let bright = scale(face.skin, 1.1);
    canvas.blend(&window, brush, |site| {
        (
            bright,
            ellipse(place(site, 0.0, -w * 0.3), [w * 0.75, w * 0.6]),
        )
    });
    for nostril in [-0.5, 0.5] {
        canvas.fill(&window, scale(face.skin, 0.3), |site| {
            ellipse(place(site, nostril * w, w * 0.22), [w * 0.27, w * 0.17])
        });
    }
}

/// Height of the closed mouth.
fn mouth_height(face: &Face) -> f32 {
    face.eyes.height + face.nose.length + face.mouth.gap
}

fn paint_mouth(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    let (mouth, expression) = (&face.mouth, &shot.expression);
    let w = mouth.half_width * (1.0 + 0.12 * expression.smile);
    let curve = expression.smile * mouth.half_width * 0.3;
    let gap = expression.open;
    let window = canvas.around([0.0, mouth_height(face)], w + 0.3);
    let place = |site: &Site| {
        let x = site.face[0] / w;
        [
            site.face[0],
            site.face[1] - mouth_height(face) - curve * (0.35 - x * x),
        ]
    };
    let (upper, lower) = (mouth.upper * 1.4, mouth.lower * 1.4 + gap);
    canvas.fill(&window, scale(mouth.colour, 0.85), |site| {
        lens(place(site), w, upper, 0.0)
    });
    canvas.fill(&window, mouth.colour, |site| {
        lens(place(site), w, 0.0, lower)
    });
    canvas.fill(&window, MOUTH_INSIDE, |site| {
        lens(place(site), w * 0.95, 0.012, 0.012 + gap)
    });
    if gap > 0.05 {
        canvas.fill(&window, TEETH, |site| {
            let p = place(site);
            lens(p, w * 0.85, 0.0, gap).max(p[1] - gap * 0.4)
        });
    }
}

fn paint_beard(canvas: &mut Canvas, face: &Face) {
    let mouth = mouth_height(face);
    match face.beard {
        Beard::None | Beard::Moustache => {}
        Beard::Goatee => canvas.fill(&canvas.everywhere(), face.beard_colour, |site| {
            ellipse(
                sub(site.head, [0.3 * (site.head[0] - site.face[0]), 0.92]),
                [0.26, 0.28],
            )
        }),
        Beard::Full => canvas.fill(&canvas.everywhere(), face.beard_colour, |site| {
            let x = site.face[0] / face.head_width;
            let edge = mouth - 0.06 - 0.5 * x * x;
            (edge - site.face[1]).max(site.outline - 0.07)
        }),
    }
}

fn paint_moustache(canvas: &mut Canvas, face: &Face) {
    if !matches!(face.beard, Beard::Moustache | Beard::Full) {
        return;
    }
    let height = mouth_height(face) - face.mouth.upper - 0.045;
    let w = face.mouth.half_width * 1.1;
    canvas.fill(&canvas.everywhere(), face.beard_colour, |site| {
        let x = site.face[0] / w;
        lens(
            [site.face[0], site.face[1] - height - 0.08 * x * x],
            w,
            0.065,
            0.05,
        )
    });
}

/// Paints the glasses, if any, over hair and all.
pub(super) fn paint_glasses(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    let Some(glasses) = &shot.glasses else { return };
    let rim = face.eyes.spacing * 0.78;
    let brush = Brush {
        opacity: glasses.tint,
        softness: 0.0,
    };
    canvas.blend(&canvas.everywhere(), brush, |site| {
        (glasses.lens, glass(site, face, glasses, rim))
    });
    canvas.fill(&canvas.everywhere(), glasses.frame, |site| {
        glass(site, face, glasses, rim).abs() - 0.022
    });
    canvas.fill(&canvas.everywhere(), glasses.frame, |site| {
        let y = site.face[1] - face.eyes.height;
        let x = site.face[0].abs();
        let bridge = (y + 0.04).abs().max(x - face.eyes.spacing + rim);
        let temple = (y + 0.04)
            .abs()
            .max(face.eyes.spacing + rim - x)
            .max(site.outline);
        bridge.min(temple) - 0.02
    });
}

fn glass(site: &Site, face: &Face, glasses: &Glasses, rim: f32) -> f32 {
    let x = site.face[0].abs() - face.eyes.spacing;
    let p = [x, site.face[1] - face.eyes.height - 0.02];
    // The face's coordinates fold over near its outline: lenses end before.
    let hidden = smoothstep(0.2, 0.05, site.depth);
    let shape = if glasses.round {
        circle(p, rim)
    } else {
        rounded_box(p, [rim, rim * 0.75], 0.08)
    };
    shape + hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(paint: impl Fn(&mut Canvas, &Face, &Shot), shot: &Shot) -> f32 {
        let face = Face {
            beard: Beard::None,
            ..Face::draw(1, 0)
        };
        let mut canvas = Canvas::new(32, &face, shot);
        paint(&mut canvas, &face, shot);
        canvas.pixels.iter().map(|pixel| pixel[3]).sum()
    }

    #[test]
    fn glasses_are_painted_on_those_who_wear_them() {
        let mut shot = Shot::draw(1, 0, 0);
        shot.glasses = None;
        assert!(coverage(paint_glasses, &shot) == 0.0);
        let dark = [0.1; 3];
        shot.glasses = Some(Glasses {
            round: true,
            frame: dark,
            lens: dark,
            tint: 0.5,
        });
        assert!(coverage(paint_glasses, &shot) > 10.0);
    }

    #[test]
    fn an_open_mouth_is_larger() {
        let mut shot = Shot::draw(1, 0, 0);
        shot.expression.open = 0.0;
        let closed = coverage(paint_mouth, &shot);
        shot.expression.open = 0.16;
        assert!(coverage(paint_mouth, &shot) > closed + 1.0);
    }
}
