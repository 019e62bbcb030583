-- The pipeline of `cargo run -p examples -- realtime_analytics` as one script, for a Kafka at localhost:9092 that has the topics
-- `user-events` and `transactions`. From the repository's root:
--
--     cargo run --bin millstream -- run examples/realtime_analytics.sql

-- 1. The topics, and what their messages are.

CREATE TABLE raw_events USING kafka OPTIONS (
  'kafka.bootstrap.servers' 'localhost:9092', subscribe 'user-events', startingOffsets 'earliest');

CREATE TABLE raw_transactions USING kafka OPTIONS (
  'kafka.bootstrap.servers' 'localhost:9092', subscribe 'transactions', startingOffsets 'earliest');

-- What cannot be read has nulls, and is left out. What was delivered twice counts once.
CREATE VIEW events AS
SELECT DISTINCT ON (session_id, event_type, page_url, at) WITHIN WATERMARK user_id, session_id, event_type, page_url, at
FROM (SELECT e.user_id, e.session_id, e.event_type, e.page_url, timestamp_seconds(e.timestamp) AS at
      FROM (SELECT from_json(CAST(value AS STRING),
                     'user_id STRING, session_id STRING, event_type STRING, page_url STRING, timestamp BIGINT,
                      user_agent STRING, ip_address STRING, properties MAP<STRING, STRING>') AS e
            FROM STREAM raw_events)
      WHERE e.user_id IS NOT NULL AND e.session_id IS NOT NULL AND e.timestamp IS NOT NULL)
     WATERMARK at DELAY OF INTERVAL 10 MINUTES;

CREATE VIEW payments AS
SELECT DISTINCT ON (transaction_id) WITHIN WATERMARK transaction_id, user_id, amount, merchant_id, payment_method, at
FROM (SELECT t.transaction_id, t.user_id, t.amount, t.merchant_id, t.payment_method, timestamp_seconds(t.timestamp) AS at
      FROM (SELECT from_json(CAST(value AS STRING),
                     'transaction_id STRING, user_id STRING, amount DECIMAL(12, 2), currency STRING, merchant_id STRING,
                      timestamp BIGINT, payment_method STRING') AS t
            FROM STREAM raw_transactions)
      WHERE t.transaction_id IS NOT NULL AND t.user_id IS NOT NULL AND t.amount IS NOT NULL AND t.timestamp IS NOT NULL)
     WATERMARK at DELAY OF INTERVAL 5 MINUTES;

-- 2. How often each page is seen, and by how many: in windows of five minutes, one begins every minute.
CREATE STREAMING TABLE page_views
USING console OPTIONS (outputMode 'update', trigger '1 second', checkpointLocation 'realtime_analytics/checkpoint/page_views')
AS SELECT window.start AS window_start, page_url, count(*) AS views, count(DISTINCT user_id) AS visitors,
          count(DISTINCT session_id) AS sessions, round(count(*) / count(DISTINCT user_id), 2) AS views_per_visitor
   FROM events
   WHERE event_type = 'page_view'
   GROUP BY window(at, '5 minutes', '1 minute'), page_url;

-- 3. Who pays suspiciously often, much or widely within a minute. A script has no closures for an upsert: each window once.
CREATE STREAMING TABLE fraud
USING parquet OPTIONS (path 'realtime_analytics/output/fraud', outputMode 'append', trigger '1 second',
                       checkpointLocation 'realtime_analytics/checkpoint/fraud')
AS SELECT window.start AS window_start, user_id, count(*) AS payments, sum(amount) AS total,
          count(DISTINCT merchant_id) AS merchants, sort_array(collect_set(payment_method)) AS methods,
          least(100, 3 * count(*) + 4 * count(DISTINCT merchant_id) + CAST(sum(amount) / 150 AS INT)) AS score
   FROM payments
   GROUP BY window(at, '1 minute'), user_id
   HAVING count(*) >= 5 OR sum(amount) >= 3000 OR count(DISTINCT merchant_id) >= 4;

-- 4. What each session looked at, in windows of ten minutes that begin every two, into a lake with a folder a day.
CREATE STREAMING TABLE sessions
USING parquet OPTIONS (path 'realtime_analytics/output/sessions', outputMode 'append', trigger '1 second',
                       checkpointLocation 'realtime_analytics/checkpoint/sessions')
PARTITIONED BY (date)
AS SELECT CAST(window.start AS DATE) AS date, window.start AS window_start, session_id, user_id, count(*) AS events,
          transform(array_sort(collect_list(struct(at, page_url))), visit -> visit.page_url) AS pages,
          min(at) AS started, max(at) AS ended, unix_timestamp(max(at)) - unix_timestamp(min(at)) AS duration_seconds
   FROM events
   GROUP BY window(at, '10 minutes', '2 minutes'), session_id, user_id;

-- 5. What to recommend: the pages a user visited beside the merchants the user bought from, if any.
CREATE STREAMING TABLE recommendations
USING kafka OPTIONS ('kafka.bootstrap.servers' 'localhost:9092', topic 'recommendations', outputMode 'append', trigger '1 second',
                     checkpointLocation 'realtime_analytics/checkpoint/recommendations')
AS SELECT user_id AS key, to_json(struct(*)) AS value
   FROM (SELECT v.window.start AS window_start, v.user_id, v.pages, b.merchants, b.average_amount
         FROM (SELECT window, user_id, sort_array(collect_set(page_url)) AS pages
               FROM events GROUP BY window(at, '10 minutes'), user_id) v
         LEFT JOIN
              (SELECT window, user_id, sort_array(collect_set(merchant_id)) AS merchants, round(avg(amount), 2) AS average_amount
               FROM payments GROUP BY window(at, '10 minutes'), user_id) b
         ON v.window = b.window AND v.user_id = b.user_id);
