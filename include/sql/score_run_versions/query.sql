-- The days and versions of the published scores of one run.
SELECT DISTINCT
  as_of,
  model_version
FROM lead_scores
WHERE run_key = @run_key
ORDER BY as_of, model_version
