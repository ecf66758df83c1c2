-- What became of each lead that one run wanted to change: the last of its tries. Rows without a lead are told apart by
-- their value, so that a repeated run does not count them twice.
SELECT
  lead_id,
  sequence,
  status,
  code,
  message,
  attempts,
  job_id
FROM salesforce_sync_log
WHERE org_id = @org_id AND run_key = @run_key
QUALIFY
  RANK() OVER (PARTITION BY lead_id, IF(lead_id IS NULL, payload_digest, NULL) ORDER BY sequence DESC) = 1
ORDER BY lead_id, sequence, message
