//! Folds deltas together and removes files that no retained version needs.
//!
//! What to do is decided by pure functions ([`layers_to_merge`], [`files_to_remove`]); doing it writes one new file or
//! deletes old ones, so a crash in the middle leaves at worst a file more than needed. Nothing here is on the way of a
//! batch: [`Maintenance`] does it in a thread of its own, and a failure only means that it is tried again later.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use crate::catalog::{LayerPlan, Plan};
use crate::draft::StoreCodec;
use crate::error::{Error, ErrorKind, Result};
use crate::file::format::{Header, Kind};
use crate::file::reader::FileInfo;
use crate::file::segment_writer::{SEGMENT_PIECE_BYTES, SegmentStart, SegmentWriter};
use crate::file::writer::FileWriter;
use crate::id::{FileName, StoreId, VersionRef, merged_name};
use crate::image::merge_layers;
use crate::key_hash::hash_key;
use crate::key_range::KeyRange;
use crate::output::Output;
use crate::stores::Stores;

/// What a round of maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Files written, each in place of several.
    pub merged_files: usize,
    /// Bytes in them.
    pub merged_bytes: u64,
    /// Files removed.
    pub removed_files: usize,
}

/// How many of a store's layers to fold together, given the bytes of each, newest first; `None` for nothing to do.
///
/// Starts when there are `min_deltas` layers, or when those above the oldest weigh three times as much: opening the store
/// would read four times what is in it. Takes the newest ones, and goes
/// on as long as the next is no more than twice as large as all so far: so that large files are rewritten rarely, and
/// the number of layers grows with the logarithm of the store's size.
pub fn layers_to_merge(layer_bytes: &[u64], min_deltas: usize) -> Option<usize> {
    const LARGE_BYTES: u64 = 1 << 20;
    let min_deltas = min_deltas.max(2);
    let newer: u64 = layer_bytes.iter().rev().skip(1).sum();
    let outweighs = layer_bytes.last().is_some_and(|oldest| newer > 3 * (*oldest).max(LARGE_BYTES));
    if layer_bytes.len() < min_deltas && !outweighs {
        return None;
    }
    let (mut taken, mut bytes) = (0, 0_u64);
    for layer in layer_bytes {
        if taken >= 2 && *layer > bytes.saturating_mul(2) {
            break;
        }
        taken += 1;
        bytes += layer;
    }
    // Too few to be worth a file: wait until there are more.
    (taken >= min_deltas.min(layer_bytes.len()).clamp(2, 4)).then_some(taken)
}

/// Which of the state folder's files to remove, given those that retained versions need and the newest version.
///
/// Files of later versions belong to a batch that is being written, or will be removed when the newest version has
/// passed theirs; files that are not the state store's are left alone.
pub fn files_to_remove(names: &[String], needed: &HashSet<String>, newest: u64) -> Vec<String> {
    let is_old = |name: &&String| FileName::parse(name).is_some_and(|parsed| parsed.version() <= newest);
    let mut files: Vec<String> = names.iter().filter(is_old).filter(|name| !needed.contains(*name)).cloned().collect();
    files.sort_unstable();
    files
}

impl Stores {
    /// One round: folds what has piled up in each loaded store, then removes what no version from
    /// `newest − min_batches_to_retain` on needs. `newest` is a version whose batch counts.
    ///
    /// A store that no batch of this process has opened is left as it is, because folding needs its columns: it gets no
    /// new files either, and all it has are kept.
    pub async fn maintain(&self, newest: &VersionRef) -> Result<MaintenanceReport> {
        let mut report = MaintenanceReport::default();
        let stores: Vec<(StoreId, Arc<StoreCodec>)> =
            self.lock().iter().map(|(id, loaded)| (id.clone(), Arc::clone(&loaded.codec))).collect();
        for (id, codec) in stores {
            let plan = self.inner.catalog.plan(newest, &id).await?;
            let bytes: Vec<u64> = plan.layers.iter().map(LayerPlan::bytes).collect();
            if let Some(count) = layers_to_merge(&bytes, self.inner.options.min_deltas_for_snapshot)
                && let Some(merged_bytes) = self.merge(&id, &codec, &plan, count).await?
            {
                report.merged_files += 1;
                report.merged_bytes += merged_bytes;
                let plan = self.inner.catalog.plan(newest, &id).await?;
                if let Some(loaded) = self.lock().get_mut(&id) {
                    loaded.is_in(newest, &plan);
                }
            }
        }
        report.removed_files = self.clean(newest).await?;
        Ok(report)
    }

