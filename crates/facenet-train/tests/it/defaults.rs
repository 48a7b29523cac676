//! The defaults of the reference's `train_tripletloss.py`.

use std::collections::BTreeMap;

use facenet_train::TrainConfig;

/// Its flags, less `--data_dir`, and their defaults; `--alpha` is our margin.
const REFERENCE: [(&str, &str); 27] = [
    ("logs_base_dir", "~/logs/facenet"),
    ("models_base_dir", "~/models/facenet"),
    ("gpu_memory_fraction", "1.0"),
    ("pretrained_model", "none"),
    ("model_def", "inception_resnet_v1"),
    ("max_nrof_epochs", "500"),
    ("batch_size", "90"),
    ("image_size", "160"),
    ("people_per_batch", "45"),
    ("images_per_person", "40"),
    ("epoch_size", "1000"),
    ("margin", "0.2"),
    ("embedding_size", "128"),
    ("random_crop", "false"),
    ("random_flip", "false"),
    ("keep_probability", "1.0"),
    ("weight_decay", "0.0"),
    ("optimizer", "ADAGRAD"),
    ("learning_rate", "0.1"),
    ("learning_rate_decay_epochs", "100"),
    ("learning_rate_decay_factor", "1.0"),
    ("moving_average_decay", "0.9999"),
    ("seed", "666"),
    (
        "learning_rate_schedule_file",
        "data/learning_rate_schedule.txt",
    ),
    ("lfw_pairs", "data/pairs.txt"),
    ("lfw_dir", "none"),
    // The pairs file's own number, 10 for a file that states none.
    ("lfw_nrof_folds", "none"),
];

#[test]
fn the_references_defaults_are_its_own() {
    let ours = TrainConfig::reference("D".into()).arguments();
    let ours: BTreeMap<_, _> = ours.into_iter().collect();
    for (name, expected) in REFERENCE {
        assert_eq!(ours[name], expected, "{name}");
    }
}
