//! From a decoded picture to network input.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use crate::error::DatasetError;
use crate::picture::{Area, Portion, Rgb8};
use crate::recipe::Recipe;
use crate::transform::{Part, Span, Sums, resize_part, rotate_part};

/// What training does to pictures at random; the default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augment {
    /// Cut to the network's size at a uniform offset instead of the centre.
    pub random_crop: bool,
    /// Mirror left to right, half of the time.
    pub random_flip: bool,
    /// Rotate by a uniform angle within plus or minus so many degrees; 0 does not.
    pub max_rotation_degrees: f32,
}

/// All that turns a decoded picture into network input.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// What the model expects.
    pub recipe: Recipe,
    /// The network's input width and height, in pixels.
    pub side: usize,
    /// What training adds.
    pub augment: Augment,
}

/// Brings a picture to network input: rotation, centre crop, resize, cut to size, flip,
/// standardisation, in this order.
///
/// The cut is [`crop_or_pad`](crate::crop_or_pad), or a random crop on the axes that are large
/// enough. Four draws are taken whatever `augment` says, so switching one option leaves the
/// others' results as they were.
///
/// - `side`: the network's input width and height, in pixels
/// - `out`: `[3, side, side]`, one item of an nchw batch; every element is written
///
/// # Errors
/// [`DatasetError::Shape`] when `picture` is empty or ill-formed or `out` has another length.
pub fn prepare(
    picture: &Rgb8,
    recipe: &Recipe,
    side: usize,
    augment: &Augment,
    rng: &mut ChaCha8Rng,
    out: &mut [f32],
) -> Result<(), DatasetError> {
    picture.check()?;
    check_len(out.len(), side)?;
    let plan = Plan {
        recipe,
        side,
        augment: *augment,
        draws: Draws::take(rng),
    };
    plan.write(Part::whole(picture), out)
}

/// Mirrors network input left to right, in place.
///
/// - `planar`: `[.., side, side]`, any number of planes
/// - `side`: width of a row; 0 does nothing
pub fn flip_horizontal(planar: &mut [f32], side: usize) {
    if side > 0 {
        planar.chunks_exact_mut(side).for_each(<[f32]>::reverse);
    }
}

fn check_len(found: usize, side: usize) -> Result<(), DatasetError> {
    let expected = side.saturating_mul(side).saturating_mul(3);
    if found == expected {
        return Ok(());
    }
    Err(DatasetError::Shape {
        what: "network input",
        found,
        expected,
    })
}

/// The random numbers of one picture.
struct Draws {
    angle: u64,
    top: u64,
    left: u64,
    flip: u64,
}

impl Draws {
    fn take(rng: &mut ChaCha8Rng) -> Self {
        Self {
            angle: rng.next_u64(),
            top: rng.next_u64(),
            left: rng.next_u64(),
            flip: rng.next_u64(),
        }
    }
}

/// What becomes of one picture, whatever its size.
pub(crate) struct Plan<'a> {
    recipe: &'a Recipe,
    side: usize,
    augment: Augment,
    draws: Draws,
}

impl<'a> Plan<'a> {
    /// Takes the draws of one picture.
    pub(crate) fn new(preprocess: &'a Preprocess, rng: &mut ChaCha8Rng) -> Self {
        Self {
            recipe: &preprocess.recipe,
            side: preprocess.side,
            augment: preprocess.augment,
            draws: Draws::take(rng),
        }
    }

    /// What is needed of a picture.
    pub(crate) fn area(&self, whole: Area) -> Area {
        if self.angle().is_some() {
            return whole;
        }
        let centre = self.centre(whole);
        match self.size(centre) {
            Some(_) => centre,
            None => self.place(centre).area,
        }
    }

    /// [`prepare`]s a picture of which at least what is needed is at hand.
    ///
    /// # Errors
    /// [`DatasetError::Portion`] where it is not; [`DatasetError::Shape`] as [`prepare`].
    pub(crate) fn prepare(&self, portion: &Portion, out: &mut [f32]) -> Result<(), DatasetError> {
        portion.check(self.area(Area::whole(portion.height, portion.width)))?;
        check_len(out.len(), self.side)?;
        self.write(Part::of(portion), out)
    }

