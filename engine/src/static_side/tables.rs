//! Tables that may change while a query runs: when they are listed again, and what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plan::{SourceExec, SplitsFrom};
use crate::registry::Registry;
use crate::source::{SourceSpec, Split, StaticRefresh};

/// What a table consists of in a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticListing {
    /// The same for the same splits.
    pub fingerprint: u64,
    /// What to read.
    pub splits: Vec<Split>,
}

/// The tables of a plan that are listed again while it runs: the driver's half.
#[derive(Debug)]
pub(crate) struct StaticTables(Vec<ListedTable>);

#[derive(Debug)]
struct ListedTable {
    number: u64,
    spec: SourceSpec,
    refresh: StaticRefresh,
    /// When it was listed, and what was found.
    listed: Option<(i64, StaticListing)>,
}

impl StaticTables {
    /// The tables of `plan`.
    pub(crate) fn of_plan(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut tables: BTreeMap<u64, ListedTable> = BTreeMap::new();
        // The closure does not fail, so neither does the walk.
        let _ = plan.apply(|node| {
            if let Some(scan) = node.downcast_ref::<SourceExec>()
                && let SplitsFrom::Listed { table, refresh } = scan.splits_from()
            {
                let (number, spec, refresh) = (*table, scan.spec().clone(), *refresh);
                tables.insert(number, ListedTable { number, spec, refresh, listed: None });
            }
            Ok(TreeNodeRecursion::Continue)
        });
        Self(tables.into_values().collect())
    }

    /// What each table consists of now, at `now_ms`; those whose time has not come are not asked again.
    pub(crate) async fn list(&mut self, registry: &Registry, now_ms: i64) -> Result<BTreeMap<u64, StaticListing>> {
        let mut listings = BTreeMap::new();
        for table in &mut self.0 {
            let is_fresh = |listed_ms: i64| match table.refresh {
                StaticRefresh::Never => true,
                StaticRefresh::EveryBatch => false,
                StaticRefresh::Interval { interval_ms } => now_ms.saturating_sub(listed_ms) < interval_ms,
            };
            let listing = match &table.listed {
                Some((listed_ms, listing)) if is_fresh(*listed_ms) => listing.clone(),
                _ => {
                    let splits = registry.source(&table.spec.connector)?.batch_splits(&table.spec).await?;
                    let json = serde_json::to_vec(&splits)
                        .map_err(|e| Error::internal(format!("the splits of a table cannot be encoded: {e}")))?;
                    let listing = StaticListing { fingerprint: millstream_state::hash_key(&json), splits };
                    table.listed.insert((now_ms, listing)).1.clone()
                }
            };
            listings.insert(table.number, listing);
        }
        Ok(listings)
    }
}
