//! The contract of [`Source`], as a check.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion_execution::TaskContext;
use futures::TryStreamExt;

use crate::error::{Error, Result};
use crate::source::{Offset, ReadLimit, ReadRequest, Source, SourceProvider, SourceSpec};

/// Checks [`Source`]'s contract on a source that has data in front of it: `grow` makes more of it appear, and is called
/// between looks, at least three times. Fails naming the promise that was broken. Gives all the rows it has read.
pub async fn check_source(
    provider: &dyn SourceProvider,
    spec: &SourceSpec,
    source: &dyn Source,
    mut grow: impl AsyncFnMut(usize),
) -> Result<RecordBatch> {
    let start = source.initial().await?;
    let mut offsets = vec![start.clone()];
    for step in 0..3 {
        grow(step).await;
        let from = offsets.last().cloned().flatten();
        let to = source.latest(from.as_ref(), &ReadLimit::AllAvailable).await?;
        let again = source.latest(to.as_ref(), &ReadLimit::AllAvailable).await?;
        expect(again == to, "progress: with nothing new, latest(x) must be x", || format!("{to:?} became {again:?}"))?;
        offsets.push(to);
    }
    let mut tiles = Vec::new();
    for pair in offsets.windows(2) {
        let once = read_rows(provider, spec, source, pair[0].as_ref(), pair[1].as_ref()).await?;
        let twice = read_rows(provider, spec, source, pair[0].as_ref(), pair[1].as_ref()).await?;
        expect(once == twice, "replay: a range must give the same rows each time", || format!("{pair:?}"))?;
        tiles.push(once);
    }
    let last = offsets.last().cloned().flatten();
    let whole = read_rows(provider, spec, source, start.as_ref(), last.as_ref()).await?;
    let tiled = concat_batches(&whole.schema(), &tiles).map_err(|e| Error::internal(e.to_string()))?;
    expect(sorted(&tiled)? == sorted(&whole)?, "tiling: ranges side by side must give the rows of the whole", || {
        format!("{} rows in tiles, {} in the whole", tiled.num_rows(), whole.num_rows())
    })?;
    expect(whole.num_rows() > 0, "the check needs data: grow made none", String::new)?;
    if let Some(last) = &last {
        source.commit(last).await?;
        source.commit(last).await?;
    }
    Ok(whole)
}

/// The rows of (from, to], all columns, in split order.
pub async fn read_rows(
    provider: &dyn SourceProvider,
    spec: &SourceSpec,
    source: &dyn Source,
    from: Option<&Offset>,
    to: Option<&Offset>,
) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    if let Some(to) = to.filter(|to| Some(*to) != from) {
        for split in source.splits(from, to).await? {
            // Through JSON, as a split travels to another process.
            let text = serde_json::to_string(&split).map_err(|e| Error::internal(e.to_string()))?;
            let split = serde_json::from_str(&text).map_err(|e| Error::internal(e.to_string()))?;
            let projection = (0..spec.schema.fields().len()).collect();
            let request = ReadRequest { split, projection, context: Arc::new(TaskContext::default()) };
            batches.extend(provider.read(spec, request)?.try_collect::<Vec<_>>().await?);
        }
    }
    concat_batches(&spec.schema, &batches).map_err(|e| Error::internal(e.to_string()))
}

/// The rows as text, sorted.
fn sorted(batch: &RecordBatch) -> Result<Vec<String>> {
    let formatted = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(batch))
        .map_err(|e| Error::internal(e.to_string()))?
        .to_string();
    let mut lines: Vec<String> = formatted.lines().map(str::to_string).collect();
    lines.sort_unstable();
    Ok(lines)
}

fn expect(holds: bool, promise: &str, seen: impl FnOnce() -> String) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::internal(format!("broken promise: {promise} ({})", seen()))),
    }
}
