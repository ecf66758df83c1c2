-- The features that a lead was scored from.
SELECT
  lead_id,
  pit_date,
  {features}
FROM lead_features
WHERE as_of = @as_of AND scorable AND lead_id = @lead_id
