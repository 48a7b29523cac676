//! What a model is scored on: pairs of pictures, each picture embedded once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use facenet_dataset::{DecodeLimits, ImageId, Pictures};
use facenet_lfw::{
    DEFAULT_FOLDS, Distinct, Flip, Folds, ImageKey, ImageName, MissingPolicy, Pairs, PairsConfig,
    Person, ProtocolConfig, combine_flipped, make_pairs, resolve,
};

use crate::config::TrainConfig;
use crate::embedder::Rows;
use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::observer::{Event, Observer};
use crate::source::{FIRST_TEST_IDENTITY, Files, synthetic};
use crate::storage::{Storage, StoredScore};

/// Pairs of images on disk.
#[derive(Clone, Debug)]
pub struct PairsSource {
    /// Root of the identity folders.
    pub dir: PathBuf,
    /// Pairs file.
    pub pairs: PathBuf,
    /// Only these folds of the file, from 1.
    pub folds: Option<Vec<usize>>,
    /// Score the pairs whose images exist.
    pub allow_missing: bool,
}

/// The protocol that pairs are scored by.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Folds; `None` takes the pairs file's own, or
    /// [`DEFAULT_FOLDS`](facenet_lfw::DEFAULT_FOLDS) where it has none.
    pub nrof_folds: Option<usize>,
    /// Distance.
    pub metric: facenet_lfw::Metric,
    /// Subtract the mean of the training folds' embeddings.
    pub subtract_mean: bool,
    /// Add the mirrored image's embedding.
    pub flip: Option<Flip>,
    /// False accept rate at which the validation rate is read.
    pub far_target: f64,
    /// Forms that embeddings are stored in before they are compared, mirrored images added before;
    /// one at least.
    pub stored_as: Vec<Storage>,
}

impl Default for Protocol {
    fn default() -> Self {
        let protocol = ProtocolConfig::default();
        Self {
            nrof_folds: None,
            metric: protocol.metric,
            subtract_mean: protocol.subtract_mean,
            flip: None,
            far_target: protocol.far_target,
            stored_as: vec![Storage::F32],
        }
    }
}

impl Protocol {
    /// The leaf's configuration, with the pairs' folds.
    pub(crate) fn with_folds(&self, folds: Folds) -> ProtocolConfig {
        ProtocolConfig {
            folds,
            metric: self.metric,
            subtract_mean: self.subtract_mean,
            far_target: self.far_target,
        }
    }
}

/// Pairs, and the distinct pictures that they are made of.
pub(crate) struct ScoringSet {
    pub(crate) pictures: Arc<dyn Pictures>,
    pub(crate) ids: Vec<ImageId>,
    /// Pairs of the file that are left out for want of an image.
    pub(crate) missing: usize,
    distinct: Distinct,
    is_same: Vec<bool>,
    protocol: Protocol,
    folds: Folds,
}

impl ScoringSet {
    /// The scoring that `config` asks for: LFW, unseen synthetic identities, or none.
    ///
    /// # Errors
    /// Whatever is wrong with the pairs file, and all images that it names in vain.
    pub(crate) fn of(
        config: &TrainConfig,
        observer: &mut dyn Observer,
    ) -> Result<Option<Self>, TrainError> {
        let protocol = Protocol {
            nrof_folds: config.lfw_nrof_folds,
            ..Protocol::default()
        };
        if let Some(dir) = &config.lfw_dir {
            let source = PairsSource {
                dir: dir.clone(),
                pairs: config.lfw_pairs.clone(),
                folds: config.lfw_folds.clone(),
                allow_missing: config.allow_missing,
            };
            let limits = config.decode_limits();
            return Self::of_files(&source, protocol, limits, observer).map(Some);
        }
        if config.data_dir.is_some() || config.synthetic_test_identities == 0 {
            return Ok(None);
        }
        Self::of_synthetic(config, protocol).map(Some)
    }

    /// Pairs of images on disk.
    pub(crate) fn of_files(
        source: &PairsSource,
        protocol: Protocol,
        limits: DecodeLimits,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        check_folder(&source.dir)?;
        let pairs = selected_pairs(&source.pairs, source.folds.as_deref())?;
        let policy = if source.allow_missing {
            MissingPolicy::Allow
        } else {
            MissingPolicy::Refuse
        };
        let resolved = resolve(&source.dir, &pairs, policy)?;
        let folds = resolved.folds(&pairs, n_folds(&pairs, source, &protocol)?)?;
        warn_of_one_kind(&source.pairs, &folds, &resolved.is_same, observer)?;
        let distinct = resolved.distinct();
        let files = Files {
            paths: distinct.paths.clone(),
            limits,
        };
        Ok(Self {
            ids: files.ids(),
            pictures: Arc::new(files),
            missing: resolved.missing_pairs,
            distinct,
            is_same: resolved.is_same,
            protocol,
            folds,
        })
    }

