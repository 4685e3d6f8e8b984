"""How long an instance holds its security groups."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from include.local_aws.moto_patches.security_groups import _holds_groups


@pytest.mark.parametrize(
    ("state", "seconds_ago", "holds"),
    [
        pytest.param("running", None, True, id="running"),
        pytest.param("shutting-down", None, True, id="ending"),
        pytest.param("terminated", 1, True, id="its network interface lingers"),
        pytest.param("terminated", 120, False, id="gone"),
        pytest.param("terminated", None, False, id="it ran on no machine"),
    ],
)
def test_an_instance_holds_its_groups_until_its_network_interface_is_gone(
    state: str, seconds_ago: float | None, holds: bool
) -> None:
    ended = {} if seconds_ago is None else {"terminated_at": time.monotonic() - seconds_ago}
    instance: Any = SimpleNamespace(state=state, **ended)
    assert _holds_groups(instance, linger_seconds=60) is holds
