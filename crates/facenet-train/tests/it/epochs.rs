//! Epochs: how many steps they have, and what their ends do to mined triplets.

use facenet_train::{Leftover, TrainConfig};

use crate::runs::{Scratch, Told, listen};

fn told(leftover: Leftover) -> Told {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        leftover,
        epoch_size: 3,
        max_nrof_epochs: 3,
        ..scratch.config()
    });
    let outcome = outcome.expect("it trains");
    assert_eq!(outcome.steps, 9);
    // Triplets of a round of twelve images share them: each goes through once a step.
    assert!(told.images.iter().all(|&images| images <= 12));
    assert_eq!(outcome.images, told.images.iter().sum::<usize>() as u64);
    told
}

/// Steps that the rounds mined before an epoch's end would have given beyond it.
fn left_over(told: &Told) -> bool {
    let needed = told.mined.iter().map(|triplets| triplets.div_ceil(21));
    needed.sum::<usize>() > told.steps.len()
}

#[test]
fn an_epoch_has_exactly_its_steps_whatever_a_round_gives() {
    for leftover in [Leftover::Drop, Leftover::Carry] {
        let told = told(leftover);
        let expected: Vec<_> = (0..3)
            .flat_map(|epoch| [(epoch, 1), (epoch, 2), (epoch, 3)])
            .collect();
        assert_eq!(told.steps, expected);
        // The number of a round names its draws: none comes twice.
        assert!(told.rounds.iter().copied().eq(0..told.mined.len() as u64));
        assert!(left_over(&told), "no round was cut: {:?}", told.mined);
    }
}

/// Unshuffled, the first triplets would all have one of four anchors, of one person.
#[test]
fn a_step_takes_triplets_from_all_over_its_round() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        people_per_batch: 12,
        images_per_person: 4,
        max_triplets: 20_000,
        epoch_size: 1,
        max_nrof_epochs: 1,
        ..scratch.config()
    });
    outcome.expect("it trains");
    // 21 triplets of one person's four anchors have at most 4 + 21 images.
    assert!(
        told.images[0] > 4 + 21,
        "{:?} of {:?}",
        told.images,
        told.mined
    );
}

#[test]
fn drop_begins_every_epoch_with_a_round_of_its_own() {
    let told = told(Leftover::Drop);
    for first in [0, 3, 6] {
        assert!(told.mined_after.contains(&first), "{:?}", told.mined_after);
    }
}

#[test]
fn carry_trains_on_every_triplet_in_turn() {
    let told = told(Leftover::Carry);
    // A round is mined when the one before is used up, and at no other time.
    let mut step = 0;
    let expected: Vec<_> = told
        .mined
        .iter()
        .map(|triplets| {
            let begins = step;
            step += triplets.div_ceil(21);
            begins
        })
        .collect();
    assert_eq!(told.mined_after, expected);
    assert!(
        !told.mined_after.contains(&3),
        "nothing was carried: {expected:?}"
    );
}
