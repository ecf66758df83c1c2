-- A table of one partition.
CREATE OR REPLACE TABLE `{target}` AS SELECT * FROM `{staging}`
