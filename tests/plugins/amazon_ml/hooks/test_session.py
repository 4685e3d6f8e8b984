from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
import pytest
from airflow.providers.amazon.aws.hooks import base_aws
from airflow.sdk import Connection
from amazon_ml.hooks.session import SharedLoaderSessionFactory, parse_services, shared_loader
from botocore.loaders import JSONFileLoader

from include.laptop.credentials import Keys
from include.laptop.environment import airflow_settings
from include.laptop.stack_paths import StackPaths

VARIABLE = "AIRFLOW__AWS__SESSION_FACTORY"


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without the files that other tests have parsed, and without the loader that all tests share."""
    monkeypatch.setattr(botocore.session, "create_loader", botocore.loaders.create_loader)
    shared_loader.cache_clear()
    yield
    shared_loader.cache_clear()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are parsed."""
    files: list[str] = []
    parse = JSONFileLoader.load_file

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        if loader.exists(path):
            files.append(path)
        return parse(loader, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    return files


def client(service: str) -> Any:
    """Return a client of a new hook's session."""
    connection = Connection(conn_id="aws_default", conn_type="aws", extra='{"region_name": "us-east-1"}')
    return SharedLoaderSessionFactory(connection).create_session().client(service)


class TestSharedLoaderSessionFactory:
    def test_each_file_is_parsed_once(self, parsed: list[str]) -> None:
        client("sts")
        first = list(parsed)
        client("sts")
        assert first
        assert parsed == first
        client("s3")
        assert len(parsed) == len(set(parsed)) > len(first)

    def test_clients_parse_nothing_that_parse_services_has_parsed(self, parsed: list[str]) -> None:
        parse_services(["sts", "s3"])
        before = list(parsed)
        client("sts")
        client("s3")
        assert parsed == before

    def test_sessions_do_not_lengthen_the_search(self) -> None:
        client("sts")
        paths = list(shared_loader().search_paths)
        client("sts")
        assert shared_loader().search_paths == paths

    def test_settings_of_the_connection_are_kept(self) -> None:
        connection = Connection(
            conn_id="own", conn_type="aws", login="AKIAEXAMPLE", extra='{"region_name": "eu-west-1"}'
        )
        connection.password = "of the test"
        made = SharedLoaderSessionFactory(connection).create_session()
        assert made.region_name == "eu-west-1"
        assert made.get_credentials().access_key == "AKIAEXAMPLE"

    def test_setting_names_the_class(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        settings = airflow_settings(StackPaths(tmp_path, 1, 2), Keys.generate())
        monkeypatch.setenv(VARIABLE, settings[VARIABLE])
        assert base_aws.resolve_session_factory() is SharedLoaderSessionFactory
