-- How many records each source table has, and how many of them say when they were recorded.
SELECT
  'leads' AS source_table,
  COUNT(*) AS records,
  COUNT(recorded_at) AS dated
FROM leads
UNION ALL
SELECT
  'employment_history' AS source_table,
  COUNT(*) AS records,
  COUNT(recorded_at) AS dated
FROM employment_history
UNION ALL
SELECT
  'firm_snapshots' AS source_table,
  COUNT(*) AS records,
  COUNT(recorded_at) AS dated
FROM firm_snapshots
