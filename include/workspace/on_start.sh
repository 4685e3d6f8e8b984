# Brings the project's files to the notebook instance and watches for idleness. Runs at each start, as root, in at most
# five minutes; all it does it does as the user, so that root runs nothing that the user could have changed.
# Set before: archive (S3 address), region, project, instance, idle_minutes (empty: it is never stopped for idleness).
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
  # Not by cron, which Amazon Linux 2023 does not have.
  as_user sh -c 'nohup "$@" > "$0" 2>&1 < /dev/null &' "$own/idle_stop.log" \
    "$python" -u "$own/idle_stop.py" "$instance" "$region" "$idle_minutes"
fi
