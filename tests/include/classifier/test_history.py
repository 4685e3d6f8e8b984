"""An epoch is written to history.json and read from it."""

from image_classifier.history import Epoch, Metrics, Seconds

EPOCH = Epoch(3, Metrics(0.5, 0.8), Metrics(0.25, 0.9), 0.01, Seconds(1.0, 2.0, 4.0, 8.0))


def test_a_line_names_every_number() -> None:
    assert EPOCH.to_line() == {
        "epoch": 3,
        "train_loss": 0.5,
        "train_accuracy": 0.8,
        "validation_loss": 0.25,
        "validation_accuracy": 0.9,
        "learning_rate": 0.01,
        "seconds": 15.0,
        "data_seconds": 1.0,
        "forward_seconds": 2.0,
        "backward_seconds": 4.0,
        "other_seconds": 8.0,
    }


def test_a_line_is_read_as_it_was_written() -> None:
    again = Epoch.from_line(EPOCH.to_line())

    assert (again, again.seconds) == (EPOCH, EPOCH.seconds)


def test_epochs_that_took_longer_are_equal() -> None:
    assert Epoch(3, Metrics(0.5, 0.8), Metrics(0.25, 0.9), 0.01) == EPOCH
