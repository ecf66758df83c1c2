"""The straightforward form of the feature query: one correlated sub-query for each thing a feature needs.

It says the same as ``include/sql/lead_features`` for the nine features that are not simple functions of others, and is
what a first version looks like. The benchmark compares the time, and that both give the same values.
"""

from __future__ import annotations

_KNOWN = """
    v.problems = '' AND v.advisor_crd = p.advisor_crd AND v.start_date <= p.pit_date
    AND v.known_from <= p.pit_at AND (v.known_to IS NULL OR v.known_to > p.pit_at)"""

# The jobs of the point before job v, in the order of starts; on the same day the higher firm number comes first.
_EARLIER = """
    e.problems = '' AND e.advisor_crd = v.advisor_crd AND e.known_from <= v.pit_at
    AND (e.known_to IS NULL OR e.known_to > v.pit_at)
    AND (e.start_date < v.start_date OR (e.start_date = v.start_date AND e.firm_crd > v.firm_crd))"""

_SNAPSHOT = """
    s.problems = '' AND s.firm_crd = f.firm_crd AND s.known_from <= f.pit_at
    AND (s.known_to IS NULL OR s.known_to > f.pit_at)"""

_AT_FIRM = """
    v.problems = '' AND v.firm_crd = f.firm_crd AND DATE(v.known_from) <= f.month_end
    AND (v.known_to IS NULL OR DATE(v.known_to) > f.month_end)"""

CORRELATED_SQL = f"""WITH p AS (
  SELECT
    lead_id, scorable, advisor_crd, pit_at, DATE(pit_at) AS pit_date,
    EXTRACT(YEAR FROM DATE(pit_at)) * 12 + EXTRACT(MONTH FROM DATE(pit_at)) - 1 AS firm_month,
    CAST(DATE_SUB(CAST(DATE_TRUNC(DATE(pit_at), MONTH) AS DATE), INTERVAL 1 DAY) AS DATE) AS month_end
  FROM lead_rows
  WHERE role IN ('train', 'score') AND problems = '' AND advisor_crd IS NOT NULL
),
joined AS (
  SELECT p.*, (SELECT MAX(v.start_date) FROM employment_versions AS v WHERE {_KNOWN}) AS joined_on FROM p
),
f AS (
  SELECT
    p.*,
    (SELECT MIN(v.firm_crd) FROM employment_versions AS v WHERE {_KNOWN} AND v.start_date = p.joined_on) AS firm_crd
  FROM joined AS p
),
jobs AS (
  SELECT
    p.lead_id, p.scorable, p.pit_at, p.pit_date, v.advisor_crd, v.firm_crd, v.start_date,
    IF(v.end_date < p.pit_date, v.end_date, p.pit_date) AS last_day
  FROM p INNER JOIN employment_versions AS v ON {_KNOWN}
),
placed AS (
  SELECT
    v.*,
    (SELECT MAX(IF(e.end_date < v.pit_date, e.end_date, v.pit_date)) FROM employment_versions AS e WHERE {_EARLIER})
      AS covered_until,
    (SELECT MAX(e.start_date) FROM employment_versions AS e WHERE {_EARLIER}) AS start_before
  FROM jobs AS v
),
moved AS (
  SELECT
    v.*,
    (SELECT MIN(e.firm_crd) FROM employment_versions AS e WHERE {_EARLIER} AND e.start_date = v.start_before)
      AS firm_before,
    DATE_DIFF(v.pit_date, v.start_date, MONTH)
    - IF(EXTRACT(DAY FROM v.pit_date) < EXTRACT(DAY FROM v.start_date), 1, 0) AS months_since_start
  FROM placed AS v
),
answers AS (
  SELECT
    f.*,
    (SELECT COUNT(DISTINCT v.firm_crd) - 1 FROM employment_versions AS v WHERE {_KNOWN.replace("p.", "f.")})
      AS prior_firms,
    (SELECT MAX(IF(v.end_date IS NULL OR v.end_date >= f.pit_date, f.pit_date, v.end_date))
      FROM employment_versions AS v WHERE {_KNOWN.replace("p.", "f.")}) AS last_day,
    (SELECT COUNT(DISTINCT v.advisor_crd) FROM employment_versions AS v WHERE {_AT_FIRM}
      AND v.start_date <= f.month_end AND (v.end_date IS NULL OR v.end_date >= f.month_end)) AS reps,
    (SELECT COUNT(*) FROM employment_versions AS v WHERE {_AT_FIRM} AND v.start_date <= f.month_end
      AND EXTRACT(YEAR FROM v.start_date) * 12 + EXTRACT(MONTH FROM v.start_date) > f.firm_month - 12) AS arrivals,
    (SELECT COUNT(*) FROM employment_versions AS v WHERE {_AT_FIRM} AND v.end_date <= f.month_end
      AND EXTRACT(YEAR FROM v.end_date) * 12 + EXTRACT(MONTH FROM v.end_date) > f.firm_month - 12) AS departures,
    (SELECT SUM(IF(m.firm_before != m.firm_crd AND m.months_since_start < 36, 1, 0)) FROM moved AS m
      WHERE m.lead_id = f.lead_id AND m.scorable = f.scorable) AS moves,
    (SELECT SUM(IF(m.last_day > COALESCE(m.covered_until, m.start_date),
        DATE_DIFF(m.last_day, IF(m.covered_until > m.start_date, m.covered_until, m.start_date), DAY), 0))
      FROM moved AS m WHERE m.lead_id = f.lead_id AND m.scorable = f.scorable) AS days_worked,
    (SELECT MAX(s.month_number) FROM snapshot_versions AS s WHERE {_SNAPSHOT}
      AND s.month_number BETWEEN f.firm_month - 2 AND f.firm_month) AS aum_month
  FROM f
  WHERE f.firm_crd IS NOT NULL
)
SELECT
  f.lead_id,
  f.scorable,
  CAST(DATE_DIFF(f.pit_date, f.joined_on, MONTH)
    - IF(EXTRACT(DAY FROM f.pit_date) < EXTRACT(DAY FROM f.joined_on), 1, 0) AS FLOAT64) AS current_firm_tenure_months,
  CAST(DATE_DIFF(f.pit_date, f.last_day, DAY) AS FLOAT64) AS days_in_gap,
  CAST(f.moves AS FLOAT64) AS pit_moves_3yr,
  CAST(DIV(f.days_worked * 16, 487) AS FLOAT64) AS industry_tenure_months,
  CAST(f.prior_firms AS FLOAT64) AS num_prior_firms,
  CAST(f.reps AS FLOAT64) AS firm_rep_count_at_contact,
  CAST(f.arrivals - f.departures AS FLOAT64) AS firm_net_change_12mo,
  (SELECT MAX(s.total_aum) FROM snapshot_versions AS s WHERE {_SNAPSHOT} AND s.month_number = f.aum_month)
    AS firm_aum_pit,
  (SELECT MAX(s.total_aum) FROM snapshot_versions AS s WHERE {_SNAPSHOT} AND s.month_number = 24289) AS base_aum
FROM answers AS f
ORDER BY f.lead_id, f.scorable
"""
