//! Which files make up a version of a store: from the files' own chain, and nothing else.
//!
//! Each delta names its parents. A merged file names the version it leads to and the one it starts from, so it takes the
//! place of all deltas between. The way from a version back to nothing, taking the largest step there is each time, is
//! the list of layers to read. Each key group goes its own way: merged files are cut by the partitions of their time, and
//! a store opened with another number of partitions is the union or a slice of them.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::file::format::{Kind, SegmentInfo};
use crate::file::reader::{FileInfo, OpenFile, Segment, WHOLE_FILE_BYTES};
use crate::id::{FileName, FileRef, StoreId, VersionRef};
use crate::image::Layer;
use crate::place::{Entry, Place};
use crate::schema::StoreSchema;
use crate::scratch::Scratch;

/// Bytes copied at a time from a place that is not local.
const COPY_BYTES: u64 = 8 << 20;

/// What is known of the files in a state folder.
#[derive(Debug)]
pub(crate) struct Catalog {
    place: Place,
    scratch: Arc<Scratch>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    infos: HashMap<String, Arc<FileInfo>>,
    /// Merged files by the lineage of the version they lead to; read from the folder once.
    merged: Option<HashMap<u32, Vec<MergedFile>>>,
    sizes: HashMap<String, u64>,
    open: HashMap<String, Weak<OpenFile>>,
}

#[derive(Clone, Debug)]
struct MergedFile {
    name: String,
    from: u64,
    store: StoreId,
}

/// The segments that lead from one version of a store to a later one.
#[derive(Clone, Debug)]
pub(crate) struct LayerPlan {
    pub to: VersionRef,
    pub from: VersionRef,
    pub parts: Vec<Part>,
}

/// A segment, as far as it counts.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub info: Arc<FileInfo>,
    pub segment: Arc<SegmentInfo>,
    /// The keys for which it counts: those of the segment's key groups and these.
    pub keys: StoreId,
}

impl Part {
    /// Whether all rows of the segment count.
    pub(crate) fn is_whole(&self) -> bool {
        self.keys.contains(&self.segment.store)
    }
}

/// The layers of a store, newest first.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub layers: Vec<LayerPlan>,
    /// Whether different key groups go different ways, as they do after the number of partitions has changed.
    pub is_split: bool,
}

impl Plan {
    /// Bytes of its segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.layers.iter().map(LayerPlan::bytes).sum()
    }

    /// Rows of the store, where the files tell; they do not when partitions were cut anew in a way that no file was
    /// written for yet.
    pub(crate) fn rows(&self, store: &StoreId) -> Option<u64> {
        let mut counted: Vec<&StoreId> = Vec::new();
        let mut rows = 0;
        for part in self.layers.iter().flat_map(|layer| &layer.parts) {
            let own = &part.segment.store;
            if counted.iter().any(|newer| newer.contains(own)) {
                continue;
            }
            if !part.is_whole() || !store.contains(own) || counted.iter().any(|newer| newer.overlaps(own)) {
                return None;
            }
            counted.push(own);
            rows += part.segment.rows_after;
        }
        Some(rows)
    }
}

impl LayerPlan {
    /// Bytes of its segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.segment.bytes).sum()
    }

    pub(crate) fn changes(&self) -> u64 {
        self.parts.iter().map(|part| part.segment.puts + part.segment.removes).sum()
    }
}

/// One step back from a version, for some key groups of a store.
#[derive(Debug)]
struct Step {
    keys: StoreId,
    layer: LayerPlan,
    /// The files that say so.
    files: Vec<String>,
}

