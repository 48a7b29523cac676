//! The saved model folder: round trips, and what loading refuses.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use facenet_model::{
    Architecture, CARD_FILE, CONFIG_FILE, FORMAT, Model, ModelConfig, SavedConfig, TENSORS_FILE,
    load_config, load_model, model_files, save_model,
};
use serde_json::json;

use crate::case::values;
use crate::network::{pictures, small};

fn config_of(model: &Model) -> SavedConfig {
    SavedConfig {
        format: FORMAT,
        model: model.config().clone(),
        recipe: json!({"resize": 16}),
        training: json!({"steps": 3}),
    }
}

fn save(model: &Model, dir: &Path) {
    save_model(dir, &model.state(), &config_of(model), "# A card\n").expect("writable");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("readable");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
    let mut names: Vec<_> = entries
        .map(|e| name(e).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_model_comes_back_as_it_was() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("runs/a/model");
    let model = small(3);
    model.recalibrate(&[pictures(4, 1)]).expect("fits");
    save(&model, &dir);
    assert_eq!(names(&dir), [CARD_FILE, CONFIG_FILE, TENSORS_FILE]);
    assert_eq!(
        names(dir.parent().expect("a parent")),
        ["model"],
        "no scratch is left"
    );
    let (loaded, config, report) = load_model(&dir, &Device::Cpu).expect("whole");
    assert_eq!(config, config_of(&model));
    assert!(report.tolerated.is_empty());
    let of = |model: &Model| values(&model.embed(&pictures(2, 1)).expect("fits"));
    assert_eq!(of(&loaded), of(&model));
    let again = model_files(&loaded.state(), &config, "# A card\n").expect("encodable");
    for (name, bytes) in again {
        assert_eq!(fs::read(dir.join(name)).expect("there"), bytes, "{name}");
    }
}

#[test]
fn a_model_replaces_a_model_and_nothing_else() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("model");
    fs::create_dir(&dir).expect("writable");
    save(&small(1), &dir);
    // An interrupted calibration leaves this.
    fs::write(dir.join(".scratch-calibration.json"), "{").expect("writable");
    save(&small(2), &dir);
    let (loaded, ..) = load_model(&dir, &Device::Cpu).expect("whole");
    let of = |model: &Model| values(&model.embed(&pictures(2, 1)).expect("fits"));
    assert_eq!(of(&loaded), of(&small(2)));
    fs::write(dir.join("holiday.jpg"), "a picture").expect("writable");
    let model = small(3);
    let save = |dir: &Path| save_model(dir, &model.state(), &config_of(&model), "");
    let message = save(&dir).expect_err("not ours").to_string();
    assert!(message.contains("holiday.jpg"), "{message}");
    let file = dir.join("holiday.jpg");
    assert!(save(&file).is_err(), "a file is in the way");
    assert!(save(&file.join("model")).is_err(), "a file is the parent");
    assert_eq!(fs::read(file).expect("there"), b"a picture");
    assert_eq!(names(scratch.path()), ["model"], "no scratch is left");
    assert_eq!(
        of(&load_model(&dir, &Device::Cpu).expect("whole").0),
        of(&small(2))
    );
}

/// Saves the small model, spoils its folder and asserts what loading says.
#[track_caller]
fn check_refused(spoil: impl FnOnce(&Path), file: &str, expected: &[&str]) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    save(&small(1), scratch.path());
    spoil(scratch.path());
    let message = load_model(scratch.path(), &Device::Cpu)
        .expect_err("spoilt")
        .to_string();
    let path = scratch.path().join(file).display().to_string();
    for part in [&[path.as_str()], expected].concat() {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    assert!(
        !message.contains('\n') && message.contains("; "),
        "{message}"
    );
}

fn write_tensors(dir: &Path, model: &Model) {
    let bytes = facenet_model::tensors_to_bytes(&model.state()).expect("encodable");
    fs::write(dir.join(TENSORS_FILE), bytes).expect("writable");
}

fn change_config(dir: &Path, change: impl FnOnce(&mut SavedConfig)) {
    let mut config = load_config(dir).expect("whole");
    change(&mut config);
    let json = serde_json::to_vec(&config).expect("JSON");
    fs::write(dir.join(CONFIG_FILE), json).expect("writable");
}

