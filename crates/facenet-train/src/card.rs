//! The README of a saved model: what it is, how it was made, what it scored, what it is not for.

use std::fmt::Write as _;

use facenet_lfw::{Report, ValStatus};

use crate::progress::Progress;

/// Writes the model card of the state `progress`, raw weights or their moving average.
///
/// - `report`: the score of these very weights, where they have been scored
/// - `missing`: pairs that it leaves out for want of an image
pub(crate) fn model_card(
    progress: &Progress,
    is_ema: bool,
    report: Option<&Report>,
    missing: usize,
) -> String {
    let config = &progress.config;
    let weights = if is_ema {
        "moving average of the weights"
    } else {
        "weights as trained"
    };
    let mut card = format!(
        "# {} face embedder\n\n\
         Maps a {side} x {side} RGB face crop to a unit vector of {} numbers; two faces are \
         compared by squared L2 distance, 0 to 4.\nThese are the {weights} after {} steps.\n\n\
         ## Input\n\n\
         The recipe is the crop, resize and standardisation below, in that order (also in \
         `config.json`); scoring with another recipe is refused \
         unless asked for.\n\n\
         ## Training\n\n| setting | value |\n| --- | --- |\n",
        config.model_def,
        config.embedding_size,
        progress.step,
        side = config.image_size,
    );
    let idle = config.idle_settings();
    let shown = SHOWN.iter().filter(|name| !idle.contains(name));
    for (name, value) in shown.filter_map(|name| find(progress, name)) {
        let _ = writeln!(card, "| {name} | {value} |");
    }
    let _ = write!(
        card,
        "| data | {} |\n\n## Score\n\n",
        progress.data_fingerprint
    );
    card.push_str(&score(progress, report, missing));
    card.push_str(
        "\n## Limits\n\nA model reflects the people it was trained on and says nothing about \
         others until it is measured on them. Embeddings of faces are biometric data: keep them \
         as carefully as the pictures.\n",
    );
    card
}

/// Settings that the card lists; none of them is a path or a person's name.
const SHOWN: [&str; 25] = [
    "centre_crop",
    "resize",
    "standardisation",
    "loss",
    "arcface_scale",
    "arcface_margin",
    "rule",
    "negative",
    "margin",
    "mining_mode",
    "freeze_bn",
    "unfold_bn",
    "people_per_batch",
    "images_per_person",
    "sampler",
    "strategy",
    "chunk_size",
    "batch_size",
    "precision",
    "winograd",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "moving_average_decay",
    "seed",
];

fn find(progress: &Progress, wanted: &str) -> Option<(String, String)> {
    progress
        .config
        .arguments()
        .into_iter()
        .find(|(name, _)| name == wanted)
}

/// What these weights scored, and beside it what the run scored before and at its best.
fn score(progress: &Progress, report: Option<&Report>, missing: usize) -> String {
    let mut text = report.map_or_else(
        || "These weights have not been scored.\n".to_owned(),
        |report| of_these(report, missing),
    );
    if let Some(before) = progress.accuracy_before {
        let _ = writeln!(text, "Accuracy before training: {before:.5}.");
    }
    if let (Some(best), Some(_)) = (progress.best, progress.accuracy_before) {
        let _ = writeln!(
            text,
            "Best accuracy of the run's weights as trained: {:.5}, after step {}.",
            best.score, best.step
        );
    }
    text
}

fn of_these(report: &Report, missing: usize) -> String {
    let mut text = format!(
        "Verification accuracy of these weights: {:.5}+-{:.5} on {} pairs.\n",
        report.accuracy_mean,
        report.accuracy_std,
        report.n_same + report.n_different,
    );
    let _ = match (report.val, report.far) {
        (Some(val), Some(far)) if report.val_status == ValStatus::Ok => {
            writeln!(text, "Validation rate: {val:.5} @ FAR={far:.5}.")
        }
        _ => writeln!(
            text,
            "Validation rate: undefined at FAR={}.",
            report.far_target
        ),
    };
    if missing > 0 {
        let _ = writeln!(
            text,
            "{missing} pairs of the file were left out for want of an image: this is no LFW result."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;

    #[test]
    fn a_card_names_settings_and_score_but_no_path() {
        let mut progress = Progress::start(TrainConfig::demo(), "2 identities".to_owned());
        progress.config.data_dir = Some("secret/place".into());
        progress.accuracy_before = Some(0.5);
        progress.note_score(0.75);
        let card = model_card(&progress, false, None, 0);
        assert!(card.contains("| rule | batch-all |"), "{card}");
        assert!(card.contains("before training: 0.50000"), "{card}");
        assert!(card.contains("0.75000"), "{card}");
        assert!(!card.contains("secret"), "{card}");
        assert!(card.contains("have not been scored"), "{card}");
        assert!(card.contains("| standardisation | per-image |"), "{card}");
    }

    /// Two folds in which every pair is told right at one threshold.
    fn report() -> Report {
        let rows = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0].repeat(2);
        let config = facenet_lfw::ProtocolConfig {
            folds: facenet_lfw::Folds::Given(vec![1, 1, 2, 2]),
            ..facenet_lfw::ProtocolConfig::default()
        };
        let is_same = [true, false, true, false];
        facenet_lfw::evaluate(&rows, 2, &is_same, &config).expect("four pairs")
    }

    #[test]
    fn a_card_tells_the_score_of_its_own_weights_and_what_it_leaves_out() {
        let mut progress = Progress::start(TrainConfig::demo(), "2 identities".to_owned());
        progress.accuracy_before = Some(0.5);
        progress.note_score(0.75);
        let card = model_card(&progress, true, Some(&report()), 7);
        let of_these = "accuracy of these weights: 1.00000+-0.00000 on 4 pairs";
        assert!(card.contains(of_these), "{card}");
        assert!(card.contains("Validation rate: "), "{card}");
        assert!(card.contains("7 pairs of the file were left out"), "{card}");
        let whole = model_card(&progress, true, Some(&report()), 0);
        assert!(!whole.contains("left out"), "{whole}");
    }
}
