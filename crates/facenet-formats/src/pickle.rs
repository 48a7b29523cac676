//! Python's pickles as far as dictionaries of tensors need them: nothing is called.
//!
//! The opcodes are those of `CPython`'s `Lib/pickletools.py`, protocols 2 to 5. A pickle is a program
//! for a machine with a stack; this one knows the objects that `torch.save` writes a state
//! dictionary with, and refuses all others by name.

use std::collections::HashMap;

use crate::error::FormatError;

/// An object, as its place among all.
pub(crate) type Id = usize;

/// What a pickle can hold here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object<'a> {
    /// `None`, and what is of no use here.
    Nothing,
    Bool(bool),
    Int(i64),
    /// A whole number of more than 64 bits, or of any length: two's complement, little-endian.
    Long(&'a [u8]),
    Text(&'a str),
    /// Module and name of a class or function.
    Global(&'a str, &'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A storage outside: what describes it.
    Outside(Id),
    /// Storage, offset, shape and strides of a tensor.
    Tensor([Id; 4]),
    /// Where a collection's items begin on the stack.
    Mark,
}

/// A pickle that was read.
#[derive(Clone, Debug)]
pub(crate) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
    /// Bytes that it takes.
    pub(crate) length: usize,
}

/// Modules and names of what may be asked for: see [`called`].
const GLOBALS: [(&str, &str); 4] = [
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
];

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with.
    ///
    /// - `at`: where in the file `bytes` begin, for errors
    pub(crate) fn parse(bytes: &'a [u8], at: usize) -> Result<Self, FormatError> {
        let mut machine = Machine {
            bytes,
            offset: at,
            at: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            memo: HashMap::new(),
            pushed: 0,
        };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self {
            objects: machine.objects,
            root,
            length: machine.at,
        })
    }

    /// The object that it stands for.
    pub(crate) fn root(&self) -> &Object<'a> {
        self.get(self.root)
    }

    /// All objects, whether the root holds them or not.
    pub(crate) fn objects(&self) -> &[Object<'a>] {
        &self.objects
    }

    pub(crate) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id]
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    offset: usize,
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    memo: HashMap<u32, Id>,
    /// How often something was put on the stack: an object, or a known one once more.
    pushed: usize,
}

impl<'a> Machine<'a> {
    /// Executes an opcode; false after the last.
    fn step(&mut self) -> Result<bool, FormatError> {
        let [opcode] = self.fixed()?;
        match opcode {
            b'.' => return Ok(false),
            // PROTO and FRAME say nothing that is needed.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.push(Object::Mark)?,
            b'N' => self.push(Object::Nothing)?,
            0x88 | 0x89 => self.push(Object::Bool(opcode == 0x88))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b']' => self.push(Object::List(Vec::new()))?,
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b'0' => drop(self.pop()?),
            b'K' | b'M' | b'J' | 0x8a => self.number(opcode)?,
            b'X' | 0x8c | b'U' | b'T' => self.text(opcode)?,
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(opcode)?,
            b't' | 0x85..=0x87 => self.tuple(opcode)?,
            b's' | b'u' | b'a' | b'e' => self.put_items(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'Q' => {
                let description = self.pop()?;
                self.push(Object::Outside(description))?;
            }
            b'R' => self.call()?,
            b'b' => self.set_state()?,
            other => {
                let found = format!("opcode {other:#04x}");
                return Err(self.wrong(found, "a dictionary of tensors"));
            }
        }
        Ok(true)
    }

    fn number(&mut self, opcode: u8) -> Result<(), FormatError> {
        let number = match opcode {
            b'K' => i64::from(u8::from_le_bytes(self.fixed()?)),
            b'M' => i64::from(u16::from_le_bytes(self.fixed()?)),
            b'J' => i64::from(i32::from_le_bytes(self.fixed()?)),
            _ => {
                let [length] = self.fixed()?;
                let digits = self.take(usize::from(length))?;
                return self.push(long(digits));
            }
        };
        self.push(Object::Int(number))
    }

    fn text(&mut self, opcode: u8) -> Result<(), FormatError> {
        let length = match opcode {
            b'X' | b'T' => u32::from_le_bytes(self.fixed()?) as usize,
            _ => usize::from(u8::from_le_bytes(self.fixed()?)),
        };
        let bytes = self.take(length)?;
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(self.wrong("text that is no UTF-8", "text that is"));
        };
        self.push(Object::Text(text))
    }

    /// Puts the top of the stack into the memo, or an object of the memo on the stack.
    fn remember(&mut self, opcode: u8) -> Result<(), FormatError> {
        let key = match opcode {
            b'q' | b'h' => u32::from(u8::from_le_bytes(self.fixed()?)),
            b'r' | b'j' => u32::from_le_bytes(self.fixed()?),
            _ => self.memo.len() as u32,
        };
        if matches!(opcode, b'h' | b'j') {
            let Some(&id) = self.memo.get(&key) else {
                return Err(self.wrong(format!("memo {key}"), "one that was written"));
            };
            return self.put(id);
        }
        let Some(&top) = self.stack.last() else {
            return Err(self.wrong("an empty stack", "an object"));
        };
        self.memo.insert(key, top);
        bounded(self.memo.len())
    }

