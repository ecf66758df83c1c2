-- What was known of each firm's month, and from when to when. month_number counts months: year * 12 + month.
-- Without recorded_at a snapshot counts as known once its month is over, which lead_features sees to by itself.
WITH records AS (
  SELECT
    firm_crd,
    month,
    total_aum,
    recorded_at,
    EXTRACT(YEAR FROM month) * 12 + EXTRACT(MONTH FROM month) AS month_number,
    CONCAT(
      IF(COALESCE(firm_crd, 0) <= 0, 'firm_crd is missing or not positive; ', ''),
      IF(month IS NULL, 'month is missing; ', ''),
      IF(total_aum < 0, 'total_aum is negative; ', ''),
      IF(@snapshots_dated AND recorded_at IS NULL, 'recorded_at is missing; ', ''),
      IF(month > DATE(recorded_at), 'month lies after recorded_at; ', '')
    ) AS problems
  FROM firm_snapshots
  WHERE recorded_at IS NULL OR recorded_at <= @known_by
),

compared AS (
  SELECT
    firm_crd,
    month,
    total_aum,
    recorded_at,
    month_number,
    CASE
      WHEN MIN(COALESCE(total_aum, -1)) OVER (snapshot RANGE BETWEEN CURRENT ROW AND CURRENT ROW)
        != MAX(COALESCE(total_aum, -1)) OVER (snapshot RANGE BETWEEN CURRENT ROW AND CURRENT ROW)
        THEN 'two records of this month with the same recorded_at differ; '
      WHEN ROW_NUMBER() OVER snapshot > RANK() OVER snapshot THEN 'repeats another record; '
      ELSE ''
    END AS problems
  FROM records
  WHERE problems = ''
  WINDOW snapshot AS (PARTITION BY firm_crd, month_number ORDER BY recorded_at)
),

believed AS (
  SELECT
    firm_crd,
    month,
    total_aum,
    recorded_at,
    month_number,
    LEAD(recorded_at) OVER (PARTITION BY firm_crd, month_number ORDER BY recorded_at) AS known_to
  FROM compared
  WHERE problems = ''
)

SELECT
  firm_crd,
  month,
  total_aum,
  recorded_at,
  month_number,
  IF(@honour_recorded_at AND @snapshots_dated, recorded_at, TIMESTAMP '1900-01-01 00:00:00+00') AS known_from,
  known_to,
  '' AS problems
FROM believed
WHERE @honour_recorded_at OR known_to IS NULL
UNION ALL
SELECT
  firm_crd,
  month,
  total_aum,
  recorded_at,
  month_number,
  CAST(NULL AS TIMESTAMP) AS known_from,
  CAST(NULL AS TIMESTAMP) AS known_to,
  problems
FROM compared
WHERE problems != ''
UNION ALL
SELECT
  firm_crd,
  month,
  total_aum,
  recorded_at,
  month_number,
  CAST(NULL AS TIMESTAMP) AS known_from,
  CAST(NULL AS TIMESTAMP) AS known_to,
  problems
FROM records
WHERE problems != ''
