//! The README of a saved model: what it is, how it was made, what it scored, what it is not for.

use std::fmt::Write as _;

use crate::progress::Progress;

/// Writes the model card of the state `progress`, raw weights or their moving average.
pub(crate) fn model_card(progress: &Progress, is_ema: bool) -> String {
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
         Preprocessing is recorded in `config.json`; scoring with another recipe is refused \
         unless asked for.\n\n\
         ## Training\n\n| setting | value |\n| --- | --- |\n",
        config.model_def,
        config.embedding_size,
        progress.step,
        side = config.image_size,
    );
    for (name, value) in SHOWN.iter().filter_map(|name| find(progress, name)) {
        let _ = writeln!(card, "| {name} | {value} |");
    }
    let _ = write!(
        card,
        "| data | {} |\n\n## Score\n\n",
        progress.data_fingerprint
    );
    card.push_str(&score(progress));
    card.push_str(
        "\n## Limits\n\nA model reflects the people it was trained on and says nothing about \
         others until it is measured on them. Embeddings of faces are biometric data: keep them \
         as carefully as the pictures.\n",
    );
    card
}

/// Settings that the card lists; none of them is a path or a person's name.
const SHOWN: [&str; 12] = [
    "rule",
    "negative",
    "margin",
    "mining_mode",
    "people_per_batch",
    "images_per_person",
    "batch_size",
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

fn score(progress: &Progress) -> String {
    let before = progress.accuracy_before.map_or(String::new(), |accuracy| {
        format!("Verification accuracy before training: {accuracy:.5}.\n")
    });
    match progress.best {
        Some(best) if progress.accuracy_before.is_some() => format!(
            "{before}Best accuracy of the weights as trained: {:.5}, after step {}.\n",
            best.score, best.step
        ),
        _ => "Not scored.\n".to_owned(),
    }
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
        let card = model_card(&progress, false);
        assert!(card.contains("| rule | batch-all |"), "{card}");
        assert!(card.contains("before training: 0.50000"), "{card}");
        assert!(card.contains("0.75000"), "{card}");
        assert!(!card.contains("secret"), "{card}");
    }
}
