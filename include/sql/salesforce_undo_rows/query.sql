-- The leads that one run changed, and whether it is still the last one that wrote them. A later run that was undone
-- does not count: its leads have this run's values again.
WITH accepted AS (
  SELECT
    lead_id,
    run_key,
    operation,
    sequence,
    as_of,
    previous_values,
    new_values
  FROM salesforce_sync_log
  WHERE org_id = @org_id AND status = 'accepted'
),

undone AS (
  SELECT
    lead_id,
    run_key,
    MAX(sequence) AS sequence
  FROM accepted
  WHERE operation = 'undo'
  GROUP BY lead_id, run_key
),

latest AS (
  SELECT
    accepted.lead_id,
    accepted.run_key,
    accepted.sequence
  FROM accepted
  LEFT JOIN undone
    ON
      undone.lead_id = accepted.lead_id
      AND undone.run_key = CONCAT('undo-', accepted.run_key)
      AND undone.sequence > accepted.sequence
  WHERE undone.lead_id IS NULL AND (accepted.operation = 'sync' OR accepted.run_key = @run_key)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY accepted.lead_id ORDER BY accepted.sequence DESC) = 1
),

of_run AS (
  SELECT
    lead_id,
    sequence,
    as_of,
    previous_values,
    new_values
  FROM accepted
  WHERE run_key = @run_key
  QUALIFY ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY sequence DESC) = 1
)

SELECT
  of_run.lead_id,
  of_run.as_of,
  of_run.previous_values,
  of_run.new_values,
  IF(latest.sequence >= of_run.sequence, latest.run_key, CONCAT('undo-', @run_key)) AS last_written_by
FROM of_run
LEFT JOIN latest ON of_run.lead_id = latest.lead_id
ORDER BY of_run.lead_id
