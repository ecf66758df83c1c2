-- FINTRX contact_registered_employment_history to the canonical table `employment_history`. A missing end date is a job
-- that goes on. The vendor overwrites its rows and does not say when it came to know them: recorded_at is missing, so
-- features that need it are refused. A team that keeps dated copies of the table replaces the last column by that date.
SELECT
  RIA_CONTACT_CRD_ID AS advisor_crd,
  PREVIOUS_REGISTRATION_COMPANY_CRD_ID AS firm_crd,
  PREVIOUS_REGISTRATION_COMPANY_START_DATE AS start_date,
  PREVIOUS_REGISTRATION_COMPANY_END_DATE AS end_date,
  CAST(NULL AS TIMESTAMP) AS recorded_at
FROM contact_registered_employment_history
