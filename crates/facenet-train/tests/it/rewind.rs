//! Going on from an earlier checkpoint of a run: what was made after it makes way.

use std::fs;
use std::path::Path;

use facenet_train::model::load_config;
use facenet_train::{
    Event, Outcome, ResumeOverrides, ResumeRequest, TrainConfig, checkpoints, resume,
};

use crate::runs::{Scratch, checkpoint_of, contents, go_on, names, run, run_dir};

/// Six epochs of two steps, with a checkpoint after every step.
fn long(scratch: &Scratch) -> Outcome {
    run(TrainConfig {
        epoch_size: 2,
        max_nrof_epochs: 6,
        checkpoint_every: Some(1),
        seed: 2, // its best epoch is an early one
        ..scratch.config()
    })
}

fn steps(run_dir: &Path) -> Vec<u64> {
    let found = checkpoints(run_dir).expect("a run's folder");
    found.into_iter().map(|(step, _)| step).collect()
}

#[test]
fn a_run_that_goes_back_keeps_what_it_saves_and_its_last_is_the_new_one() {
    let scratch = Scratch::new();
    let whole = long(&scratch);
    let run_dir = run_dir(&whole);
    let abandoned = contents(&checkpoint_of(&whole, 12));
    let mut warnings = Vec::new();
    let request = ResumeRequest {
        dir: checkpoint_of(&whole, 10),
        overrides: ResumeOverrides {
            max_nrof_epochs: Some(5),
            ..ResumeOverrides::default()
        },
        command_line: Vec::new(),
    };
    let again = resume(&request, &mut |event: &Event<'_>| {
        if let Event::Warning(text) = event {
            warnings.push((*text).to_owned());
        }
    })
    .expect("a whole checkpoint");
    assert_eq!(again.steps, 10);
    assert_eq!(steps(&run_dir).last(), Some(&10));
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert!(
        warning.contains("later checkpoints moved aside: 2"),
        "{warning}"
    );
    let aside = run_dir.join("superseded-checkpoint-00000012");
    assert!(warning.contains(&aside.display().to_string()), "{warning}");
    assert!(contents(&aside) == abandoned);
    // Whoever goes on with the run goes on from the new end.
    let overrides = ResumeOverrides {
        max_nrof_epochs: Some(6),
        ..ResumeOverrides::default()
    };
    assert_eq!(go_on(&run_dir, overrides).expect("whole").steps, 12);
}

#[test]
fn steps_made_again_are_not_pruned_in_favour_of_abandoned_ones() {
    let scratch = Scratch::new();
    let whole = long(&scratch);
    let first = steps(&run_dir(&whole))[0];
    assert!(first < 10, "the best is among the last three: {first}");
    let mut lost = Vec::new();
    let request = ResumeRequest {
        dir: checkpoint_of(&whole, first),
        overrides: ResumeOverrides::default(),
        command_line: Vec::new(),
    };
    resume(&request, &mut |event: &Event<'_>| {
        if let Event::Saved { path } = event {
            lost.extend((!path.is_dir()).then(|| path.to_path_buf()));
        }
    })
    .expect("a whole checkpoint");
    assert_eq!(lost, Vec::<std::path::PathBuf>::new());
    assert_eq!(steps(&run_dir(&whole)), [first, 10, 11, 12]);
}

#[test]
fn a_best_model_of_abandoned_steps_gives_way_to_the_best_before() {
    let scratch = Scratch::new();
    let whole = long(&scratch);
    let run_dir = run_dir(&whole);
    let best = run_dir.join("best");
    let expected = contents(&best);
    let step = load_config(&best).expect("a model").training["steps"].as_u64();
    let step = step.expect("a number");
    // As if the abandoned steps had been better: a best model of step 12.
    fs::remove_dir_all(&best).expect("ours");
    fs::rename(&whole.model_dir, &best).expect("ours");
    let overrides = ResumeOverrides {
        max_nrof_epochs: Some(step / 2),
        ..ResumeOverrides::default()
    };
    go_on(&checkpoint_of(&whole, step), overrides).expect("a whole checkpoint");
    assert!(contents(&best) == expected);
    assert!(names(&run_dir).contains(&"superseded-best".to_owned()));
}

#[test]
fn a_best_model_that_a_kill_has_prevented_is_written_on_going_on() {
    let scratch = Scratch::new();
    let whole = long(&scratch);
    let best = run_dir(&whole).join("best");
    let expected = contents(&best);
    let check = || {
        go_on(&run_dir(&whole), ResumeOverrides::default()).expect("whole");
        assert!(contents(&best) == expected);
    };
    // None yet, and then that of an earlier epoch.
    fs::remove_dir_all(&best).expect("ours");
    check();
    let mut config = load_config(&best).expect("a model");
    config.training["steps"] = 1.into();
    let text = serde_json::to_vec(&config).expect("JSON");
    fs::write(best.join("config.json"), text).expect("ours");
    check();
}
