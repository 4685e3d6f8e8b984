"""Sessions of hooks that share what botocore knows about AWS's services."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import boto3
import botocore.session
from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory
from botocore.loaders import Loader


class SharedLoaderSessionFactory(BaseSessionFactory):
    """
    Create sessions that parse each of botocore's files once in a process.

    A boto3 session parses the files for each client of another hook again, which takes 0.1 s to 0.2 s of processor
    time. The provider shares a loader among its asynchronous sessions only (boto/botocore#3078).

    Airflow's setting ``[aws] session_factory`` names this class on a laptop. The provider's base hook looks it up when
    it is imported, so a process with this setting imports the base hook before this module, and needs the plugins
    folder on ``sys.path``.

    .. seealso::
        - :ref:`howto/connection:aws:session-factory`
    """

    def _create_basic_session(self, session_kwargs: dict[str, Any]) -> boto3.session.Session:
        return _new_session(**session_kwargs)


def parse_services(names: Iterable[str]) -> None:
    """Parse what botocore knows about services, so that processes that are forked later need not.

    :param names: as boto3 calls the services.
    """
    # These clients call nothing, so any region and any credentials do.
    session = _new_session(region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")  # noqa: S106
    for name in names:
        session.client(name)


def _new_session(**session_kwargs: Any) -> boto3.session.Session:
    session = botocore.session.get_session()
    session.register_component("data_loader", shared_loader())
    new = boto3.session.Session(botocore_session=session, **session_kwargs)
    # boto3 adds its folder for each session.
    paths = shared_loader().search_paths
    paths[:] = dict.fromkeys(paths)
    return new


@functools.cache
def shared_loader() -> Loader:
    """Return the loader of all sessions of this process."""
    return botocore.session.get_session().get_component("data_loader")
