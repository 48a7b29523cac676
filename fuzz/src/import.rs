//! Foreign models as `facenet import` takes them, of every form.

use std::io::Write as _;

use facenet_model::{
    Architecture, Model, ModelConfig, PublishedFile, tensors_to_bytes, torch_with_note,
};
use tempfile::NamedTempFile;

/// Imports a file: a whole model, or an error of one line.
pub(crate) fn run(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    let file = match PublishedFile::open(file.path()) {
        Ok(file) => file,
        Err(error) => return assert!(bytes.is_empty(), "{error}"),
    };
    assert!(file.note().is_none_or(|note| note.len() <= bytes.len()));
    match file.import(75) {
        Ok(imported) => {
            let config = imported.model.config();
            let numbers: usize = imported
                .model
                .state()
                .values()
                .map(candle_core::Tensor::elem_count)
                .sum();
            // Every number is the file's own, but for four vectors of a folded norm.
            assert!(numbers <= 5 * bytes.len(), "{config:?}");
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

/// Files that name a network, claim its sizes and lack the rest of it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let config = ModelConfig::new(Architecture::MobileFaceNet, 16, 8);
    let device = candle_core::Device::Cpu;
    let model = Model::new(config, 1, candle_core::DType::F32, &device).expect("a size it has");
    let mut state = model.state();
    state.retain(|name, tensor| name.starts_with("last_") || tensor.elem_count() < 64);
    let bytes = tensors_to_bytes(&state).expect("encodable");
    let torch = torch_with_note(&state, "{}").expect("encodable");
    vec![bytes, torch]
}
