-- What one org has of each lead, as far as the ledger knows: its last accepted row; and the digest of the value that
-- was refused since, if one was, with the code, the day of its scores and the first such day. That value stays parked
-- until it changes or the next day's run. For some codes the lead is closed, whatever its value: CLOSED_CODES in
-- lead_scoring.salesforce.ledger.
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
  WHERE org_id = @org_id AND status = 'accepted'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY sequence DESC) = 1
),

refused AS (
  SELECT
    log.lead_id,
    log.as_of,
    log.payload_digest,
    log.code,
    MIN(log.as_of) OVER (PARTITION BY log.lead_id) AS since
  FROM salesforce_sync_log AS log
  LEFT JOIN accepted ON log.lead_id = accepted.lead_id
  WHERE
    log.org_id = @org_id
    AND log.status IN ('rejected', 'set_aside')
    AND log.operation = 'sync'
    AND log.lead_id IS NOT NULL
    AND (accepted.sequence IS NULL OR log.sequence > accepted.sequence)
  QUALIFY ROW_NUMBER() OVER (PARTITION BY log.lead_id ORDER BY log.sequence DESC, log.payload_digest) = 1
)

SELECT
  COALESCE(accepted.lead_id, refused.lead_id) AS lead_id,
  accepted.run_key,
  accepted.operation,
  accepted.payload_digest AS accepted_digest,
  accepted.score,
  accepted.bucket,
  accepted.expires_on,
  refused.payload_digest AS parked_digest,
  refused.code AS parked_code,
  refused.as_of AS parked_as_of,
  refused.since AS parked_since
FROM accepted
FULL OUTER JOIN refused ON accepted.lead_id = refused.lead_id
ORDER BY lead_id
