//! A checkpoint's state of the sampler, damaged: another state or an error, and no panic.

use facenet_sampler::{LookAlikeConfig, LookAlikes, SamplerConfig};

#[path = "../../../../fuzz/check.rs"]
mod check;

const SIZES: [u32; 6] = [2, 3, 4, 2, 5, 3];

fn sampler() -> LookAlikes {
    let config = SamplerConfig {
        people_per_batch: 2,
        images_per_person: 2,
        seed: 1,
    };
    let rule = LookAlikeConfig {
        share: 0.5,
        floor: 0.1,
    };
    LookAlikes::new(&SIZES, config, rule, 3).expect("six people fill a round")
}

/// Goes on from any bytes that are taken for a state; rounds are of people and images there are.
fn run(bytes: &[u8]) {
    let mut sampler = sampler();
    let before = sampler.state();
    if sampler.restore(bytes).is_err() {
        assert_eq!(sampler.state(), before, "nothing has changed");
        return;
    }
    for (identity, image) in sampler.round().images {
        assert!(image < SIZES[identity as usize]);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut sampler = sampler();
    let fresh = sampler.state();
    drop(sampler.round());
    sampler.learn(&[0, 3], &[1.0, 0.0, 0.0, 0.0, 0.6, 0.8]);
    vec![fresh, sampler.state()]
}

#[test]
fn damaged_states_end_in_no_panic() {
    check::check(run, seeds);
}
