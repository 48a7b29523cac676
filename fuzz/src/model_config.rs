//! What a model folder says of itself.

use facenet_model::load_config;

/// Reads a configuration; one that is read is a network's.
pub(crate) fn run(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    std::fs::write(folder.path().join("config.json"), bytes).expect("writable");
    if let Ok(config) = load_config(folder.path()) {
        config.model.validate().expect("checked when it was read");
    }
}

/// A configuration.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let text = "{\"format\": 1, \"model\": {\"architecture\": \"mobilefacenet\", \"image_size\": 112, \
                \"embedding_size\": 128, \"bn_momentum\": 0.1, \"bn_eps\": 0.001, \
                \"keep_probability\": 1.0}, \"recipe\": {}, \"training\": null}";
    vec![text.as_bytes().to_vec()]
}
