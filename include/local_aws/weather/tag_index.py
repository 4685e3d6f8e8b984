"""The lag of the tagging index: GetResources returns what existed some seconds ago."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from moto.core.resource_tagging import TaggedResource, make_tag_matcher, match_resource_type
from moto.resourcegroupstaggingapi.models import resourcegroupstaggingapi_backends

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.moto_patches import tagging

_SNAPSHOTS = 4
"""Snapshots per lag. A new resource is listed up to a quarter of the lag too late."""

Resources = dict[str, TaggedResource]


class TagIndex:
    """The index of one region: it lists what existed some seconds ago, with the tags of that time.

    :param seen: counts the answers without a new resource, as ``tags/new``, and with a deleted one, as ``tags/gone``
    """

    def __init__(self, region: str, seconds: float, clock: Callable[[], float], seen: "Counter[str]") -> None:
        self._region = region
        self._seconds = seconds
        self._clock = clock
        self._seen = seen
        self._lock = threading.Lock()
        self._snapshots: deque[tuple[float, Resources]] = deque()

    def install(self) -> None:
        """Make moto's GetResources answer from this index."""
        tagging.use_index(self._region, self.find)

    def look(self) -> None:
        """Take a snapshot of what exists, unless the last one is recent."""
        with self._lock:
            now = self._clock()
            if self._snapshots and now - self._snapshots[-1][0] < self._seconds / _SNAPSHOTS:
                return
            self._snapshots.append((now, self._existing()))
            self._prune(now)

    def find(
        self,
        tag_filters: list[dict[str, Any]] | None = None,
        resource_type_filters: list[str] | None = None,
        resource_arn_list: list[str] | None = None,
    ) -> list[TaggedResource]:
        """Return what the index lists for these filters."""
        has_tags = make_tag_matcher(tag_filters)

        def chosen(resources: Resources) -> Resources:
            return {
                arn: resource
                for arn, resource in resources.items()
                if match_resource_type(resource.resource_type, resource_type_filters)
                and has_tags(resource.tags)
                and (not resource_arn_list or arn in resource_arn_list)
            }

        with self._lock:
            now = self._clock()
            self._prune(now)
            then = self._snapshots[0] if self._snapshots else (now, {})
        listed = chosen(then[1]) if now - then[0] >= self._seconds else {}
        existing = chosen(self._existing())
        self._seen["tags/new"] += bool(existing.keys() - listed.keys())
        self._seen["tags/gone"] += bool(listed.keys() - existing.keys())
        return list(listed.values())

    def _existing(self) -> Resources:
        backend = resourcegroupstaggingapi_backends[ACCOUNT_ID][self._region]
        while True:
            try:
                # Copies: moto changes the tags in place.
                return {
                    each.arn: replace(each, tags=dict(each.tags)) for each in tagging.list_by_moto(backend)
                }
            except RuntimeError:  # another thread has created or deleted a resource
                continue

    def _prune(self, now: float) -> None:
        """Drop the snapshots before the newest one that is old enough to be listed."""
        while len(self._snapshots) > 1 and now - self._snapshots[1][0] >= self._seconds:
            self._snapshots.popleft()
