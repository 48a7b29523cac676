//! Who is enrolled: names, their templates, and what made those.

use std::collections::{HashMap, HashSet};

use facenet_miner::{Embeddings, sq_l2};

use crate::source::abbreviated;
use crate::{Embedded, GalleryError, MAX_DIM, Source};

/// Bytes of the longest name.
pub const MAX_NAME: usize = 1024;

/// How far a squared norm may be from 1. Values rounded to bf16 are off by 2^-9 of themselves,
/// and a squared norm by 2^-8 = 0.004; a row that was never normalised is far beyond.
const UNIT_TOLERANCE: f64 = 0.01;

/// Identities, each with one or more templates: embeddings of unit norm, of one [`Source`].
///
/// Identities and templates keep the order in which they were enrolled.
#[derive(Debug, Clone, PartialEq)]
pub struct Gallery {
    source: Source,
    dim: usize,
    names: Vec<String>,
    /// Identity of each name.
    by_name: HashMap<String, u32>,
    /// Identity of each template.
    owners: Vec<u32>,
    /// `[templates, dim]`
    rows: Vec<f32>,
}

/// What enrolling did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// Templates that are new.
    pub added: usize,
    /// Templates that the identity had already, bit for bit; they are not kept twice.
    pub already: usize,
}

/// What forgetting took out.
#[derive(Debug, Clone, PartialEq)]
pub struct Forgotten {
    /// Templates that the identity had.
    pub n_templates: usize,
    /// Those of them that nobody else has, `[n, dim]`.
    pub rows: Vec<f32>,
    /// Others who have one of them, bit for bit: the same picture under another name.
    pub also_under: Vec<String>,
}

impl Gallery {
    /// A gallery of nobody, for embeddings of one source.
    ///
    /// # Errors
    /// [`GalleryError::Dim`] unless `dim` is from 1 to [`MAX_DIM`].
    pub fn new(source: Source, dim: usize) -> Result<Self, GalleryError> {
        if dim == 0 || dim > MAX_DIM {
            return Err(GalleryError::Dim { found: dim });
        }
        Ok(Self {
            source,
            dim,
            names: vec![],
            by_name: HashMap::new(),
            owners: vec![],
            rows: vec![],
        })
    }

    /// What made the templates.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Values a template.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Names of all identities, in the order of their enrolment.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of all templates.
    pub fn n_templates(&self) -> usize {
        self.owners.len()
    }

    /// Identity of each template, an index of [`Gallery::names`].
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// All templates, `[n_templates, dim]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Adds templates of an identity, new or known.
    ///
    /// - `embedded`: any number of rows; none is fine and enrols nobody
    ///
    /// # Errors
    /// [`GalleryError::Name`] for an empty name, one with control characters or longer than
    /// [`MAX_NAME`] bytes; [`GalleryError::Full`] beyond 2^32 - 2 templates; and those of
    /// [`Gallery::check`]. Nothing is enrolled then.
    pub fn enroll(&mut self, name: &str, embedded: Embedded<'_>) -> Result<Enrolled, GalleryError> {
        check_name(name)?;
        self.check(embedded)?;
        let known = self.by_name.get(name).copied();
        let mut seen = self.templates_of(known);
        let given = embedded.rows.chunks_exact(self.dim);
        let fresh: Vec<&[f32]> = given.clone().filter(|row| seen.insert(bits(row))).collect();
        if self.owners.len() + fresh.len() >= u32::MAX as usize {
            return Err(GalleryError::Full);
        }
        let enrolled = Enrolled {
            added: fresh.len(),
            already: given.len() - fresh.len(),
        };
        if !fresh.is_empty() {
            let identity = known.unwrap_or_else(|| self.add_name(name.to_owned()));
            for row in fresh {
                self.push(identity, row);
            }
        }
        Ok(enrolled)
    }

    /// Removes an identity with all its templates, and closes the gaps.
    ///
    /// # Errors
    /// [`GalleryError::Unknown`] when nobody has that name.
    pub fn forget(&mut self, name: &str) -> Result<Forgotten, GalleryError> {
        let unknown = || GalleryError::Unknown {
            name: name.to_owned(),
            n_identities: self.names.len(),
        };
        let gone = self.by_name.get(name).copied().ok_or_else(unknown)?;
        let removed = self.templates_of(Some(gone));
        let mut kept = Self::new(self.source.clone(), self.dim)?;
        for other in self.names.iter().filter(|&other| other != name) {
            kept.add_name(other.clone());
        }
        let (mut shared, mut also_under) = (HashSet::new(), vec![]);
        let all = || self.owners.iter().zip(self.rows.chunks_exact(self.dim));
        for (&owner, row) in all().filter(|&(&owner, _)| owner != gone) {
            kept.push(owner - u32::from(owner > gone), row);
            if removed.contains(&bits(row)) {
                shared.insert(bits(row));
                also_under.push(owner);
            }
        }
        let own = all().filter(|&(&owner, _)| owner == gone);
        let rows = own.clone().filter(|(_, row)| !shared.contains(&bits(row)));
        let forgotten = Forgotten {
            n_templates: own.count(),
            rows: rows.flat_map(|(_, row)| row).copied().collect(),
            also_under: self.names_of(also_under),
        };
        *self = kept;
        Ok(forgotten)
    }

