-- Salesforce Lead to the canonical table `leads`. FA_CRD__c is typed by people and stays as it is: lead_rows reads the
-- number from it, and the contract shows what is none.
-- A Lead is overwritten in place, but its stages say when they were entered: each gives one version of the row.
WITH lead_stages AS (
  SELECT
    Id AS lead_id,
    FA_CRD__c AS advisor_crd,
    stage_entered_contacting__c AS contacted_at,
    Stage_Entered_Call_Scheduled__c AS call_scheduled_at,
    Company AS company,
    LeadSource AS lead_source,
    CreatedDate AS created_at
  FROM Lead
)

SELECT
  lead_id,
  advisor_crd,
  CAST(NULL AS TIMESTAMP) AS contacted_at,
  CAST(NULL AS TIMESTAMP) AS call_scheduled_at,
  company,
  lead_source,
  created_at AS recorded_at
FROM lead_stages
WHERE
  (contacted_at IS NULL OR created_at < contacted_at)
  AND (call_scheduled_at IS NULL OR created_at < call_scheduled_at)
UNION ALL
SELECT
  lead_id,
  advisor_crd,
  contacted_at,
  CAST(NULL AS TIMESTAMP) AS call_scheduled_at,
  company,
  lead_source,
  contacted_at AS recorded_at
FROM lead_stages
WHERE contacted_at IS NOT NULL AND (call_scheduled_at IS NULL OR contacted_at < call_scheduled_at)
UNION ALL
SELECT
  lead_id,
  advisor_crd,
  contacted_at,
  call_scheduled_at,
  company,
  lead_source,
  call_scheduled_at AS recorded_at
FROM lead_stages
WHERE call_scheduled_at IS NOT NULL