    fn write(&self, part: Part<'_>, out: &mut [f32]) -> Result<(), DatasetError> {
        let (turned, resized);
        let mut part = part;
        if let Some(degrees) = self.angle() {
            turned = rotate_part(part, degrees);
            part = Part::whole(&turned);
        }
        part = part.at(self.centre(part.area));
        if let Some(size) = self.size(part.area) {
            resized = resize_part(part, size, size)?;
            part = Part::whole(&resized);
        }
        let place = self.place(part.area);
        let table = self
            .recipe
            .standardisation
            .table(&self.sums(part.at(place.area)));
        place.write(part, &table, self.side, out);
        Ok(())
    }

    /// By how many degrees the picture is turned.
    fn angle(&self) -> Option<f32> {
        let limit = self.augment.max_rotation_degrees;
        // 53 bits to [0, 1), then to [-1, 1).
        let unit = (self.draws.angle >> 11) as f64 / (1u64 << 53) as f64;
        (limit != 0.0).then_some((2.0 * unit - 1.0) as f32 * limit)
    }

    fn centre(&self, whole: Area) -> Area {
        let crop = self.recipe.centre_crop;
        crop.map_or(whole, |crop| whole.centre(crop as usize))
    }

    /// The size to bring an area to, unless it has it.
    fn size(&self, area: Area) -> Option<usize> {
        let size = self.recipe.resize.map(|size| size as usize);
        size.filter(|&size| (area.height, area.width) != (size, size))
    }

    /// What of an area goes where.
    fn place(&self, from: Area) -> Place {
        let span = |input, draw| {
            if self.augment.random_crop {
                Span::random(input, self.side, draw)
            } else {
                Span::centred(input, self.side)
            }
        };
        let rows = span(from.height, self.draws.top);
        let columns = span(from.width, self.draws.left);
        Place {
            area: Area {
                top: from.top + rows.from,
                left: from.left + columns.from,
                height: rows.len,
                width: columns.len,
            },
            top: rows.to,
            left: columns.to,
            is_flipped: self.augment.random_flip && self.draws.flip >> 63 == 1,
        }
    }

    /// Over all of the network's input, padding included.
    fn sums(&self, part: Part<'_>) -> Sums {
        let mut sums = Sums::default();
        for y in 0..part.area.height {
            sums.add(part.row(y));
        }
        sums.add_zeros(3 * (self.side * self.side - part.area.height * part.area.width));
        sums
    }
}

/// What is left of the picture, and where it goes.
struct Place {
    area: Area,
    top: usize,
    left: usize,
    is_flipped: bool,
}

impl Place {
    fn write(&self, part: Part<'_>, table: &[f32; 256], side: usize, out: &mut [f32]) {
        let part = part.at(self.area);
        let Area { height, width, .. } = self.area;
        if (height, width) != (side, side) {
            out.fill(table[0]);
        }
        let left = if self.is_flipped {
            side - width - self.left
        } else {
            self.left
        };
        let [red, green, blue] = planes(out, side * side);
        for y in 0..height {
            let start = (self.top + y) * side + left;
            let rows =
                [&mut *red, &mut *green, &mut *blue].map(|plane| &mut plane[start..][..width]);
            let pixels = part.row(y).as_chunks().0;
            if self.is_flipped {
                split(pixels.iter().rev(), table, rows);
            } else {
                split(pixels.iter(), table, rows);
            }
        }
    }
}

/// Three planes of `len` values.
fn planes(all: &mut [f32], len: usize) -> [&mut [f32]; 3] {
    let (red, rest) = all.split_at_mut(len);
    let (green, blue) = rest.split_at_mut(len);
    [red, green, blue]
}

