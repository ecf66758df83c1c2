-- How many rows, and a number that changes with any of them. A sum: XOR would not see equal pairs.
SELECT
  COUNT(*) AS row_count,
  COALESCE(SUM(CAST(FARM_FINGERPRINT(TO_JSON_STRING(t)) AS NUMERIC)), 0) AS fingerprint
FROM `{target}` AS t
WHERE {condition}
