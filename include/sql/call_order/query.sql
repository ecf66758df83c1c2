-- Rows of scores in the order in which to call: the three keys by which include/sql/lead_scores ranks a day's leads.
SELECT position
FROM scored
ORDER BY lead_score DESC, margin DESC, TO_HEX(SHA256(lead_id))
