-- salesforce_latest_org
-- The org that was synced last, for those who ask without a login.
SELECT org_id
FROM salesforce_sync_log
ORDER BY sequence DESC
LIMIT 1
