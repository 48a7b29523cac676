#![doc = include_str!("../README.md")]

mod config;
mod engine;
mod error;
mod footprint;
mod import;
mod layers;
mod loss;
mod model;
mod network;
mod onnx;
mod operations;
mod pass;
mod random;
mod saved;
mod state;
mod store;
mod tensors;
mod unfold;

pub use config::{Architecture, ModelConfig};
pub use error::ModelError;
pub use facenet_ops::{Arithmetic, Isa, KeptWeights, ParameterGradients, Precision, Route};
pub use footprint::PassPlan;
pub use import::{Form, Imported, PublishedFile, import_file};
pub use loss::{MIN_SQ_NORM, TripletLoss, l2_normalise, soft_margin_loss, triplet_loss};
pub use model::{LoadReport, Model};
pub use onnx::{ONNX_INPUT, ONNX_OUTPUT};
pub use operations::Operations;
pub use pass::{DropoutKey, Mode, TrainPass};
pub use saved::{
    CALIBRATION_FILE, CARD_FILE, CONFIG_FILE, FORMAT, SavedConfig, TENSORS_FILE, load_config,
    load_model, model_files, put_model, save_model,
};
pub use state::Parameter;
pub use tensors::{
    load_tensors, tensors_to_bytes, tensors_to_torch, tensors_with_note, torch_with_note,
};
pub use unfold::Unfolding;
