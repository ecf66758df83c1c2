-- The day's scores as they are published: the audited rows of one run beside the score of the day published before.
WITH before AS (
  SELECT
    lead_id,
    lead_score
  FROM lead_scores
  WHERE as_of = @previous
)

SELECT
  scored.lead_id,
  scored.as_of,
  scored.lead_score,
  scored.score_bucket,
  scored.action_recommended,
  scored.model_version,
  scored.uncalibrated_score,
  scored.margin,
  scored.percentile,
  scored.lift,
  scored.bucket_policy,
  scored.run_key,
  scored.feature_digest,
  scored.calibrator_digest,
  scored.expires_on,
  scored.clipped,
  before.lead_score AS previous_score,
  CASE
    WHEN before.lead_score IS NULL THEN 'new'
    WHEN scored.lead_score > before.lead_score THEN 'up'
    WHEN scored.lead_score < before.lead_score THEN 'down'
    ELSE 'same'
  END AS trend,
  -- 1 is the lead to call first. Ties (equal to the last bit of the margin) are broken by a hash of the lead id: the
  -- same every day and on both engines, and no lead is preferred for the day on which it was entered.
  ROW_NUMBER() OVER (
    ORDER BY scored.lead_score DESC, scored.margin DESC, TO_HEX(SHA256(scored.lead_id))
  ) AS rank
FROM lead_scores_staging AS scored
LEFT JOIN before ON scored.lead_id = before.lead_id
WHERE scored.run_key = @run_key
ORDER BY scored.lead_id
