"""Which fleets of an endpoint take requests, and in which shares."""

import random

from include.local_aws.sagemaker.fleet import Fleet


class Traffic:
    """The traffic of one endpoint; fleets may be given and taken it while requests are answered."""

    def __init__(self, fleet: Fleet) -> None:
        self._shares: dict[Fleet, float] = {fleet: 1.0}

    @property
    def fleets(self) -> list[Fleet]:
        """The fleets that may be given requests."""
        return list(self._shares)

    def shift(self, fleet: Fleet, share: float) -> None:
        """Give a fleet a share (0 to 1) of all requests; the others keep the rest, in proportion."""
        others = {other: part for other, part in self._shares.items() if other is not fleet}
        rest = sum(others.values())
        # A new dictionary each time: requests are read from the one before meanwhile.
        self._shares = {other: part / rest * (1 - share) for other, part in others.items()} | {fleet: share}

    def settle(self, fleet: Fleet) -> list[Fleet]:
        """Give a fleet all requests and return the others, which get none any more."""
        others = [other for other in self._shares if other is not fleet]
        self._shares = {fleet: 1.0}
        return others

    def withdraw(self, fleet: Fleet) -> None:
        """Give a fleet no request any more; the others get its share, as they had it before."""
        others = {other: part for other, part in self._shares.items() if other is not fleet}
        rest = sum(others.values())
        self._shares = {other: part / rest if rest else 1.0 for other, part in others.items()}

    def choose(self, variant: str | None) -> Fleet:
        """Return the fleet for a request, by the shares.

        A fleet that has the variant asked for comes before one that has not, and one whose processes run
        before one of which some variant has none left.
        """
        shares = self._shares
        named = [fleet for fleet in shares if variant in fleet.variants] or list(shares)
        fleets = [fleet for fleet in named if fleet.is_alive()] or named
        weights = [shares[fleet] for fleet in fleets]
        if not any(weights):
            return fleets[0]
        return random.choices(fleets, weights)[0]  # noqa: S311 - traffic is split, nothing is hidden
