-- The leads that one run changed, and whether it is still the last one that wrote them.
WITH accepted AS (
  SELECT
    lead_id,
    run_key,
    sequence,
    as_of,
    previous_values,
    new_values,
    ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY sequence DESC) AS age
  FROM salesforce_sync_log
  WHERE status = 'accepted'
),

latest AS (
  SELECT
    lead_id,
    run_key
  FROM accepted
  WHERE age = 1
),

of_run AS (
  SELECT
    lead_id,
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
  latest.run_key AS last_written_by
FROM of_run
INNER JOIN latest ON of_run.lead_id = latest.lead_id
ORDER BY of_run.lead_id
