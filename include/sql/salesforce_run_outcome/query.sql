-- What became of each lead that one run wanted to change: the last of its tries. Rows without a lead all count.
SELECT
  lead_id,
  sequence,
  status,
  code,
  message,
  attempts,
  job_id
FROM salesforce_sync_log
WHERE run_key = @run_key
QUALIFY
  lead_id IS NULL
  OR RANK() OVER (PARTITION BY lead_id ORDER BY sequence DESC) = 1
ORDER BY lead_id, sequence, message
