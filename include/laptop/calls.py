"""The shell commands that send a photo to a project's live model."""

from __future__ import annotations

import mimetypes
import shlex
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

from include.laptop.environment import REGION

BOTO3 = """\
{python} - {photo} <<'PY'
import base64, json, pathlib, sys
import boto3

image = base64.b64encode(pathlib.Path(sys.argv[1]).read_bytes()).decode()
answer = boto3.client("lambda").invoke(
    FunctionName="{function}", Qualifier="{alias}", Payload=json.dumps({{"image": image}})
)
print(answer["Payload"].read().decode())
PY"""
AWS_CLI = """\
printf '{{"image": "%s"}}' "$(base64 < {photo} | tr -d '\\n')" |
  aws lambda invoke --function-name {function} --qualifier {alias} --payload fileb:///dev/stdin answer.json
cat answer.json"""
# Only temporary credentials have a token. Without a token, the header must be omitted: curl 7.88 signs an empty header
# but does not send it, which AWS rejects. The option and its value are one word, because zsh does not split them.
CURL = """\
curl --silent --show-error --aws-sigv4 "aws:amz:$AWS_DEFAULT_REGION:lambda" \\
  --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\
  ${{AWS_SESSION_TOKEN:+-H"X-Amz-Security-Token: $AWS_SESSION_TOKEN"}} \\
  --header "Content-Type: {content_type}" --data-binary @{photo} \\
  {url}"""
FIND_URL = """\
URL=$(aws lambda get-function-url-config --function-name {function} --qualifier {alias} \\
  --query FunctionUrl --output text)
"""


@dataclass(frozen=True)
class Call:
    """One way to call a model: its name, and a shell script that prints the response."""

    name: str
    script: str


def local_credentials(aws_url: str) -> str:
    """Return the shell script that points every AWS client of a shell to local AWS."""
    lines = [
        f"export AWS_ENDPOINT_URL={aws_url} AWS_DEFAULT_REGION={REGION}",
        "export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_SESSION_TOKEN=",
    ]
    if getproxies().get("http") and not proxy_bypass("127.0.0.1"):
        lines.append("export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1")
    return "\n".join(lines)


def calls(
    function: str, alias: str, photo: str, url: str | None = None, python: str = ".venv/bin/python"
) -> list[Call]:
    """Return the ways to call the function in front of a model.

    :param photo: The path of an image file.
    :param url: The function URL of the alias. Without it, the curl command looks it up with the AWS command line.
    :param python: The Python interpreter that has boto3.
    """
    names = {"function": function, "alias": alias}
    names |= {"photo": shlex.quote(photo), "python": shlex.quote(python)}
    names |= {"content_type": mimetypes.guess_type(photo)[0] or "image/jpeg"}
    names |= {"url": shlex.quote(url) if url else '"$URL"'}
    find_url = "" if url else FIND_URL
    return [
        Call("boto3", BOTO3.format(**names)),
        Call("AWS command line", AWS_CLI.format(**names)),
        Call("curl", (find_url + CURL).format(**names)),
    ]
