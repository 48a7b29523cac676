//! Small rotations.

use super::Part;
use crate::picture::Rgb8;

/// Rotates a picture about its centre; the size stays.
///
/// Each output pixel is sampled at its place in the unrotated picture, bilinear between the four
/// nearest pixels; beyond the edge everything is black, so the corners are filled with 0 and the
/// edge fades into them over one pixel. (The reference samples with the same fill, bicubic.)
///
/// - `degrees`: counter-clockwise as seen
pub fn rotate(picture: &Rgb8, degrees: f32) -> Rgb8 {
    rotate_part(Part::whole(picture), degrees)
}

pub(crate) fn rotate_part(part: Part<'_>, degrees: f32) -> Rgb8 {
    let (height, width) = (part.area.height, part.area.width);
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre_y = (height as f32 - 1.0) / 2.0;
    let centre_x = (width as f32 - 1.0) / 2.0;
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        let dy = y as f32 - centre_y;
        for x in 0..width {
            let dx = x as f32 - centre_x;
            // Rows go downwards, so this turns clockwise: where the pixel comes from.
            let from_y = sin * dx + cos * dy + centre_y;
            let from_x = cos * dx - sin * dy + centre_x;
            pixels.extend_from_slice(&sample(part, from_y, from_x));
        }
    }
    Rgb8 {
        width,
        height,
        pixels,
    }
}

/// The colour at a point, bilinear, black outside.
fn sample(part: Part<'_>, y: f32, x: f32) -> [u8; 3] {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let (top, left) = (top as isize, left as isize);
    let corners = [
        (top, left, (1.0 - down) * (1.0 - right)),
        (top, left + 1, (1.0 - down) * right),
        (top + 1, left, down * (1.0 - right)),
        (top + 1, left + 1, down * right),
    ];
    let mut sum = [0.5f32; 3];
    for (row, column, weight) in corners {
        for (total, &level) in sum.iter_mut().zip(pixel(part, row, column)) {
            *total += weight * f32::from(level);
        }
    }
    sum.map(|total| total as u8)
}

fn pixel(part: Part<'_>, row: isize, column: isize) -> &[u8] {
    let is_inside = (0..part.area.height as isize).contains(&row)
        && (0..part.area.width as isize).contains(&column);
    if !is_inside {
        return &[0; 3];
    }
    &part.row(row as usize)[3 * column as usize..][..3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture from rows of levels.
    fn grey<const N: usize>(rows: &[[u8; N]]) -> Rgb8 {
        Rgb8 {
            width: N,
            height: rows.len(),
            pixels: rows
                .concat()
                .into_iter()
                .flat_map(|level| [level; 3])
                .collect(),
        }
    }

    #[test]
    fn no_angle_changes_nothing() {
        let picture = grey(&[[1, 2, 3], [4, 5, 6]]);
        assert_eq!(rotate(&picture, 0.0), picture);
    }

    #[test]
    fn a_quarter_turn_goes_against_the_clock() {
        let picture = grey(&[[1, 2], [3, 4]]);
        assert_eq!(rotate(&picture, 90.0), grey(&[[2, 4], [1, 3]]));
    }

    #[test]
    fn corners_become_black_and_the_centre_stays() {
        let turned = rotate(&grey(&[[200; 9]; 9]), 45.0);
        let at = |y: usize, x: usize| turned.pixels[3 * (9 * y + x)];
        assert_eq!([at(0, 0), at(0, 8), at(8, 0), at(8, 8)], [0; 4]);
        assert_eq!([at(4, 4), at(4, 1), at(1, 4)], [200; 3]);
    }

    #[test]
    fn there_and_back_keeps_a_smooth_picture() {
        let rows: Vec<[u8; 32]> = (0..32)
            .map(|y| std::array::from_fn(|x| (3 * x + 4 * y) as u8))
            .collect();
        let picture = grey(&rows);
        let back = rotate(&rotate(&picture, 7.0), -7.0);
        for y in 8..24 {
            for x in 8..24 {
                let at = 3 * (32 * y + x);
                assert!(picture.pixels[at].abs_diff(back.pixels[at]) <= 1, "{y} {x}");
            }
        }
    }
}
