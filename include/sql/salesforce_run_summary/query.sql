-- One row a run of one org: what became of the leads that it wanted to change. The last try of a lead counts, as in
-- salesforce_run_outcome.
WITH last_tries AS (
  SELECT
    run_key,
    operation,
    as_of,
    sequence,
    lead_id,
    status,
    attempts
  FROM salesforce_sync_log
  WHERE org_id = @org_id
  QUALIFY
    RANK() OVER (
      PARTITION BY run_key, lead_id, IF(lead_id IS NULL, payload_digest, NULL) ORDER BY sequence DESC
    ) = 1
)

SELECT
  run_key,
  operation,
  MAX(as_of) AS as_of,
  MAX(sequence) AS sequence,
  COUNT(*) AS changed,
  COALESCE(COUNTIF(status = 'accepted'), 0) AS accepted,
  COALESCE(COUNTIF(status = 'set_aside'), 0) AS set_aside,
  COALESCE(COUNTIF(status = 'rejected'), 0) AS rejected,
  COALESCE(COUNTIF(status = 'exhausted'), 0) AS exhausted,
  COALESCE(COUNTIF(status = 'unprocessed'), 0) AS unprocessed
FROM last_tries
GROUP BY run_key, operation
ORDER BY sequence
