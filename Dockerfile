# Two images: `airflow` runs the DAGs and has no PyTorch; `local-aws` trains and serves where AWS would.

FROM apache/airflow:3.3.2-python3.11 AS airflow
COPY requirements /tmp/requirements
COPY constraints.txt /tmp/
# efficientnet-lite-pytorch is shipped to the training jobs, not imported here: PyTorch, which it asks for, is not.
RUN pip install --no-cache-dir -r /tmp/requirements/airflow.txt -c /tmp/constraints.txt \
 && pip install --no-cache-dir --no-deps efficientnet-lite-pytorch -c /tmp/constraints.txt \
 && mkdir -p /opt/airflow/auth
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY include /opt/airflow/include
ENV PYTHONPATH=/opt/airflow

# The newest patch release of Python 3.11 as of August 2026, on the Debian with full support.
FROM python:3.11.16-slim-trixie AS local-aws
COPY requirements /tmp/requirements
COPY constraints.txt /tmp/
RUN pip install --no-cache-dir -r /tmp/requirements/local_aws.txt -c /tmp/constraints.txt \
 && useradd --create-home --uid 50000 local-aws \
 && install -d -o local-aws /var/lib/local-aws
COPY include /srv/include
USER local-aws
WORKDIR /srv
ENV PYTHONUNBUFFERED=1
CMD ["python", "-m", "include.local_aws", "--host", "0.0.0.0", "--port", "5566", "--state-dir", "/var/lib/local-aws"]
