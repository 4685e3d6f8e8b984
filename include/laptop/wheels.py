"""``make wheels``: download the packages that AWS's images lack, and upload them for a project."""

from __future__ import annotations

import argparse

import boto3

from include.pipeline import wheels
from include.pipeline.infrastructure import read_infrastructure
from include.pipeline.project_files import PROJECTS_FOLDER, load_project


def main() -> None:
    """Download the wheels on this machine, and upload them to the project's part of the bucket."""
    parser = argparse.ArgumentParser(prog="make wheels", description=main.__doc__)
    parser.add_argument("project")
    project = load_project(PROJECTS_FOLDER / f"{parser.parse_args().project}.yaml")
    bucket = read_infrastructure(boto3.client("cloudformation")).bucket
    uri, found = wheels.kept_at(project, bucket), wheels.fetch(project)
    wheels.keep(uri, found, boto3.client("s3"))
    print(f"{', '.join(found)}: now in {uri}")


if __name__ == "__main__":
    main()
