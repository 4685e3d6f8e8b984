# Installs the project's files on the notebook instance and starts the idle check. SageMaker runs it at each start, as
# root, for at most five minutes. All commands run as the user, so that root runs nothing that the user could change.
# Variables: archive (S3 URI), region, project, instance, idle_minutes (empty: the instance is never stopped).
set -euo pipefail
home=/home/ec2-user
own="$home/.workspace"
# The environment of the kernel conda_python3, which has boto3.
python="$home/anaconda3/envs/python3/bin/python"
[ -x "$python" ] || python=python3

as_user() {
  if [ -O "$home" ]; then "$@"; else sudo -H -u ec2-user "$@"; fi
}

as_user mkdir -p "$own" "$home/SageMaker/$project"
as_user "$python" -c '
import sys, boto3
uri, region, target = sys.argv[1:]
bucket, _, key = uri.removeprefix("s3://").partition("/")
boto3.client("s3", region_name=region).download_file(bucket, key, target)
' "$archive" "$region" "$own/workspace.tar.gz"
as_user tar -xzf "$own/workspace.tar.gz" -C "$own"
as_user "$python" "$own/install.py" "$own/files" "$home/SageMaker/$project"
if [ -n "$idle_minutes" ]; then
  # Amazon Linux 2023 has no cron.
  as_user sh -c 'nohup "$@" > "$0" 2>&1 < /dev/null &' "$own/idle_stop.log" \
    "$python" -u "$own/idle_stop.py" "$instance" "$region" "$idle_minutes"
fi
