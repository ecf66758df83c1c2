-- Source records that were set aside before any feature was computed. The record is written as text, missing as 'null'.
WITH employment AS (
  SELECT
    'employment_history' AS source_table,
    problems AS reasons,
    CONCAT(
      'advisor_crd=', COALESCE(CAST(advisor_crd AS STRING), 'null'),
      ' firm_crd=', COALESCE(CAST(firm_crd AS STRING), 'null'),
      ' start_date=', COALESCE(CAST(start_date AS STRING), 'null'),
      ' end_date=', COALESCE(CAST(end_date AS STRING), 'null'),
      ' recorded_on=', COALESCE(CAST(DATE(recorded_at) AS STRING), 'null')
    ) AS record
  FROM employment_versions
  WHERE problems != ''
),

snapshots AS (
  SELECT
    'firm_snapshots' AS source_table,
    problems AS reasons,
    CONCAT(
      'firm_crd=', COALESCE(CAST(firm_crd AS STRING), 'null'),
      ' month=', COALESCE(CAST(month AS STRING), 'null'),
      ' recorded_on=', COALESCE(CAST(DATE(recorded_at) AS STRING), 'null')
    ) AS record
  FROM snapshot_versions
  WHERE problems != ''
)

SELECT
  source_table,
  CAST(NULL AS STRING) AS lead_id,
  reasons,
  record
FROM employment
UNION ALL
SELECT
  source_table,
  CAST(NULL AS STRING) AS lead_id,
  reasons,
  record
FROM snapshots
ORDER BY source_table, record, reasons
