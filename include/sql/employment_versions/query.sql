-- What was known of each job (advisor, firm, start date), and from when to when.
-- A record that cannot be believed is kept with its problems and counts as never made. The tests of a record look at the
-- record alone, never at the day of the run: otherwise a later run would see another past.
-- An end in 2099 or later is none: programs that cannot write "open" write 9999-12-31, 2262-04-11 or 2099-12-31.
WITH stated AS (
  SELECT
    advisor_crd,
    firm_crd,
    start_date,
    IF(end_date >= DATE '2099-01-01', NULL, end_date) AS end_date,
    recorded_at
  FROM employment_history
),

records AS (
  SELECT
    advisor_crd,
    firm_crd,
    start_date,
    -- An end that lies after the record was made is no departure yet: an announced one, or 9999-12-31 for "goes on".
    IF(end_date > DATE(recorded_at), NULL, end_date) AS end_date,
    recorded_at,
    CONCAT(
      IF(COALESCE(advisor_crd, 0) <= 0, 'advisor_crd is missing or not positive; ', ''),
      IF(COALESCE(firm_crd, 0) <= 0, 'firm_crd is missing or not positive; ', ''),
      IF(start_date IS NULL, 'start_date is missing; ', ''),
      IF(end_date < start_date, 'end_date is before start_date; ', ''),
      IF(@employment_dated AND recorded_at IS NULL, 'recorded_at is missing; ', ''),
      IF(start_date > DATE(recorded_at), 'start_date lies after recorded_at; ', '')
    ) AS problems
  FROM stated
  WHERE recorded_at IS NULL OR recorded_at <= @known_by
),

-- Records of one job made at the same moment: equal ones count once, different ones cancel one another.
compared AS (
  SELECT
    advisor_crd,
    firm_crd,
    start_date,
    end_date,
    recorded_at,
    CASE
      WHEN MIN(COALESCE(end_date, DATE '9999-12-31')) OVER (job RANGE BETWEEN CURRENT ROW AND CURRENT ROW)
        != MAX(COALESCE(end_date, DATE '9999-12-31')) OVER (job RANGE BETWEEN CURRENT ROW AND CURRENT ROW)
        THEN 'two records of this job with the same recorded_at differ; '
      WHEN ROW_NUMBER() OVER job > RANK() OVER job THEN 'repeats another record; '
      ELSE ''
    END AS problems
  FROM records
  WHERE problems = ''
  WINDOW job AS (PARTITION BY advisor_crd, firm_crd, start_date ORDER BY recorded_at)
),

believed AS (
  SELECT
    advisor_crd,
    firm_crd,
    start_date,
    end_date,
    recorded_at,
    LEAD(recorded_at) OVER (PARTITION BY advisor_crd, firm_crd, start_date ORDER BY recorded_at) AS known_to
  FROM compared
  WHERE problems = ''
)

SELECT
  advisor_crd,
  firm_crd,
  start_date,
  end_date,
  recorded_at,
  IF(@honour_recorded_at AND @employment_dated, recorded_at, TIMESTAMP '1900-01-01 00:00:00+00') AS known_from,
  known_to,
  '' AS problems
FROM believed
WHERE @honour_recorded_at OR known_to IS NULL
UNION ALL
SELECT
  advisor_crd,
  firm_crd,
  start_date,
  end_date,
  recorded_at,
  CAST(NULL AS TIMESTAMP) AS known_from,
  CAST(NULL AS TIMESTAMP) AS known_to,
  problems
FROM compared
WHERE problems != ''
UNION ALL
SELECT
  advisor_crd,
  firm_crd,
  start_date,
  end_date,
  recorded_at,
  CAST(NULL AS TIMESTAMP) AS known_from,
  CAST(NULL AS TIMESTAMP) AS known_to,
  problems
FROM records
WHERE problems != ''
