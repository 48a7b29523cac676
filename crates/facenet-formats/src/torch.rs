//! State dictionaries as `torch.save` writes them: an archive of storages beside a pickle, or,
//! before PyTorch 1.6, pickles with the storages behind them.

use std::collections::BTreeMap;

use crate::error::FormatError;
use crate::pickle::{Id, Object, Pickle};
use crate::tensor::{Array, Element, MAX_RANK};
use crate::zip::Zip;

/// `torch.serialization.MAGIC_NUMBER` of the older form, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// `torch.serialization.PROTOCOL_VERSION` of the older form.
const PROTOCOL: i64 = 1001;

/// Name of a note of ours in a file for other frameworks: on the network's input.
pub const NOTE: &str = "facenet.input";

/// The tensors of a state dictionary by name, where they lie in the file.
#[derive(Clone, Debug)]
pub struct StateDict<'a> {
    tensors: BTreeMap<&'a str, Array<'a>>,
}

impl<'a> StateDict<'a> {
    /// Whether bytes begin as either form does.
    pub fn is_one(bytes: &[u8]) -> bool {
        // The older form begins with a pickle of its number: protocol 2, a long number of ten bytes.
        Zip::is_one(bytes) || bytes.get(4..14) == Some(&MAGIC)
    }

    /// Finds the tensors of a state dictionary. Nothing of the file is executed.
    ///
    /// # Errors
    /// [`FormatError`] for what is no such file, asks for anything but tensors, or has tensors
    /// that do not lie in one piece within their storage.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        if Zip::is_one(bytes) {
            Self::of_archive(bytes)
        } else {
            Self::of_pickles(bytes)
        }
    }

    /// Names and tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<&'a str, Array<'a>> {
        &self.tensors
    }

    /// The note that [`write_state_dict`](crate::write_state_dict) put beside the tensors: any bytes,
    /// of a file of somebody else's. `None` where there is none, or no archive.
    pub fn note(bytes: &'a [u8]) -> Option<&'a [u8]> {
        let zip = Zip::is_one(bytes).then(|| Zip::parse(bytes).ok())??;
        let (folder, _) = pickle(&zip)?;
        zip.get(&format!("{folder}{NOTE}"))
    }

    fn of_archive(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let zip = Zip::parse(bytes)?;
        let lacks =
            |what: &str| FormatError::contradiction(what, "no such file", "one in the archive");
        let (folder, pickle) = pickle(&zip).ok_or_else(|| lacks("data.pkl"))?;
        let order = zip.get(&format!("{folder}byteorder"));
        if order.is_some_and(|order| order != b"little") {
            return Err(FormatError::contradiction("byteorder", "another", "little"));
        }
        let pickle = Pickle::parse(pickle, 0)?;
        let mut storages = BTreeMap::new();
        for storage in outside(&pickle)? {
            let name = format!("{folder}data/{}", storage.key);
            let file = zip.get(&name).ok_or_else(|| lacks(&name))?;
            storages.insert(storage.key, file);
        }
        Self::of(&pickle, &storages)
    }

    fn of_pickles(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut at = 0;
        let mut next = || {
            let pickle = Pickle::parse(&bytes[at..], at)?;
            at += pickle.length;
            Ok(pickle)
        };
        let head = [next()?, next()?];
        let is_torch = matches!(
            head.each_ref().map(Pickle::root),
            [Object::Long(magic), Object::Int(PROTOCOL)] if *magic == MAGIC
        );
        if !is_torch {
            return Err(FormatError::bytes(
                0,
                "another pickle",
                "a file of torch.save",
            ));
        }
        let system = next()?;
        if is_big_endian(&system) {
            return Err(FormatError::contradiction("little_endian", "false", "true"));
        }
        let (pickle, keys) = (next()?, next()?);
        let storages = storages_behind(bytes, at, &outside(&pickle)?, &keys)?;
        Self::of(&pickle, &storages)
    }

    fn of(
        pickle: &Pickle<'a>,
        storages: &BTreeMap<&'a str, &'a [u8]>,
    ) -> Result<Self, FormatError> {
        let Object::Dict(pairs) = pickle.root() else {
            return Err(FormatError::bytes(
                0,
                "another object",
                "a state dictionary",
            ));
        };
        let mut tensors = BTreeMap::new();
        for &(key, value) in pairs {
            let &Object::Text(name) = pickle.get(key) else {
                return Err(FormatError::bytes(
                    0,
                    "a key that is no text",
                    "a tensor's name",
                ));
            };
            let array = array(pickle, value, storages)
                .map_err(|(found, expected)| FormatError::contradiction(name, found, expected))?;
            if tensors.insert(name, array).is_some() {
                return Err(FormatError::contradiction(name, "two tensors", "one"));
            }
        }
        Ok(Self { tensors })
    }
}

/// An archive's pickle, and the folder that it is in.
fn pickle<'a>(zip: &Zip<'a>) -> Option<(&'a str, &'a [u8])> {
    zip.files()
        .filter_map(|(name, file)| Some((name.strip_suffix("data.pkl")?, file)))
        .last()
}

fn is_big_endian(system: &Pickle<'_>) -> bool {
    let Object::Dict(pairs) = system.root() else {
        return false;
    };
    pairs.iter().any(|&(key, value)| {
        *system.get(key) == Object::Text("little_endian")
            && *system.get(value) == Object::Bool(false)
    })
}

/// A storage as a pickle describes it.
struct Storage<'a> {
    key: &'a str,
    kind: &'a str,
    /// How many values it has.
    count: u64,
}

