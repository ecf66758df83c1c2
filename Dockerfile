# The image of docker-compose.yaml: Airflow's own, with the lock that the laptop and the tests use.
FROM apache/airflow:3.3.2-python3.11
COPY --chown=airflow:0 requirements.txt pyproject.toml /opt/lead-scoring/
RUN pip install --no-cache-dir --require-hashes -r /opt/lead-scoring/requirements.txt
COPY --chown=airflow:0 plugins /opt/lead-scoring/plugins
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e /opt/lead-scoring
COPY --chown=airflow:0 include /opt/lead-scoring/include
COPY --chown=airflow:0 dags /opt/lead-scoring/dags
ENV LEAD_SCORING_HOME=/opt/lead-scoring \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/lead-scoring/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/lead-scoring/plugins
