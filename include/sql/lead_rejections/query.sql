-- Why a lead was not scored: on one day, or the last time.
SELECT
  as_of,
  reasons
FROM lead_scores_rejected
WHERE lead_id = @lead_id AND (as_of = @on_day OR @on_day IS NULL)
ORDER BY as_of DESC
LIMIT 1
