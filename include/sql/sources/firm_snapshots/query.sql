-- FINTRX Firm_historicals to the canonical table `firm_snapshots`. A month counts as known once it is over.
SELECT
  RIA_INVESTOR_CRD_ID AS firm_crd,
  DATE(`YEAR`, `MONTH`, 1) AS month,
  TOTAL_AUM AS total_aum,
  CAST(NULL AS TIMESTAMP) AS recorded_at
FROM Firm_historicals