/// Writes what levels become, a row for each channel.
fn split<'a>(
    pixels: impl Iterator<Item = &'a [u8; 3]>,
    table: &[f32; 256],
    [red, green, blue]: [&mut [f32]; 3],
) {
    let values = red.iter_mut().zip(green).zip(blue);
    for (((red, green), blue), &[r, g, b]) in values.zip(pixels) {
        *red = table[usize::from(r)];
        *green = table[usize::from(g)];
        *blue = table[usize::from(b)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Standardisation;
    use rand_chacha::rand_core::SeedableRng;

    /// Levels `10 y + x` in red; green and blue are 100 and 200 more.
    fn numbered(width: usize, height: usize) -> Rgb8 {
        let levels = (0..height).flat_map(|y| (0..width).map(move |x| (10 * y + x) as u8));
        Rgb8 {
            width,
            height,
            pixels: levels
                .flat_map(|level| [level, level + 100, level + 200])
                .collect(),
        }
    }

    /// The levels that come out, for a recipe without crop and resize.
    fn levels(picture: &Rgb8, side: usize, augment: Augment, seed: u64) -> Vec<u8> {
        let recipe = Recipe {
            centre_crop: None,
            resize: None,
            standardisation: Standardisation::Fixed,
        };
        let mut out = vec![f32::NAN; 3 * side * side];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        prepare(picture, &recipe, side, &augment, &mut rng, &mut out).expect("sizes fit");
        out.iter().map(|x| (x * 128.0 + 127.5) as u8).collect()
    }

    #[track_caller]
    fn check(width: usize, height: usize, side: usize, red: &[u8]) {
        let found = levels(&numbered(width, height), side, Augment::default(), 0);
        assert_eq!(found[..side * side], *red);
    }

    #[test]
    fn planes_follow_each_other() {
        let found = levels(&numbered(2, 2), 2, Augment::default(), 0);
        assert_eq!(
            found,
            [0, 1, 10, 11, 100, 101, 110, 111, 200, 201, 210, 211]
        );
    }

    #[test]
    fn the_centre_is_cut_and_the_rim_padded() {
        check(4, 4, 2, &[11, 12, 21, 22]);
        check(1, 1, 3, &[0, 0, 0, 0, 0, 0, 0, 0, 0]);
        check(4, 1, 2, &[1, 2, 0, 0]);
        check(2, 3, 3, &[0, 1, 0, 10, 11, 0, 20, 21, 0]);
    }

    #[test]
    fn a_flip_mirrors_padding_too() {
        let augment = Augment {
            random_flip: true,
            ..Augment::default()
        };
        let picture = numbered(2, 3);
        let straight = levels(&picture, 3, Augment::default(), 0);
        let mut mirrored: Vec<f32> = straight.iter().map(|&x| f32::from(x)).collect();
        flip_horizontal(&mut mirrored, 3);
        let mirrored: Vec<u8> = mirrored.iter().map(|&x| x as u8).collect();
        let found: Vec<_> = (0..256)
            .map(|seed| levels(&picture, 3, augment, seed))
            .collect();
        let n_mirrored = found.iter().filter(|&one| *one == mirrored).count();
        let n_straight = found.iter().filter(|&one| *one == straight).count();
        assert_eq!(n_mirrored + n_straight, 256);
        // Half of them, give or take five standard deviations of 8.
        assert!((88..=168).contains(&n_mirrored), "{n_mirrored} of 256");
    }

    #[test]
    fn every_offset_of_a_random_crop_occurs() {
        let augment = Augment {
            random_crop: true,
            ..Augment::default()
        };
        let corner = |seed| levels(&numbered(4, 3), 2, augment, seed)[0];
        let found: std::collections::BTreeSet<_> = (0..200).map(corner).collect();
        assert_eq!(Vec::from_iter(found), [0, 1, 2, 10, 11, 12]);
    }

    #[test]
    fn switching_one_option_leaves_the_others() {
        let crop = Augment {
            random_crop: true,
            ..Augment::default()
        };
        let both = Augment {
            random_flip: true,
            ..crop
        };
        for seed in 0..32 {
            let cropped = levels(&numbered(6, 6), 2, crop, seed);
            let found = levels(&numbered(6, 6), 2, both, seed);
            let mirrored: Vec<_> = cropped.chunks(2).flat_map(|row| [row[1], row[0]]).collect();
            assert!(found == cropped || found == mirrored, "{seed}");
        }
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let recipe = Recipe::named("reference").expect("a known name");
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut run = |picture: &Rgb8, out: &mut [f32]| {
            prepare(picture, &recipe, 2, &Augment::default(), &mut rng, out)
        };
        assert!(run(&numbered(2, 2), &mut [0.0; 12]).is_ok());
        assert!(run(&numbered(2, 2), &mut [0.0; 11]).is_err());
        let mut short = numbered(2, 2);
        short.pixels.pop();
        assert!(run(&short, &mut [0.0; 12]).is_err());
    }
}
