//! What a resumed run may be given, where it may be resumed from, and what it leaves alone.

use std::fs;

use candle_core::Device;
use facenet_train::model::load_config;
use facenet_train::{
    Checkpoint, Course, Event, Progress, ResumeOverrides, TrainConfig, TrainError, TrainRequest,
    checkpoints, stored_config, train,
};

use crate::runs::{Scratch, checkpoint_of, contents, go_on, listen, names, run, run_dir};

#[test]
fn a_finished_run_gone_on_with_adds_nothing_to_its_logs_and_says_the_same() {
    let scratch = Scratch::new();
    let first = run(scratch.scored_config());
    let (model, logs) = (contents(&first.model_dir), contents(&first.log_dir));
    let card = String::from_utf8(model["README.md"].clone()).expect("text");
    let again = go_on(&run_dir(&first), ResumeOverrides::default()).expect("whole");
    assert_eq!(again.accuracy_after, first.accuracy_after);
    assert_eq!(again.ema_accuracy, first.ema_accuracy);
    assert!(contents(&again.model_dir) == model);
    let mut found = contents(&again.log_dir);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        logs.keys().collect::<Vec<_>>()
    );
    // These are of the last start, whatever it did.
    let of_a_start = ["arguments.txt", "config.toml", "revision_info.txt"];
    found.retain(|name, _| !of_a_start.contains(&name.as_str()));
    for (name, bytes) in found {
        assert!(logs[&name] == bytes, "{name}");
    }
    let accuracy = first.accuracy_after.expect("it is scored");
    let expected = format!("accuracy of these weights: {accuracy:.5}");
    assert!(card.contains(&expected), "{card}");
}

#[test]
fn the_card_of_the_average_has_the_averages_score() {
    let scratch = Scratch::new();
    let outcome = run(scratch.scored_config());
    let card = fs::read_to_string(run_dir(&outcome).join("model-ema/README.md")).expect("text");
    let accuracy = outcome.ema_accuracy.expect("it is scored");
    let expected = format!("accuracy of these weights: {accuracy:.5}");
    assert!(card.contains(&expected), "{card}");
    let between = checkpoint_of(&outcome, 6).join("README.md");
    let card = fs::read_to_string(between).expect("text");
    assert!(
        card.contains("These weights have not been scored"),
        "{card}"
    );
}

#[test]
fn a_diverged_run_can_go_on_with_a_lower_rate() {
    let scratch = Scratch::new();
    let first = run(scratch.config());
    let overrides = ResumeOverrides {
        max_nrof_epochs: Some(3),
        learning_rate: Some(1e-5),
        ..ResumeOverrides::default()
    };
    let again = go_on(&run_dir(&first), overrides).expect("whole");
    assert_eq!(again.steps, 12);
    let rate = stored_config(&run_dir(&again))
        .expect("whole")
        .learning_rate;
    assert_eq!(rate.to_bits(), 1e-5f64.to_bits());
}

#[test]
fn the_model_folder_that_a_run_named_leads_to_its_checkpoints() {
    let scratch = Scratch::new();
    let first = run(scratch.config());
    let again = go_on(&first.model_dir, ResumeOverrides::default()).expect("whole");
    assert_eq!((again.steps, &again.model_dir), (8, &first.model_dir));
    let best = run_dir(&first).join("best");
    let error = go_on(&best, ResumeOverrides::default()).expect_err("no checkpoint lies there");
    assert!(error.to_string().contains("found no checkpoint"), "{error}");
}

#[test]
fn a_run_whose_schedule_ends_at_once_says_so_and_logs_its_score_once() {
    let scratch = Scratch::new();
    let rates = scratch.path("rates.txt");
    fs::write(&rates, "0: -1\n").expect("writable");
    let (outcome, told) = listen(TrainConfig {
        learning_rate: 0.0,
        learning_rate_schedule_file: rates,
        ..scratch.scored_config()
    });
    let outcome = outcome.expect("nothing is wrong with it");
    assert_eq!((outcome.status, outcome.steps), ("stopped", 0));
    let [warning] = &told.warnings[..] else {
        panic!("{:?}", told.warnings);
    };
    assert!(warning.contains("no step will be made"), "{warning}");
    let log = fs::read_to_string(outcome.log_dir.join("lfw_result.txt")).expect("a score");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(names(&run_dir(&outcome)).contains(&"checkpoint-00000000".to_owned()));
}