    /// Pairs of synthetic identities that no run of this seed trains on.
    fn of_synthetic(config: &TrainConfig, protocol: Protocol) -> Result<Self, TrainError> {
        let people = synthetic(
            config,
            FIRST_TEST_IDENTITY,
            config.synthetic_test_identities,
        );
        let pairs = make_pairs(
            &synthetic_people(&people),
            &synthetic_pairs(config, &protocol),
        )?;
        let mut ids = BTreeMap::new();
        let mut index = |image: &ImageName| -> usize {
            let next = ids.len();
            *ids.entry(synthetic_id(image)).or_insert(next)
        };
        let rows: Vec<_> = pairs
            .pairs()
            .iter()
            .map(|pair| [index(&pair.a), index(&pair.b)])
            .collect();
        let mut by_row: Vec<_> = ids.into_iter().collect();
        by_row.sort_by_key(|&(_, row)| row);
        let ids: Vec<_> = by_row.into_iter().map(|(id, _)| id).collect();
        let paths = ids
            .iter()
            .map(|&id| PathBuf::from(people.name(id)))
            .collect();
        Ok(Self {
            missing: 0,
            distinct: Distinct { paths, pairs: rows },
            is_same: pairs.pairs().iter().map(|pair| pair.is_same).collect(),
            folds: Folds::Given(pairs.fold_ids(synthetic_folds(&protocol))?),
            pictures: Arc::new(people),
            ids,
            protocol,
        })
    }

    /// Scores one embedding row a picture in each form, and again with one of its mirror image
    /// where the protocol asks.
    pub(crate) fn score(
        &self,
        rows: &[f32],
        mirrored: Option<&[f32]>,
        dim: usize,
    ) -> Result<Evaluation, TrainError> {
        let mut stored = self.in_each_form(rows, dim, false)?;
        let flip = self.protocol.flip.zip(mirrored);
        if let Some((flip, mirrored)) = flip {
            let combined = combine_flipped(rows, mirrored, dim, flip)?;
            let dim = combined.len() / self.ids.len().max(1);
            stored.extend(self.in_each_form(&combined, dim, true)?);
        }
        Evaluation::new(stored, flip.is_some(), self.missing)
    }

    fn in_each_form(
        &self,
        rows: &[f32],
        dim: usize,
        is_flipped: bool,
    ) -> Result<Vec<StoredScore>, TrainError> {
        let config = self.protocol.with_folds(self.folds.clone());
        StoredScore::of_each(&self.protocol.stored_as, (rows, dim, is_flipped), |rows| {
            let interleaved = self.distinct.interleave(rows, dim)?;
            Ok(facenet_lfw::evaluate(
                &interleaved,
                dim,
                &self.is_same,
                &config,
            )?)
        })
    }

    /// Per pair, the indices of its two pictures in `ids`.
    pub(crate) fn pairs(&self) -> &[[usize; 2]] {
        &self.distinct.pairs
    }

    /// Whether a pair shows one person.
    pub(crate) fn is_same(&self, pair: usize) -> bool {
        self.is_same[pair]
    }

    /// What each picture is called, in the order of `ids`.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.distinct.paths
    }

    /// Which pair is tested in which fold.
    pub(crate) fn folds(&self) -> &Folds {
        &self.folds
    }

    /// The pairs' embeddings one after the other, two rows a pair.
    ///
    /// # Errors
    /// [`TrainError::Lfw`] unless there is a row a picture.
    pub(crate) fn interleave(&self, rows: &Rows) -> Result<Vec<f32>, TrainError> {
        Ok(self.distinct.interleave(&rows.values, rows.dim)?)
    }

    /// Whether mirrored pictures are embedded too.
    pub(crate) fn wants_mirrored(&self) -> bool {
        self.protocol.flip.is_some()
    }
}

/// The folder of the images, before the file that names them: the latter's place may be a guess.
fn check_folder(dir: &Path) -> Result<(), TrainError> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(TrainError::Data {
        path: dir.to_owned(),
        what: "found no folder of that name, expected one with <identity>/<image>".to_owned(),
        remedy: "check --lfw-dir".to_owned(),
    })
}