    fn tuple(&mut self, opcode: u8) -> Result<(), FormatError> {
        let items = if opcode == b't' {
            self.since_mark()?
        } else {
            let mut items = (0x84..opcode)
                .map(|_| self.pop())
                .collect::<Result<Vec<_>, _>>()?;
            items.reverse();
            items
        };
        self.push(Object::Tuple(items))
    }

    /// Moves items from the stack into the list or dictionary below them.
    fn put_items(&mut self, opcode: u8) -> Result<(), FormatError> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.since_mark()?,
        };
        let Some(&top) = self.stack.last() else {
            return Err(self.wrong("an empty stack", "a collection"));
        };
        match &mut self.objects[top] {
            Object::List(list) if matches!(opcode, b'a' | b'e') => list.extend(items),
            Object::Dict(pairs) if matches!(opcode, b's' | b'u') && items.len() % 2 == 0 => {
                pairs.extend(items.as_chunks().0.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err(self.wrong("items of nothing", "those of a list or dictionary")),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), FormatError> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.objects[module], &self.objects[name]) {
                (&Object::Text(module), &Object::Text(name)) => (module, name),
                _ => return Err(self.wrong("a class without a name", "one with a name")),
            }
        };
        let is_storage = module == "torch" && name.ends_with("Storage");
        if !is_storage && !GLOBALS.contains(&(module, name)) {
            let found = format!("{}.{}", module.escape_debug(), name.escape_debug());
            return Err(self.wrong(found, "tensors and dictionaries only"));
        }
        self.push(Object::Global(module, name))
    }

    fn call(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let made = match (&self.objects[function], &self.objects[arguments]) {
            (&Object::Global(_, name), Object::Tuple(arguments)) => {
                called(name, arguments, &self.objects)
            }
            _ => None,
        };
        match made {
            Some(Made::New(object)) => self.push(object),
            Some(Made::Known(id)) => self.put(id),
            None => Err(self.wrong("a call of another kind", "that of a tensor or dictionary")),
        }
    }

    /// A dictionary's attributes, such as the versions of its modules, are of no use here.
    fn set_state(&mut self) -> Result<(), FormatError> {
        self.pop()?;
        match self.stack.last().map(|&top| &self.objects[top]) {
            Some(Object::Dict(_)) => Ok(()),
            _ => Err(self.wrong("a state of another object", "that of a dictionary")),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, FormatError> {
        let is_mark = |&id: &Id| self.objects[id] == Object::Mark;
        let Some(mark) = self.stack.iter().rposition(is_mark) else {
            return Err(self.wrong("no mark", "one before the items"));
        };
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), FormatError> {
        self.put(self.objects.len())?;
        self.objects.push(object);
        Ok(())
    }

    /// Puts an object's place on the stack. What collections hold was on it too, so this bounds
    /// objects, stack and items at once.
    fn put(&mut self, id: Id) -> Result<(), FormatError> {
        self.pushed += 1;
        bounded(self.pushed)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, FormatError> {
        self.stack
            .pop()
            .ok_or_else(|| self.wrong("an empty stack", "an object"))
    }

    fn line(&mut self) -> Result<&'a str, FormatError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().take(MAX_LINE).position(|&byte| byte == b'\n');
        let line = match end {
            Some(end) => &self.take(end + 1)?[..end],
            None => return Err(self.wrong("a line that does not end", "a name")),
        };
        std::str::from_utf8(line).map_err(|_| self.wrong("a name that is no UTF-8", "one that is"))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut value = [0; N];
        value.copy_from_slice(self.take(N)?);
        Ok(value)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(length);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let found = format!("{} bytes", self.bytes.len() - self.at);
            return Err(self.wrong(found, &length.to_string()));
        };
        self.at += length;
        Ok(taken)
    }

    fn wrong(&self, found: impl Into<String>, expected: &str) -> FormatError {
        FormatError::bytes(self.offset + self.at, found, expected)
    }
}

/// Longest name of a module, in bytes.
const MAX_LINE: usize = 256;
/// Most objects of a pickle: `torch.save` puts some 25 on the stack for a tensor, and the larger
/// network has less than a thousand tensors. An object takes 40 bytes and may stand for one byte
/// of the file.
const MAX_OBJECTS: usize = 1 << 18;

/// Refuses more objects than any model has.
fn bounded(count: usize) -> Result<(), FormatError> {
    let (what, most) = ("objects in a pickle", MAX_OBJECTS);
    if count > most {
        return Err(FormatError::TooMany { what, most });
    }
    Ok(())
}

/// What a call gives.
enum Made<'a> {
    New(Object<'a>),
    Known(Id),
}