#[test]
fn patience_ends_a_run_keeps_its_best_and_going_on_trains_no_more() {
    let scratch = Scratch::new();
    let (outcome, told) = listen(TrainConfig {
        // Nothing is learnt: no epoch is better than the first by more than chance.
        learning_rate: 1e-30,
        margin: 1.0,
        epoch_size: 1,
        max_nrof_epochs: 100,
        patience: Some(3),
        ..scratch.config()
    });
    let outcome = outcome.expect("nothing is wrong with it");
    assert_eq!(outcome.status, "stopped");
    let losses = &told.losses;
    let best =
        (0..losses.len()).reduce(|best, at| if losses[at] < losses[best] { at } else { best });
    let best = best.expect("a step") as u64 + 1;
    assert_eq!(
        (outcome.steps, told.losses.len() as u64),
        (best + 3, best + 3)
    );
    let config = load_config(&run_dir(&outcome).join("best")).expect("a model");
    assert_eq!(config.training["steps"], best);
    let again = go_on(&run_dir(&outcome), ResumeOverrides::default()).expect("whole");
    assert_eq!((again.status, again.steps), ("stopped", outcome.steps));
}

#[test]
fn rates_rise_and_fall_as_the_schedule_says() {
    let scratch = Scratch::new();
    let mut rates = Vec::new();
    let request = TrainRequest {
        config: TrainConfig {
            learning_rate: 1e-3,
            learning_rate_schedule: Course::Polynomial,
            warm_up_steps: 4,
            ..scratch.config()
        },
        command_line: Vec::new(),
    };
    train(&request, &mut |event: &Event<'_>| {
        if let Event::Stepped { rate, .. } = event {
            rates.push(rate * 1e3);
        }
    })
    .expect("it trains");
    let expected = [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25];
    let close = |(found, expected): (&f64, f64)| (found - expected).abs() < 1e-12;
    assert!(
        rates.iter().zip(expected).all(close) && rates.len() == 8,
        "{rates:?}"
    );
}

#[test]
fn the_best_of_an_unscored_run_has_the_least_mean_loss_of_an_epoch() {
    let scratch = Scratch::new();
    let (mut losses, mut found) = (Vec::new(), Vec::new());
    let request = TrainRequest {
        config: TrainConfig {
            max_nrof_epochs: 3,
            checkpoint_every: None,
            ..scratch.config()
        },
        command_line: Vec::new(),
    };
    train(&request, &mut |event: &Event<'_>| match event {
        Event::Stepped { loss, .. } => losses.push(*loss),
        Event::Saved { path } => {
            let stored = Checkpoint::<Progress>::load(path, &Device::Cpu);
            found.push(stored.expect("as written").progress.best.expect("an epoch"));
        }
        _ => {}
    })
    .expect("it trains");
    let means: Vec<_> = losses
        .chunks(4)
        .map(|epoch| epoch.iter().sum::<f64>() / 4.0)
        .collect();
    assert_eq!((losses.len(), means.len()), (12, 3));
    let mut least = f64::INFINITY;
    for (best, mean) in found.iter().zip(means) {
        least = least.min(mean);
        assert_eq!(best.score.to_bits(), (-least).to_bits());
    }
}

#[test]
fn a_run_that_goes_on_is_nobody_elses() {
    let scratch = Scratch::new();
    let config = scratch.config();
    let models = config.models_base_dir.clone();
    let mut refusals = Vec::new();
    let request = TrainRequest {
        config,
        command_line: Vec::new(),
    };
    let outcome = train(&request, &mut |event: &Event<'_>| {
        if let Event::Stepped { step: 5, .. } = event {
            let run_dir = models.join(&names(&models)[0]);
            let other = go_on(&run_dir, ResumeOverrides::default());
            refusals.push(other.expect_err("the run has not ended"));
        }
    });
    outcome.expect("it is not disturbed");
    let [TrainError::Busy { path }] = &refusals[..] else {
        panic!("{refusals:?}")
    };
    let made = checkpoints(path).expect("the run's own");
    assert_eq!(made.last().map(|(step, _)| *step), Some(8));
    assert_eq!(scratch.unfinished(), Vec::<std::path::PathBuf>::new());
}
