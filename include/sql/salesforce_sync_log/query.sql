-- The rows of one run, all its tries, in order. The table itself is written by the sync, one partition a run.
SELECT
  run_key,
  org_id,
  sequence,
  as_of,
  operation,
  lead_id,
  payload_digest,
  previous_values,
  new_values,
  score,
  bucket,
  expires_on,
  status,
  code,
  message,
  attempts,
  job_id
FROM salesforce_sync_log
WHERE run_key = @run_key
ORDER BY sequence, lead_id, payload_digest
