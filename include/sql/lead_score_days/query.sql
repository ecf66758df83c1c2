-- The published score of one lead: of one day, or of the latest day if none is given.
SELECT
  lead_id,
  as_of,
  lead_score,
  score_bucket,
  action_recommended,
  model_version,
  uncalibrated_score,
  margin,
  percentile,
  lift,
  bucket_policy,
  run_key,
  feature_digest,
  calibrator_digest,
  expires_on,
  previous_score,
  trend
FROM lead_scores
WHERE lead_id = @lead_id AND (as_of = @on_day OR @on_day IS NULL)
ORDER BY as_of DESC
LIMIT 1
