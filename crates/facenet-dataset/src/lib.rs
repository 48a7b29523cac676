//! Face images from folders or a procedural renderer: decoding, preprocessing, augmentation, loading.
