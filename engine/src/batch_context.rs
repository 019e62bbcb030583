//! What differs from one micro-batch to the next, as one value that can be sent along with a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::source::Split;
use crate::static_side::StaticListing;

/// Everything about a batch that is not in its plan. Every node of ours reads it from the [`TaskContext`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchContext {
    /// The batch's number.
    pub batch_id: u64,
    /// Which attempt at this batch: a name no other attempt has, in this run or another.
    pub attempt: uuid::Uuid,
    /// The batch's time, from `offsets/N`: what `current_timestamp()` answers. Milliseconds since the epoch.
    pub batch_timestamp_ms: i64,
    /// The watermarks of each stateful operator, by its number in the plan.
    pub operators: BTreeMap<u32, OperatorWatermarks>,
    /// What each stream of the plan reads in this batch, by the stream's number in the plan.
    pub splits: BTreeMap<u32, Vec<Split>>,
    /// What the tables beside the streams consist of, by their number in the plan: those that may change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub static_tables: BTreeMap<u64, StaticListing>,
    /// How many rows each limit of the plan has let through before this batch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<u32, u64>,
}

/// The watermarks of a stateful operator in one batch, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorWatermarks {
    /// Rows at or before this are late: W(N−1).
    pub late_ms: i64,
    /// State at or before this is closed: W(N).
    pub eviction_ms: i64,
}

impl OperatorWatermarks {
    /// W(N−1) in microseconds since the epoch.
    pub fn late_micros(&self) -> i64 {
        self.late_ms.saturating_mul(1000)
    }

    /// W(N) in microseconds since the epoch.
    pub fn eviction_micros(&self) -> i64 {
        self.eviction_ms.saturating_mul(1000)
    }
}

impl BatchContext {
    /// The watermarks of operator number `operator`; the epoch where there are none.
    pub fn watermarks_of(&self, operator: u32) -> OperatorWatermarks {
        self.operators.get(&operator).copied().unwrap_or_default()
    }

    /// The batch that `context` belongs to. An internal error outside a batch.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| Error::internal("a streaming plan runs outside a micro-batch"))
    }

    /// A configuration whose task contexts belong to this batch and resolve connectors through `registry`.
    pub fn install(self: Arc<Self>, config: SessionConfig, registry: Arc<Registry>) -> SessionConfig {
        config.with_extension(self).with_extension(registry)
    }
}

/// The registry that `context` resolves connectors through.
pub(crate) fn registry_of(context: &TaskContext) -> Result<Arc<Registry>> {
    context
        .session_config()
        .get_extension::<Registry>()
        .ok_or_else(|| Error::internal("a plan with connectors runs without a registry of them"))
}
