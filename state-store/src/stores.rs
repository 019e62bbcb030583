//! All stores of a process: what is loaded, at which version, and how a batch finds it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::aside::Base;
use crate::batch::Batch;
use crate::budget::{FixedBudget, MemoryBudget, Reservation};
use crate::catalog::{Catalog, LayerPlan, Plan};
use crate::draft::StoreCodec;
use crate::error::{Error, Result};
use crate::file::reader::Segment;
use crate::id::{StoreId, VersionRef, check_attempt};
use crate::image::{Content, Image, Layer, Spilled, load_table, merge_layers};
use crate::key_range::KeyRange;
use crate::overlay::Overlay;
use crate::place::Place;
use crate::resident::{Last, Lease, Resident};
use crate::schema::StoreSchema;
use crate::scratch::Scratch;
use crate::table::{RowLayout, Table};

/// How stores behave.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Memory for all stores together.
    pub budget: Arc<dyn MemoryBudget>,
    /// Where files go that need not survive the process; the system's temporary folder when `None`.
    pub scratch_folder: Option<PathBuf>,
    /// How many versions behind the newest can be loaded.
    pub min_batches_to_retain: u64,
    /// With how many deltas of a store maintenance starts to fold them together.
    pub min_deltas_for_snapshot: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            budget: Arc::new(FixedBudget::new(usize::MAX / 2)),
            scratch_folder: None,
            min_batches_to_retain: 100,
            min_deltas_for_snapshot: 10,
        }
    }
}

/// The state of a query in one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub catalog: Catalog,
    pub options: StoreOptions,
    pub scratch: Arc<Scratch>,
    loaded: Mutex<HashMap<StoreId, Loaded>>,
}

/// A store in memory: the version of the last draft, and what the last commit made of it.
///
/// The two are apart until a draft of the newer one is asked for: only then the older one is given up.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub image: Image,
    pub codec: Arc<StoreCodec>,
    pub pending: Option<Pending>,
    pub reservation: Reservation,
}

/// A committed version that has not been asked for yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub reference: VersionRef,
    /// The version before, if the store was the same already.
    pub same: Option<VersionRef>,
    pub rows: u64,
    /// `None` when the store did not change.
    pub changes: Option<PendingChanges>,
}

#[derive(Debug)]
pub(crate) struct PendingChanges {
    pub rows: PendingRows,
    pub layer: LayerPlan,
    /// Accounts for their memory.
    pub _reservation: Reservation,
}

/// Where the changes of a committed version are, beside its file.
#[derive(Debug)]
pub(crate) enum PendingRows {
    /// Made in the table already.
    InPlace(Lease),
    /// To be taken over by the caches of a store that answers from its files.
    OnTop(Box<Overlay>),
    /// Nowhere.
    InFile,
}

impl Pending {
    fn is(&self, version: &VersionRef) -> bool {
        self.reference == *version || self.same.as_ref() == Some(version)
    }
}

/// What is known of a loaded store without walking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Which store.
    pub id: StoreId,
    /// Rows in its newest version.
    pub rows: u64,
    /// Memory it takes.
    pub memory_bytes: u64,
    /// Bytes of its files that make up the version.
    pub disk_bytes: u64,
    /// Files that make up the version.
    pub files: usize,
    /// Keys that a store larger than its share found in its cache of rows.
    pub cache_hits: u64,
    /// Keys that it looked up in files.
    pub cache_misses: u64,
    /// Whether all of it is in memory.
    pub is_resident: bool,
}

impl Stores {
    /// The state in a folder, which is created with the first file.
    pub fn open(place: Place, options: StoreOptions) -> Self {
        let scratch = Arc::new(Scratch::new(options.scratch_folder.as_deref()));
        let catalog = Catalog::new(place, Arc::clone(&scratch));
        Self { inner: Arc::new(Inner { catalog, options, scratch, loaded: Mutex::default() }) }
    }

    /// Starts the batch that makes `version` out of `base`. `attempt` becomes part of the file's name and must be
    /// different in each run and each retry: letters, digits, `-` and `_`.
    ///
    /// A version is named by what its commit returned: the same number of another attempt is another version.
    pub fn begin(&self, base: &VersionRef, version: u64, attempt: &str) -> Result<Batch> {
        check_attempt(attempt)?;
        if version <= base.version {
            let message = format!("version {version} cannot come after version {}", base.version);
            return Err(Error::internal(message));
        }
        Ok(Batch::new(self.clone(), base.clone(), version, attempt.to_owned()))
    }

