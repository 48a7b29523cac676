//! Checkpoints as properties: round trip, and damage at any byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use facenet_train::Checkpoint;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn arb_tensors() -> impl Strategy<Value = BTreeMap<String, Tensor>> {
    let tensor = vec(any::<u32>(), 0..6).prop_map(|bits| {
        let values: Vec<_> = bits.into_iter().map(f32::from_bits).collect();
        Tensor::from_slice(&values, values.len(), &Device::Cpu).expect("numbers on the CPU")
    });
    btree_map("[a-z0-9._/é]{1,12}", tensor, 0..4)
}

fn arb_checkpoint() -> impl Strategy<Value = Checkpoint<Value>> {
    let optional = || prop::option::of(arb_tensors());
    let optional = (optional(), optional());
    (
        arb_tensors(),
        optional,
        arb_tensors(),
        any::<u64>(),
        ".{0,8}",
    )
        .prop_map(|(model, (ema, head), optimizer, step, note)| {
            let progress = json!({ "step": step, "note": note, "pending": [[1, 2], [3, 4]] });
            Checkpoint {
                model,
                ema,
                head,
                optimizer,
                progress,
            }
        })
}

fn bits(tensors: &BTreeMap<String, Tensor>) -> Vec<(String, Vec<u32>)> {
    let values = |tensor: &Tensor| tensor.to_vec1::<f32>().expect("one dimension of f32");
    let bits = |tensor| values(tensor).into_iter().map(f32::to_bits).collect();
    tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), bits(tensor)))
        .collect()
}

fn members(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a checkpoint").map(|entry| {
        let entry = entry.expect("readable");
        let contents = fs::read(entry.path()).expect("readable");
        (entry.file_name().to_string_lossy().into_owned(), contents)
    });
    entries.collect()
}

fn load(folder: &Path) -> Result<Checkpoint<Value>, facenet_train::TrainError> {
    Checkpoint::load(folder, &Device::Cpu)
}

/// White space of JSON: a form feed, which Rust counts too, is none.
fn is_json_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_checkpoint_comes_back_and_its_bytes_are_a_function_of_it(saved in arb_checkpoint()) {
        let run = tempfile::tempdir()?;
        let path = saved.save(run.path(), 1, &[("config.json", b"{}")])?;
        let loaded = load(&path)?;
        prop_assert_eq!(bits(&saved.model), bits(&loaded.model));
        prop_assert_eq!(saved.ema.as_ref().map(bits), loaded.ema.as_ref().map(bits));
        prop_assert_eq!(saved.head.as_ref().map(bits), loaded.head.as_ref().map(bits));
        prop_assert_eq!(bits(&saved.optimizer), bits(&loaded.optimizer));
        prop_assert_eq!(&saved.progress, &loaded.progress);
        let again = loaded.save(run.path(), 2, &[("config.json", b"{}")])?;
        prop_assert_eq!(members(&path), members(&again));
    }

    #[test]
    fn a_member_cut_or_changed_at_any_byte_is_an_error(
        saved in arb_checkpoint(),
        member in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let run = tempfile::tempdir()?;
        let path = saved.save(run.path(), 1, &[("README.md", b"card")])?;
        let members = members(&path);
        let (name, good) = members.iter().nth(member.index(members.len())).expect("one of them");
        let at = at.index(good.len());

        fs::write(path.join(name), &good[..at])?;
        let error = load(&path).expect_err("cut");
        prop_assert!(error.to_string().contains(name.as_str()), "{} cut at {}: {}", name, at, error);

        let mut changed = good.clone();
        changed[at] ^= flip;
        fs::write(path.join(name), &changed)?;
        // White space of the manifest may become other white space; nothing else may change.
        let is_harmless = is_json_space(good[at]) && is_json_space(changed[at]);
        prop_assert_eq!(load(&path).is_ok(), is_harmless && name == "manifest.json");
    }
}
