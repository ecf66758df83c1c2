-- Calibrates uncalibrated scores with calibration_lookup_<version>.csv, loaded as the table calibration_lookup.
-- A score belongs to the last row that starts at or below it; below the first row, to the first row.
WITH lookup AS (
  SELECT
    calibrated_probability,
    bin_lower,
    bin_upper,
    MIN(bin_lower) OVER () AS first_lower
  FROM calibration_lookup
)

SELECT
  scores.lead_id,
  scores.uncalibrated_score,
  lookup.calibrated_probability
FROM lead_scores AS scores
INNER JOIN lookup
  ON scores.uncalibrated_score >= lookup.bin_lower OR lookup.bin_lower = lookup.first_lower
WHERE scores.as_of = @as_of
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY scores.lead_id
  ORDER BY lookup.bin_lower DESC, lookup.bin_upper DESC
) = 1
ORDER BY scores.lead_id
