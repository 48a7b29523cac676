//! Runs whose rounds are of people who look alike.

use std::fs;

use facenet_train::{ResumeOverrides, Sampling, TrainConfig};

use crate::one_pass::one_pass;
use crate::runs::{Scratch, checkpoint_of, go_on, run};
use crate::same_bytes::{check_resumes, made_with};

fn look_alike(config: &mut TrainConfig) {
    config.sampler = Sampling::LookAlike;
    // What a young network takes for one person is not kept apart.
    config.look_alike_floor = 0.0;
}

#[test]
fn a_resumed_run_of_look_alikes_is_the_uninterrupted_one() {
    // Three rounds deal all twelve people: from the fourth on their codes matter.
    check_resumes(|config| {
        look_alike(config);
        *config = one_pass(config.clone());
    });
    check_resumes(look_alike);
}

#[test]
fn look_alikes_make_another_run_and_their_share_and_floor_matter() {
    let made = |change: fn(&mut TrainConfig)| {
        let made = made_with(|config| {
            *config = one_pass(config.clone());
            change(config);
        });
        made[1]["model.safetensors"].clone()
    };
    let (random, alike) = (made(|_| ()), made(look_alike));
    assert!(alike != random && alike == made(look_alike));
    let none = made(|config| {
        look_alike(config);
        config.look_alike_share = 0.0;
    });
    let apart = made(|config| {
        look_alike(config);
        config.look_alike_floor = 4.0;
    });
    // Nobody is a look-alike in either.
    assert!(alike != none && none == apart);
}

#[test]
fn a_checkpoint_without_what_people_look_like_is_refused() {
    let scratch = Scratch::new();
    let mut config = one_pass(scratch.config());
    look_alike(&mut config);
    let outcome = run(config);
    let checkpoint = checkpoint_of(&outcome, 6);
    let file = checkpoint.join("sampler.bin");
    assert!(fs::metadata(&file).is_ok_and(|file| file.len() > 12 * 48));
    fs::remove_file(&file).expect("it is there");
    let error = go_on(&checkpoint, ResumeOverrides::default()).expect_err("a member is missing");
    assert!(error.to_string().contains("sampler.bin"), "{error}");
}
