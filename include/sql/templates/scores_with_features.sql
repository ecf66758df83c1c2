-- The published scores of a run, each beside the feature row that it was made from.
SELECT
  scored.lead_id,
  features.pit_date,
  {features},
  {scores}
FROM lead_scores AS scored
LEFT JOIN lead_features AS features
  ON features.lead_id = scored.lead_id AND features.as_of = scored.as_of AND features.scorable
WHERE scored.run_key = @run_key AND scored.as_of = @as_of AND scored.model_version = @model_version
ORDER BY scored.lead_id
