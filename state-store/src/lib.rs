//! Versioned, durable state for stateful operators, and the files it stands on.

mod error;
mod key;
mod key_group;
mod key_hash;
mod local_storage;
mod numbered_log;
mod object_storage;
mod place;
mod storage;

pub use error::{Error, ErrorKind, Result};
pub use key::{KEY_ENCODING_VERSION, KeyEncoder, Keys};
pub use key_group::{KEY_GROUPS, key_group, key_groups_of, partition_of};
pub use key_hash::hash_key;
pub use local_storage::{Disk, LocalStorage, OsDisk};
pub use numbered_log::NumberedLog;
pub use object_storage::ObjectStorage;
pub use place::{Entry, IoStats, Place, Writer};
pub use storage::{Created, Storage, Upload};
