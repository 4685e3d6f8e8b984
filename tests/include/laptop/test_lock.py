"""constraints.txt is what the requirement files need: no more, no less."""

from include.laptop.lock import HEADER, ROOT, pins


def test_constraints_hold_exactly_what_the_requirements_pull_in() -> None:
    assert (ROOT / "constraints.txt").read_text() == HEADER + "\n".join(pins()) + "\n"


def test_packages_for_nvidia_are_not_asked_for_on_macos() -> None:
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    for_nvidia = [pin for pin in pinned if pin.startswith(("nvidia-", "cuda-", "triton"))]
    assert for_nvidia
    assert [pin for pin in for_nvidia if 'sys_platform == "linux"' not in pin] == []