/// The pairs file, or the named folds of it.
pub(crate) fn selected_pairs(path: &Path, folds: Option<&[usize]>) -> Result<Pairs, TrainError> {
    let pairs = Pairs::load(path)?;
    let Some(folds) = folds else { return Ok(pairs) };
    let folds: Vec<u32> = folds.iter().map(|&fold| fold as u32).collect();
    Ok(pairs.only_folds(&folds)?)
}

/// Number of folds to score in: the chosen ones of the file, each by itself, else the protocol's,
/// else as many as the file has, else [`DEFAULT_FOLDS`].
///
/// - `pairs`: the chosen ones only
///
/// # Errors
/// [`TrainError::Config`] where a single fold was chosen.
pub(crate) fn n_folds(
    pairs: &Pairs,
    source: &PairsSource,
    protocol: &Protocol,
) -> Result<usize, TrainError> {
    // A file of one fold has none to hold out: it is cut like one without folds.
    let own = pairs.n_folds().filter(|&n_folds| n_folds >= 2);
    match source.folds.as_deref().map(<[usize]>::len) {
        Some(1) => Err(TrainError::config(
            "--lfw-folds",
            "found one fold, expected two or more: a fold's threshold comes from the others",
        )),
        Some(n_folds) => Ok(n_folds),
        None => Ok(protocol
            .nrof_folds
            .or(own.map(|n_folds| n_folds as usize))
            .unwrap_or(DEFAULT_FOLDS)),
    }
}

/// Warns of folds that hold one kind of pairs only: their accuracy is no measure of a model.
///
/// - `origin`: the file that the pairs come from
/// - `is_same`: one per pair that is scored
pub(crate) fn warn_of_one_kind(
    origin: &Path,
    folds: &Folds,
    is_same: &[bool],
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let of_one_kind = folds.of_one_kind(is_same)?;
    let Some(first) = of_one_kind.first() else {
        return Ok(());
    };
    let warning = format!(
        "{}: {} of the folds scored hold same pairs only, or different pairs only (the first: \
         {first}); what those score is no accuracy: choose --lfw-nrof-folds so that each has both \
         kinds, or drop it for the file's own folds",
        origin.display(),
        of_one_kind.len(),
    );
    observer.event(&Event::Warning(&warning));
    Ok(())
}

/// Synthetic people as the pairs maker knows them: `<number>` with files `<image>.png`.
fn synthetic_people(people: &facenet_dataset::Synthetic) -> Vec<Person> {
    let files = |n: u32| (0..n).map(|image| format!("{image}.png")).collect();
    let person = |number: u32| Person {
        name: number.to_string(),
        files: files(people.images_per_identity),
    };
    (0..people.identities).map(person).collect()
}

/// The picture that a pair of [`synthetic_people`] names.
fn synthetic_id(image: &ImageName) -> ImageId {
    let number = |text: &str| text.parse().expect("a number written by synthetic_people");
    let ImageKey::File(file) = &image.image else {
        unreachable!("synthetic_people names files, not numbers")
    };
    let file = file
        .strip_suffix(".png")
        .expect("an ending written by synthetic_people");
    ImageId {
        identity: number(&image.name),
        image: number(file),
    }
}

/// Folds of pairs that no file gives.
fn synthetic_folds(protocol: &Protocol) -> usize {
    protocol.nrof_folds.unwrap_or(DEFAULT_FOLDS)
}

/// As many pairs as LFW has, or what the identities give.
fn synthetic_pairs(config: &TrainConfig, protocol: &Protocol) -> PairsConfig {
    let folds = synthetic_folds(protocol) as u32;
    let images = u64::from(config.synthetic_images);
    let available = u64::from(config.synthetic_test_identities) * (images * (images - 1) / 2);
    let per_fold = available / u64::from(folds) / 2;
    PairsConfig {
        folds,
        pairs_per_kind: per_fold.clamp(1, 300) as u32,
        seed: config.seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Silent;
    use crate::source::training_pictures;

    #[test]
    fn nobody_who_trains_is_scored() {
        let config = TrainConfig::demo();
        let set = ScoringSet::of(&config, &mut Silent)
            .expect("drawn people")
            .expect("some");
        let trained = training_pictures(&config, &mut Silent).expect("drawn people");
        let n_trained = trained.sizes().len() as u32;
        let names: Vec<_> = (0..n_trained).map(|i| trained.identity_name(i)).collect();
        let scored = set
            .ids
            .iter()
            .map(|id| set.pictures.identity_name(id.identity));
        let both: Vec<_> = scored.filter(|name| names.contains(name)).collect();
        assert_eq!((both.len(), set.ids.is_empty()), (0, false), "{both:?}");
    }
}
