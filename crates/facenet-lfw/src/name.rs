use std::fmt;
use std::path::{Component, Path};

/// Which image of a person: the last part of an image's name in a pairs file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageKey {
    /// LFW's form: image `n` of `name` is the file `name/name_%04d` with some extension.
    Number(u32),
    /// This project's extension for other folders: the file's own name with its extension.
    File(String),
}

impl ImageKey {
    /// Reads a column: digits are a number, anything else must be a file name.
    ///
    /// A file name is one path component whose extension is 1 to 5 ASCII letters and
    /// digits, at least one of them a letter; so `one`, `-13` and `1.5` are nothing.
    pub(crate) fn parse(field: &str) -> Option<Self> {
        if field.bytes().all(|b| b.is_ascii_digit()) {
            return field.parse().ok().map(Self::Number);
        }
        is_file_name(field).then(|| Self::File(field.to_owned()))
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::File(file) => f.write_str(file),
        }
    }
}

/// One image as a pairs file names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The person: the name of a folder directly below the root.
    pub name: String,
    /// The image among the person's.
    pub image: ImageKey,
}

impl ImageName {
    /// The path below the root, with `/`; without extension where the image is a number.
    ///
    /// ```
    /// use facenet_lfw::{ImageKey, ImageName};
    /// let image = ImageName { name: "Ann".into(), image: ImageKey::Number(7) };
    /// assert_eq!(image.stem(), "Ann/Ann_0007");
    /// ```
    pub fn stem(&self) -> String {
        let Self { name, image } = self;
        match image {
            ImageKey::Number(number) => format!("{name}/{name}_{number:04}"),
            ImageKey::File(file) => format!("{name}/{file}"),
        }
    }
}

/// Whether `name` is one path component that a line of a pairs file can hold.
pub(crate) fn is_component(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_one = matches!(components.next(), Some(Component::Normal(part)) if part == name);
    let is_line = !name.contains(['\\', '/']) && !name.contains(char::is_control);
    is_one && components.next().is_none() && is_line && name.trim() == name
}

pub(crate) fn is_file_name(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let is_extension = (1..=5).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_alphanumeric())
        && extension.bytes().any(|b| b.is_ascii_alphabetic());
    !stem.is_empty() && is_extension && is_component(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, expected: Option<&ImageKey>) {
        assert_eq!(ImageKey::parse(field).as_ref(), expected, "{field:?}");
    }

    #[test]
    fn digits_are_a_number_and_names_need_an_extension() {
        check("7", Some(&ImageKey::Number(7)));
        check("0007", Some(&ImageKey::Number(7)));
        check("1.pgm", Some(&ImageKey::File("1.pgm".into())));
        for nothing in [
            "",
            "one",
            "-13",
            "1.5",
            "+1",
            "99999999999",
            ".jpg",
            "a.b c",
            "../a.jpg",
        ] {
            check(nothing, None);
        }
    }

    #[test]
    fn names_that_climb_are_no_component() {
        for bad in [
            "", ".", "..", "/etc", "a/b", "a/", "..\\x", "a\u{0}", "a\tb", " a", "a ",
        ] {
            assert!(!is_component(bad), "{bad:?}");
        }
        for good in ["Ann_B", "-rf", "王 小明", "it's, \"so\""] {
            assert!(is_component(good), "{good:?}");
        }
    }
}
