"""One loop that trains any of the networks: on one process or many, and on from where it was killed.

What a training comes to depends on seed, data and recipe: not on the number of processes or threads (up to rounding), and not on interruptions.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from generator.errors import GeneratorError
from generator.sssd.batches import Batches
from generator.sssd.losses import loss_by_rhythm, noised
from generator.sssd.network import Network
from generator.sssd.recipe import Recipe
from generator.sssd.workers import Worker, sharing_weights

LOSSES = "loss.jsonl"

_LOG_SECONDS = 10
_LINES = 200  # in loss.jsonl of a training that is given iterations
_CHECKS = 20  # losses on fixed noise, over a training: some 3 s each on one core, which do not count


@dataclass(frozen=True)
class Budget:
    """How long to train, earlier runs counted: seconds of training, or iterations; with these, the learning rate is the same on any machine."""

    seconds: float | None = None
    iterations: int | None = None

    def share(self, seconds: float, iteration: int) -> float:
        """How much of it is spent, 1 at the end."""
        return iteration / self.iterations if self.iterations is not None else seconds / (self.seconds or math.inf)


@dataclass(frozen=True)
class Hooks:
    """What others do during a training, in the main process; like logging and saving it does not count as training time."""

    saved: Callable[[Trainer], None]  # after each time that the state was saved
    interval: Callable[[float], None]  # every so many seconds, after saving; seconds trained by this network
    interval_seconds: float


class Trainer:
    """One network in training, with its state. Kept in out/training-NAME.pt; its losses are lines of out/loss.jsonl."""

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        batches: Batches,
        out: Path,
        accelerator: Accelerator,
        *,
        seed: int,
        identity: str,
        save_seconds: float,
        held_out: Batches | None = None,
        begin_with: Network | None = None,
    ) -> None:
        """identity: of data, settings and seed; a state with another one is refused. held_out: further batches, whose loss is logged too.

        begin_with: a network whose weights are trained further. GeneratorError for fewer strips in a batch than processes.
        """
        self.name, self.recipe, self.batches, self.held_out, self.out = name, recipe, batches, held_out, out
        self.accelerator, self.identity, self.save_seconds = accelerator, identity, save_seconds
        self.iteration, self.seconds = 0, 0.0
        self.clock: Callable[[], float] = time.monotonic
        self._losses: list[float] = []  # since the last line of the log
        if accelerator.num_processes > recipe.batch:
            raise GeneratorError(f"{accelerator.num_processes} processes share batches of {recipe.batch}. Start at most {recipe.batch} processes.")

        self.network = Network(recipe.network)
        if begin_with is None:
            self.network.initialise(seed)
        else:
            self.network.load_state_dict(begin_with.state_dict())
        self.averaged = Network(recipe.network)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.to(accelerator.device).requires_grad_(False).eval()
        self.network.to(accelerator.device).train()
        self.rate = recipe.learning_rate if begin_with is None else recipe.learning_rate_further
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
        self._workers = [Worker(self.network)]
        alone = accelerator.num_processes == 1 and accelerator.device.type == "cpu"
        self._workers += [Worker(sharing_weights(self.network)) for _ in range(torch.get_num_threads() - 1 if alone else 0)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)  # its successor is younger than PyTorch 2.6
            self._workers[0].call, self._step = accelerator.prepare(self.network, self.optimiser)
        of_choices, of_noise = np.random.SeedSequence([seed, *name.encode()]).spawn(2)
        self.choices = np.random.default_rng(of_choices)
        self.noise = torch.Generator().manual_seed(int(of_noise.generate_state(1)[0]))  # on the CPU, so that every device sees the same
        self._resume()

    @property
    def threads(self) -> int:
        """Of this process."""
        return len(self._workers)

    # ---- state ----

    @property
    def file(self) -> Path:
        return self.out / f"training-{self.name}.pt"

    def _resume(self) -> None:
        if self.file.exists():
            state = torch.load(self.file, map_location=self.accelerator.device, weights_only=True)
            if state["identity"] != self.identity:
                raise GeneratorError(
                    f"{self.file} is of a training with other recordings, settings or seed. Choose another folder, or delete it to begin anew."
                )
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.choices.bit_generator.state = json.loads(state["choices"])
            self.noise.set_state(state["noise"].cpu())
            self.iteration, self.seconds, self._losses = state["iteration"], state["seconds"], state["losses"]
        if self.accelerator.num_processes > 1:  # and nobody writes while somebody reads
            all_of_them = self.accelerator.reduce(torch.tensor(self.iteration, device=self.accelerator.device), "sum").item()
            if all_of_them != self.iteration * self.accelerator.num_processes:
                raise GeneratorError(f"Not every process sees the same {self.file}. Name a folder on a disk that all machines share.")
        if self.accelerator.is_main_process:
            self._trim_log()

    def _trim_log(self) -> None:
        log = self.out / LOSSES
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        kept = [line for line in lines if line.endswith("\n") and not self._is_after(json.loads(line))]
        if kept != lines:
            replace_whole(log, "".join(kept).encode())

    def _is_after(self, line: dict[str, Any]) -> bool:
        return bool(line.get("network") == self.name and line["iteration"] > self.iteration)

    def _save(self) -> None:
        state = {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "choices": json.dumps(self.choices.bit_generator.state),
            "noise": self.noise.get_state(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "losses": self._losses,
        }
        part = self.file.with_name(self.file.name + ".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.file)

    # ---- the loop ----

    def until(self, budget: Budget, hooks: Hooks, others_seconds: float = 0.0) -> None:
        """Iterate until the budget is spent. others_seconds: what is still to come after it, for the time left that is shown.

        GeneratorError where the loss is no number.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(threads if len(self._workers) == 1 else 1)
        try:
            with ThreadPoolExecutor(len(self._workers)) as pool, _Bar(self, budget, others_seconds) as bar:
                self._until(budget, hooks, pool, bar)
        finally:
            torch.set_num_threads(threads)

    def _until(self, budget: Budget, hooks: Hooks, pool: ThreadPoolExecutor, bar: _Bar) -> None:
        main = self.accelerator.is_main_process
        _without_tf32()
        self._before = self.clock()
        share = budget.share(self.seconds, self.iteration)
        every = max(1, (budget.iterations or 0) // _LINES)
        while share < 1:
            seconds, was = self.seconds, share
            self._losses.append(self._iterate(share, pool))
            share = budget.share(self.seconds, self.iteration)
            finished = share >= 1
            check = finished or math.floor(share * _CHECKS) > math.floor(was * _CHECKS)
            log = self.iteration % every == 0 if budget.iterations is not None else _passed(_LOG_SECONDS, seconds, self.seconds)
            if not main:
                continue
            paused = self.clock()
            if check or log:
                bar(self._log(self.check() if check else {}))
            reported = _passed(hooks.interval_seconds, seconds, self.seconds)
            if finished or reported or _passed(self.save_seconds, seconds, self.seconds):
                self._save()
                hooks.saved(self)
            if reported:
                hooks.interval(self.seconds)
                _without_tf32()  # drawing on a GPU turns it on
            self._before += self.clock() - paused

    def _iterate(self, share: float, pool: ThreadPoolExecutor) -> float:
        """One step of the optimiser; the loss of the whole batch, the same in every process."""
        recipe, machine = self.recipe, self.accelerator
        rate = self.rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))) * min(1.0, (self.iteration + 1) / recipe.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        chosen = self.batches.choose(recipe.batch, self.choices)
        times = (self.choices.permutation(len(chosen)) + self.choices.uniform(size=len(chosen))) / len(chosen)  # evenly spread: less variance
        noise = torch.randn((len(chosen), *self.batches.shape), generator=self.noise)
        kept = self._workers[0].draw_dropout(len(chosen), self.noise)
        own = slice(machine.process_index, None, machine.num_processes)
        batch = self.batches.build(chosen[own])
        inputs, target = noised(batch, noise[own], times[own], recipe.schedule)
        local = self._gradients([one.to(machine.device) for one in inputs], target.to(machine.device), [one[own] for one in kept], len(chosen), pool)
        value, elapsed = self._together(local)
        if not math.isfinite(value):
            raise GeneratorError(
                f"The loss is {value} at iteration {self.iteration + 1}. Lower the learning rate; the last good state is in {self.out}."
            )
        machine.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self._step.step()
        self.iteration += 1
        self.seconds += elapsed
        self._average(min(recipe.average, self.iteration / (self.iteration + 10)))
        return value

    def _together(self, local: float) -> tuple[float, float]:
        """The loss of all processes, and the seconds since the last call by the main one's clock: they stop and slow down together."""
        now = self.clock()
        elapsed, self._before = now - self._before, now
        if self.accelerator.num_processes == 1:
            return local, elapsed
        mine = [local, elapsed if self.accelerator.is_main_process else 0.0]
        value, elapsed = self.accelerator.reduce(torch.tensor(mine, dtype=torch.float64, device=self.accelerator.device), "sum").tolist()
        return value, elapsed

    def _gradients(self, inputs: list[Tensor], target: Tensor, kept: list[Tensor], batch: int, pool: ThreadPoolExecutor) -> float:
        """This process's part of the mean squared error of a batch; its gradient in the network, averaged over processes.

        On a CPU each worker takes every n-th strip on one thread of its own and they meet once an iteration: threads that meet in every
        operation stall when other work wants the cores too (20 times slower was seen).
        """
        n, processes = len(self._workers), self.accelerator.num_processes
        numel = batch * target[0].numel()

        def part(i: int) -> float:
            worker = self._workers[i]
            worker.network.zero_grad(set_to_none=True)
            if i >= len(target):
                return 0.0
            worker.use_dropout([one[i::n] for one in kept], target.device)
            with self.accelerator.autocast():
                output = worker.call(*(value[i::n] for value in inputs))
            loss = (output.float() - target[i::n]).square().sum() / numel
            self.accelerator.backward(loss * processes)  # which are averaged over
            return float(loss.detach())

        value = sum(pool.map(part, range(n)))
        for worker in self._workers[1:]:
            for mine, theirs in zip(self.network.parameters(), worker.network.parameters(), strict=True):
                if mine.grad is not None and theirs.grad is not None:
                    mine.grad += theirs.grad
        return value

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        if self.accelerator.is_main_process:
            torch._foreach_lerp_(list(self.averaged.parameters()), [p.detach() for p in self.network.parameters()], 1 - decay)

    # ---- what is logged ----

    def check(self) -> dict[str, dict[str, float]]:
        """Losses of the averaged weights on fixed noise by rhythm: of training rows, of those held out; nothing where none are.

        Both on the same noise, so that their difference is what was learned by heart.
        """
        if self.held_out is None:
            return {}
        return {
            name: loss_by_rhythm(self.averaged, self.recipe.schedule, of) for name, of in (("learned", self.batches), ("held_out", self.held_out))
        }

    def _log(self, checked: dict[str, dict[str, float]]) -> dict[str, Any]:
        line = {
            "network": self.name,
            "seconds": round(self.seconds, 1),
            "iteration": self.iteration,
            "loss": round(float(np.mean(self._losses)), 5),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            **checked,
        }
        self._losses = []
        with (self.out / LOSSES).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return line


def replace_whole(file: Path, content: bytes) -> None:
    """The file appears whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    part.replace(file)


class _Bar:
    """Seconds or iterations done, iteration, loss and the time left of the whole training, in the main process."""

    def __init__(self, trainer: Trainer, budget: Budget, others_seconds: float) -> None:
        by_iterations = budget.iterations is not None
        self._trainer, self._budget, self._others = trainer, budget, others_seconds
        self._begun = trainer.seconds, trainer.iteration
        self._bar = tqdm(
            total=budget.iterations if by_iterations else round(budget.seconds or 0),
            initial=self._done(),
            desc=f"training: {trainer.name}",
            bar_format="{l_bar}{bar:20}| {n_fmt}/{total_fmt} " + ("iterations" if by_iterations else "s") + "{postfix}",
            mininterval=0.5 if sys.stderr.isatty() else 10,
            disable=not trainer.accelerator.is_main_process,
        )

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, line: dict[str, Any]) -> None:
        held_out = "".join(f", held out {rhythm} {loss:.3f}" for rhythm, loss in line.get("held_out", {}).items())
        words = f"iteration {line['iteration']}, loss {line['loss']:.3f}{held_out}, {self._left() / 60:.0f} min left"
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(self._done() - self._bar.n)

    def _done(self) -> int:
        trainer, budget = self._trainer, self._budget
        return trainer.iteration if budget.iterations is not None else round(min(trainer.seconds, budget.seconds or 0))

    def _left(self) -> float:
        trainer, budget = self._trainer, self._budget
        if budget.iterations is None:
            return max((budget.seconds or 0) - trainer.seconds, 0) + self._others
        each = (trainer.seconds - self._begun[0]) / max(trainer.iteration - self._begun[1], 1)
        return each * (budget.iterations - trainer.iteration)


def _passed(every: float, before: float, after: float) -> bool:
    """Whether a multiple of `every` seconds lies between."""
    return math.floor(after / every) > math.floor(before / every)


def _without_tf32() -> None:
    """Float32 is float32: on a GPU PyTorch rounds the inputs of convolutions to ten bits by default."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
