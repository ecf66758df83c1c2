"""The Airflow shell around the library: one operator a stage, what they share, and nothing that computes."""
