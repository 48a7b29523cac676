//! Numbers that are none, found before they spread or are kept.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::TrainError;
use crate::optimizer::Update;
use crate::squares::sum_of_squares;

/// Refuses tensors of which one has a NaN or an infinity.
///
/// - `step`: optimizer steps made, for the message
/// - `whose`: what comes before a tensor's name in it
///
/// # Errors
/// [`TrainError::Diverged`] naming the first such tensor.
pub(crate) fn check_tensors(
    step: u64,
    whose: &str,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), TrainError> {
    tensors
        .iter()
        .try_for_each(|(name, tensor)| check(step, &format!("{whose}{name}"), tensor))
}

/// Refuses parameters of which one has a NaN or an infinity, which need not show in loss or
/// gradient: the corner of a kernel on images of one pixel meets nothing but padding.
///
/// # Errors
/// As [`check_tensors`].
pub(crate) fn check_parameters(updates: &[Update<'_>], step: u64) -> Result<(), TrainError> {
    let mut updates = updates.iter();
    updates.try_for_each(|update| check(step, update.name, &update.var.as_detached_tensor()))
}

fn check(step: u64, name: &str, tensor: &Tensor) -> Result<(), TrainError> {
    // No square of an f32 is too large for an f64.
    if sum_of_squares(tensor)?.is_finite() {
        return Ok(());
    }
    Err(TrainError::diverged(step, format!("{name} is not finite")))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use facenet_model::{Architecture, Mode};

    use super::*;
    use crate::checkpoint::checkpoints;
    use crate::config::TrainConfig;
    use crate::dry_run::tests::tiny;
    use crate::embedder::Rows;
    use crate::engine::Engine;
    use crate::loss::Loss;
    use crate::observer::Silent;
    use crate::round::Embedded;
    use crate::round::fixture::{round, spoil};
    use crate::run::fresh_engine;
    use crate::step::{Pace, Shown, Stepped, apply};
    use crate::strategy::Strategy;
    use crate::watch::Distances;

    const VALUES: [f32; 2] = [f32::NAN, f32::INFINITY];

    /// A tiny run before its first step, in a folder that goes with it. Nothing decays, so that
    /// the loss does not see the weights.
    fn engine(
        strategy: Strategy,
        loss: Loss,
        model_def: Architecture,
    ) -> (tempfile::TempDir, Engine) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let config = TrainConfig {
            loss,
            model_def,
            synthetic_identities: 4,
            batch_size: 36,
            weight_decay: 0.0,
            loader_threads: 1,
            logs_base_dir: folder.path().join("logs"),
            models_base_dir: folder.path().join("models"),
            ..tiny(strategy)
        };
        config.validate().expect("a run that can train");
        let (engine, _) = fresh_engine(&config, &[], &mut Silent).expect("a run that can train");
        (folder, engine)
    }

    /// Spoils the last number of a parameter; gives what it was.
    fn spoil_last(var: &Var, value: f32) -> Tensor {
        let good = var.as_detached_tensor().copy().expect("memory");
        let mut numbers = good.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        let numbers = numbers.as_mut().expect("f32 on the CPU");
        *numbers.last_mut().expect("not empty") = value;
        let spoilt = Tensor::from_slice(numbers, good.shape(), &Device::Cpu);
        var.set(&spoilt.expect("the same shape")).expect("as large");
        good
    }

    fn variables(engine: &Engine) -> Vec<(String, Var)> {
        let of_model = engine.model.parameters();
        let of_model = of_model.iter().map(|p| (p.name, p.var));
        let of_head = engine.head.iter().flat_map(|head| head.parameters());
        let all = of_model.chain(of_head);
        all.map(|(name, var)| (name.to_owned(), var.clone()))
            .collect()
    }

    /// The run ends as diverged, and no checkpoint can be made of what it holds.
    #[track_caller]
    fn check_found(engine: &mut Engine, found: Result<(), TrainError>, what: &str) {
        let error = found.expect_err(what);
        assert!(
            matches!(error, TrainError::Diverged { .. }),
            "{what}: {error}"
        );
        assert_eq!(error.exit_class().code(), 4);
        assert_eq!(engine.progress.step, 0, "{what}");
        let saved = engine.save(&mut Silent).expect_err(what);
        assert!(
            saved.to_string().contains("is not finite"),
            "{what}: {saved}"
        );
        let kept = checkpoints(engine.record.folder.model_dir());
        assert_eq!(kept.expect("a folder"), [], "{what}");
    }

    /// Every parameter of a run in turn.
    fn check_weights(strategy: Strategy, loss: Loss, model_def: Architecture) {
        let (_folder, mut engine) = engine(strategy, loss, model_def);
        let (progress, variables) = (engine.progress.clone(), variables(&engine));
        let state = engine.model.state().into_iter();
        let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.copy()?));
        let state: candle_core::Result<BTreeMap<_, _>> = state.map(copy).collect();
        let state = state.expect("memory");
        for (name, var) in &variables {
            for value in VALUES {
                let good = spoil_last(var, value);
                let found = engine.first_step(&mut Silent);
                check_found(&mut engine, found, &format!("{value} in {name}"));
                // Running statistics have moved too.
                engine.model.set_state(&state).expect("its own");
                var.set(&good).expect("as large");
                engine.progress = progress.clone();
            }
        }
        engine.first_step(&mut Silent).expect("all is mended");
        println!(
            "faults: weights, {model_def}, {strategy:?}, {loss:?}: {} tensors x {VALUES:?}",
            variables.len()
        );
    }

    #[test]
    fn any_weight_with_any_loss_and_strategy() {
        for (strategy, loss) in [
            (Strategy::Reference, Loss::Triplet),
            (Strategy::Reference, Loss::SoftMargin),
            (Strategy::OnePass, Loss::Triplet),
            (Strategy::OnePass, Loss::SoftMargin),
            (Strategy::OnePass, Loss::Softmax),
            (Strategy::OnePass, Loss::Arcface),
        ] {
            check_weights(strategy, loss, Architecture::Tiny);
        }
    }

    /// Of its depthwise kernels only the centre meets pictures as small as these.
    #[test]
    fn any_weight_of_a_network_with_corners_that_nothing_meets() {
        check_weights(
            Strategy::OnePass,
            Loss::Triplet,
            Architecture::MobileFaceNet,
        );
    }

    fn seen() -> Stepped {
        Stepped {
            loss: 0.1,
            data_loss: 0.1,
            images: 12,
            shown: Shown::Classes { accuracy: 0.5 },
            spread: 0.5,
            gradient_norm: 0.0,
        }
    }

    #[test]
    fn any_gradient() {
        let (_folder, mut engine) = engine(
            Strategy::OnePass,
            Loss::Softmax,
            Architecture::MobileFaceNet,
        );
        let variables = variables(&engine);
        let zeros: Vec<_> = variables.iter().map(|(_, var)| var.zeros_like()).collect();
        let zeros: Vec<_> = zeros
            .into_iter()
            .map(|zeros| zeros.expect("memory"))
            .collect();
        let pace = Pace {
            step: 0,
            rate: 0.1,
            clip_norm: Some(1.0),
        };
        for (spoilt, (name, _)) in variables.iter().enumerate() {
            for value in VALUES {
                let bad = (&zeros[spoilt] + f64::from(value)).expect("numbers");
                let updates = variables.iter().zip(&zeros).enumerate();
                let updates: Vec<_> = updates
                    .map(|(at, ((name, var), zeros))| Update {
                        name,
                        var,
                        grad: if at == spoilt { &bad } else { zeros },
                        decays: false,
                    })
                    .collect();
                let made = apply(&mut engine.optimizer, &updates, seen(), &pace);
                let error = made.expect_err(name);
                assert_eq!(error.exit_class().code(), 4, "{value} in {name}: {error}");
                assert_eq!(engine.optimizer.steps(), 0, "nothing moves");
            }
        }
        println!(
            "faults: gradients: {} tensors x {VALUES:?}",
            variables.len()
        );
    }

    #[test]
    fn any_image_of_a_round() {
        let (_folder, engine) = engine(Strategy::OnePass, Loss::Triplet, Architecture::Tiny);
        for picture in 0..12 {
            for value in VALUES {
                let mut round = round();
                spoil(&mut round, picture, value);
                let embedded = Embedded::new(&engine.model, &round, 12, Mode::Eval, &mut Silent);
                let embedded = embedded.expect("it fits");
                let mined = engine.mine_whole(&round, &embedded, &mut Distances::new());
                let error = mined.expect_err("no number").to_string();
                assert!(error.contains("embeddings are not finite"), "{error}");
            }
        }
    }

    #[test]
    fn any_number_of_an_embedding() {
        let (_folder, engine) = engine(Strategy::OnePass, Loss::Triplet, Architecture::Tiny);
        let round = round();
        let good = Embedded::new(&engine.model, &round, 12, Mode::Eval, &mut Silent);
        let good = good.expect("it fits").values;
        for at in 0..good.len() {
            for value in VALUES {
                let mut values = good.clone();
                values[at] = value;
                let rows = Rows {
                    values,
                    dim: 8,
                    ids: round.ids.clone(),
                };
                let error = engine.mine(&rows).expect_err("no number").to_string();
                assert!(error.contains("1 embeddings are not finite"), "{error}");
            }
        }
    }

    #[test]
    fn averages_statistics_and_the_optimizers_state_are_not_kept() {
        let (_folder, mut engine) = engine(Strategy::OnePass, Loss::Triplet, Architecture::Tiny);
        engine.first_step(&mut Silent).expect("a good run");
        let state = engine.model.state();
        let statistics = engine.model.running_statistics().expect("on the CPU");
        let (name, _) = statistics.first_key_value().expect("a network has norms");
        for whose in ["", "the average of ", "the optimizer's "] {
            let mut changed = match whose {
                "" => state.clone(),
                "the average of " => engine.ema.shadow().clone(),
                _ => engine.optimizer.state().expect("on the CPU"),
            };
            let is_one = |(found, tensor): &(&String, &mut Tensor)| {
                (!whose.is_empty() || *found == name)
                    && tensor.dtype().is_float()
                    && tensor.elem_count() > 1
            };
            let (name, tensor) = changed.iter_mut().find(is_one).expect("it has some");
            let told = format!("{whose}{name} is not finite");
            *tensor = (&*tensor + f64::NAN).expect("numbers");
            let error = check_tensors(1, whose, &changed).expect_err("no number");
            assert!(error.to_string().contains(&told), "{error}");
        }
        engine.save(&mut Silent).expect("a good run");
        let mut shadow = engine.ema.shadow().clone();
        let spoilt = shadow.get_mut(name).expect("of the same names");
        *spoilt = (&*spoilt + f64::NAN).expect("numbers");
        engine.ema.load_shadow(&shadow).expect("its own");
        let error = engine.save(&mut Silent).expect_err("no number").to_string();
        assert!(
            error.contains(&format!("the average of {name} is not finite")),
            "{error}"
        );
    }
}
