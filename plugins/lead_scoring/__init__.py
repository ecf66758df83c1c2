"""Lead scoring: features as of a date, a calibrated and versioned model, scores, and their way into Salesforce.

The library imports no Airflow. It is used from the command line (``lead-scoring``), from a notebook, from an HTTP
function, and by the thin operators in ``lead_scoring_airflow``.
"""
