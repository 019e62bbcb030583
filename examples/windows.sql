-- Views of each page and minute, given out once the minute is over: `cargo run --bin millstream -- run examples/windows.sql`.
CREATE TABLE clicks (user_id STRING, page STRING, at TIMESTAMP, ms BIGINT)
USING json OPTIONS (path 'examples/data/clicks', maxFilesPerTrigger '1');

CREATE STREAMING TABLE views
USING console OPTIONS (trigger 'availableNow', outputMode 'append')
AS SELECT date_format(window.start, 'HH:mm') AS minute, page, count(*) AS views, count(DISTINCT user_id) AS visitors, round(avg(ms)) AS ms
   FROM STREAM clicks WATERMARK at DELAY OF INTERVAL 30 SECONDS
   GROUP BY window(at, '1 minute'), page;
