-- Click events in JSON files, one file a micro-batch, to the console. From the repository's root:
--   cargo run --bin millstream -- run examples/quickstart.sql

CREATE TABLE clicks (user_id STRING, page STRING, at TIMESTAMP, ms BIGINT)
USING json OPTIONS (path 'examples/data/clicks', maxFilesPerTrigger '1');

CREATE STREAMING TABLE slow_pages
USING console OPTIONS (trigger 'availableNow')
AS SELECT user_id, upper(page) AS page, date_format(at, 'HH:mm:ss') AS time, ms / 1000 AS seconds
   FROM STREAM clicks WHERE ms > 500;
