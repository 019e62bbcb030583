//! `metadata`: the query's id, written once when the checkpoint is made.

use bytes::Bytes;
use millstream_state::Place;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// What `metadata` says: `{"id":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryMetadata {
    /// The query's id, the same in every run on this checkpoint.
    pub id: Uuid,
}

impl QueryMetadata {
    /// Reads it, where there is one.
    pub async fn read(place: &Place) -> Result<Option<Self>> {
        let Some(bytes) = place.read("metadata").await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::corrupt(format!("{}/metadata is damaged ({e}): restore the checkpoint from a copy", place.url()))
        })
    }

    /// Makes a new id and writes it.
    pub async fn create(place: &Place) -> Result<Self> {
        let metadata = Self { id: Uuid::new_v4() };
        let text = serde_json::to_vec(&metadata).map_err(|e| Error::internal(e.to_string()))?;
        place.create("metadata", Bytes::from(text)).await?;
        Ok(metadata)
    }
}
