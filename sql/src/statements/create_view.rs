//! `CREATE VIEW`: a name for a query, over streams too.

use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use millstream_engine::{Error, Result};

use super::{Outcome, plain_name};
use crate::dialect::CreateView;
use crate::session::StreamSession;

pub(super) async fn create_view(session: &StreamSession, create: &CreateView) -> Result<Outcome> {
    let name = plain_name(&create.name)?;
    if let Some(known) = session.catalog().get(name)
        && !create.or_replace
    {
        if create.if_not_exists {
            return Ok(Outcome::Done);
        }
        return Err(Error::invalid(format!(
            "[TABLE_OR_VIEW_ALREADY_EXISTS] {} exists already: write CREATE OR REPLACE VIEW, or choose another name",
            known.name()
        )));
    }
    let mut plan = session.plan(&create.query).await?;
    if !create.columns.is_empty() {
        let columns = plan.schema().columns();
        if columns.len() != create.columns.len() {
            return Err(Error::invalid(format!(
                "view {name} names {} columns, but its query has {}",
                create.columns.len(),
                columns.len()
            )));
        }
        let renamed = columns.into_iter().zip(&create.columns).map(|(column, name)| Expr::Column(column).alias(name));
        plan = LogicalPlanBuilder::from(plan).project(renamed.collect::<Vec<_>>())?.build()?;
    }
    session.put_view(name, plan, &create.query.text, create.temporary)?;
    Ok(Outcome::Done)
}