    /// Whether embeddings can be compared with the templates.
    ///
    /// # Errors
    /// [`GalleryError::Model`] and [`GalleryError::Recipe`] for another source;
    /// [`GalleryError::Ragged`] unless they are whole rows; [`GalleryError::NotUnit`] unless each
    /// has a norm of 1, within what bf16 leaves of it.
    pub fn check(&self, embedded: Embedded<'_>) -> Result<(), GalleryError> {
        self.check_source(embedded.source)?;
        if !embedded.rows.len().is_multiple_of(self.dim) {
            return Err(GalleryError::Ragged {
                len: embedded.rows.len(),
                dim: self.dim,
            });
        }
        match first_not_unit(embedded.rows, self.dim) {
            Some((row, sq_norm)) => Err(GalleryError::NotUnit { row, sq_norm }),
            None => Ok(()),
        }
    }

    /// Whether embeddings of a source can be compared with the templates.
    ///
    /// # Errors
    /// [`GalleryError::Model`] and [`GalleryError::Recipe`] for another one.
    pub fn check_source(&self, source: &Source) -> Result<(), GalleryError> {
        if source.model != self.source.model {
            return Err(GalleryError::Model {
                found: abbreviated(&source.model),
                expected: abbreviated(&self.source.model),
            });
        }
        if source.recipe != self.source.recipe {
            return Err(GalleryError::Recipe {
                found: source.recipe.clone(),
                expected: self.source.recipe.clone(),
            });
        }
        Ok(())
    }

    /// The templates as rows to search.
    pub(crate) fn embeddings(&self) -> Embeddings<'_> {
        Embeddings::new(&self.rows, self.dim).expect("whole rows, fewer than 2^32 - 1")
    }

    /// Adds a name that is not there; gives its identity.
    pub(crate) fn add_name(&mut self, name: String) -> u32 {
        let identity = self.names.len() as u32;
        self.by_name.insert(name.clone(), identity);
        self.names.push(name);
        identity
    }

    /// Whether somebody has that name.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Puts whole sections in place, which the caller has checked.
    pub(crate) fn set_templates(&mut self, owners: Vec<u32>, rows: Vec<f32>) {
        (self.owners, self.rows) = (owners, rows);
    }

    fn push(&mut self, identity: u32, row: &[f32]) {
        self.owners.push(identity);
        self.rows.extend_from_slice(row);
    }

    /// Names of identities, each once, in the order of their enrolment.
    fn names_of(&self, mut identities: Vec<u32>) -> Vec<String> {
        identities.sort_unstable();
        identities.dedup();
        let name = |identity: u32| self.names[identity as usize].clone();
        identities.into_iter().map(name).collect()
    }

    /// The templates of an identity, by their bits; none of nobody.
    fn templates_of(&self, identity: Option<u32>) -> HashSet<Vec<u32>> {
        // Nobody's are found without a look: enrolling many people stays linear.
        let Some(identity) = identity else {
            return HashSet::new();
        };
        let all = self.owners.iter().zip(self.rows.chunks_exact(self.dim));
        let own = all.filter(|&(&owner, _)| owner == identity);
        own.map(|(_, row)| bits(row)).collect()
    }
}

/// Whether a name can be one: before an hour goes into embeddings for it.
///
/// # Errors
/// [`GalleryError::Name`] for an empty name, one with control characters or longer than
/// [`MAX_NAME`] bytes.
pub fn check_name(name: &str) -> Result<(), GalleryError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME {
        "it is longer than 1024 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(GalleryError::Name {
        found: name.chars().take(64).collect(),
        why,
    })
}

/// The first row whose squared norm is not 1, and that norm.
pub(crate) fn first_not_unit(rows: &[f32], dim: usize) -> Option<(usize, f64)> {
    let zeros = vec![0.0; dim];
    let norms = rows.chunks_exact(dim).map(|row| sq_l2(row, &zeros));
    let is_unit = |norm: f64| (norm - 1.0).abs() <= UNIT_TOLERANCE;
    norms.enumerate().find(|&(_, norm)| !is_unit(norm))
}

fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            model: [1; 32],
            recipe: "160 pixels".into(),
        }
    }

    /// Templates on a circle, by angle in degrees.
    fn circle(degrees: &[f32]) -> Vec<f32> {
        let point = |degrees: &f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        degrees.iter().flat_map(point).collect()
    }

    fn enroll(gallery: &mut Gallery, name: &str, degrees: &[f32]) -> [usize; 2] {
        let (source, rows) = (source(), circle(degrees));
        let embedded = Embedded {
            source: &source,
            rows: &rows,
        };
        let enrolled = gallery.enroll(name, embedded).expect("unit rows");
        [enrolled.added, enrolled.already]
    }

    fn some() -> Gallery {
        let mut gallery = Gallery::new(source(), 2).expect("two values");
        assert_eq!(enroll(&mut gallery, "Ann", &[0.0, 5.0]), [2, 0]);
        assert_eq!(enroll(&mut gallery, "Bob", &[90.0]), [1, 0]);
        assert_eq!(enroll(&mut gallery, "Cyd", &[180.0, 90.0]), [2, 0]);
        gallery
    }

    #[test]
    fn templates_are_added_bit_by_bit_and_never_twice() {
        let mut gallery = some();
        assert_eq!(enroll(&mut gallery, "Ann", &[5.0, 7.0, 7.0]), [1, 2]);
        assert_eq!(enroll(&mut gallery, "Dan", &[]), [0, 0]);
        assert_eq!(gallery.names(), ["Ann", "Bob", "Cyd"]);
        assert_eq!(gallery.owners(), [0, 0, 1, 2, 2, 0]);
        assert_eq!(gallery.rows()[10..], circle(&[7.0]));
    }

    #[test]
    fn forgetting_closes_the_gaps_and_tells_who_shares_a_template() {
        let mut gallery = some();
        let forgotten = gallery.forget("Bob").expect("enrolled");
        assert_eq!((forgotten.n_templates, forgotten.rows), (1, vec![]));
        assert_eq!(forgotten.also_under, ["Cyd"]);
        assert_eq!(gallery.names(), ["Ann", "Cyd"]);
        assert_eq!(gallery.owners(), [0, 0, 1, 1]);
        assert_eq!(gallery.rows(), circle(&[0.0, 5.0, 180.0, 90.0]));
        assert!(!gallery.has("Bob") && gallery.has("Cyd"));
        let message = gallery.forget("Bob").expect_err("gone").to_string();
        assert!(message.contains("nobody named \"Bob\""), "{message}");
        assert_eq!(enroll(&mut gallery, "Cyd", &[180.0]), [0, 1]);
        let forgotten = gallery.forget("Cyd").expect("enrolled");
        assert_eq!((forgotten.n_templates, forgotten.rows.len()), (2, 4));
        assert!(forgotten.also_under.is_empty());
    }

    #[track_caller]
    fn refused(name: &str, source: &Source, rows: &[f32], says: &str) {
        let mut gallery = some();
        let error = gallery.enroll(name, Embedded { source, rows });
        let message = error.expect_err("refused").to_string();
        assert!(message.contains(says), "{message}");
        assert_eq!(gallery, some());
    }

    #[test]
    fn what_cannot_be_compared_is_refused_and_changes_nothing() {
        let own = source();
        refused("", &own, &[], "it is empty");
        refused("a\nb", &own, &[], "control");
        refused(&"é".repeat(513), &own, &[], "longer than 1024");
        refused("Ann", &own, &[1.0, 0.0, 1.0], "3 values are not rows of 2");
        refused(
            "Ann",
            &own,
            &[1.0, 0.0, 0.9, 0.0],
            "embedding 1 has a squared norm of 0.8",
        );
        refused("Ann", &own, &[f32::NAN, 0.0], "norm of NaN");
        let other = Source {
            model: [2; 32],
            ..source()
        };
        refused(
            "Ann",
            &other,
            &[1.0, 0.0],
            "of model 020202020202, expected 010101010101",
        );
        let other = Source {
            recipe: "96 pixels".into(),
            ..source()
        };
        refused(
            "Ann",
            &other,
            &[1.0, 0.0],
            "prepared by 96 pixels, expected 160 pixels",
        );
    }

    #[test]
    fn dimensions_have_bounds() {
        for dim in [0, MAX_DIM + 1] {
            assert!(Gallery::new(source(), dim).is_err(), "{dim}");
        }
    }
}
