#![doc = include_str!("../README.md")]

mod durable;
mod error;
pub mod faults;
mod folder;
mod lock;
mod read;
mod scratch;
mod system;

pub use durable::{
    SCRATCH_PREFIX, Whole, append_line, replace, replace_together, replace_with, write_loose,
    write_new,
};
pub use error::FileError;
pub use folder::{
    delete, folder_of, make_folder, make_folders, new_folder, prefixed, put_folder, rename,
    replace_folder, sweep, sync_folder,
};
pub use lock::lock_soon;
pub use read::{open_regular, read_regular};
pub use system::{Access, Disk, FileSystem, Output};
