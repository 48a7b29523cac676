//! Models to facenet-pytorch and back, where there is a Python that has it.

use candle_core::{DType, Device};
use facenet_model::{Architecture, Form, Model, ModelConfig, import_file, torch_with_note};

use crate::case::values;
use crate::filler;
use crate::onnx::check_near;
use crate::python::Python;

/// Loads the file strictly, runs it, and saves it again in both of torch's forms.
const RUN: &str = "
import torch
from facenet_pytorch import InceptionResnetV1
net = InceptionResnetV1().eval()
net.load_state_dict(torch.load('model', weights_only=True), strict=True)
with torch.no_grad():
    net(torch.from_numpy(images)).numpy().astype('<f4').tofile('rows')
torch.save(net.state_dict(), 'new.pt')
torch.save(net.state_dict(), 'old.pt', _use_new_zipfile_serialization=False)
";

#[test]
fn facenet_pytorch_embeds_alike_and_its_files_come_back() {
    let Some(python) = Python::with(&["numpy", "torch", "facenet_pytorch"]) else {
        return;
    };
    let config = ModelConfig::new(Architecture::InceptionResnetV1, 80, 512);
    let model = Model::new(config, 1, DType::F32, &Device::Cpu).expect("a size it can have");
    filler::fill(&model, "torch");
    let images = filler::input("torch", 2, 80, DType::F32);
    let bytes = torch_with_note(&model.state(), "a note").expect("encodable");
    let found = python.embed(RUN, &bytes, &images);
    let expected = values(&model.embed(&images).expect("they fit"));
    check_near("facenet-pytorch", &found, &expected);
    for name in ["new.pt", "old.pt"] {
        let imported = import_file(&python.path(name), 80).expect("facenet-pytorch's own");
        assert_eq!(imported.form, Form::StateDict, "{name}");
        // One counter for each of 111 norms of convolutions and the last.
        assert_eq!(imported.report.tolerated.len(), 112, "{name}");
        let again = values(&imported.model.embed(&images).expect("they fit"));
        assert_eq!(again, expected, "{name}");
    }
}
