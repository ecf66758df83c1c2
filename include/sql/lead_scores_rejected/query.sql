-- The leads of one run that could not be scored, with the reasons.
SELECT
  lead_id,
  as_of,
  reasons,
  model_version,
  run_key,
  feature_digest
FROM lead_scores_rejected_staging
WHERE run_key = @run_key
ORDER BY lead_id, feature_digest
