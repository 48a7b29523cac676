//! Goldens, hostile and real files, properties and oracles of facenet-lfw.

mod golden;
