-- What Salesforce has of each lead, as far as the ledger knows: its last accepted row; and the digest of the value that
-- was refused since, if one was, with the code. That value stays parked until it changes. For some codes the lead is
-- closed, whatever its value: CLOSED_CODES in lead_scoring.salesforce.ledger.
WITH accepted AS (
  SELECT
    lead_id,
    sequence,
    run_key,
    operation,
    payload_digest,
    previous_values,
    new_values,
    score,
    bucket,
    expires_on
  FROM salesforce_sync_log
  WHERE status = 'accepted'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY sequence DESC) = 1
),

refused AS (
  SELECT
    lead_id,
    sequence,
    payload_digest,
    code
  FROM salesforce_sync_log
  WHERE status IN ('rejected', 'set_aside') AND operation = 'sync' AND lead_id IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY sequence DESC, payload_digest) = 1
)

SELECT
  COALESCE(accepted.lead_id, refused.lead_id) AS lead_id,
  accepted.run_key,
  accepted.operation,
  accepted.payload_digest AS accepted_digest,
  accepted.score,
  accepted.bucket,
  accepted.expires_on,
  IF(accepted.sequence IS NULL OR refused.sequence > accepted.sequence, refused.payload_digest, NULL) AS parked_digest,
  IF(accepted.sequence IS NULL OR refused.sequence > accepted.sequence, refused.code, NULL) AS parked_code
FROM accepted
FULL OUTER JOIN refused ON accepted.lead_id = refused.lead_id
ORDER BY lead_id
