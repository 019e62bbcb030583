//! Versioned, durable state for stateful operators, and the files it stands on.
//!
//! A *store* is named by [`StoreId`]: operator, name, and the key groups of a state partition. Its *version* `v` is its
//! content after `v` batches; version 0 is empty. A committed version never changes, and can be read until it is cleaned.
//! ```text
//!            draft()               put / remove / take_range          finish(), commit()
//!  files ───────────► version v ─────────────────────────► Draft ───────────────► a segment of the batch's one delta file
//!    ▲ merged files and deltas, by their own chain            └ drop = abort: no file, no trace
//! ```
//! ```
//! # use std::sync::Arc;
//! # use arrow_array::{ArrayRef, Int64Array};
//! # use arrow_schema::{DataType, Field};
//! use millstream_state::{Place, StoreId, StoreOptions, StoreSchema, Stores, VersionRef};
//!
//! # fn main() -> millstream_state::Result<()> { futures::executor::block_on(async {
//! let stores = Stores::open(Place::open("memory://docs/state", &[])?, StoreOptions::default());
//! let schema = StoreSchema::new(
//!     vec![Field::new("user", DataType::Int64, true)],
//!     vec![Field::new("views", DataType::Int64, false)],
//! );
//! let id = StoreId::new(0, "counts", 0, 1)?;
//! let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
//!
//! let batch = stores.begin(&VersionRef::empty(), 1, "run-1")?;
//! let mut draft = batch.draft(&id, &schema).await?;
//! let keys = draft.key_encoder().encode(&[column(vec![7, 8])])?;
//! draft.put(&keys, &[column(vec![1, 5])])?;
//! draft.finish()?;
//! let version = batch.commit().await?.reference;
//!
//! let batch = stores.begin(&version, 2, "run-1")?;
//! let mut draft = batch.draft(&id, &schema).await?;
//! assert_eq!(draft.get(&keys)?.values, [column(vec![1, 5])]);
//! # Ok(()) }) }
//! ```
//! # Invariants
//! 1. A visible file never changes.
//! 2. If a retained version is named by its reference, every file needed to read it is there.
//! 3. Of two writers of one name one wins, and the other gets [`ErrorKind::Fenced`]; different attempts have different names.
//! 4. A version in memory is given up only when a draft of a version built on it is asked for.
//! 5. No answer comes from bytes whose checksum was not right.
//!
//! # What this crate does not know
//! SQL, DataFusion, watermarks, the batch loop, the clock.
//!
//! # Read next
//! `draft.rs` (what an operator sees) → `batch.rs` (commit) → `stores.rs` (load) → `catalog.rs` (which files make up a
//! version) → `file/format.rs` (the bytes) → `maintenance.rs`. [`Place`] and [`NumberedLog`] also carry the engine's logs;
//! [`KeyEncoder`] also serves its exchange.

mod aside;
mod batch;
mod budget;
mod cache;
mod catalog;
mod cursor;
mod draft;
mod error;
mod file;
mod filter;
mod id;
mod image;
mod in_order;
mod journal;
mod key;
mod key_group;
mod key_hash;
mod key_range;
mod local_storage;
mod maintenance;
mod numbered_log;
mod object_storage;
mod output;
mod overlay;
mod place;
mod resident;
mod rows_builder;
mod schema;
mod scratch;
mod scratch_run;
mod short_copy;
mod state_reader;
mod storage;
mod stores;
mod table;
mod value;

pub use batch::{Batch, Commit};
pub use budget::{FixedBudget, MemoryBudget};
pub use draft::{Draft, FoundRows, Scan, StateRows};
pub use error::{Error, ErrorKind, Result};
pub use id::{FileRef, StoreId, VersionRef};
pub use key::{KEY_ENCODING_VERSION, KeyEncoder, Keys};
pub use key_group::{KEY_GROUP_COLUMN, KEY_GROUPS, key_group, key_groups_of, partition_of};
pub use key_hash::hash_key;
pub use key_range::KeyRange;
pub use local_storage::{Disk, LocalStorage, OsDisk, OtherDisk};
pub use maintenance::{Maintenance, MaintenanceReport, files_to_remove, layers_to_merge};
pub use numbered_log::NumberedLog;
pub use object_storage::ObjectStorage;
pub use place::{Entry, IoStats, Place, Writer, open_object_store};
pub use schema::StoreSchema;
pub use state_reader::{StateReader, VersionChanges, VersionRows};
pub use storage::{Created, Storage, Upload};
pub use stores::{StoreOptions, StoreStats, Stores};
