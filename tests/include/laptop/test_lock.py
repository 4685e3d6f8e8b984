"""constraints.txt contains exactly the packages that the requirement files need."""

from include.laptop.lock import HEADER, ROOT, pins


def test_constraints_match_the_requirements() -> None:
    assert (ROOT / "constraints.txt").read_text() == HEADER + "\n".join(pins()) + "\n"


def test_nvidia_packages_are_not_required_on_macos() -> None:
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    for_nvidia = [pin for pin in pinned if pin.startswith(("nvidia-", "cuda-", "triton"))]
    assert for_nvidia
    assert [pin for pin in for_nvidia if 'sys_platform == "linux"' not in pin] == []
