//! One batch: drafts of any number of stores, committed together in one durable file.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;

use crate::aside::Aside;
use crate::budget::Reservation;
use crate::catalog::{LayerPlan, Part};
use crate::cursor::Merge;
use crate::draft::{Changes, Draft, StoreCodec};
use crate::error::{Error, Result};
use crate::file::format::{Header, Kind, SegmentInfo};
use crate::file::reader::FileInfo;
use crate::file::segment_writer::{SEGMENT_PIECE_BYTES, SegmentStart, SegmentWriter};
use crate::file::writer::FileWriter;
use crate::id::{StoreId, VersionRef, delta_name};
use crate::image::{Image, segment_cursors};
use crate::in_order::in_order;
use crate::key_hash::hash_key;
use crate::key_range::KeyRange;
use crate::output::Output;
use crate::resident::{Change, Lease};
use crate::schema::StoreSchema;
use crate::scratch::Scratch;
use crate::stores::{Pending, PendingChanges, PendingRows, Stores};

/// Batches with fewer changes are written by the task that commits them: a hop to another thread would cost more.
const ROWS_AT_ONCE: usize = 16_384;

/// Rows that are written before others may look at the store again.
const ROWS_AT_A_TIME: usize = 8192;

/// A batch in the making. Dropping it before [`Batch::commit`] leaves no trace.
#[derive(Debug)]
pub struct Batch {
    inner: Arc<BatchInner>,
}

#[derive(Debug)]
pub(crate) struct BatchInner {
    stores: Stores,
    base: VersionRef,
    pub version: u64,
    pub attempt: String,
    opened: Mutex<HashSet<StoreId>>,
    pub sealed: Mutex<Vec<Sealed>>,
}

impl BatchInner {
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.stores.inner.scratch
    }
}

/// The changes of a finished draft.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub id: StoreId,
    pub codec: Arc<StoreCodec>,
    pub image: Image,
    pub changes: Changes,
    pub rows: u64,
    pub reservation: Reservation,
}

/// What a commit did.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The new version. Whoever records that the batch counts records this, and begins the next batch with it.
    pub reference: VersionRef,
    /// Stores that changed.
    pub stores: usize,
    /// Rows put.
    pub puts: u64,
    /// Keys removed.
    pub removes: u64,
    /// Bytes of the file; 0 when nothing changed, and no file was written.
    pub bytes: u64,
    /// Nanoseconds it took, the disk included.
    pub nanos: u64,
}

