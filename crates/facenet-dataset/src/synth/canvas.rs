//! The picture while it is painted: colours, and where on the head each pixel looks.

use super::geometry::{Colour, Point, add, length, rotate, sub, unrotate};
use super::head;
use super::identity::Face;
use super::shot::Shot;
use std::ops::Range;

/// Half the picture's width in head units (1 is half the head's height) at zoom 1.
const HALF_VIEW: f32 = 1.42;

/// What one pixel looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// Position in the picture, `[-1, 1]` per axis.
    pub view: Point,
    /// Position in the head's own plane, head units, origin at its centre.
    pub head: Point,
    /// Position on the face as if seen from the front: the head turned back.
    pub face: Point,
    /// Height of the head's ellipsoid over the plane, 1 at its centre, 0 outside.
    pub depth: f32,
    /// Signed distance to the head's outline.
    pub outline: f32,
}

/// How paint is laid on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brush {
    pub opacity: f32,
    /// Width of the edge beyond a pixel's, head units.
    pub softness: f32,
}

/// Opaque, with an edge of one pixel.
pub(super) const FIRM: Brush = Brush {
    opacity: 1.0,
    softness: 0.0,
};

/// The part of a canvas that a shape can touch: rows and columns.
#[derive(Debug, Clone)]
pub(super) struct Window {
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Colours and subject coverage per pixel.
pub(super) struct Canvas {
    /// Width and height in pixels.
    pub side: usize,
    /// Red, green, blue, and how much of the pixel is the person.
    pub pixels: Vec<[f32; 4]>,
    /// What each pixel looks at.
    pub sites: Vec<Site>,
    pose: Pose,
}

/// The way from the picture to the head.
struct Pose {
    /// Head units per half picture.
    scale: f32,
    shift: Point,
    roll: Point,
    /// How far the middle of the face stands from where it is seen from the front.
    lean: Point,
}

impl Pose {
    fn new(face: &Face, shot: &Shot) -> Self {
        let lean = [shot.yaw * face.head_width, shot.pitch];
        Self {
            scale: HALF_VIEW / shot.zoom,
            shift: shot.shift,
            roll: shot.roll,
            lean,
        }
    }

    /// Undoes zoom, shift and roll, then yaw and pitch: the middle of the face moves against
    /// its outline, as far as it stands out of the plane.
    fn site(&self, view: Point, face: &Face) -> Site {
        let centred = sub([view[0] * self.scale, view[1] * self.scale], self.shift);
        let head = rotate(centred, self.roll);
        let r = length([head[0] / face.head_width, head[1]]);
        let depth = (1.0 - r * r).max(0.0).sqrt();
        let turned = sub(head, [self.lean[0] * depth, self.lean[1] * depth]);
        Site {
            view,
            head,
            face: turned,
            depth,
            outline: head::outline(head, face),
        }
    }

    /// Where in the picture a point of the head's plane is.
    fn view(&self, head: Point) -> Point {
        let centred = add(unrotate(head, self.roll), self.shift);
        [centred[0] / self.scale, centred[1] / self.scale]
    }
}

impl Canvas {
    /// An empty picture of `side` pixels that looks at `face` as `shot` has it.
    pub(super) fn new(side: usize, face: &Face, shot: &Shot) -> Self {
        let pose = Pose::new(face, shot);
        let mut sites = Vec::with_capacity(side * side);
        for row in 0..side {
            let y = (2 * row + 1) as f32 / side as f32 - 1.0;
            sites.extend((0..side).map(|column| {
                let x = (2 * column + 1) as f32 / side as f32 - 1.0;
                pose.site([x, y], face)
            }));
        }
        Self {
            side,
            pixels: vec![[0.0; 4]; side * side],
            sites,
            pose,
        }
    }

    /// The whole picture.
    pub(super) fn everywhere(&self) -> Window {
        Window {
            rows: 0..self.side,
            columns: 0..self.side,
        }
    }

    /// Every pixel whose place on the head or on the face is within `reach` of `centre`.
    pub(super) fn around(&self, centre: Point, reach: f32) -> Window {
        // A point of the face is seen anywhere between itself and itself plus the lean.
        let half_lean = [self.pose.lean[0] * 0.5, self.pose.lean[1] * 0.5];
        let view = self.pose.view(add(centre, half_lean));
        let radius = (reach + length(half_lean)) / self.pose.scale;
        let pixel = |at: f32| ((at + 1.0) * 0.5 * self.side as f32).clamp(0.0, self.side as f32);
        let range = |at: f32| {
            (pixel(at - radius) - 1.0).max(0.0) as usize
                ..((pixel(at + radius) + 2.0) as usize).min(self.side)
        };
        Window {
            rows: range(view[1]),
            columns: range(view[0]),
        }
    }

    /// Paints the inside of `shape`, a signed distance in head units, as part of the person.
    pub(super) fn fill(&mut self, window: &Window, colour: Colour, shape: impl Fn(&Site) -> f32) {
        self.blend(window, FIRM, |site| (colour, shape(site)));
    }

    /// Paints a colour and a signed distance per site, as part of the person.
    pub(super) fn blend(
        &mut self,
        window: &Window,
        brush: Brush,
        paint: impl Fn(&Site) -> (Colour, f32),
    ) {
        let pixel = 2.0 * self.pose.scale / self.side as f32;
        let slope = 1.0 / (pixel + brush.softness);
        for row in window.rows.clone() {
            let line = row * self.side + window.columns.start..row * self.side + window.columns.end;
            for (pixel, site) in self.pixels[line.clone()].iter_mut().zip(&self.sites[line]) {
                let (colour, distance) = paint(site);
                let cover = (0.5 - distance * slope).clamp(0.0, 1.0) * brush.opacity;
                lay(pixel, colour, 1.0, cover);
            }
        }
    }

    /// Paints something in front of or behind the person, which is not part of it: a colour
    /// and an opacity per site.
    pub(super) fn scenery(&mut self, paint: impl Fn(&Site) -> (Colour, f32)) {
        for (pixel, site) in self.pixels.iter_mut().zip(&self.sites) {
            let (colour, cover) = paint(site);
            lay(pixel, colour, 0.0, cover);
        }
    }
}

/// Mixes `colour` and `person` into a pixel.
fn lay(pixel: &mut [f32; 4], colour: Colour, person: f32, cover: f32) {
    let paint = [colour[0], colour[1], colour[2], person];
    for (channel, target) in pixel.iter_mut().zip(paint) {
        *channel += (target - *channel) * cover;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fine enough that the window's slack of two pixels hides no error of its reach.
    const SIDE: usize = 160;

    #[test]
    fn a_window_holds_all_pixels_within_reach() {
        for index in 0..40 {
            let (face, shot) = (Face::draw(3, index), Shot::draw(3, index, 0));
            let canvas = Canvas::new(SIDE, &face, &shot);
            let centre = [0.3 - index as f32 * 0.015, 0.1];
            let window = canvas.around(centre, 0.25);
            for (place, site) in canvas.sites.iter().enumerate() {
                let near = length(sub(site.face, centre)).min(length(sub(site.head, centre)));
                let (row, column) = (place / SIDE, place % SIDE);
                let inside = window.rows.contains(&row) && window.columns.contains(&column);
                assert!(inside || near > 0.25, "{index}: pixel {place} is left out");
            }
        }
    }
}
