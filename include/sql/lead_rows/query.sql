-- The rows that a run asks for. pit_at is the moment that a row looks at the world from: the contact of a training row,
-- the end of @as_of for a row to score. Nothing that was recorded after it reaches the row.
-- A recycled lead, whose call lies before its contact, has no label that could be trusted and is not open: it is set aside
-- with that reason, and counted.
-- The label: 1 if a call was scheduled within @label_window_days days of the contact, else 0; no label (censored) while
-- those days have not passed by @as_of.
-- An id of 15 characters is completed: each of the last three (A-Z, 0-5) says which of five are capitals. So both
-- forms of a lead are one lead. A CRD is a number however it is written: CRD 5812345, 5,812,345, 5812345.0.
WITH coded AS (
  SELECT
    lead_id,
    REGEXP_CONTAINS(lead_id, r'^00Q[0-9A-Za-z]{12}$') AS short,
    IF(REGEXP_CONTAINS(lead_id, r'^.{0}[A-Z]'), 1, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{1}[A-Z]'), 2, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{2}[A-Z]'), 4, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{3}[A-Z]'), 8, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{4}[A-Z]'), 16, 0) AS capitals_1,
    IF(REGEXP_CONTAINS(lead_id, r'^.{5}[A-Z]'), 1, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{6}[A-Z]'), 2, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{7}[A-Z]'), 4, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{8}[A-Z]'), 8, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{9}[A-Z]'), 16, 0) AS capitals_2,
    IF(REGEXP_CONTAINS(lead_id, r'^.{10}[A-Z]'), 1, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{11}[A-Z]'), 2, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{12}[A-Z]'), 4, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{13}[A-Z]'), 8, 0)
    + IF(REGEXP_CONTAINS(lead_id, r'^.{14}[A-Z]'), 16, 0) AS capitals_3,
    REPLACE(
      REGEXP_EXTRACT(
        advisor_crd,
        r'^\s*(?:[cC][rR][dD])?[\s#:.]*([0-9]{1,10}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:[.]0*)?\s*$'
      ),
      ',',
      ''
    ) AS digits,
    COALESCE(advisor_crd, '') AS written_crd,
    contacted_at,
    call_scheduled_at,
    recorded_at
  FROM leads
  WHERE recorded_at IS NULL OR recorded_at <= @known_by
),

written AS (
  SELECT
    IF(
      short,
      CONCAT(
        lead_id,
        CHR(IF(capitals_1 < 26, 65, 22) + capitals_1),
        CHR(IF(capitals_2 < 26, 65, 22) + capitals_2),
        CHR(IF(capitals_3 < 26, 65, 22) + capitals_3)
      ),
      lead_id
    ) AS lead_id,
    SAFE_CAST(REGEXP_EXTRACT(digits, r'^[0-9]+$') AS INT64) AS advisor_crd,
    written_crd,
    contacted_at,
    call_scheduled_at,
    recorded_at
  FROM coded
),

-- Rows that agree in everything count once: an export that ran twice makes no second lead.
versions AS (
  SELECT DISTINCT
    lead_id,
    advisor_crd,
    IF(advisor_crd IS NULL, written_crd, '') AS odd_crd,
    -- A lead table without recorded_at is one state: what happened after @as_of has not happened yet.
    IF(@leads_dated OR DATE(contacted_at) <= @as_of, contacted_at, NULL) AS contacted_at,
    IF(@leads_dated OR DATE(call_scheduled_at) <= @as_of, call_scheduled_at, NULL) AS call_scheduled_at,
    recorded_at,
    RANK() OVER (PARTITION BY lead_id ORDER BY recorded_at DESC) AS age
  FROM written
),

newest AS (
  SELECT
    lead_id,
    advisor_crd,
    contacted_at,
    call_scheduled_at,
    recorded_at,
    -- only rows that are set aside as duplicates have a copy above 1: it keeps their order the same on every run
    ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY advisor_crd, odd_crd, contacted_at, call_scheduled_at) AS copy,
    DATE_DIFF(@as_of, DATE(contacted_at), DAY) AS days_since_contact,
    DATE_DIFF(DATE(call_scheduled_at), DATE(contacted_at), DAY) AS days_to_call,
    CONCAT(
      IF(COUNT(*) OVER (PARTITION BY lead_id) > 1, 'duplicate lead: rows with the same recorded_at; ', ''),
      IF(@leads_dated AND recorded_at IS NULL, 'recorded_at is missing; ', ''),
      IF(advisor_crd IS NULL AND NOT REGEXP_CONTAINS(odd_crd, r'[^\s]'), 'advisor_crd is missing; ', ''),
      IF(REGEXP_CONTAINS(odd_crd, r'[^\s]'), CONCAT('advisor_crd ', odd_crd, ' is not a number; '), ''),
      IF(contacted_at > recorded_at, 'contacted_at lies after recorded_at; ', ''),
      IF(call_scheduled_at > recorded_at, 'call_scheduled_at lies after recorded_at; ', ''),
      IF(DATE(call_scheduled_at) < DATE(contacted_at), 'call_scheduled_at is before contacted_at; ', '')
    ) AS problems
  FROM versions
  WHERE age = 1
),

-- The open leads of an advisor, the one that came last first: by its contact, then by its record, then by its id.
open_leads AS (
  SELECT
    lead_id,
    copy,
    advisor_crd,
    days_since_contact,
    problems,
    ROW_NUMBER() OVER (
      PARTITION BY advisor_crd
      ORDER BY IF(problems = '', 0, 1), COALESCE(contacted_at, recorded_at) DESC, recorded_at DESC, lead_id DESC
    ) AS place
  FROM newest
  WHERE call_scheduled_at IS NULL
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
  CONCAT(
    problems,
    IF(
      @one_open_lead AND advisor_crd IS NOT NULL AND place > 1,
      'another open lead of this advisor is scored: features.open_leads_of_an_advisor is newest; ',
      ''
    )
  ) AS problems
FROM open_leads
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