impl Batch {
    pub(crate) fn new(stores: Stores, base: VersionRef, version: u64, attempt: String) -> Self {
        let (opened, sealed) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(BatchInner { stores, base, version, attempt, opened, sealed }) }
    }

    /// Opens a store at the batch's base, to be changed. Each store can be opened once in a batch; the key groups of
    /// different partitions of a store must not overlap.
    ///
    /// The partition count may be another one than that of the batches before. A schema other than the stored one is
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), unless it only adds nullable value columns at the end.
    pub async fn draft(&self, id: &StoreId, schema: &StoreSchema) -> Result<Draft> {
        {
            let mut opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(other) = opened.iter().find(|other| other.overlaps(id)) {
                return Err(Error::internal(format!("{id} was opened in this batch already, as {other}")));
            }
            opened.insert(id.clone());
        }
        let opened = self.inner.stores.image(id, schema, &self.inner.base).await?;
        let batch = Arc::clone(&self.inner);
        Ok(Draft::new(id.clone(), opened, batch))
    }

    /// Writes the changes of all stores in one file, durably. All drafts must be finished.
    ///
    /// When this fails nothing has changed: the version underneath can be loaded, and the batch run again under another
    /// attempt. [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) means that another writer has used the attempt's name.
    pub async fn commit(self) -> Result<Commit> {
        let start = Instant::now();
        let mut sealed = std::mem::take(&mut *self.inner.sealed.lock().unwrap_or_else(PoisonError::into_inner));
        let opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner).len();
        if sealed.len() != opened {
            let message =
                format!("{} of {opened} drafts were not finished: the batch is aborted", opened - sealed.len());
            return Err(Error::internal(message));
        }
        sealed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let is_large = sealed.iter().map(|sealed| sealed.changed_rows()).sum::<usize>() > ROWS_AT_ONCE;
        // Sorting and encoding many rows would hold up other tasks of this thread.
        let (batch, sealed, file) = match Handle::try_current() {
            Ok(runtime) if is_large => {
                let (spawner, stopped) = (runtime.clone(), "the task that writes a batch did not end");
                let work = move || {
                    let file = self.write_in_parallel(&sealed, &runtime);
                    (self, sealed, file)
                };
                spawner.spawn_blocking(work).await.map_err(|source| Error::internal(stopped).because(source))?
            }
            _ => {
                let file = self.write(&sealed).await;
                (self, sealed, file)
            }
        };
        batch.after_write(sealed, file?, start)
    }

    /// What follows when the file is there.
    fn after_write(self, sealed: Vec<Sealed>, file: Option<Arc<FileInfo>>, start: Instant) -> Result<Commit> {
        let reference = match &file {
            Some(file) => VersionRef::new(self.inner.version, vec![file.reference()]),
            None => VersionRef { version: self.inner.version, files: self.inner.base.files.clone() },
        };
        let segments = || file.iter().flat_map(|file| &file.segments);
        let commit = Commit {
            reference: reference.clone(),
            stores: segments().count(),
            puts: segments().map(|segment| segment.puts).sum(),
            removes: segments().map(|segment| segment.removes).sum(),
            bytes: file.as_ref().map_or(0, |file| file.bytes),
            nanos: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        if let Some(file) = &file {
            self.inner.stores.inner.catalog.add(Arc::clone(file));
        }
        self.hand_over(sealed, &reference, file.as_ref());
        Ok(commit)
    }

    /// The file of the batch; `None` when nothing changed.
    async fn write(&self, sealed: &[Sealed]) -> Result<Option<Arc<FileInfo>>> {
        let mut changed = Vec::new();
        for sealed in sealed {
            changed.extend(sealed.to_write()?.map(|rows| (sealed, rows)));
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let (name, header) = self.name_and_header(&changed);
        let mut file = FileWriter::new(&header);
        let mut output = Output::new(self.inner.stores.place(), &name);
        for (sealed, rows) in &changed {
            sealed.encode(rows, |piece| piece.append_to(&mut file))?;
            output.take_from(&mut file).await?;
        }
        finish(&name, header, file, output).await
    }

    /// [`Batch::write`] by several threads, of which each sorts and encodes one store at a time.
    fn write_in_parallel(&self, sealed: &[Sealed], runtime: &Handle) -> Result<Option<Arc<FileInfo>>> {
        let mut changed = Vec::new();
        in_order(
            sealed,
            |sealed, give| _ = give(sealed.to_write()),
            |sealed, rows| {
                changed.extend(rows?.map(|rows| (sealed, rows)));
                Ok(())
            },
        )?;
        if changed.is_empty() {
            return Ok(None);
        }
        let (name, header) = self.name_and_header(&changed);
        let mut file = FileWriter::new(&header);
        let mut output = Output::new(self.inner.stores.place(), &name);
        let encode = |(sealed, rows): &(&Sealed, ToWrite<'_>), give: &mut dyn FnMut(Result<Piece>) -> bool| {
            let encoded = sealed.encode(rows, |piece| match give(Ok(piece)) {
                true => Ok(()),
                false => Err(Error::internal("nobody takes the pieces of the batch's file")),
            });
            if let Err(error) = encoded {
                give(Err(error));
            }
        };
        in_order(&changed, encode, |_, piece| {
            piece?.append_to(&mut file)?;
            runtime.block_on(output.take_from(&mut file))
        })?;
        runtime.block_on(finish(&name, header, file, output))
    }

    fn name_and_header(&self, changed: &[(&Sealed, ToWrite<'_>)]) -> (String, Header) {
        let fingerprints: Vec<u8> =
            changed.iter().flat_map(|(sealed, _)| sealed.codec.fingerprint.to_le_bytes()).collect();
        let header = Header {
            kind: Kind::Delta,
            version: self.inner.version,
            parent: self.inner.base.clone(),
            covers: VersionRef::empty(),
            attempt: self.inner.attempt.clone(),
            fingerprint: hash_key(&fingerprints),
        };
        (delta_name(self.inner.version, &self.inner.attempt), header)
    }

    /// Leaves the new version beside the old one in memory.
    fn hand_over(&self, sealed: Vec<Sealed>, reference: &VersionRef, file: Option<&Arc<FileInfo>>) {
        let mut loaded = self.inner.stores.lock();
        for sealed in sealed {
            let Some(loaded) = loaded.get_mut(&sealed.id).filter(|loaded| loaded.image.is(&sealed.image)) else {
                continue;
            };
            let segment = file.and_then(|file| {
                let segment = file.segments.iter().find(|segment| segment.store == sealed.id)?;
                Some(Part { info: Arc::clone(file), segment: Arc::clone(segment), keys: sealed.id.clone() })
            });
            let rows = match sealed.changes {
                // Another attempt has begun, and has undone what this one did.
                Changes::InPlace(lease) if !lease.is_current() => continue,
                Changes::InPlace(lease) => PendingRows::InPlace(lease),
                Changes::Aside(aside) if aside.runs.is_empty() && !sealed.image.is_resident() => {
                    PendingRows::OnTop(Box::new(aside.overlay))
                }
                Changes::Aside(_) => PendingRows::InFile,
            };
            let changes = segment.map(|part| PendingChanges {
                rows,
                layer: LayerPlan { to: reference.clone(), from: self.inner.base.clone(), parts: vec![part] },
                _reservation: sealed.reservation,
            });
            loaded.pending = Some(Pending { reference: reference.clone(), same: None, rows: sealed.rows, changes });
        }
        // Stores that nobody opened are at the new version, too.
        for loaded in loaded.values_mut() {
            loaded.follow(&self.inner.base, reference);
        }
    }
}

/// Makes the file visible and durable.
async fn finish(
    name: &str,
    header: Header,
    mut writer: FileWriter,
    output: Output<'_>,
) -> Result<Option<Arc<FileInfo>>> {
    let finished = writer.finish();
    output.finish(writer.take_pending()).await?;
    Ok(Some(Arc::new(FileInfo {
        name: name.to_string(),
        header,
        segments: finished.segments.into_iter().map(Arc::new).collect(),
        checksum: finished.checksum,
        bytes: finished.bytes,
    })))
}

/// What follows in the segment of a store.
enum Piece {
    Bytes(Vec<u8>),
    End(SegmentInfo),
}

impl Piece {
    fn append_to(self, file: &mut FileWriter) -> Result<()> {
        match self {
            Self::Bytes(bytes) => file.add(&bytes),
            Self::End(segment) => file.end_segment(segment),
        }
        Ok(())
    }
}

/// What a store writes, in key order.
enum ToWrite<'a> {
    InPlace(&'a Lease, Vec<Change>),
    /// The slots of the changes in memory; more may be in scratch files.
    Aside(&'a Aside, Vec<u32>),
}

impl Sealed {
    /// About how many rows have changed.
    fn changed_rows(&self) -> usize {
        match &self.changes {
            Changes::InPlace(lease) => lease.changed_rows(),
            Changes::Aside(aside) => aside.overlay.len() + aside.rows_in_runs(),
        }
    }

    /// `None` when nothing changed.
    fn to_write(&self) -> Result<Option<ToWrite<'_>>> {
        Ok(match &self.changes {
            Changes::InPlace(lease) => {
                let changes = lease.changes()?;
                (!changes.is_empty()).then_some(ToWrite::InPlace(lease, changes))
            }
            Changes::Aside(aside) => {
                let slots = aside.overlay.sorted();
                (!slots.is_empty() || !aside.runs.is_empty()).then_some(ToWrite::Aside(aside, slots))
            }
        })
    }

    /// Gives out the store's segment, piece by piece.
    fn encode(&self, rows: &ToWrite<'_>, mut give: impl FnMut(Piece) -> Result<()>) -> Result<()> {
        let is_new_schema = self.image.fingerprint != Some(self.codec.fingerprint);
        let mut segment = SegmentWriter::new(SegmentStart {
            store: self.id.clone(),
            layout: self.codec.layout.clone(),
            fingerprint: self.codec.fingerprint,
            schema: is_new_schema.then(|| self.codec.schema.text()),
            rows_at_most: rows.len(),
        });
        let mut give_pending = |segment: &mut SegmentWriter| match segment.pending_bytes() < SEGMENT_PIECE_BYTES {
            true => Ok(()),
            false => give(Piece::Bytes(segment.take_pending())),
        };
        match rows {
            ToWrite::InPlace(lease, changes) => {
                for changes in changes.chunks(ROWS_AT_A_TIME) {
                    lease.read_changes(changes, |key, value| {
                        segment.push(hash_key(key), key, value);
                        Ok(())
                    })?;
                    give_pending(&mut segment)?;
                }
            }
            ToWrite::Aside(aside, slots) => {
                let mut cursors = vec![aside.overlay.cursor_of(slots.clone())];
                cursors.extend(segment_cursors(&aside.runs, &KeyRange::all())?);
                let mut changes = Merge::new(cursors);
                while changes.advance()? {
                    segment.push(hash_key(changes.key()), changes.key(), changes.value());
                    give_pending(&mut segment)?;
                }
            }
        }
        let (rest, info) = segment.finish(self.rows);
        give(Piece::Bytes(rest))?;
        give(Piece::End(info))
    }
}

impl ToWrite<'_> {
    /// Rows there are at most.
    fn len(&self) -> usize {
        match self {
            Self::InPlace(_, changes) => changes.len(),
            Self::Aside(aside, slots) => slots.len() + aside.rows_in_runs(),
        }
    }
}
