"""SIGTERM is noticed, and ends the process only outside the part that watches for it."""

import os
import signal

from image_classifier.interruption import watch_for_sigterm


def test_sigterm_is_noticed() -> None:
    with watch_for_sigterm() as was_told_to_end:
        assert not was_told_to_end()
        os.kill(os.getpid(), signal.SIGTERM)
        assert was_told_to_end()


def test_afterwards_sigterm_does_what_it_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with watch_for_sigterm():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