fn inception() -> Model {
    let config = ModelConfig::new(Architecture::InceptionResnetV1, 75, 8);
    Model::new(config, 1, DType::F32, &Device::Cpu).expect("the smallest size")
}

#[test]
fn missing_empty_and_cut_files_are_refused() {
    let remove =
        |name: &'static str| move |dir: &Path| fs::remove_file(dir.join(name)).expect("there");
    check_refused(
        remove(TENSORS_FILE),
        TENSORS_FILE,
        &["cannot read the file"],
    );
    check_refused(remove(CONFIG_FILE), CONFIG_FILE, &["cannot read the file"]);
    let empty =
        |name: &'static str| move |dir: &Path| fs::write(dir.join(name), "").expect("writable");
    check_refused(
        empty(TENSORS_FILE),
        TENSORS_FILE,
        &["the file is empty", "copy the file again"],
    );
    check_refused(empty(CONFIG_FILE), CONFIG_FILE, &["the file is empty"]);
    let cut = |dir: &Path| {
        let path = dir.join(TENSORS_FILE);
        let bytes = fs::read(&path).expect("there");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("writable");
    };
    check_refused(
        cut,
        TENSORS_FILE,
        &["bytes, expected", "as the header says"],
    );
}

#[test]
fn another_network_is_named() {
    let foreign = |dir: &Path| write_tensors(dir, &inception());
    let expected = [
        "expected the mobilefacenet with 8 numbers",
        "these are tensors of inception_resnet_v1",
    ];
    check_refused(foreign, TENSORS_FILE, &expected);
    let wider = |dir: &Path| change_config(dir, |config| config.model.embedding_size = 9);
    let expected = [
        "with 9 numbers",
        "these tensors make embeddings of 8",
        "last_linear.weight has shape [8, 512], expected [9, 512]",
    ];
    check_refused(wider, TENSORS_FILE, &expected);
    let larger = |dir: &Path| change_config(dir, |config| config.model.image_size = 32);
    let expected = "gdc.conv.weight has shape [512, 1, 1, 1], expected [512, 1, 2, 2]";
    check_refused(larger, TENSORS_FILE, &[expected]);
    let odd = |dir: &Path| {
        let text = fs::read_to_string(dir.join(CONFIG_FILE)).expect("there");
        let text = text.replace("\"image_size\": 16", "\"image_size\": 17");
        fs::write(dir.join(CONFIG_FILE), text).expect("writable");
    };
    check_refused(odd, CONFIG_FILE, &["found 17, expected a multiple of 16"]);
}

#[test]
fn strays_are_tolerated_and_named_and_foreigners_kept_to_one_line() {
    let add = |dir: &Path, name: &str| {
        let path = dir.join(TENSORS_FILE);
        let mut tensors = facenet_model::load_tensors(&path).expect("whole");
        let stray = Tensor::new(&[1f32], &Device::Cpu).expect("small");
        tensors.insert(name.to_owned(), stray);
        let bytes = facenet_model::tensors_to_bytes(&tensors).expect("encodable");
        fs::write(path, bytes).expect("writable");
    };
    let scratch = tempfile::tempdir().expect("a scratch folder");
    save(&small(1), scratch.path());
    add(scratch.path(), "conv1.bn.num_batches_tracked");
    add(scratch.path(), "logits.bias");
    let (.., report) = load_model(scratch.path(), &Device::Cpu).expect("whole");
    let expected = ["conv1.bn.num_batches_tracked", "logits.bias"];
    assert_eq!(report.tolerated, expected);
    check_refused(
        |dir| add(dir, "up\nset\u{1b}[2J"),
        TENSORS_FILE,
        &["up\\nset\\u{1b}[2J is not part of it"],
    );
}

#[test]
fn tensors_of_another_type_are_refused() {
    let whole = |dir: &Path| {
        let mut state = small(1).state();
        let bias = Tensor::zeros(64, DType::I64, &Device::Cpu).expect("small");
        state.insert("conv1.bn.bias".to_owned(), bias);
        safetensors::serialize_to_file(state, None, &dir.join(TENSORS_FILE)).expect("writable");
    };
    check_refused(
        whole,
        TENSORS_FILE,
        &["conv1.bn.bias is of type I64, expected F32"],
    );
}