/// The description behind an [`Object::Outside`]: `('storage', class, key, device, count, ...)`.
fn storage<'a>(pickle: &Pickle<'a>, description: Id) -> Option<Storage<'a>> {
    let Object::Tuple(parts) = pickle.get(description) else {
        return None;
    };
    let &[word, class, key, _, count, ..] = parts.as_slice() else {
        return None;
    };
    match [word, class, key, count].map(|id| pickle.get(id)) {
        [
            Object::Text("storage"),
            &Object::Global(_, kind),
            &Object::Text(key),
            &Object::Int(count),
        ] => Some(Storage {
            key,
            kind,
            count: count.try_into().ok()?,
        }),
        _ => None,
    }
}

/// Every storage that a pickle asks for.
fn outside<'a>(pickle: &Pickle<'a>) -> Result<Vec<Storage<'a>>, FormatError> {
    let all = pickle.objects().iter().filter_map(|object| match object {
        Object::Outside(description) => Some(storage(pickle, *description)),
        _ => None,
    });
    let all: Option<Vec<_>> = all.collect();
    all.ok_or_else(|| FormatError::bytes(0, "something outside the pickle", "storages only"))
}

/// The storages that stand behind the pickles of the older form: each its count, then its values.
fn storages_behind<'a>(
    bytes: &'a [u8],
    mut at: usize,
    known: &[Storage<'a>],
    keys: &Pickle<'a>,
) -> Result<BTreeMap<&'a str, &'a [u8]>, FormatError> {
    let known: BTreeMap<_, _> = known.iter().map(|storage| (storage.key, storage)).collect();
    let Object::List(keys_of) = keys.root() else {
        return Err(FormatError::bytes(at, "no list of storages", "one"));
    };
    let mut storages = BTreeMap::new();
    for &key in keys_of {
        let storage = match keys.get(key) {
            Object::Text(key) => known.get(key),
            _ => None,
        };
        let Some(storage) = storage else {
            return Err(FormatError::bytes(
                at,
                "a storage of no tensor",
                "storages of tensors",
            ));
        };
        let length = (storage.count as usize).checked_mul(element(storage.kind).1);
        let end = length.and_then(|length| length.checked_add(at + COUNT_BYTES));
        let values = end.and_then(|end| bytes.get(at + COUNT_BYTES..end));
        let count = bytes.get(at..at + COUNT_BYTES);
        let (Some(values), true) = (values, count == Some(&storage.count.to_le_bytes())) else {
            let found = format!("no storage of {} values", storage.count);
            return Err(FormatError::bytes(at, found, "that of the pickle"));
        };
        storages.insert(storage.key, values);
        at += COUNT_BYTES + values.len();
    }
    Ok(storages)
}

/// Bytes of a storage's count in the older form.
const COUNT_BYTES: usize = 8;

/// What a class of storages holds, and the bytes of a value.
fn element(class: &str) -> (Element, usize) {
    match class {
        "FloatStorage" => (Element::F32, 4),
        "DoubleStorage" => (Element::F64, 8),
        "HalfStorage" => (Element::F16, 2),
        "BFloat16Storage" => (Element::Bf16, 2),
        "LongStorage" => (Element::I64, 8),
        "IntStorage" => (Element::I32, 4),
        // One of the types that no embedder has: its tensors are refused by what they are.
        _ => (Element::Other(0), 1),
    }
}

/// A tensor, or what is wrong with it and what would do.
fn array<'a>(
    pickle: &Pickle<'a>,
    id: Id,
    storages: &BTreeMap<&'a str, &'a [u8]>,
) -> Result<Array<'a>, (String, &'static str)> {
    let no_tensor = || ("no tensor".to_owned(), "a tensor");
    let &Object::Tensor([outside, offset, shape, strides]) = pickle.get(id) else {
        return Err(no_tensor());
    };
    let (&Object::Outside(description), &Object::Int(offset)) =
        (pickle.get(outside), pickle.get(offset))
    else {
        return Err(no_tensor());
    };
    let storage = storage(pickle, description).ok_or_else(no_tensor)?;
    let shape = whole_numbers(pickle, shape).ok_or_else(no_tensor)?;
    let strides = whole_numbers(pickle, strides).ok_or_else(no_tensor)?;
    if !is_one_piece(&shape, &strides) {
        let found = format!("strides {strides:?} for shape {shape:?}");
        return Err((found, "a contiguous tensor"));
    }
    let (element, width) = element(storage.kind);
    let bytes = storages.get(storage.key).copied().unwrap_or_default();
    let values = slice(bytes, offset, &shape, width).ok_or_else(|| {
        let found = format!(
            "shape {shape:?} from value {offset} of {} bytes",
            bytes.len()
        );
        (found, "a tensor within its storage")
    })?;
    Ok(Array::new(element, shape, values))
}

fn whole_numbers(pickle: &Pickle<'_>, id: Id) -> Option<Vec<u64>> {
    let Object::Tuple(items) = pickle.get(id) else {
        return None;
    };
    let number = |&id: &Id| match *pickle.get(id) {
        Object::Int(number) => u64::try_from(number).ok(),
        _ => None,
    };
    let is_short = items.len() <= MAX_RANK;
    is_short.then(|| items.iter().map(number).collect())?
}

/// Whether values follow one another row-major; an axis of one value has any stride.
fn is_one_piece(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = 1u64;
    let axes = shape.iter().zip(strides).rev();
    shape.len() == strides.len()
        && axes.into_iter().all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected = expected.saturating_mul(length.max(1));
            fits
        })
}

fn slice<'a>(bytes: &'a [u8], offset: i64, shape: &[u64], width: usize) -> Option<&'a [u8]> {
    let count = shape
        .iter()
        .try_fold(1u64, |n, &axis| n.checked_mul(axis))?;
    let start = usize::try_from(offset).ok()?.checked_mul(width)?;
    let length = usize::try_from(count).ok()?.checked_mul(width)?;
    bytes.get(start..start.checked_add(length)?)
}
