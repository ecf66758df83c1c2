-- How many leads a run sees and what becomes of them.
-- censored: contacted, but the label window has not passed.
-- closed: a call is scheduled and the label is not due yet, so the lead gives no row.
WITH roles AS (
  SELECT
    lead_id,
    role,
    censored
  FROM lead_rows
)

SELECT
  COUNT(DISTINCT lead_id) AS leads,
  COALESCE(COUNTIF(role = 'train'), 0) AS train_rows_asked,
  COALESCE(COUNTIF(role = 'score'), 0) AS score_rows_asked,
  COALESCE(COUNTIF(censored), 0) AS censored,
  COALESCE(COUNTIF(role = 'none'), 0) AS closed
FROM roles
