-- All features of the catalog, one row per lead and role (training row, row to score).
-- A lead's own history is joined on the advisor and folded once per point (advisor, moment). A firm's state
-- is a running sum over its months, so that no lead is ever joined to the employees of its firm.
-- Months are counted as year * 12 + month. Completed months: DATE_DIFF in months, less 1 if the day number is not reached.
WITH asked AS (
  SELECT
    lead_id,
    copy,
    advisor_crd,
    pit_at,
    target,
    scorable,
    problems
  FROM lead_rows
  WHERE role = 'score' OR (role = 'train' AND NOT @scorable_only)
),

moments AS (
  SELECT DISTINCT
    advisor_crd,
    pit_at
  FROM asked
  WHERE advisor_crd IS NOT NULL
),

points AS (
  SELECT
    advisor_crd,
    pit_at,
    DATE(pit_at) AS pit_date,
    IF(@honour_recorded_at, pit_at, @known_by) AS known_by
  FROM moments
),

jobs AS (
  SELECT
    points.advisor_crd,
    points.pit_at,
    points.pit_date,
    versions.firm_crd,
    versions.start_date,
    versions.end_date,
    IF(versions.end_date < points.pit_date, versions.end_date, points.pit_date) AS last_day
  FROM points
  INNER JOIN employment_versions AS versions
    ON versions.advisor_crd = points.advisor_crd
  WHERE
    versions.problems = ''
    AND versions.start_date <= points.pit_date
    AND versions.known_from <= points.known_by
    AND (versions.known_to IS NULL OR versions.known_to > points.known_by)
),

