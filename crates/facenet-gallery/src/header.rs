//! The fixed beginning of a gallery's file: what follows, and how long it is.

/// The format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Values an embedding may have: far above any model's, and small enough for lengths to add up.
pub const MAX_DIM: usize = 1 << 16;

/// How a gallery begins. The line's end shows a copy that turned line ends.
pub(crate) const MAGIC: [u8; 8] = *b"FACEGAL\n";

/// Bytes of the header: a multiple of 4, so that the rows after it are aligned.
pub(crate) const HEADER: usize = 80;

/// Bytes of the SHA-256 at the end.
pub(crate) const CHECKSUM: usize = 32;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) dim: u32,
    pub(crate) n_templates: u64,
    pub(crate) n_identities: u64,
    /// Bytes of all names with their lengths.
    pub(crate) names: u64,
    /// Bytes of the recipe.
    pub(crate) recipe: u64,
    pub(crate) model: [u8; 32],
}

/// Why a header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Magic,
    Version(u32),
    Dim(u32),
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            let (place, after) = std::mem::take(&mut rest).split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = after;
        };
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&self.dim.to_le_bytes());
        put(&self.n_templates.to_le_bytes());
        put(&self.n_identities.to_le_bytes());
        put(&self.names.to_le_bytes());
        put(&self.recipe.to_le_bytes());
        put(&self.model);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Result<Self, Fault> {
        if bytes[..8] != MAGIC {
            return Err(Fault::Magic);
        }
        let version = u32::from_le_bytes(field(bytes, 8));
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let dim = u32::from_le_bytes(field(bytes, 12));
        if dim == 0 || dim as usize > MAX_DIM {
            return Err(Fault::Dim(dim));
        }
        let long = |at| u64::from_le_bytes(field(bytes, at));
        Ok(Self {
            dim,
            n_templates: long(16),
            n_identities: long(24),
            names: long(32),
            recipe: long(40),
            model: field(bytes, 48),
        })
    }

    /// Bytes of the whole file: in 128 bits no header overflows it.
    pub(crate) fn file_len(&self) -> u128 {
        let row = 4 * u128::from(self.dim) + 4;
        let texts = u128::from(self.names) + u128::from(self.recipe);
        (HEADER + CHECKSUM) as u128 + u128::from(self.n_templates) * row + texts
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Header = Header {
        dim: 128,
        n_templates: 3,
        n_identities: 2,
        names: 17,
        recipe: 5,
        model: [7; 32],
    };

    #[test]
    fn a_header_is_read_as_it_was_written() {
        assert_eq!(Header::parse(&SOME.to_bytes()), Ok(SOME));
        // 80 + 3 (512 + 4) + 17 + 5 + 32.
        assert_eq!(SOME.file_len(), 1682);
        assert!(HEADER.is_multiple_of(4));
    }

    #[test]
    fn faults_are_told_apart() {
        let with = |at: usize, byte: u8| {
            let mut bytes = SOME.to_bytes();
            bytes[at] = byte;
            Header::parse(&bytes)
        };
        assert_eq!(with(7, b'\r'), Err(Fault::Magic));
        assert_eq!(with(8, 2), Err(Fault::Version(2)));
        assert_eq!(with(12, 0), Err(Fault::Dim(0)));
        assert_eq!(with(15, 1), Err(Fault::Dim((1 << 24) + 128)));
    }

    #[test]
    fn no_lying_length_overflows() {
        let all = Header {
            dim: MAX_DIM as u32,
            n_templates: u64::MAX,
            n_identities: u64::MAX,
            names: u64::MAX,
            recipe: u64::MAX,
            model: [0; 32],
        };
        assert!(all.file_len() > u128::from(u64::MAX));
    }
}
