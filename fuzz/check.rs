//! What tests of the crates share: each target takes its seeds, and what small damage makes of them.

/// Damaged copies of each seed.
const COPIES: u64 = 200;

/// Runs a target on its seeds and on damaged copies, the same ones each time.
pub(crate) fn check(run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) {
    run(&[]);
    for (number, seed) in (0_u64..).zip(seeds()) {
        run(&seed);
        for copy in 0..COPIES {
            run(&damaged(&seed, number * COPIES + copy));
        }
    }
}

/// A copy with up to four bytes changed, and cut or lengthened now and then.
pub(crate) fn damaged(seed: &[u8], copy: u64) -> Vec<u8> {
    let (mut bytes, mut state) = (seed.to_vec(), copy);
    for _ in 0..=next(&mut state) % 4 {
        let value = next(&mut state);
        let at = next(&mut state) as usize % bytes.len().max(1);
        let Some(byte) = bytes.get_mut(at) else { break };
        *byte = match value % 3 {
            0 => *byte ^ (1 << (value >> 8 & 7)),
            1 => [0x00, 0x01, 0x7f, 0x80, 0xff][(value >> 8) as usize % 5],
            _ => (value >> 8) as u8,
        };
    }
    match next(&mut state) % 8 {
        0 => bytes.truncate(next(&mut state) as usize % (bytes.len() + 1)),
        1 => bytes.extend(next(&mut state).to_le_bytes()),
        _ => {}
    }
    bytes
}

/// `SplitMix64` (Steele, Lea and Flood, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
