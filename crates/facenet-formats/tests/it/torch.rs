//! State dictionaries that torch wrote, that this crate wrote, and that were damaged.

use facenet_formats::{Element, StateDict, Tensor, write_state_dict};
use proptest::prelude::*;

const MATRIX: Tensor<'_> = Tensor {
    name: "conv.weight",
    shape: &[2, 3],
    values: &[1.0, -2.0, 3.0, 0.5, 0.25, 7.0],
};
const SINGLE: Tensor<'_> = Tensor {
    name: "prelu.weight",
    shape: &[],
    values: &[0.25],
};

fn written() -> Vec<u8> {
    write_state_dict(&[MATRIX, SINGLE], Some("{}\u{e9}")).expect("short")
}

/// A tensor's name, shape, and values where they are f32.
type Read = (String, Vec<u64>, Option<Vec<f32>>);

/// The tensors of a file.
fn read(bytes: &[u8]) -> Option<Vec<Read>> {
    let state = StateDict::parse(bytes).ok()?;
    let tensors = state.tensors().iter().map(|(name, array)| {
        let values = array.to_f32(name).ok();
        ((*name).to_owned(), array.shape.clone(), values)
    });
    Some(tensors.collect())
}

/// A pickle of the older form's file, by hand: what `torch.save(state,
/// _use_new_zipfile_serialization=False)` of PyTorch 2.15 writes for one tensor `w` of [1, 2], but
/// for the memo and the sizes of C's types.
fn older() -> Vec<u8> {
    [
        &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."[..],
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}(X\x0d\0\0\0little_endian\x88u.",
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n",
        b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x007X\x03\0\0\0cpuK\x02NtQ",
        b"K\0K\x01K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtRs.",
        b"\x80\x02]X\x01\0\0\x007a.",
        &2u64.to_le_bytes(),
        &1f32.to_le_bytes(),
        &(-1f32).to_le_bytes(),
    ]
    .concat()
}

#[test]
fn what_was_written_is_read() {
    let expected = [MATRIX, SINGLE].map(|tensor| {
        let shape = tensor.shape.iter().map(|&axis| axis as u64).collect();
        (tensor.name.to_owned(), shape, Some(tensor.values.to_vec()))
    });
    assert_eq!(read(&written()), Some(expected.to_vec()));
    assert_eq!(StateDict::note(&written()), Some("{}\u{e9}".as_bytes()));
    let silent = write_state_dict(&[MATRIX], None).expect("short");
    for other in [silent, older(), [b"x", &written()[..]].concat()] {
        assert_eq!(StateDict::note(&other), None);
    }
    assert!(StateDict::is_one(&written()) && !StateDict::is_one(b"\x80\x02}."));
}

#[test]
fn the_older_form_is_read_and_none_that_is_cut() {
    let bytes = older();
    assert!(StateDict::is_one(&bytes));
    let expected = ("w".to_owned(), vec![1, 2], Some(vec![1.0, -1.0]));
    assert_eq!(read(&bytes), Some(vec![expected]));
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]), None, "{length}");
    }
}

/// The older form with `from` replaced by `to`, of the same length.
#[track_caller]
fn check_refused(from: &[u8], to: &[u8], expected: &str) {
    let mut bytes = older();
    let found = bytes.windows(from.len()).position(|part| part == from);
    let at = found.expect("it is there");
    bytes[at..at + from.len()].copy_from_slice(to);
    let message = StateDict::parse(&bytes).expect_err("refused").to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn tensors_that_lie_are_refused() {
    let shape = b"K\0K\x01K\x02\x86K\x02K\x01\x86";
    let wider = b"K\0K\x01K\x03\x86K\x03K\x01\x86";
    check_refused(
        shape,
        wider,
        "w: found shape [1, 3] from value 0 of 8 bytes",
    );
    let later = b"K\x01K\x01K\x02\x86K\x02K\x01\x86";
    check_refused(shape, later, "from value 1 of 8 bytes");
    let turned = b"K\0K\x01K\x02\x86K\x01K\x02\x86";
    check_refused(shape, turned, "strides [1, 2] for shape [1, 2]");
    check_refused(b"cpuK\x02N", b"cpuK\x03N", "no storage of 3 values");
    check_refused(b"\x07\0\0\0storage", b"\x07\0\0\0Storage", "storages only");
    check_refused(b"little_endian\x88", b"little_endian\x89", "expected true");
    check_refused(b"M\xe9\x03.", b"M\xe8\x03.", "a file of torch.save");
    check_refused(
        b"collections\nOrderedDict",
        b"collections\nDefaultDict",
        "DefaultDict",
    );
}

#[test]
fn a_value_of_another_type_is_known_by_it() {
    let mut bytes = older();
    let at = bytes
        .windows(5)
        .position(|part| part == b"Float")
        .expect("there");
    // Two values of 4 bytes, as before.
    bytes.splice(at..at + 5, *b"Int");
    let state = StateDict::parse(&bytes).expect("two whole numbers");
    assert_eq!(state.tensors()["w"].element, Element::I32);
    let message = state.tensors()["w"]
        .to_f32("w")
        .expect_err("no numbers of ours");
    assert_eq!(
        message.to_string(),
        "w: found values of type I32, expected float32"
    );
}

proptest! {
    #[test]
    fn a_damaged_file_is_read_or_refused_within_bounds(
        is_older: bool,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = if is_older { older() } else { written() };
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for (_, _, values) in read(&bytes).unwrap_or_default() {
            prop_assert!(4 * values.unwrap_or_default().len() <= bytes.len());
        }
    }
}