-- Each job in the order of starts. The last one in this order is the firm that counts.
career AS (
  SELECT
    advisor_crd,
    pit_at,
    pit_date,
    firm_crd,
    start_date,
    end_date,
    last_day,
    LAG(firm_crd) OVER starts AS firm_before,
    LEAD(firm_crd) OVER starts IS NULL AS counts,
    MAX(last_day) OVER (starts ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_until,
    DATE_DIFF(pit_date, start_date, MONTH)
    - IF(EXTRACT(DAY FROM pit_date) < EXTRACT(DAY FROM start_date), 1, 0) AS months_since_start,
    DATE_DIFF(last_day, start_date, MONTH)
    - IF(EXTRACT(DAY FROM last_day) < EXTRACT(DAY FROM start_date), 1, 0) AS months_in_job
  FROM jobs
  WINDOW starts AS (PARTITION BY advisor_crd, pit_at ORDER BY start_date, firm_crd DESC)
),

-- Folded in two steps, firms first: that counts the different firms without a COUNT(DISTINCT), which costs twice as much.
visits AS (
  SELECT
    advisor_crd,
    pit_at,
    pit_date,
    firm_crd,
    MAX(IF(counts, months_since_start, NULL)) AS tenure_months,
    MAX(IF(end_date IS NULL OR end_date >= pit_date, 1, 0)) AS employed,
    MAX(last_day) AS last_day,
    SUM(IF(firm_before != firm_crd AND months_since_start < 36, 1, 0)) AS moves,
    SUM(
      CASE
        WHEN covered_until IS NULL OR covered_until <= start_date THEN DATE_DIFF(last_day, start_date, DAY)
        WHEN last_day > covered_until THEN DATE_DIFF(last_day, covered_until, DAY)
        ELSE 0
      END
    ) AS days_worked,
    COUNT(*) AS jobs,
    SUM(IF(counts, 0, months_in_job)) AS prior_job_months
  FROM career
  GROUP BY advisor_crd, pit_at, pit_date, firm_crd
),

histories AS (
  SELECT
    advisor_crd,
    pit_at,
    IF(@honour_recorded_at, pit_at, @known_by) AS known_by,
    EXTRACT(YEAR FROM pit_date) * 12 + EXTRACT(MONTH FROM pit_date) - 1 AS firm_month,
    MAX(IF(tenure_months IS NOT NULL, firm_crd, NULL)) AS firm_crd,
    MAX(tenure_months) AS tenure_months,
    MAX(employed) AS employed,
    DATE_DIFF(pit_date, MAX(last_day), DAY) AS days_since_last_day,
    COUNT(*) - 1 AS prior_firms,
    SUM(moves) AS moves,
    SUM(days_worked) AS days_worked,
    SUM(jobs) - 1 AS prior_jobs,
    SUM(prior_job_months) AS prior_job_months
  FROM visits
  GROUP BY advisor_crd, pit_at, pit_date
),

-- Whole months for a firm: a job counts for a month's end if it was known by then and true then.
job_months AS (
  SELECT
    advisor_crd,
    firm_crd,
    EXTRACT(YEAR FROM start_date) * 12 + EXTRACT(MONTH FROM start_date) AS first_month,
    EXTRACT(YEAR FROM end_date) * 12 + EXTRACT(MONTH FROM end_date) AS last_month,
    IF(end_date = LAST_DAY(end_date, MONTH), 1, 0) AS whole_last_month,
    EXTRACT(YEAR FROM DATE(known_from)) * 12 + EXTRACT(MONTH FROM DATE(known_from)) AS known_month,
    COALESCE(EXTRACT(YEAR FROM DATE(known_to)) * 12 + EXTRACT(MONTH FROM DATE(known_to)), 999999) AS replaced_month
  FROM employment_versions
  WHERE problems = ''
),

job_spans AS (
  SELECT
    advisor_crd,
    firm_crd,
    IF(first_month > known_month, first_month, known_month) AS month_from,
    IF(last_month + whole_last_month < replaced_month, last_month + whole_last_month, replaced_month) AS month_to
  FROM job_months
),

-- An advisor with two overlapping jobs at one firm is one advisor: later jobs count only from where the earlier ones end.
advisor_spans AS (
  SELECT
    firm_crd,
    month_from,
    month_to,
    MAX(month_to) OVER (
      PARTITION BY firm_crd, advisor_crd
      ORDER BY month_from, month_to
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS covered_to
  FROM job_spans
  WHERE month_from < month_to
),

spans AS (
  SELECT
    firm_crd,
    IF(covered_to > month_from, covered_to, month_from) AS month_from,
    month_to,
    1 AS reps,
    0 AS net
  FROM advisor_spans
  WHERE covered_to IS NULL OR covered_to < month_to
  UNION ALL
  SELECT
    firm_crd,
    IF(first_month > known_month, first_month, known_month) AS month_from,
    IF(first_month + 12 < replaced_month, first_month + 12, replaced_month) AS month_to,
    0 AS reps,
    1 AS net
  FROM job_months
  UNION ALL
  SELECT
    firm_crd,
    IF(last_month > known_month, last_month, known_month) AS month_from,
    IF(last_month + 12 < replaced_month, last_month + 12, replaced_month) AS month_to,
    0 AS reps,
    -1 AS net
  FROM job_months
  WHERE last_month IS NOT NULL
),

firm_changes AS (
  SELECT
    firm_crd,
    month_from AS month_number,
    reps,
    net
  FROM spans
  WHERE month_from < month_to
  UNION ALL
  SELECT
    firm_crd,
    month_to AS month_number,
    -reps AS reps,
    -net AS net
  FROM spans
  WHERE month_from < month_to
  UNION ALL
  SELECT DISTINCT
    firm_crd,
    firm_month AS month_number,
    0 AS reps,
    0 AS net
  FROM histories
),

firm_states AS (
  SELECT
    firm_crd,
    month_number,
    SUM(SUM(reps)) OVER (PARTITION BY firm_crd ORDER BY month_number) AS reps,
    SUM(SUM(net)) OVER (PARTITION BY firm_crd ORDER BY month_number) AS net_change
  FROM firm_changes
  GROUP BY firm_crd, month_number
),

snapshots AS (
  SELECT
    firm_crd,
    month_number,
    total_aum,
    known_from,
    known_to
  FROM snapshot_versions
  WHERE problems = ''
),

known_firms AS (
  SELECT
    firm_crd,
    MIN(known_from) AS first_known
  FROM snapshots
  GROUP BY firm_crd
),

-- The firm month's snapshot, or one of the two before it: the newest that was known.
described AS (
  SELECT
    histories.advisor_crd,
    histories.pit_at,
    histories.firm_crd,
    histories.tenure_months,
    IF(histories.employed = 1, 0, histories.days_since_last_day) AS days_in_gap,
    histories.prior_firms,
    histories.moves,
    DIV(histories.days_worked * 16, 487) AS industry_months,
    histories.prior_jobs,
    histories.prior_job_months,
    firm_states.reps,
    firm_states.net_change,
    known_firms.first_known IS NOT NULL AS firm_known,
    CASE
      WHEN month_0.firm_crd IS NOT NULL THEN month_0.total_aum
      WHEN month_1.firm_crd IS NOT NULL THEN month_1.total_aum
      ELSE month_2.total_aum
    END AS aum,
    CASE
      WHEN month_0.firm_crd IS NOT NULL THEN month_0.month_number
      WHEN month_1.firm_crd IS NOT NULL THEN month_1.month_number
      ELSE month_2.month_number
    END AS aum_month,
    base.total_aum AS base_aum,
    base.month_number AS base_month
  FROM histories
  LEFT JOIN firm_states
    ON firm_states.firm_crd = histories.firm_crd AND firm_states.month_number = histories.firm_month
  LEFT JOIN known_firms
    ON known_firms.firm_crd = histories.firm_crd AND known_firms.first_known <= histories.known_by
  LEFT JOIN snapshots AS month_0
    ON
      month_0.firm_crd = histories.firm_crd
      AND month_0.month_number = histories.firm_month
      AND month_0.known_from <= histories.known_by
      AND (month_0.known_to IS NULL OR month_0.known_to > histories.known_by)
  LEFT JOIN snapshots AS month_1
    ON
      month_1.firm_crd = histories.firm_crd
      AND month_1.month_number = histories.firm_month - 1
      AND month_1.known_from <= histories.known_by
      AND (month_1.known_to IS NULL OR month_1.known_to > histories.known_by)
  LEFT JOIN snapshots AS month_2
    ON
      month_2.firm_crd = histories.firm_crd
      AND month_2.month_number = histories.firm_month - 2
      AND month_2.known_from <= histories.known_by
      AND (month_2.known_to IS NULL OR month_2.known_to > histories.known_by)
  LEFT JOIN snapshots AS base
    ON
      base.firm_crd = histories.firm_crd
      AND base.month_number = 24289
      AND base.known_from <= histories.known_by
      AND (base.known_to IS NULL OR base.known_to > histories.known_by)
)

SELECT
  asked.lead_id,
  DATE(asked.pit_at) AS pit_date,
  asked.target,
  asked.scorable,
  CASE
    WHEN described.aum_month < described.base_month OR described.base_aum <= 0 THEN NULL
    WHEN SAFE_DIVIDE(100 * (described.aum - described.base_aum), described.base_aum) > 500 THEN 500.0
    ELSE SAFE_DIVIDE(100 * (described.aum - described.base_aum), described.base_aum)
  END AS aum_growth_since_jan2024_pct,
  CAST(described.tenure_months AS FLOAT64) AS current_firm_tenure_months,
  CAST(described.days_in_gap AS FLOAT64) AS days_in_gap,
  described.aum AS firm_aum_pit,
  CAST(described.net_change AS FLOAT64) AS firm_net_change_12mo,
  CAST(described.reps AS FLOAT64) AS firm_rep_count_at_contact,
  CAST(described.industry_months AS FLOAT64) AS industry_tenure_months,
  CAST(described.prior_firms AS FLOAT64) AS num_prior_firms,
  CAST(IF(described.moves >= 3, 1, IF(described.moves IS NULL, NULL, 0)) AS FLOAT64)
    AS pit_mobility_tier_Highly_Mobile,
  CAST(IF(described.moves = 2, 1, IF(described.moves IS NULL, NULL, 0)) AS FLOAT64) AS pit_mobility_tier_Mobile,
  CAST(
    IF(described.moves = 0 AND described.tenure_months < 60, 1, IF(described.moves IS NULL, NULL, 0)) AS FLOAT64
  ) AS pit_mobility_tier_Stable,
  CAST(described.moves AS FLOAT64) AS pit_moves_3yr,
  SAFE_DIVIDE(described.tenure_months * described.prior_jobs, described.prior_job_months) AS pit_restlessness_ratio,
  CAST(described.moves * IF(described.net_change < 0, -described.net_change, 0) AS FLOAT64) AS flight_risk_score,
  CAST(IF(described.tenure_months < 12, 1, IF(described.tenure_months IS NULL, NULL, 0)) AS FLOAT64)
    AS is_fresh_start,
  CAST(asked.advisor_crd AS STRING) AS advisor_crd,
  CONCAT(
    asked.problems,
    IF(
      described.firm_crd IS NULL AND asked.advisor_crd IS NOT NULL,
      'no job of the advisor is known by the pit date; ',
      ''
    ),
    IF(
      described.firm_crd IS NOT NULL AND NOT COALESCE(described.firm_known, FALSE),
      CONCAT('unknown firm ', CAST(described.firm_crd AS STRING), ': no snapshot of it is known; '),
      ''
    )
  ) AS problems
FROM asked
LEFT JOIN described
  ON
    described.advisor_crd = asked.advisor_crd
    AND described.pit_at = asked.pit_at
ORDER BY asked.lead_id, asked.scorable, asked.copy
