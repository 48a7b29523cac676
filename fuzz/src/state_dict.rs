//! Files of `torch.save` (`.pt`): an archive, and a pickle that executes nothing.

use facenet_formats::{StateDict, Tensor, Zip, write_state_dict};

/// Reads an archive and a state dictionary, whose tensors have no more values than the file bytes.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(zip) = Zip::parse(bytes) {
        for (name, content) in zip.files() {
            assert!(content.len() <= bytes.len() && zip.get(name).is_some());
        }
    }
    assert!(StateDict::note(bytes).is_none_or(|note| note.len() <= bytes.len()));
    let Ok(state) = StateDict::parse(bytes) else {
        return;
    };
    for (name, array) in state.tensors() {
        if let Ok(values) = array.to_f32(name) {
            assert!(values.len() <= bytes.len());
        }
    }
}

/// Two tensors, one of them empty of values' variety; and a bare pickle of the older form.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let tensors = [
        Tensor {
            name: "conv.weight",
            shape: &[2, 1, 1, 3],
            values: &[1.0, -2.0, 0.5, 0.25, 8.0, -0.125],
        },
        Tensor {
            name: "bn.bias",
            shape: &[2],
            values: &[0.0, 0.0],
        },
    ];
    let whole = write_state_dict(&tensors, Some("{}")).expect("far below 4 GiB");
    // The magic number of the older form, as a pickled whole number, and its version.
    let older = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.";
    vec![whole, older.to_vec()]
}
