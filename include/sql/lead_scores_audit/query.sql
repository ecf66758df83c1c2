-- The facts that decide whether a run's scores are published: one row. Keys are compared with the keys that were to be
-- scored; everything else is counted over the written rows.
WITH marks AS (
  SELECT lead_id, 1 AS expected, 0 AS scored, 0 AS rejected FROM lead_scores_expected_staging WHERE run_key = @run_key
  UNION ALL
  SELECT lead_id, 0 AS expected, 1 AS scored, 0 AS rejected FROM lead_scores_staging WHERE run_key = @run_key
  UNION ALL
  SELECT lead_id, 0 AS expected, 0 AS scored, 1 AS rejected FROM lead_scores_rejected_staging WHERE run_key = @run_key
),

leads AS (
  SELECT
    lead_id,
    SUM(expected) AS expected,
    SUM(scored) AS scored,
    SUM(rejected) AS rejected
  FROM marks
  GROUP BY lead_id
),

leads_found AS (
  SELECT
    COALESCE(SUM(expected), 0) AS expected,
    COALESCE(SUM(scored), 0) AS scored,
    COALESCE(SUM(rejected), 0) AS rejected,
    COALESCE(COUNTIF(expected > 0 AND scored + rejected = 0), 0) AS missing,
    COALESCE(COUNTIF(expected = 0), 0) AS unexpected,
    COALESCE(SUM(IF(scored > 1, scored - 1, 0)), 0) AS scored_twice,
    COALESCE(SUM(IF(lead_id IS NOT NULL AND rejected > 1, rejected - 1, 0)), 0) AS set_aside_twice,
    COALESCE(COUNTIF(scored > 0 AND rejected > 0), 0) AS scored_and_set_aside
  FROM leads
),

rows_found AS (
  SELECT
    COALESCE(COUNTIF(COALESCE(model_version != @version, TRUE)), 0) AS other_version,
    COALESCE(COUNTIF(COALESCE(as_of != @as_of, TRUE)), 0) AS other_day,
    COALESCE(
      COUNTIF(
        NOT COALESCE(lead_score >= 0 AND lead_score <= 1, FALSE)
        OR NOT COALESCE(uncalibrated_score >= 0 AND uncalibrated_score <= 1, FALSE)
        OR NOT COALESCE(margin > -1000 AND margin < 1000, FALSE)
        OR NOT COALESCE(percentile >= 0 AND percentile <= 100, TRUE)
      ),
      0
    ) AS out_of_range,
    COALESCE(
      COUNTIF(lead_id IS NULL OR feature_digest IS NULL OR calibrator_digest IS NULL OR expires_on IS NULL), 0
    ) AS without_receipt,
    COALESCE(COUNTIF(score_bucket = 'Very Hot'), 0) AS bucket_very_hot,
    COALESCE(COUNTIF(score_bucket = 'Hot'), 0) AS bucket_hot,
    COALESCE(COUNTIF(score_bucket = 'Warm'), 0) AS bucket_warm,
    COALESCE(COUNTIF(score_bucket = 'Cold'), 0) AS bucket_cold
  FROM lead_scores_staging
  WHERE run_key = @run_key
)

SELECT
  leads_found.expected,
  leads_found.scored,
  leads_found.rejected,
  leads_found.missing,
  leads_found.unexpected,
  leads_found.scored_twice,
  leads_found.set_aside_twice,
  leads_found.scored_and_set_aside,
  rows_found.other_version,
  rows_found.other_day,
  rows_found.out_of_range,
  rows_found.without_receipt,
  rows_found.bucket_very_hot,
  rows_found.bucket_hot,
  rows_found.bucket_warm,
  rows_found.bucket_cold
FROM leads_found
CROSS JOIN rows_found
