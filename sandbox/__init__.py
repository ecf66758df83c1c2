"""Stand-ins for a laptop: a Salesforce org, a Cloud Storage server, and the stack that runs them with Airflow."""