    /// What is known of each loaded store.
    pub fn stats(&self) -> Vec<StoreStats> {
        let loaded = self.lock();
        let mut stats: Vec<StoreStats> = loaded.iter().map(|(id, loaded)| loaded.stats(id)).collect();
        stats.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        stats
    }

    /// Gives up everything in memory; the next draft loads from files.
    pub fn unload(&self) {
        self.lock().clear();
    }

    /// The place of the state files.
    pub fn place(&self) -> &Place {
        self.inner.catalog.place()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<StoreId, Loaded>> {
        self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store at `base`: what is in memory if it is that version, else from files.
    pub(crate) async fn image(&self, id: &StoreId, schema: &StoreSchema, base: &VersionRef) -> Result<Opened> {
        let found = {
            let mut loaded = self.lock();
            // Stores of another number of partitions are of no use any more.
            loaded.retain(|other, _| other == id || !other.overlaps(id));
            let share = self.inner.options.budget.limit_bytes() / loaded.len().max(1);
            let same = loaded.get_mut(id).filter(|found| found.codec.schema == *schema);
            if let Some(opened) = same.and_then(|found| found.begin(base, share)) {
                return Ok(self.opened(opened, loaded.len()));
            }
            loaded.remove(id)
        };
        let found = found.filter(|found| found.codec.schema == *schema);
        let codec = match &found {
            Some(found) => Arc::clone(&found.codec),
            None => Arc::new(StoreCodec::new(schema)?),
        };
        let kept = match found {
            Some(found) => self.advance(id, found, base).await?,
            None => None,
        };
        let (image, reservation) = match kept {
            Some(kept) => kept,
            None => {
                let reservation = Reservation::new(Arc::clone(&self.inner.options.budget));
                self.load(id, &codec, base, reservation).await?
            }
        };
        let base = match &image.content {
            Content::Resident(resident) => Base::Memory(resident.begin(Last::Undo)),
            Content::Spilled(spilled) => Base::Files(Arc::clone(spilled)),
        };
        let loaded = Loaded { image: image.clone(), codec: Arc::clone(&codec), pending: None, reservation };
        let mut all = self.lock();
        all.insert(id.clone(), loaded);
        Ok(self.opened((image, codec, base), all.len()))
    }

    fn opened(&self, (image, codec, base): (Image, Arc<StoreCodec>, Base), stores: usize) -> Opened {
        let budget = &self.inner.options.budget;
        let share = budget.limit_bytes() / stores;
        // Where the store itself takes all of its share, changes come on top.
        let limit_bytes = if image.is_resident() { (share / 16).max(16 << 10) } else { (share / 8).max(64 << 10) };
        Opened { image, codec, base, reservation: Reservation::new(Arc::clone(budget)), limit_bytes }
    }

    /// Brings a store that answers from its files to `base`, if it is that or one commit behind.
    async fn advance(&self, id: &StoreId, found: Loaded, base: &VersionRef) -> Result<Option<(Image, Reservation)>> {
        let Loaded { mut image, codec, pending, mut reservation } = found;
        let Content::Spilled(spilled) = &mut image.content else { return Ok(None) };
        let Some(pending) = pending.filter(|pending| pending.is(base)) else {
            return Ok((image.reference == *base).then_some((image, reservation)));
        };
        if let Some(changes) = pending.changes {
            // Somebody else may still look at the older version: then the newer one is loaded beside it.
            let (Some(spilled), PendingRows::OnTop(overlay)) = (Arc::get_mut(spilled), &changes.rows) else {
                return Ok(None);
            };
            let layers = self.inner.catalog.open_layers(std::slice::from_ref(&changes.layer), &codec.schema).await?;
            spilled.apply(overlay, layers);
            image.changed(&changes.layer, &codec);
        }
        image.reference = base.clone();
        image.rows = pending.rows;
        reservation.resize(image.reserved_bytes());
        if estimate_bytes(codec.row_layout(), image.rows, image.disk_bytes) < self.share_bytes() / 2 {
            return Ok(None);
        }
        self.renew_layers(id, &codec, &mut image).await?;
        Ok(Some((image, reservation)))
    }

    /// Lets a spilled store read merged files in place of the many they were made of.
    async fn renew_layers(&self, id: &StoreId, codec: &StoreCodec, image: &mut Image) -> Result<()> {
        let plan = self.inner.catalog.plan(&image.reference, id).await?;
        if let Content::Spilled(spilled) = &mut image.content
            && let Some(spilled) = Arc::get_mut(spilled)
            && plan.layers.len() < spilled.layers.len()
        {
            spilled.layers = self.inner.catalog.open_layers(&plan.layers, &codec.schema).await?;
            image.layer_count = plan.layers.len();
            image.disk_bytes = plan.bytes();
        }
        Ok(())
    }

    async fn load(
        &self,
        id: &StoreId,
        codec: &Arc<StoreCodec>,
        base: &VersionRef,
        mut reservation: Reservation,
    ) -> Result<(Image, Reservation)> {
        let plan = self.inner.catalog.plan(base, id).await?;
        let layers = self.inner.catalog.open_layers(&plan.layers, &codec.schema).await?;
        let disk_bytes = plan.bytes();
        let known_rows = plan.rows(id);
        let changes: u64 = plan.layers.iter().map(LayerPlan::changes).sum();
        let layout = codec.row_layout();
        let estimate = estimate_bytes(layout, known_rows.unwrap_or(changes), disk_bytes);
        let share = self.share_bytes();
        let is_resident = reservation.try_resize(estimate) || estimate <= share;
        let layer_count = layers.len();
        let (content, rows, mut reservation) = blocking(move || {
            let mut rows = known_rows;
            if is_resident {
                let table = load_table(&layers, layout, known_rows.unwrap_or(0) as usize)?;
                let found = table.len() as u64;
                rows = Some(found);
                // The estimate may have been too low.
                if reservation.resize(table.bytes()) || table.bytes() <= share {
                    return Ok((Content::Resident(Resident::new(table)), found, reservation));
                }
            }
            let rows = rows.map_or_else(|| count_rows(&layers), Ok)?;
            let layers = without_large_filters(layers, share / 4);
            let directories: usize = layers.iter().flatten().map(Segment::resident_bytes).sum();
            // An eighth of the rest is for what a batch changes.
            let spilled = Spilled::new(layers, layout, share.saturating_sub(directories) / 8 * 7);
            Ok((Content::Spilled(Arc::new(spilled)), rows, reservation))
        })
        .await?;
        if let (true, Some(expected)) = (is_resident, known_rows.filter(|known| *known != rows)) {
            let message = format!("{id} has {rows} rows at version {}, but its files say {expected}", base.version);
            return Err(Error::corrupt(self.place().url(), message));
        }
        let newest = plan.layers.first().and_then(|layer| layer.parts.first());
        let fingerprint = newest.map(|part| part.segment.fingerprint);
        let image = Image { reference: base.clone(), rows, content, disk_bytes, layer_count, fingerprint };
        reservation.resize(image.reserved_bytes());
        Ok((image, reservation))
    }

    /// What each store may take when all take the same.
    fn share_bytes(&self) -> usize {
        let stores = self.lock().len() + 1;
        self.inner.options.budget.limit_bytes() / stores
    }
}

/// What a draft starts from.
#[derive(Debug)]
pub(crate) struct Opened {
    pub image: Image,
    pub codec: Arc<StoreCodec>,
    pub base: Base,
    pub reservation: Reservation,
    /// Memory that changes may take in any case.
    pub limit_bytes: usize,
}

impl Loaded {
    /// Begins a draft on `base`, if the store is all in memory and is that version or the one after the last draft.
    fn begin(&mut self, base: &VersionRef, share_bytes: usize) -> Option<(Image, Arc<StoreCodec>, Base)> {
        let Content::Resident(resident) = &self.image.content else { return None };
        let resident = resident.clone();
        let pending = self.pending.as_ref().filter(|pending| pending.is(base));
        let last = match pending.map(|pending| &pending.changes) {
            None if self.image.reference != *base => return None,
            None | Some(None) => Last::Undo,
            Some(Some(changes)) => {
                let PendingRows::InPlace(lease) = &changes.rows else { return None };
                if !lease.is_current() {
                    return None;
                }
                self.image.changed(&changes.layer, &self.codec);
                Last::Keep
            }
        };
        let is_newer = pending.is_some();
        if let Some(pending) = pending {
            self.image.reference = base.clone();
            self.image.rows = pending.rows;
        }
        self.pending = None;
        let lease = resident.begin(last);
        let fits = self.reservation.resize(self.image.reserved_bytes());
        // What has grown out of its share moves to its files; a failed attempt is no reason to.
        if is_newer && !fits && self.image.bytes() > share_bytes {
            return None;
        }
        Some((self.image.clone(), Arc::clone(&self.codec), Base::Memory(lease)))
    }

    /// A batch on `base` that did not touch this store has made the version `reference`.
    pub(crate) fn follow(&mut self, base: &VersionRef, reference: &VersionRef) {
        match &mut self.pending {
            Some(pending) if pending.reference == *reference => {}
            Some(pending) if pending.reference == *base => {
                pending.same = Some(std::mem::replace(&mut pending.reference, reference.clone()));
            }
            Some(pending) if pending.is(base) => pending.reference = reference.clone(),
            _ if self.image.reference == *base => {
                let (reference, rows) = (reference.clone(), self.image.rows);
                self.pending = Some(Pending { reference, same: None, rows, changes: None });
            }
            _ => {}
        }
    }

    /// The files of a version are these now.
    pub(crate) fn is_in(&mut self, version: &VersionRef, plan: &Plan) {
        let (bytes, files) = (plan.bytes(), plan.layers.len());
        let newest = self.pending.as_ref().filter(|pending| pending.is(version));
        let changes = newest.and_then(|pending| pending.changes.as_ref());
        if newest.is_some() || self.image.reference == *version {
            // What is pending is counted on top.
            self.image.disk_bytes = bytes.saturating_sub(changes.map_or(0, |changes| changes.layer.bytes()));
            self.image.layer_count = files.saturating_sub(usize::from(changes.is_some()));
        }
    }

    fn stats(&self, id: &StoreId) -> StoreStats {
        let changes = self.pending.as_ref().and_then(|pending| pending.changes.as_ref());
        let new_bytes = changes.map_or(0, |changes| changes.layer.bytes());
        let overlay_bytes = match changes.map(|changes| &changes.rows) {
            Some(PendingRows::OnTop(overlay)) => overlay.bytes(),
            _ => 0,
        };
        let (cache_hits, cache_misses) = match &self.image.content {
            Content::Resident(_) => (0, 0),
            Content::Spilled(spilled) => {
                (spilled.cache_hits.load(Ordering::Relaxed), spilled.cache_misses.load(Ordering::Relaxed))
            }
        };
        StoreStats {
            id: id.clone(),
            rows: self.pending.as_ref().map_or(self.image.rows, |pending| pending.rows),
            memory_bytes: (self.image.bytes() + overlay_bytes) as u64,
            disk_bytes: self.image.disk_bytes + new_bytes,
            files: self.image.layer_count + usize::from(changes.is_some()),
            cache_hits,
            cache_misses,
            is_resident: self.image.is_resident(),
        }
    }
}

/// Memory that this many rows will take.
fn estimate_bytes(layout: RowLayout, rows: u64, disk_bytes: u64) -> usize {
    let index_bytes = Table::index_bytes(usize::try_from(rows).unwrap_or(usize::MAX / 64)) as u64;
    let bytes = match layout {
        RowLayout::Fixed { key_bytes, value_bytes } => rows * (key_bytes + value_bytes) as u64 + index_bytes,
        RowLayout::Varying => disk_bytes * 2 + rows * 16 + index_bytes,
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn count_rows(layers: &[Layer]) -> Result<u64> {
    let mut merge = merge_layers(layers, &KeyRange::all())?;
    let mut rows = 0;
    while merge.advance_to_row()? {
        rows += 1;
    }
    Ok(rows)
}

/// Leaves out the filters of the oldest layers when all together would take more than `limit_bytes`: most keys that are
/// asked for are there, so these filters are asked last and help least.
fn without_large_filters(mut layers: Vec<Layer>, limit_bytes: usize) -> Vec<Layer> {
    let mut bytes = 0;
    for segment in layers.iter_mut().flatten() {
        bytes += segment.info.filter.bytes();
        if bytes > limit_bytes {
            segment.drop_filter();
        }
    }
    layers
}

/// Runs what reads and computes for long where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(work)
            .await
            .map_err(|source| Error::internal("work on a state store did not end").because(source))?,
        Err(_) => work(),
    }
}
