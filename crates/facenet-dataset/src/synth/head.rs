//! Body, neck, ears and the bare head.

use super::canvas::{Brush, Canvas, Site};
use super::geometry::{Point, circle, ellipse, length, rounded_box, scale, sub};
use super::identity::Face;
use super::shot::Shot;

/// Distance from a point of the head's plane to its outline, to first order.
pub(super) fn outline(head: Point, face: &Face) -> f32 {
    let low = head[1].max(0.0);
    let width = face.head_width * (1.0 - face.jaw * low * low);
    (length([head[0] / width, head[1]]) - 1.0) * face.head_width
}

/// Paints body, neck, ears, head, cheeks, freckles and moles, in this order.
pub(super) fn paint(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    let all = canvas.everywhere();
    canvas.fill(&all, shot.clothes, |site| {
        rounded_box(sub(site.head, [0.0, 2.15]), [1.25, 0.85], 0.5)
    });
    canvas.fill(
        &canvas.around([0.0, 1.0], 0.7),
        scale(face.skin, 0.8),
        |site| {
            rounded_box(
                sub(site.head, [0.0, 1.0]),
                [face.head_width * 0.5, 0.45],
                0.1,
            )
        },
    );
    paint_ears(canvas, face, shot);
    canvas.fill(&all, face.skin, |site| site.outline);
    paint_cheeks(canvas, face);
    paint_spots(canvas, face);
}

fn paint_ears(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    for side in [-1.0, 1.0] {
        let at = [
            side * face.head_width - 0.2 * shot.yaw,
            face.eyes.height + 0.12,
        ];
        let window = canvas.around(at, face.ear * 1.2);
        for (size, gain) in [(1.0, 0.93), (0.6, 0.68)] {
            let radii = [face.ear * 0.75 * size, face.ear * 1.2 * size];
            canvas.fill(&window, scale(face.skin, gain), |site| {
                ellipse(sub(site.head, at), radii)
            });
        }
    }
}

fn paint_cheeks(canvas: &mut Canvas, face: &Face) {
    if face.blush == 0.0 {
        return;
    }
    let red = [face.skin[0], face.skin[1] * 0.6, face.skin[2] * 0.62];
    let brush = Brush {
        opacity: face.blush,
        softness: 0.12,
    };
    for side in [-1.0, 1.0] {
        let at = [side * face.head_width * 0.58, face.eyes.height + 0.38];
        let window = canvas.around(at, 0.25);
        canvas.blend(&window, brush, |site| {
            (red, circle(sub(site.face, at), 0.15))
        });
    }
}

fn paint_spots(canvas: &mut Canvas, face: &Face) {
    for (spots, gain) in [(&face.freckles, 0.68), (&face.moles, 0.28)] {
        for spot in spots {
            let window = canvas.around(spot.at, spot.radius);
            let shape = |site: &Site| circle(sub(site.face, spot.at), spot.radius);
            canvas.fill(&window, scale(face.skin, gain), shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outline_passes_through_crown_chin_and_temples() {
        let face = Face {
            head_width: 0.8,
            ..Face::draw(1, 0)
        };
        for edge in [[0.0, -1.0], [0.0, 1.0], [0.8, 0.0], [-0.8, 0.0]] {
            assert!(outline(edge, &face).abs() < 1e-6, "{edge:?}");
        }
        assert!(outline([0.0, 0.0], &face) < -0.5 && outline([0.9, 0.0], &face) > 0.05);
    }

    #[test]
    fn a_positive_jaw_narrows_the_chin_alone() {
        let square = Face {
            head_width: 0.8,
            jaw: 0.0,
            ..Face::draw(1, 0)
        };
        let pointed = Face {
            jaw: 0.4,
            ..square.clone()
        };
        assert!(outline([0.5, 0.7], &pointed) > outline([0.5, 0.7], &square));
        assert!((outline([0.5, -0.7], &pointed) - outline([0.5, -0.7], &square)).abs() < 1e-6);
    }
}
