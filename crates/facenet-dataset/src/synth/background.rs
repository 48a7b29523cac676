//! What is behind the person.

use super::canvas::{Canvas, Site};
use super::geometry::{Point, ellipse, mix, rounded_box, sub, unrotate, wave};
use super::shot::{Backdrop, Blot, Shot};

/// Edge width of blots, in half pictures.
const SOFT: f32 = 0.05;

/// Paints gradient, stripes and blots.
pub(super) fn paint(canvas: &mut Canvas, shot: &Shot) {
    let backdrop = &shot.backdrop;
    canvas.scenery(|site| (mix(backdrop.near, backdrop.far, blend(backdrop, site)), 1.0));
    for blot in &backdrop.blots {
        paint_blot(canvas, blot);
    }
}

/// Paints one blot over whatever is there.
pub(super) fn paint_blot(canvas: &mut Canvas, blot: &Blot) {
    canvas.scenery(|site| (blot.colour, cover(blot, site.view)));
}

fn blend(backdrop: &Backdrop, site: &Site) -> f32 {
    let along = site.view[0] * backdrop.gradient[0] + site.view[1] * backdrop.gradient[1];
    let plain = 0.5 + 0.4 * along;
    if backdrop.stripes > 0.0 {
        (0.5 + 3.0 * wave(along * backdrop.stripes)).clamp(0.0, 1.0)
    } else {
        plain.clamp(0.0, 1.0)
    }
}

fn cover(blot: &Blot, view: Point) -> f32 {
    let local = unrotate(sub(view, blot.at), blot.turn);
    let distance = if blot.square {
        rounded_box(local, blot.half, 0.04)
    } else {
        ellipse(local, blot.half)
    };
    (0.5 - distance / SOFT).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::identity::Face;

    #[test]
    fn a_background_is_nobody_and_stays_in_range() {
        for index in 0..20 {
            let shot = Shot::draw(1, 0, index);
            let mut canvas = Canvas::new(16, &Face::draw(1, 0), &shot);
            paint(&mut canvas, &shot);
            for pixel in &canvas.pixels {
                assert!(pixel[3] == 0.0 && pixel.iter().all(|x| (0.0..=1.0).contains(x)));
            }
        }
    }

    #[test]
    fn a_blot_covers_its_middle_and_nothing_far_away() {
        let shot = Shot::draw(1, 0, 0);
        for square in [true, false] {
            let blot = Blot {
                at: [0.5, 0.0],
                half: [0.2, 0.1],
                turn: [1.0, 0.0],
                square,
                colour: shot.clothes,
            };
            assert!(cover(&blot, [0.5, 0.0]) > 0.99);
            assert!(cover(&blot, [0.5, 0.2]) < 0.01 && cover(&blot, [0.8, 0.0]) < 0.01);
        }
    }
}
