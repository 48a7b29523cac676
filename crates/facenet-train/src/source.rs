//! Where a run's pictures come from.

use std::path::PathBuf;
use std::sync::Arc;

use facenet_dataset::{
    Area, DatasetError, DecodeLimits, Folder, ImageId, Pictures, Portion, Rgb8, Synthetic,
    decode_file, decode_file_part, people_list,
};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::observer::{Event, Observer};

/// First number of the synthetic identities that score; training takes the numbers below.
pub const FIRST_TEST_IDENTITY: u32 = 1 << 20;

/// Opens the training pictures of `config`.
///
/// # Errors
/// [`TrainError::Dataset`] where the folder cannot be read or holds no usable identity;
/// [`TrainError::Config`] where the people lists leave nobody.
pub(crate) fn training_pictures(
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Arc<dyn Pictures>, TrainError> {
    let Some(root) = &config.data_dir else {
        return Ok(Arc::new(synthetic(config, 0, config.synthetic_identities)));
    };
    let mut folder = Folder::scan(root, &config.decode_limits())?;
    report_skipped(&folder, observer);
    if let Some(spec) = &config.train_people {
        folder.keep(&people_list(spec)?);
    }
    if let Some(spec) = &config.exclude_people {
        folder.exclude(&people_list(spec)?);
    }
    if folder.identities.is_empty() {
        let problem = format!(
            "none of the people named have a folder in {}; check the names and --exclude-people",
            root.display()
        );
        return Err(TrainError::config("--train-people", problem));
    }
    Ok(Arc::new(folder))
}

/// Synthetic identities number `first..first + identities` of a run's seed.
pub(crate) fn synthetic(config: &TrainConfig, first: u32, identities: u32) -> Synthetic {
    Synthetic {
        identities,
        images_per_identity: config.synthetic_images,
        first_identity: first,
        side: config.image_size as u32,
        seed: config.seed,
    }
}

/// Names how many files the scan passed over, and the first of them.
fn report_skipped(folder: &Folder, observer: &mut dyn Observer) {
    let Some(first) = folder.skipped.first() else {
        return;
    };
    let note = format!(
        "{} files skipped under {}; the first: {}: {}",
        folder.skipped.len(),
        folder.root.display(),
        first.path.display(),
        first.reason
    );
    observer.event(&Event::Warning(&note));
}

/// Loose image files as one identity.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) limits: DecodeLimits,
}

impl Files {
    /// Ids of all files, in order.
    pub(crate) fn ids(&self) -> Vec<ImageId> {
        (0..self.paths.len() as u32)
            .map(|image| ImageId { identity: 0, image })
            .collect()
    }
}

impl Pictures for Files {
    fn load(&self, image: ImageId) -> Result<Rgb8, DatasetError> {
        decode_file(&self.paths[image.image as usize], &self.limits)
    }

    fn load_part(
        &self,
        image: ImageId,
        select: &dyn Fn(Area) -> Area,
    ) -> Result<Portion, DatasetError> {
        decode_file_part(&self.paths[image.image as usize], &self.limits, select)
    }

    fn sizes(&self) -> Vec<u32> {
        vec![self.paths.len() as u32]
    }

    fn name(&self, image: ImageId) -> String {
        self.paths[image.image as usize].display().to_string()
    }

    fn identity_name(&self, _: u32) -> String {
        "files".to_owned()
    }
}

/// A short text that changes when identities, their order or their image names do.
pub(crate) fn fingerprint(pictures: &dyn Pictures) -> String {
    let sizes = pictures.sizes();
    let mut hash = Fnv::default();
    for (identity, &n_images) in sizes.iter().enumerate() {
        hash.add(pictures.identity_name(identity as u32).as_bytes());
        hash.add(&n_images.to_le_bytes());
        for image in 0..n_images {
            let identity = identity as u32;
            let name = PathBuf::from(pictures.name(ImageId { identity, image }));
            // Without its folders: a data set may be moved as a whole.
            hash.add(name.file_name().unwrap_or_default().as_encoded_bytes());
        }
    }
    let n_images: u64 = sizes.iter().map(|&n| u64::from(n)).sum();
    format!(
        "{} identities, {n_images} images, {:016x}",
        sizes.len(),
        hash.0
    )
}

/// FNV-1a, 64 bit.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
