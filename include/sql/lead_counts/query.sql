-- How many leads a run sees and what becomes of them.
-- censored: contacted, but the label window has not passed.
-- recycled: the call lies before the contact, so that the row is set aside.
-- open_twins: to be scored, and so is another lead of the same advisor.
-- closed: a call is scheduled and the label is not due yet, so the lead gives no row.
WITH roles AS (
  SELECT
    lead_id,
    role,
    censored,
    REGEXP_CONTAINS(problems, 'call_scheduled_at is before contacted_at') AS recycled,
    IF(role = 'score' AND advisor_crd IS NOT NULL, COUNT(*) OVER (PARTITION BY advisor_crd, role), 1) AS alike
  FROM lead_rows
)

SELECT
  COUNT(DISTINCT lead_id) AS leads,
  COALESCE(COUNTIF(role = 'train'), 0) AS train_rows_asked,
  COALESCE(COUNTIF(role = 'score'), 0) AS score_rows_asked,
  COALESCE(COUNTIF(censored), 0) AS censored,
  COALESCE(COUNTIF(role = 'none'), 0) AS closed,
  COALESCE(COUNTIF(recycled), 0) AS recycled,
  COALESCE(COUNTIF(alike > 1), 0) AS open_twins
FROM roles
