"""The training loop: epochs with early stopping, metrics per sample, and the best epoch kept."""

import math
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

import torch
from torch import nn
from torch.nn import functional

from .checkpoint import Checkpoints, RandomStates, Stateful
from .diagnosis import Diagnosis
from .distributed import Processes
from .errors import ClassifierError
from .history import Epoch, Metrics
from .interruption import EXIT_STATUS, watch_for_sigterm
from .progress import Progress, Total
from .recipe import Recipe
from .training_data import TrainingData

# How often several processes ask each other whether to save or to end: asking makes a GPU wait.
STEPS_BETWEEN_QUESTIONS = 5


def fit(
    network: nn.Module,
    recipe: Recipe,
    data: TrainingData,
    processes: Processes,
    *,
    epochs: int,
    patience: int,
    checkpoints: Checkpoints | None = None,
) -> tuple[Progress, Diagnosis]:
    """Train a network, which then has the weights of its best epoch: that with the lowest validation loss.

    The state is saved in the checkpoint after every epoch, in the middle of one when the last checkpoint has become
    old, and on SIGTERM. A later call continues from there: a training that was ended and continues comes to the
    same result, on a CPU to the last bit.

    :param epochs: at most so many.
    :param patience: stop after so many epochs in a row without a lower validation loss.
    :return: every epoch, the best of them, and what was found to go wrong.
    :raises ClassifierError: a loss is not finite.
    :raises SystemExit: SIGTERM came; the state is saved.
    """
    wrapped = processes.wrap(network)
    progress, diagnosis = Progress(processes), Diagnosis(processes.print)
    parts: dict[str, Stateful] = {
        "network": network,
        "optimizer": recipe.optimizer,
        "scheduler": recipe.scheduler,
        "scaler": recipe.scaler,
        "progress": progress,
        "diagnosis": diagnosis,
        "random": RandomStates(processes),
    }
    if checkpoints and checkpoints.restore(parts):
        processes.print(f"Going on in epoch {progress.number} after {progress.steps} of {data.steps} steps.")
    with watch_for_sigterm() as was_told_to_end:

        def save_or_end(step: int) -> None:
            """Save the state if that is due, and end all processes if one was told to; the same step in each."""
            if processes.size > 1 and step % STEPS_BETWEEN_QUESTIONS:
                return
            due = checkpoints is not None and processes.is_first and checkpoints.is_due
            told, save = processes.sum([float(was_told_to_end()), float(due)])
            if told:
                _leave(progress, parts, checkpoints, processes)
            if save and checkpoints:
                started = time.monotonic()
                checkpoints.save(parts)
                processes.print(
                    f"Saved the state in epoch {progress.number} after {progress.steps} of {data.steps} steps, "
                    f"in {time.monotonic() - started:.2f} s."
                )

        while progress.number <= epochs and progress.epochs_since_best < patience:
            train_metrics = _train(wrapped, recipe, data, progress, diagnosis, processes, save_or_end)
            processes.share_buffers(network)
            # Without the wrapper, which would wait for processes whose share of the batches is larger.
            validation_metrics = _validate(network, recipe, data, progress.number, processes, save_or_end)
            epoch = Epoch(
                progress.number,
                train_metrics,
                validation_metrics,
                progress.learning_rate,
                progress.clock.seconds(),
            )
            _report(epoch, processes)
            _check_finite(epoch)
            progress.end_epoch(epoch, network)
            assert progress.best is not None
            _report_best(epoch.number, progress.best, processes)
            diagnosis.see_epoch(progress.history, progress.best)
            if checkpoints:
                checkpoints.save(parts)
            save_or_end(0)
    if progress.best is None:
        raise ClassifierError(f"Nothing was trained in {epochs} epochs; set epochs to at least 1.")
    if progress.epochs_since_best >= patience:
        processes.print(
            f"Stopped after epoch {len(progress.history)}: no lower validation loss in {patience} epochs."
        )
    network.load_state_dict(progress.best_weights)
    return progress, diagnosis


def _train(
    network: nn.Module,
    recipe: Recipe,
    data: TrainingData,
    progress: Progress,
    diagnosis: Diagnosis,
    processes: Processes,
    save_or_end: Callable[[int], None],
) -> Metrics:
    """Take the steps of the epoch under way that are still to be taken."""
    network.train()
    clock = progress.clock
    clock.start()
    for batch in data.train(progress.number, progress.steps):
        inputs, labels = recipe.to_device(*batch, processes.device)
        clock.lap("data")
        loss, logits, labels = recipe.forward(network, inputs, labels)
        clock.lap("forward")
        progress.learning_rate = recipe.learning_rate
        recipe.backward(loss)
        clock.lap("backward")
        progress.steps += 1
        progress.total.add(loss.detach() * len(labels), logits.detach(), labels)
        diagnosis.see_step(progress.number, progress.steps, loss.detach(), logits.shape[1], network)
        save_or_end(progress.steps)
        clock.start()
    return progress.total.reduce(processes)


def _validate(
    network: nn.Module,
    recipe: Recipe,
    data: TrainingData,
    number: int,
    processes: Processes,
    save_or_end: Callable[[int], None],
) -> Metrics:
    network.eval()
    total = Total(processes.device)
    batches = iter(data.validation(number))
    # The same number of rounds in each process, so that all ask the same questions.
    for step in range(data.validation_steps):
        save_or_end(step)
        batch = next(batches, None)
        if batch is None:
            continue
        inputs, labels = recipe.to_device(*batch, processes.device)
        with torch.inference_mode():
            logits = network(inputs)
            total.add(functional.cross_entropy(logits, labels, reduction="sum"), logits, labels)
    return total.reduce(processes)


def _leave(
    progress: Progress,
    parts: Mapping[str, Stateful],
    checkpoints: Checkpoints | None,
    processes: Processes,
) -> NoReturn:
    where = f"Told to end by SIGTERM in epoch {progress.number} after {progress.steps} steps"
    if checkpoints:
        checkpoints.save(parts)
        processes.print(f"{where}: the state is saved in {checkpoints.folder}.")
    else:
        processes.print(f"{where}: the job has no folder for checkpoints, so nothing is saved.")
    raise SystemExit(EXIT_STATUS)


def _report(epoch: Epoch, processes: Processes) -> None:
    # One metric a line, each line one string: SageMaker's metric definitions are matched line by line.
    for name, metrics in (("train", epoch.train), ("validation", epoch.validation)):
        processes.print(f"epoch={epoch.number} {name}:loss={metrics.loss:.6f}")
        processes.print(f"epoch={epoch.number} {name}:accuracy={metrics.accuracy:.6f}")


def _report_best(number: int, best: Epoch, processes: Processes) -> None:
    # Tuning takes the last value for the trial's result, and those before it to decide whether to stop it early.
    processes.print(f"epoch={number} best:validation_loss={best.validation.loss:.6f}")
    processes.print(f"epoch={number} best:validation_accuracy={best.validation.accuracy:.6f}")


def _check_finite(epoch: Epoch) -> None:
    for name, metrics in (("training", epoch.train), ("validation", epoch.validation)):
        if not math.isfinite(metrics.loss):
            raise ClassifierError(
                f"The {name} loss became {metrics.loss} in epoch {epoch.number}: the training diverged. "
                "Lower the learning rate."
            )
