-- The rows that a run asks for. pit_at is the moment that a row looks at the world from: the contact of a training row,
-- the end of @as_of for a row to score. Nothing that was recorded after it reaches the row.
-- The label: 1 if a call was scheduled within @label_window_days days of the contact, else 0; no label (censored) while
-- those days have not passed by @as_of.
WITH versions AS (
  SELECT
    lead_id,
    advisor_crd,
    -- A lead table without recorded_at is one state: what happened after @as_of has not happened yet.
    IF(@leads_dated OR DATE(contacted_at) <= @as_of, contacted_at, NULL) AS contacted_at,
    IF(@leads_dated OR DATE(call_scheduled_at) <= @as_of, call_scheduled_at, NULL) AS call_scheduled_at,
    recorded_at,
    RANK() OVER (PARTITION BY lead_id ORDER BY recorded_at DESC) AS age
  FROM leads
  WHERE recorded_at IS NULL OR recorded_at <= @known_by
),

newest AS (
  SELECT
    lead_id,
    SAFE_CAST(REGEXP_EXTRACT(advisor_crd, r'^[0-9]{1,10}$') AS INT64) AS advisor_crd,
    contacted_at,
    call_scheduled_at,
    -- only rows that are set aside as duplicates have a copy above 1: it keeps their order the same on every run
    ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY advisor_crd, contacted_at, call_scheduled_at) AS copy,
    DATE_DIFF(@as_of, DATE(contacted_at), DAY) AS days_since_contact,
    DATE_DIFF(DATE(call_scheduled_at), DATE(contacted_at), DAY) AS days_to_call,
    CONCAT(
      IF(COUNT(*) OVER (PARTITION BY lead_id) > 1, 'duplicate lead: rows with the same recorded_at; ', ''),
      IF(@leads_dated AND recorded_at IS NULL, 'recorded_at is missing; ', ''),
      IF(advisor_crd IS NULL OR advisor_crd = '', 'advisor_crd is missing; ', ''),
      IF(
        COALESCE(advisor_crd, '') != '' AND NOT REGEXP_CONTAINS(advisor_crd, r'^[0-9]{1,10}$'),
        CONCAT('advisor_crd ', advisor_crd, ' is not a number; '),
        ''
      ),
      IF(contacted_at > recorded_at, 'contacted_at lies after recorded_at; ', ''),
      IF(call_scheduled_at > recorded_at, 'call_scheduled_at lies after recorded_at; ', ''),
      IF(DATE(call_scheduled_at) < DATE(contacted_at), 'call_scheduled_at is before contacted_at; ', '')
    ) AS problems
  FROM versions
  WHERE age = 1
)

SELECT
  lead_id,
  copy,
  advisor_crd,
  contacted_at AS pit_at,
  IF(days_to_call <= @label_window_days, 1, 0) AS target,
  FALSE AS scorable,
  'train' AS role,
  FALSE AS censored,
  problems
FROM newest
WHERE days_since_contact >= @label_window_days
UNION ALL
SELECT
  lead_id,
  copy,
  advisor_crd,
  @known_by AS pit_at,
  CAST(NULL AS INT64) AS target,
  TRUE AS scorable,
  'score' AS role,
  COALESCE(days_since_contact < @label_window_days, FALSE) AS censored,
  problems
FROM newest
WHERE call_scheduled_at IS NULL
UNION ALL
SELECT
  lead_id,
  copy,
  advisor_crd,
  contacted_at AS pit_at,
  CAST(NULL AS INT64) AS target,
  FALSE AS scorable,
  'none' AS role,
  contacted_at IS NOT NULL AS censored,
  problems
FROM newest
WHERE call_scheduled_at IS NOT NULL AND COALESCE(days_since_contact, 0) < @label_window_days
