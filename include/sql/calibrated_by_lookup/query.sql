-- Calibrates uncalibrated scores with calibration_lookup_<version>.csv, loaded as the table calibration_lookup.
-- A score belongs to the last row that starts at or below it; below the first row, to the first row.
WITH bins AS (
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
  bins.calibrated_probability
FROM lead_scores AS scores
INNER JOIN bins
  ON scores.uncalibrated_score >= bins.bin_lower OR bins.bin_lower = bins.first_lower
WHERE scores.as_of = @as_of
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY scores.lead_id
  ORDER BY bins.bin_lower DESC, bins.bin_upper DESC
) = 1
ORDER BY scores.lead_id