    /// Writes the newest `count` layers as one file, and returns its size; `None` if it was there already.
    async fn merge(&self, id: &StoreId, codec: &StoreCodec, plan: &Plan, count: usize) -> Result<Option<u64>> {
        // How many rows there are is known from the files or, when partitions were cut anew, by counting all.
        let plans = &plan.layers;
        let known_rows = plan.rows(id).filter(|_| !plan.is_split);
        let count = if known_rows.is_some() { count } else { plans.len() };
        let (Some(first), Some(last)) = (plans.first(), plans.get(count - 1)) else { return Ok(None) };
        let is_snapshot = count == plans.len();
        let parent = if is_snapshot { VersionRef::empty() } else { last.from.clone() };
        let layers = self.inner.catalog.open_layers(&plans[..count], &codec.schema).await?;
        let (covers, fingerprint) = (first.to.clone(), codec.fingerprint);
        let name = merged_name(covers.version, parent.version, id, covers.lineage());
        let header = Header {
            kind: Kind::Merged,
            version: covers.version,
            parent,
            covers,
            attempt: "merge".into(),
            fingerprint,
        };
        let mut file = FileWriter::new(&header);
        let mut segment = SegmentWriter::new(SegmentStart {
            store: id.clone(),
            layout: codec.layout.clone(),
            fingerprint: codec.fingerprint,
            schema: Some(codec.schema.text()),
            rows_at_most: plans[..count].iter().map(LayerPlan::changes).sum::<u64>() as usize,
        });
        let mut output = Output::new(self.place(), &name);
        let mut rows = merge_layers(&layers, &KeyRange::all())?;
        let mut snapshot_rows = 0;
        while rows.advance()? {
            if is_snapshot && rows.value().is_none() {
                continue;
            }
            snapshot_rows += 1;
            segment.push(hash_key(rows.key()), rows.key(), rows.value());
            if segment.pending_bytes() >= SEGMENT_PIECE_BYTES {
                file.add(&segment.take_pending());
                output.take_from(&mut file).await?;
            }
        }
        let (rest, info) = segment.finish(if is_snapshot { snapshot_rows } else { known_rows.unwrap_or(0) });
        file.add(&rest);
        file.end_segment(info);
        let finished = file.finish();
        match output.finish(file.take_pending()).await {
            // Written before, by a run that ended before it could use it.
            Err(error) if error.kind() == ErrorKind::Fenced => return Ok(None),
            result => result?,
        }
        self.inner.catalog.add(Arc::new(FileInfo {
            name,
            header,
            segments: finished.segments.into_iter().map(Arc::new).collect(),
            checksum: finished.checksum,
            bytes: finished.bytes,
        }));
        Ok(Some(finished.bytes))
    }

    async fn clean(&self, newest: &VersionRef) -> Result<usize> {
        let catalog = &self.inner.catalog;
        let names: Vec<String> = catalog.list().await?.into_iter().map(|entry| entry.name).collect();
        let present: HashSet<&str> = names.iter().map(String::as_str).collect();
        let oldest_kept = newest.version.saturating_sub(self.inner.options.min_batches_to_retain);
        let chain = self.chain(newest, &present).await?;
        let kept = chain.partition_point(|version| version.version > oldest_kept);
        // The newest version at or below the bound is the oldest one kept.
        let retained = &chain[..(kept + 1).min(chain.len())];
        let (mut needed, mut seen) = (HashSet::new(), HashSet::new());
        // The deltas themselves are kept for each retained version: they lead from one to the one before.
        needed.extend(retained.iter().flat_map(|version| &version.files).map(|file| file.name.clone()));
        let stores = self.stores_in(&chain).await?;
        for (age, version) in retained.iter().enumerate() {
            for id in &stores {
                match catalog.add_needed(version, id, &mut seen, &mut needed).await {
                    // More versions are asked for than were kept so far: one that cannot be read needs no files.
                    Err(error) if age > 0 && error.kind() == ErrorKind::Corrupt => {}
                    result => result?,
                }
            }
        }
        let removed = files_to_remove(&names, &needed, newest.version);
        for name in &removed {
            self.place().delete(name).await?;
        }
        catalog.forget(&removed);
        Ok(removed.len())
    }

    /// The versions behind `newest`, itself first, as far back as their deltas are still there.
    async fn chain(&self, newest: &VersionRef, present: &HashSet<&str>) -> Result<Vec<VersionRef>> {
        let (mut chain, mut at) = (Vec::new(), newest.clone());
        while !at.files.is_empty() && at.files.iter().all(|file| present.contains(file.name.as_str())) {
            let mut parents = Vec::new();
            let mut version = 0;
            for file in &at.files {
                let info = self.inner.catalog.info(&file.name, Some(file.checksum)).await?;
                parents.extend(info.header.parent.files.iter().cloned());
                version = version.max(info.header.parent.version);
            }
            chain.push(std::mem::replace(&mut at, VersionRef::new(version, parents)));
        }
        Ok(chain)
    }

    async fn stores_in(&self, chain: &[VersionRef]) -> Result<BTreeSet<StoreId>> {
        let mut stores: BTreeSet<StoreId> = self.lock().keys().cloned().collect();
        for file in chain.iter().flat_map(|version| &version.files) {
            let info = self.inner.catalog.info(&file.name, Some(file.checksum)).await?;
            stores.extend(info.segments.iter().map(|segment| segment.store.clone()));
        }
        Ok(stores)
    }
}

/// A thread that maintains stores whenever a batch has been committed.
#[derive(Debug)]
pub struct Maintenance {
    sender: Option<mpsc::Sender<VersionRef>>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    /// Starts the thread.
    pub fn start(stores: Stores) -> Result<Self> {
        let (sender, receiver) = mpsc::channel::<VersionRef>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::new(ErrorKind::Unavailable, "cannot start maintenance").because(source))?;
        let work = move || {
            while let Ok(mut newest) = receiver.recv() {
                // Only the newest of those that have piled up matters.
                while let Ok(newer) = receiver.try_recv() {
                    newest = newer;
                }
                match runtime.block_on(stores.maintain(&newest)) {
                    Ok(report) => tracing::debug!(?report, version = newest.version, "state was maintained"),
                    Err(error) => tracing::warn!(%error, version = newest.version, "state could not be maintained"),
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("state-maintenance".into())
            .spawn(work)
            .map_err(|source| Error::new(ErrorKind::Unavailable, "cannot start maintenance").because(source))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Says that the batch of this version counts.
    pub fn committed(&self, newest: &VersionRef) {
        if let Some(sender) = &self.sender {
            // A thread that has ended cannot be told, and its end was logged.
            let _ = sender.send(newest.clone());
        }
    }
}

impl Drop for Maintenance {
    /// Waits for the round that is under way.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic was printed when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