impl Catalog {
    pub(crate) fn new(place: Place, scratch: Arc<Scratch>) -> Self {
        Self { place, scratch, known: Mutex::default() }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The layers of a store at a version.
    pub(crate) async fn plan(&self, version: &VersionRef, store: &StoreId) -> Result<Plan> {
        let mut layers: Vec<LayerPlan> = Vec::new();
        let mut left = vec![(store.clone(), version.clone())];
        let mut is_split = false;
        while let Some((keys, at)) = left.pop() {
            if at.files.is_empty() {
                continue;
            }
            let steps = self.steps(&at, &keys).await?;
            is_split |= steps.len() > 1;
            for step in steps {
                left.push((step.keys, step.layer.from.clone()));
                if !step.layer.parts.is_empty() {
                    layers.push(step.layer);
                }
            }
        }
        if is_split {
            // Key groups that go different ways come one after the other; what is newer still has to come first. What a
            // file's own header says does not decide: batches without changes raise the number, not the files.
            layers.sort_by_key(|layer| std::cmp::Reverse(layer.to.version));
        }
        Ok(Plan { layers, is_split })
    }

    /// Adds to `needed` the names of all files by which a store at a version is found. `seen` are the places that were
    /// passed before.
    pub(crate) async fn add_needed(
        &self,
        version: &VersionRef,
        store: &StoreId,
        seen: &mut HashSet<(StoreId, u32)>,
        needed: &mut HashSet<String>,
    ) -> Result<()> {
        let mut left = vec![(store.clone(), version.clone())];
        while let Some((keys, at)) = left.pop() {
            if at.files.is_empty() || !seen.insert((keys.clone(), at.lineage())) {
                continue;
            }
            for step in self.steps(&at, &keys).await? {
                needed.extend(step.files);
                left.push((step.keys, step.layer.from));
            }
        }
        Ok(())
    }

    /// One step back: over the merged file that goes furthest, for the key groups that have one, else over the deltas.
    async fn steps(&self, at: &VersionRef, store: &StoreId) -> Result<Vec<Step>> {
        let mut candidates = self.merged_files(at.lineage()).await?;
        candidates.retain(|file| file.store.overlaps(store));
        candidates.sort_by(|a, b| a.from.cmp(&b.from).then_with(|| a.store.cmp(&b.store)));
        let (mut steps, mut left) = (Vec::new(), vec![store.clone()]);
        for file in candidates {
            if left.is_empty() || !left.iter().any(|keys| keys.overlaps(&file.store)) {
                continue;
            }
            let info = self.info(&file.name, None).await?;
            // A file that only happens to have the same lineage number leads elsewhere.
            if info.header.kind != Kind::Merged || info.header.covers.files != at.files {
                continue;
            }
            let Some(segment) = info.segments.first() else { continue };
            let mut rest = Vec::new();
            for keys in left {
                let (inside, outside) = keys.split_by(&file.store);
                rest.extend(outside);
                if let Some(keys) = inside {
                    let part = Part { info: Arc::clone(&info), segment: Arc::clone(segment), keys: keys.clone() };
                    let layer = LayerPlan { to: at.clone(), from: info.header.parent.clone(), parts: vec![part] };
                    steps.push(Step { keys, layer, files: vec![file.name.clone()] });
                }
            }
            left = rest;
        }
        for keys in left {
            steps.push(self.delta_step(at, keys).await?);
        }
        Ok(steps)
    }

    /// The step back over the newest deltas of a version.
    async fn delta_step(&self, at: &VersionRef, keys: StoreId) -> Result<Step> {
        let version_of = |file: &FileRef| FileName::parse(&file.name).map_or(0, |name| name.version());
        let newest = at.files.iter().map(version_of).max().unwrap_or(0);
        let (now, mut files): (Vec<FileRef>, Vec<FileRef>) =
            at.files.iter().cloned().partition(|file| version_of(file) == newest);
        let (mut parts, mut from_version) = (Vec::new(), files.iter().map(version_of).max().unwrap_or(0));
        for file in &now {
            let info = self.info(&file.name, Some(file.checksum)).await?;
            if info.header.kind != Kind::Delta || info.header.version != newest || info.header.parent.version >= newest
            {
                let message = format!("the file is not the delta of version {newest} that its name says");
                return Err(Error::corrupt(self.place.url_of(&file.name), message));
            }
            for segment in info.segments.iter().filter(|segment| segment.store.overlaps(&keys)) {
                parts.push(Part { info: Arc::clone(&info), segment: Arc::clone(segment), keys: keys.clone() });
            }
            files.extend(info.header.parent.files.iter().cloned());
            from_version = from_version.max(info.header.parent.version);
        }
        let layer = LayerPlan { to: at.clone(), from: VersionRef::new(from_version, files), parts };
        Ok(Step { keys, layer, files: now.into_iter().map(|file| file.name).collect() })
    }

    /// What a file says of itself, which must have the `expected` checksum.
    pub(crate) async fn info(&self, name: &str, expected: Option<u32>) -> Result<Arc<FileInfo>> {
        let (known, size) = {
            let known = self.lock();
            (known.infos.get(name).cloned(), known.sizes.get(name).copied())
        };
        if let Some(info) = known.filter(|info| expected.is_none_or(|expected| expected == info.checksum)) {
            return Ok(info);
        }
        let info = Arc::new(FileInfo::read(&self.place, name, size, expected).await?);
        self.lock().infos.insert(name.to_owned(), kept(&info));
        Ok(info)
    }

    /// A file that this process has written.
    pub(crate) fn add(&self, info: Arc<FileInfo>) {
        let mut known = self.lock();
        if let (Some(FileName::Merged { from, lineage, store, .. }), Some(merged)) =
            (FileName::parse(&info.name), &mut known.merged)
        {
            merged.entry(lineage).or_default().push(MergedFile { name: info.name.clone(), from, store });
        }
        known.infos.insert(info.name.clone(), kept(&info));
    }

    /// Forgets files that are gone.
    pub(crate) fn forget(&self, names: &[String]) {
        let mut known = self.lock();
        for name in names {
            known.infos.remove(name);
            known.sizes.remove(name);
            if let Some(merged) = &mut known.merged {
                merged.values_mut().for_each(|files| files.retain(|file| file.name != *name));
            }
        }
    }

    /// The folder's files; what is known of merged files is renewed by the way.
    pub(crate) async fn list(&self) -> Result<Vec<Entry>> {
        let entries = self.place.list().await?;
        let mut merged: HashMap<u32, Vec<MergedFile>> = HashMap::new();
        for entry in &entries {
            if let Some(FileName::Merged { from, lineage, store, .. }) = FileName::parse(&entry.name) {
                merged.entry(lineage).or_default().push(MergedFile { name: entry.name.clone(), from, store });
            }
        }
        let mut known = self.lock();
        known.merged = Some(merged);
        known.sizes = entries.iter().map(|entry| (entry.name.clone(), entry.size_bytes)).collect();
        Ok(entries)
    }

    async fn merged_files(&self, lineage: u32) -> Result<Vec<MergedFile>> {
        if self.lock().merged.is_none() {
            self.list().await?;
        }
        let known = self.lock();
        Ok(known.merged.as_ref().and_then(|merged| merged.get(&lineage)).cloned().unwrap_or_default())
    }

    /// Opens the segments of these layers, checking what schema they were written with.
    pub(crate) async fn open_layers(&self, plans: &[LayerPlan], schema: &StoreSchema) -> Result<Vec<Layer>> {
        let stored_columns = stored_columns(plans, schema)?;
        let mut layers = Vec::with_capacity(plans.len());
        for plan in plans {
            let mut layer = Vec::with_capacity(plan.parts.len());
            for part in &plan.parts {
                let segment = &self.whole(part).await?;
                let columns = stored_columns.get(&segment.fingerprint).copied().ok_or_else(|| {
                    let message = format!("the schema of {} is in none of the files it builds on", segment.store);
                    Error::corrupt(self.place.url_of(&part.info.name), message)
                })?;
                let file = self.open_file(&part.info).await?;
                let keys = (!part.is_whole()).then(|| part.keys.clone());
                layer.push(Segment::new(file, Arc::clone(segment), keys, schema, columns)?);
            }
            layers.push(layer);
        }
        Ok(layers)
    }

    /// The segment with the places of its blocks, read again if only a summary was kept.
    async fn whole(&self, part: &Part) -> Result<Arc<SegmentInfo>> {
        if !part.segment.is_summary() {
            return Ok(Arc::clone(&part.segment));
        }
        let Part { info, segment, .. } = part;
        let read = FileInfo::read(&self.place, &info.name, Some(info.bytes), Some(info.checksum)).await?;
        let found = read.segments.iter().find(|other| other.store == segment.store).cloned();
        found.ok_or_else(|| {
            Error::corrupt(self.place.url_of(&info.name), format!("the file has lost {}", segment.store))
        })
    }

    /// The file on the local disk, copied there if it is elsewhere.
    pub(crate) async fn open_file(&self, info: &FileInfo) -> Result<Arc<OpenFile>> {
        if let Some(file) = self.lock().open.get(&info.name).and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = match self.place.local_path() {
            Some(folder) => OpenFile::open(&folder.join(&info.name), false)?,
            None => {
                let path = self.scratch.new_path()?;
                self.copy(info, &path).await?;
                OpenFile::open(&path, true)?
            }
        };
        let file = Arc::new(file);
        self.lock().open.insert(info.name.clone(), Arc::downgrade(&file));
        Ok(file)
    }

    async fn copy(&self, info: &FileInfo, path: &Path) -> Result<()> {
        use std::io::Write;
        let fail = |what: &str, source| Error::io(what, path.display().to_string(), source);
        let mut file = std::fs::File::create_new(path).map_err(|source| fail("create", source))?;
        let mut checksum = crc32fast::Hasher::new();
        let mut offset = 0;
        while offset < info.bytes {
            let end = (offset + COPY_BYTES).min(info.bytes);
            let part: Bytes = self.place.read_range(&info.name, offset..end).await?.unwrap_or_default();
            if part.len() as u64 != end - offset {
                return Err(Error::corrupt(self.place.url_of(&info.name), "the file is cut short"));
            }
            // The last four bytes are the checksum of all others.
            let covered = part.len().min((info.bytes - 4).saturating_sub(offset) as usize);
            checksum.update(&part[..covered]);
            file.write_all(&part).map_err(|source| fail("write", source))?;
            offset = end;
        }
        if checksum.finalize() != info.checksum {
            let message = format!("the file's bytes do not have the checksum {:08x} at its end", info.checksum);
            return Err(Error::corrupt(self.place.url_of(&info.name), message));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a file: of a large one no filters and places of blocks, which can be a tenth of the memory that its
/// store may take.
fn kept(info: &Arc<FileInfo>) -> Arc<FileInfo> {
    if info.bytes <= WHOLE_FILE_BYTES {
        return Arc::clone(info);
    }
    let segments = info.segments.iter().map(|segment| Arc::new(segment.summary())).collect();
    let (name, header) = (info.name.clone(), info.header.clone());
    Arc::new(FileInfo { name, header, segments, checksum: info.checksum, bytes: info.bytes })
}

/// For each schema the segments were written with, how many of the wanted schema's value columns it has.
fn stored_columns(plans: &[LayerPlan], schema: &StoreSchema) -> Result<HashMap<u64, usize>> {
    let mut columns = HashMap::from([(schema.fingerprint(), schema.value().len())]);
    for Part { info, segment, .. } in plans.iter().flat_map(|plan| &plan.parts) {
        if let Some(text) = &segment.schema
            && !columns.contains_key(&segment.fingerprint)
        {
            let stored = schema
                .accepts(text)
                .map_err(|error| Error::invalid(format!("{}: {error}", segment.store)).at(info.name.clone()))?;
            columns.insert(segment.fingerprint, stored);
        }
    }
    Ok(columns)
}
