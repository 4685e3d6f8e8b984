"""Errors that a person can act on end a program with one sentence."""

import pytest
from image_classifier.errors import ClassifierError, run_program


def fail(error: Exception) -> None:
    raise error


def test_a_classifier_error_ends_the_program_with_its_sentence() -> None:
    with pytest.raises(SystemExit, match="The data is missing"):
        run_program(lambda: fail(ClassifierError("The data is missing.")))


def test_the_sentence_reaches_the_failure_reason_of_a_training_job() -> None:
    from sagemaker_training import _PYTHON_ERRORS_  # the toolkit reports what follows one of these names

    with pytest.raises(SystemExit) as ended:
        run_program(lambda: fail(ClassifierError("The data is missing.")))

    assert any(name in str(ended.value.code) for name in _PYTHON_ERRORS_)


def test_a_bug_keeps_its_own_exception() -> None:
    with pytest.raises(ZeroDivisionError):
        run_program(lambda: fail(ZeroDivisionError()))
