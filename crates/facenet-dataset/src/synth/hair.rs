//! Hair: what falls behind the head, and what covers it.

use super::canvas::{Brush, Canvas, FIRM, Site};
use super::geometry::{Colour, circle, ellipse, length, rounded_box, scale, sub, wave};
use super::identity::{Face, Hair, HairStyle, Texture};
use super::shot::Shot;

/// Paints what is behind head and ears.
pub(super) fn paint_back(canvas: &mut Canvas, face: &Face, shot: &Shot) {
    let hair = &face.hair;
    canvas.blend(&canvas.everywhere(), FIRM, |site| {
        (scale(texture(site, hair), 0.8), curtain(site, face, shot))
    });
}

/// Distance to the hair behind the head, which moves against the face.
fn curtain(site: &Site, face: &Face, shot: &Shot) -> f32 {
    let (w, v) = (face.head_width, face.hair.volume);
    let p = [site.head[0] + 0.15 * shot.yaw, site.head[1]];
    match face.hair.style {
        HairStyle::Bob => rounded_box(sub(p, [0.0, -0.1]), [w + v + 0.08, 0.92 + v], 0.65),
        HairStyle::Long => rounded_box(sub(p, [0.0, 0.35]), [w + v + 0.08, 1.45 + v], 0.85),
        HairStyle::Afro => circle(sub(p, [0.0, -0.3]), w + 0.24 + v),
        HairStyle::Bun => circle(sub(p, [0.0, -1.14 - v]), 0.3 + v),
        HairStyle::Pigtails => ellipse([p[0].abs() - w - 0.24, p[1] - 0.25], [0.24 + v * 0.8, 0.6]),
        _ => 1.0,
    }
}

/// Paints what lies on the head.
pub(super) fn paint_front(canvas: &mut Canvas, face: &Face) {
    if face.hair.style == HairStyle::Bald {
        return;
    }
    let opacity = if face.hair.style == HairStyle::Buzz {
        0.75
    } else {
        1.0
    };
    let brush = Brush {
        opacity,
        softness: 0.0,
    };
    canvas.blend(&canvas.everywhere(), brush, |site| {
        (texture(site, &face.hair), cap(site, face))
    });
}

/// The hair's colour at a site, with its texture, which turns with the head.
fn texture(site: &Site, hair: &Hair) -> Colour {
    let [x, y] = site.head;
    let f = hair.frequency;
    let swing = match hair.texture {
        Texture::Plain => 0.0,
        Texture::Strands => wave(2.2 * f * x / (1.6 + y.max(-1.3))),
        Texture::Bands => wave(f * y + 0.15 * wave(f * x)),
        Texture::Curls => wave(f * (x + y)) * wave(f * (x - y)),
    };
    scale(hair.colour, 1.0 + hair.contrast * swing)
}

/// Distance to the hair on the head: near enough to the outline, and above the hairline.
fn cap(site: &Site, face: &Face) -> f32 {
    let hair = &face.hair;
    let x = site.face[0] / face.head_width;
    let y = site.face[1];
    let (line, v) = (hair.line, hair.volume);
    let shell = site.outline - v;
    let above = |edge: f32| shell.max(y - edge);
    match hair.style {
        HairStyle::Bald => 1.0,
        HairStyle::Buzz => (site.outline - 0.02).max(y - line - 0.45 * x * x),
        HairStyle::Parted => above(line + hair.slant * x + 0.35 * x * x),
        HairStyle::Bob => above(line + 0.12 + 1.2 * x * x * x * x),
        HairStyle::Long => above(line + 0.25 * hair.slant * x + 0.9 * x * x),
        HairStyle::Afro => {
            let ball = circle(sub(site.head, [0.0, -0.3]), face.head_width + 0.24 + v);
            ball.max(y - line - 0.4 * x * x)
        }
        HairStyle::Bun | HairStyle::Pigtails => {
            (site.outline - v * 0.5).max(y - line - 0.15 * hair.slant * x - 0.4 * x * x)
        }
        HairStyle::Mohawk => mohawk(site, face),
        HairStyle::Spiky => spikes(site, face).max(y - line - 0.3 * x * x - 0.08 * wave(x * 3.5)),
        HairStyle::Crown => (site.outline - v * 0.8)
            .max(0.78 - x.abs())
            .max((y + 0.2).abs() - 0.4),
    }
}

fn mohawk(site: &Site, face: &Face) -> f32 {
    let half = 0.18 + face.hair.volume * 0.7;
    let middle = 0.5 * (face.hair.line - 1.55);
    let p = [0.5 * (site.face[0] + site.head[0]), site.face[1] - middle];
    rounded_box(p, [half, face.hair.line - middle], 0.12)
}

fn spikes(site: &Site, face: &Face) -> f32 {
    let centred = [site.head[0], site.head[1] + 0.1];
    let turn = centred[0] / (length(centred) + 0.3 * centred[1].max(0.0) + 1e-3);
    let reach = 0.22 + face.hair.volume * (0.5 + 1.1 * wave(turn * 3.5));
    site.outline - reach
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a picture is hair, of somebody with `style`.
    fn share(style: HairStyle) -> f32 {
        let mut face = Face::draw(1, 0);
        face.hair.style = style;
        let shot = Shot::draw(1, 0, 0);
        let mut canvas = Canvas::new(32, &face, &shot);
        paint_back(&mut canvas, &face, &shot);
        paint_front(&mut canvas, &face);
        canvas.pixels.iter().map(|pixel| pixel[3]).sum::<f32>() / 1024.0
    }

    #[test]
    fn only_the_bald_have_none() {
        assert!(share(HairStyle::Bald) == 0.0);
        for style in [
            HairStyle::Buzz,
            HairStyle::Mohawk,
            HairStyle::Crown,
            HairStyle::Parted,
        ] {
            assert!(share(style) > 0.01, "{style:?}");
        }
    }

    #[test]
    fn what_falls_behind_the_head_adds_to_the_cap() {
        assert!(share(HairStyle::Long) > share(HairStyle::Bob));
        assert!(share(HairStyle::Bob) > share(HairStyle::Parted));
        assert!(share(HairStyle::Afro) > share(HairStyle::Buzz));
    }
}
