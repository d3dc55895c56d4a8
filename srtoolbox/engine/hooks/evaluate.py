"""Evaluations of the network on the validation sets at intervals and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srtoolbox.engine.evaluate import EvaluatedImage, Evaluation, build_eval_datasets, build_metrics, evaluate
from srtoolbox.engine.hooks.base import Hook, Phase, fit_interval
from srtoolbox.logger import LOGGER
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run


@HOOKS.register
class EvaluateHook(Hook):
    """Score `data.val` every `data.val.interval` iterations and after the last one.

    The interval is by default a tenth of the run, at most 5000. A run that begins from other
    weights (`load_from`) is scored before it learns, too. Scores are of the averaged weights, where
    an EMAHook keeps some.

    Args:
        network: which of the model's networks.
        panels: how many images of each set to keep for TensorBoard.
    """

    phase = Phase.EVALUATE

    def __init__(self, network: str = "generator", panels: int = 2) -> None:
        self.network, self.panels = network, panels
        self.last_panels: dict[str, EvaluatedImage] = {}  # of the evaluation that ends the run

    def set_up(self, run: Run) -> None:
        val: dict[str, Any] = run.config.get("data", {}).get("val") or {}
        self.interval: int = val.get("interval") or fit_interval(run.max_iters, most=5000, times=10)
        self.datasets = build_eval_datasets(val.get("datasets") or {})
        if val.get("datasets") and not self.datasets:
            LOGGER.warning("none of the validation sets is there: training goes on without evaluation")
        self.metrics = build_metrics(val.get("metrics") or {})
        if run.networks[self.network].colour != "y":  # which y_direct is for
            names = ("best_keys", "watched_keys")
            keys = [key for hook in run.hooks.values() for name in names for key in getattr(hook, name, ())]
            needed = {key.rpartition("/")[2] for key in keys}
            fit = {k: m for k, m in self.metrics.items() if k in needed or m.protocol != "y_direct"}
            self.metrics = fit or self.metrics

    def at_start(self, run: Run) -> None:
        if self.datasets and run.config.get("load_from"):
            self._evaluate_now(run)

    def after_iter(self, run: Run) -> None:
        if self.datasets and (run.iter % self.interval == 0 or run.iter == run.max_iters):
            self._evaluate_now(run)

    def _evaluate_now(self, run: Run) -> None:
        with run.pausing("evaluate"):
            evaluation = self.evaluate(run)
            run.call("after_eval", evaluation)
        if run.iter == run.max_iters:
            self.last_panels = evaluation.panels

    def evaluate(self, run: Run) -> Evaluation:
        """Score all sets, with the same BatchNorm statistics on every rank; a signal ends it."""
        run.synchronise_buffers()
        network = run.networks.get(f"{self.network}_ema", run.networks[self.network])
        evaluation = Evaluation()
        for name, dataset in self.datasets.items():

            def keep(image: EvaluatedImage, name: str = name) -> None:
                if sum(key.startswith(f"{name}/") for key in evaluation.panels) < self.panels:
                    evaluation.panels[f"{name}/{image.name}"] = image._replace(sr=image.sr.cpu())

            evaluation.images[name] = evaluate(
                network,
                dataset,
                self.metrics,
                device=run.device,
                on_picture=keep,
                interrupted=lambda: bool(run.signals.received),
            )
        return evaluation
