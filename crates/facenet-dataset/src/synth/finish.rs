//! From painted colours to bytes: light, occlusion, blur, tone and grain.

use super::background::paint_blot;
use super::canvas::{Canvas, Site};
use super::dice::Dice;
use super::geometry::{Colour, mix, smoothstep};
use super::shot::{Film, Light, Shot};

/// Lights, blurs and quantises a canvas: `[side, side, 3]` bytes.
pub(super) fn develop(mut canvas: Canvas, shot: &Shot, grain: Dice) -> Vec<u8> {
    illuminate(&mut canvas, &shot.light);
    if let Some(blot) = &shot.occluder {
        paint_blot(&mut canvas, blot);
    }
    blur(&mut canvas, shot.film.blur);
    quantise(&canvas, &shot.film, grain)
}

fn illuminate(canvas: &mut Canvas, light: &Light) {
    for (pixel, site) in canvas.pixels.iter_mut().zip(&canvas.sites) {
        let shade = 1.0 + (relief(site, light) - 1.0) * pixel[3];
        let gain = flood(site, light);
        for (channel, gain) in pixel.iter_mut().zip(gain) {
            *channel *= gain * shade;
        }
    }
}

/// Lambert's law on the head's ellipsoid, over `ambient`; about 1 on the lit side.
fn relief(site: &Site, light: &Light) -> f32 {
    let normal = [
        site.face[0].clamp(-1.0, 1.0),
        site.face[1].clamp(-1.0, 1.0),
        0.35 + site.depth,
    ];
    let square = |v: &[f32; 3]| v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
    let facing: f32 = normal.iter().zip(light.from).map(|(n, l)| n * l).sum();
    let lambert = (facing / (square(&normal) * square(&light.from)).sqrt()).max(0.0);
    light.ambient + (1.0 - light.ambient) * 1.25 * lambert
}

/// The cast at this place of the picture, under the shadow where it falls.
fn flood(site: &Site, light: &Light) -> Colour {
    let along = |way: [f32; 2]| site.view[0] * way[0] + site.view[1] * way[1];
    let cast = mix(
        light.cast,
        light.far_cast,
        smoothstep(-0.9, 0.9, along(light.ramp)),
    );
    let (way, offset, left) = light.shadow;
    let dark = 1.0 + (left - 1.0) * smoothstep(-0.06, 0.06, along(way) - offset);
    cast.map(|gain| gain * dark)
}

/// Two passes of a three-tap binomial-like blur per axis; `sigma` is in sides.
fn blur(canvas: &mut Canvas, sigma: f32) {
    let variance = sigma * sigma * (canvas.side * canvas.side) as f32;
    // A pass with outer weight w adds a variance of 2 w; above 1/4 the kernel is no blur.
    let n_passes = (variance / 0.5).ceil() as usize;
    for _ in 0..n_passes {
        let outer = 0.5 * variance / n_passes as f32;
        smear(canvas, outer, 1);
        smear(canvas, outer, canvas.side);
    }
}

/// One three-tap pass: rows where `step` is 1, columns where it is the side.
fn smear(canvas: &mut Canvas, outer: f32, step: usize) {
    let side = canvas.side;
    let (line, n) = (if step == 1 { side } else { 1 }, side);
    for start in (0..side).map(|i| i * line) {
        let mut before = canvas.pixels[start];
        for i in 0..n {
            let here = canvas.pixels[start + i * step];
            let after = canvas.pixels[start + (i + 1).min(n - 1) * step];
            canvas.pixels[start + i * step] =
                [0, 1, 2, 3].map(|c| here[c] + outer * (before[c] + after[c] - 2.0 * here[c]));
            before = here;
        }
    }
}

fn quantise(canvas: &Canvas, film: &Film, mut grain: Dice) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(canvas.pixels.len() * 3);
    for pixel in &canvas.pixels {
        let grey = 0.3 * pixel[0] + 0.59 * pixel[1] + 0.11 * pixel[2];
        for channel in &pixel[..3] {
            let toned = grey + (channel - grey) * film.saturation;
            let level = (toned - 0.45) * film.contrast + 0.45 + film.brightness;
            let noisy = level + film.noise * bell(grain.bits());
            bytes.push((noisy * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    bytes
}

/// Nearly normal with mean 0 and variance 1: the sum of four uniform bytes.
fn bell(bits: u32) -> f32 {
    let sum: u32 = bits.to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
    // Four bytes have mean 510 and variance 4 (256² - 1) / 12.
    (sum as f32 - 510.0) / 147.8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bell_has_zero_mean_and_unit_variance() {
        let mut grain = Dice::new(1, *b"grain\0\0\0", 0, 0);
        let draws: Vec<f32> = (0..20_000).map(|_| bell(grain.bits())).collect();
        let mean = draws.iter().sum::<f32>() / 20_000.0;
        let variance = draws.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03,
            "{mean} {variance}"
        );
    }
}
