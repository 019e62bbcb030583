//! What the pipeline must give out: plain SQL of DataFusion, over everything that happened. Rows are texts, sorted.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use millstream_tests::TestResult;

use super::shop::Shop;

/// The rows of each query.
pub(super) struct Answers {
    pub(super) page_views: Vec<String>,
    pub(super) fraud: Vec<String>,
    pub(super) sessions: Vec<String>,
    pub(super) recommendations: Vec<String>,
    /// When the shop closed.
    pub(super) closed_at: String,
}

/// Windows of five minutes begin each minute: an event is in five.
const PAGE_VIEWS: &str = "
    SELECT concat_ws('|', CAST(to_timestamp_seconds(at - at % 60 - before) AS VARCHAR), page_url, count(*),
                     count(DISTINCT user_id), count(DISTINCT session_id),
                     CAST(round(100.0 * count(*) / count(DISTINCT user_id)) AS BIGINT)) AS answer
    FROM events CROSS JOIN (VALUES (0), (60), (120), (180), (240)) AS earlier(before)
    WHERE event_type = 'page_view'
    GROUP BY at - at % 60 - before, page_url";

const FRAUD: &str = "
    SELECT concat_ws('|', CAST(to_timestamp_seconds(at - at % 60) AS VARCHAR), user_id, count(*), sum(cents),
                     count(DISTINCT merchant_id),
                     array_to_string(array_agg(DISTINCT payment_method ORDER BY payment_method), ','),
                     least(100, 3 * count(*) + 4 * count(DISTINCT merchant_id) + sum(cents) / 15000)) AS answer
    FROM transactions
    GROUP BY at - at % 60, user_id
    HAVING count(*) >= 5 OR sum(cents) >= 300000 OR count(DISTINCT merchant_id) >= 4";

/// Windows of ten minutes begin every two: an event is in five.
const SESSIONS: &str = "
    SELECT concat_ws('|', CAST(CAST(to_timestamp_seconds(at - at % 120 - before) AS DATE) AS VARCHAR),
                     CAST(to_timestamp_seconds(at - at % 120 - before) AS VARCHAR), session_id, user_id, count(*),
                     array_to_string(array_agg(page_url ORDER BY at, page_url), ','),
                     CAST(to_timestamp_seconds(min(at)) AS VARCHAR), CAST(to_timestamp_seconds(max(at)) AS VARCHAR),
                     max(at) - min(at)) AS answer
    FROM events CROSS JOIN (VALUES (0), (120), (240), (360), (480)) AS earlier(before)
    WHERE at < closed_at
    GROUP BY at - at % 120 - before, session_id, user_id";

const RECOMMENDATIONS: &str = "
    WITH visited AS (
        SELECT at - at % 600 AS start, user_id, array_to_string(array_agg(DISTINCT page_url ORDER BY page_url), ',') AS pages
        FROM events WHERE at < closed_at GROUP BY at - at % 600, user_id),
    bought AS (
        SELECT at - at % 600 AS start, user_id,
               array_to_string(array_agg(DISTINCT merchant_id ORDER BY merchant_id), ',') AS merchants,
               (2 * sum(cents) + count(*)) / (2 * count(*)) AS average_cents
        FROM transactions WHERE at < closed_at GROUP BY at - at % 600, user_id)
    SELECT concat_ws('|', CAST(to_timestamp_seconds(v.start) AS VARCHAR), v.user_id, v.pages,
                     coalesce(b.merchants, '-'), coalesce(CAST(b.average_cents AS VARCHAR), '-')) AS answer
    FROM visited v LEFT JOIN bought b ON v.start = b.start AND v.user_id = b.user_id";

/// The answers.
pub(super) async fn of(shop: &Shop) -> TestResult<Answers> {
    let context = SessionContext::new();
    let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let closed = |rows: usize| numbers(vec![shop.closed_at_seconds; rows]);
    let events = &shop.events;
    let happened = RecordBatch::try_from_iter([
        ("user_id", texts(events.iter().map(|e| e.user_id.as_str()).collect())),
        ("session_id", texts(events.iter().map(|e| e.session_id.as_str()).collect())),
        ("event_type", texts(events.iter().map(|e| e.event_type.as_str()).collect())),
        ("page_url", texts(events.iter().map(|e| e.page_url.as_str()).collect())),
        ("at", numbers(events.iter().map(|e| e.at_seconds).collect())),
        ("closed_at", closed(events.len())),
    ])?;
    context.register_batch("happened", happened)?;
    // Two events that nothing tells apart are one that was sent twice.
    context.sql("CREATE VIEW events AS SELECT DISTINCT * FROM happened").await?.collect().await?;
    let transactions = &shop.transactions;
    let transactions = RecordBatch::try_from_iter([
        ("user_id", texts(transactions.iter().map(|t| t.user_id.as_str()).collect())),
        ("cents", numbers(transactions.iter().map(|t| t.cents).collect())),
        ("merchant_id", texts(transactions.iter().map(|t| t.merchant_id.as_str()).collect())),
        ("payment_method", texts(transactions.iter().map(|t| t.payment_method.as_str()).collect())),
        ("at", numbers(transactions.iter().map(|t| t.at_seconds).collect())),
        ("closed_at", closed(transactions.len())),
    ])?;
    context.register_batch("transactions", transactions)?;
    Ok(Answers {
        page_views: texts_of(&context, PAGE_VIEWS).await?,
        fraud: texts_of(&context, FRAUD).await?,
        sessions: texts_of(&context, SESSIONS).await?,
        recommendations: texts_of(&context, RECOMMENDATIONS).await?,
        closed_at: texts_of(&context, "SELECT CAST(to_timestamp_seconds(max(closed_at)) AS VARCHAR) FROM happened")
            .await?
            .concat(),
    })
}

/// The only column of a query, sorted.
pub(super) async fn texts_of(context: &SessionContext, query: &str) -> TestResult<Vec<String>> {
    let mut texts = Vec::new();
    for batch in context.sql(query).await?.collect().await? {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        texts.extend(column.as_string::<i32>().iter().flatten().map(str::to_string));
    }
    texts.sort();
    Ok(texts)
}