/// What a function of [`GLOBALS`] gives; `None` for arguments that it does not take.
fn called<'a>(name: &str, arguments: &[Id], objects: &[Object<'a>]) -> Option<Made<'a>> {
    match (name, arguments) {
        ("OrderedDict", []) => Some(Made::New(Object::Dict(Vec::new()))),
        // Storage, offset, shape, strides, whether it has a gradient, hooks, maybe metadata.
        ("_rebuild_tensor_v2", &[storage, offset, shape, strides, _, _, ..]) => {
            Some(Made::New(Object::Tensor([storage, offset, shape, strides])))
        }
        ("_rebuild_parameter", &[tensor, _, _]) => Some(Made::Known(tensor)),
        ("Size", &[shape]) if matches!(objects[shape], Object::Tuple(_)) => {
            Some(Made::Known(shape))
        }
        _ => None,
    }
}

/// A whole number in two's complement.
fn long(digits: &[u8]) -> Object<'_> {
    let Some(&last) = digits.last() else {
        return Object::Int(0);
    };
    if digits.len() > 8 {
        return Object::Long(digits);
    }
    let mut wide = [if last < 0x80 { 0 } else { 0xff }; 8];
    wide[..digits.len()].copy_from_slice(digits);
    Object::Int(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let message = Pickle::parse(bytes, 0).expect_err("refused").to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }

    #[test]
    fn what_python_wrote_is_read() {
        // pickle.dumps({"a": [1, -2, 300], "b": (True, None)}, protocol=2) of CPython 3.11.
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01eX\x01\x00\x00\x00bq\x03\x88N\x86q\x04u.";
        let pickle = Pickle::parse(bytes, 0).expect("a pickle");
        let Object::Dict(pairs) = pickle.root() else {
            panic!("{pickle:?}")
        };
        let of = |id: Id| pickle.get(id).clone();
        assert_eq!(of(pairs[0].0), Object::Text("a"));
        let Object::List(items) = of(pairs[0].1) else {
            panic!("{pickle:?}")
        };
        let items: Vec<_> = items.into_iter().map(of).collect();
        assert_eq!(items, [1, -2, 300].map(Object::Int));
        let Object::Tuple(items) = of(pairs[1].1) else {
            panic!("{pickle:?}")
        };
        assert_eq!(of(items[0]), Object::Bool(true));
        assert_eq!(pickle.length, bytes.len());
    }

    #[test]
    fn nothing_is_called_but_what_makes_tensors_and_dictionaries() {
        check_refused(b"cos\nsystem\n(X\x02\x00\x00\x00lstR.", "found os.system");
        check_refused(b"\x8c\x08builtins\x8c\x04eval\x93.", "found builtins.eval");
        check_refused(
            b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
            "a call of another kind",
        );
        check_refused(b"ccollections\nOrderedDict\n}R.", "a call of another kind");
        check_refused(b"(icollections\nOrderedDict\n.", "opcode 0x69");
        check_refused(b"]Nb.", "a state of another object");
    }

    #[test]
    fn what_lies_is_refused() {
        check_refused(b"", "found 0 bytes, expected 1");
        check_refused(b".", "an empty stack");
        check_refused(b"X\xff\xff\xff\xff", "found 0 bytes, expected 4294967295");
        check_refused(b"t.", "no mark");
        check_refused(b"h\x05.", "memo 5");
        check_refused(b"]K\x01K\x01s.", "items of nothing");
    }

    #[test]
    fn more_objects_than_a_model_has_are_refused() {
        let most = MAX_OBJECTS;
        // One byte an object; two an object that is known; five a place of the memo.
        let known = b"h\0".repeat(most);
        let memo: Vec<u8> = (0..=most as u32)
            .flat_map(|key| [&b"r"[..], &key.to_le_bytes()].concat())
            .collect();
        let programs = [
            b")".repeat(most + 1),
            [&b")q\0"[..], &known].concat(),
            [&b")"[..], &memo].concat(),
        ];
        for program in programs {
            check_refused(&program, "found more than 262144 objects in a pickle");
        }
        let just = [b")".repeat(most), b".".to_vec()].concat();
        let pickle = Pickle::parse(&just, 0).expect("as many as may be");
        assert_eq!(pickle.objects.len(), most);
    }

    #[test]
    fn whole_numbers_of_any_length_are_read() {
        assert_eq!(long(&[]), Object::Int(0));
        assert_eq!(long(&[0xfe]), Object::Int(-2));
        assert_eq!(long(&[0, 1]), Object::Int(256));
        assert_eq!(long(&[1; 9]), Object::Long(&[1; 9]));
    }

    proptest! {
        #[test]
        fn any_program_ends_and_makes_no_more_objects_than_it_has_bytes(
            bytes in prop::collection::vec(
                prop::sample::select(&b"(]})tNK\x01\x85\x86\x94h\x00q\x00sueaR.Q0b\x88"[..]), 0..64),
        ) {
            if let Ok(pickle) = Pickle::parse(&bytes, 0) {
                prop_assert!(pickle.objects.len() <= bytes.len());
            }
        }
    }
}
