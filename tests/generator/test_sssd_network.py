"""The network computes the published function; its S4 kernels agree with the recurrence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator.errors import GeneratorError
from generator.sssd import evaluator
from generator.sssd.bench import published_kernels
from generator.sssd.config import KernelForm, NetworkConfig
from generator.sssd.network import Network
from generator.sssd.published import network_from_published
from generator.sssd.s4 import S4, hippo_legs, kernels_by_recurrence

OWN = NetworkConfig(
    num_res_layers=2,
    res_channels=16,
    skip_channels=16,
    diffusion_step_embed_dim_in=16,
    diffusion_step_embed_dim_mid=32,
    diffusion_step_embed_dim_out=32,
    s4_d_state=8,
    label_embed_dim=8,
    label_embed_classes=2,
    fold=4,
    track_channels=7,
    beat_average=True,
    beat_pooling=True,
    strip_pooling=True,
    linear_filters=3,
)


def _wavenet(shared: Path) -> dict[str, Any]:
    section = json.loads((shared / "golden" / "sssd_reference_tiny.json").read_text())["wavenet_config"]
    assert isinstance(section, dict)
    return section


@pytest.mark.parametrize(("form", "expected"), [("conjugate", "epsilon"), ("without-conjugates", "epsilon_without_conjugates")])
def test_published_weights_give_published_outputs(shared: Path, form: KernelForm, expected: str) -> None:
    golden = np.load(shared / "golden" / "sssd_reference_tiny.npz")
    network = network_from_published(
        shared / "golden" / "sssd_reference_tiny.pkl",
        _wavenet(shared),
        kernel_form=form,
    )
    with torch.no_grad():
        epsilon = network(
            *(torch.from_numpy(golden[name]) for name in ("x",)), torch.from_numpy(golden["step"][:, 0]), torch.from_numpy(golden["labels"])
        )
    assert np.abs(epsilon.numpy() - golden[expected]).max() < 1e-4
    fast = evaluator.Evaluator(network, torch.device("cpu"), samples=golden["x"].shape[-1])
    for x, step, labels, known in zip(golden["x"], golden["step"][:, 0], golden["labels"], golden[expected], strict=True):
        with torch.no_grad():
            one = fast.conditioned(torch.from_numpy(labels[None]))(torch.from_numpy(x[None]), float(step))
        assert np.abs(one[0].numpy() - known).max() < 1e-4


def test_published_keys_may_carry_a_module_prefix(shared: Path, tmp_path: Path) -> None:
    settings = _wavenet(shared)
    state = torch.load(shared / "golden" / "sssd_reference_tiny.pkl", weights_only=True)["model_state_dict"]
    torch.save({"model_state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}, tmp_path / "wrapped.pkl")
    plain = network_from_published(shared / "golden" / "sssd_reference_tiny.pkl", settings, kernel_form="conjugate")
    wrapped = network_from_published(tmp_path / "wrapped.pkl", settings, kernel_form="conjugate")
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), wrapped.state_dict().values(), strict=True))


def test_files_that_are_no_checkpoint_are_refused(shared: Path, tmp_path: Path) -> None:
    settings = _wavenet(shared)
    with pytest.raises(GeneratorError, match="does not exist"):
        network_from_published(tmp_path / "none.pkl", settings, kernel_form="conjugate")
    (tmp_path / "text.pkl").write_text("not a checkpoint")
    with pytest.raises(GeneratorError, match="be read safely"):
        network_from_published(tmp_path / "text.pkl", settings, kernel_form="conjugate")
    torch.save({"weights": 1}, tmp_path / "other.pkl")
    with pytest.raises(GeneratorError, match="model_state_dict"):
        network_from_published(tmp_path / "other.pkl", settings, kernel_form="conjugate")
    settings["res_channels"] = 8
    with pytest.raises(GeneratorError, match="do not fit"):
        network_from_published(shared / "golden" / "sssd_reference_tiny.pkl", settings, kernel_form="conjugate")


def test_the_two_kernel_forms_differ(shared: Path) -> None:
    golden = np.load(shared / "golden" / "sssd_reference_tiny.npz")
    assert np.abs(golden["epsilon"] - golden["epsilon_without_conjugates"]).max() > 1e-2


@pytest.mark.parametrize("form", ["conjugate", "without-conjugates"])
@pytest.mark.parametrize(("length", "state"), [(32, 4), (50, 8), (125, 16), (1000, 64)])
def test_three_routes_to_a_kernel_agree(length: int, state: int, form: KernelForm) -> None:
    """The recurrence, the basis that training uses, and the closed form that drawing uses; 1000 and 64 are the published sizes."""
    layer = S4(3, length, state, form=form)
    layer.initialise(seed=3)
    by_recurrence = kernels_by_recurrence(layer)
    tolerance = 1e-4 * float(by_recurrence.abs().max())
    assert torch.allclose(layer.kernels().double(), by_recurrence, atol=tolerance)
    taps = layer.two_sided_taps(length).double()
    assert torch.allclose(taps[:, :length], by_recurrence[0], atol=tolerance)
    assert torch.allclose(taps[:, length:].flip(-1), by_recurrence[1], atol=tolerance)


def test_the_baseline_of_the_benchmark_computes_the_published_kernels() -> None:
    layer = S4(4, 200, 16, form="without-conjugates")
    layer.initialise(seed=2)
    exact = layer.two_sided_taps(200)
    baseline = published_kernels(layer)
    layer.use_kernels(baseline)
    assert torch.allclose(baseline[0], exact[:, :200], atol=1e-3 * float(exact.abs().max()))  # single precision
    assert torch.allclose(baseline[1].flip(-1), exact[:, 200:], atol=1e-3 * float(exact.abs().max()))
    u = torch.randn(1, 4, 200)
    with torch.no_grad():
        by_baseline = layer(u)
        layer.forget()
        assert torch.allclose(by_baseline, layer(u), atol=1e-3 * float(by_baseline.abs().max()))


def test_convolution_is_two_sided_and_direct() -> None:
    layer = S4(3, 40, 8)
    layer.initialise(seed=1)
    u = torch.randn(2, 3, 40)
    past, future = layer.kernels().detach()
    expected = torch.zeros_like(u)
    for t in range(40):
        for s in range(40):
            tap = past[:, t - s] if s <= t else future[:, s - t - 1]
            expected[:, :, t] += tap * u[:, :, s]
    expected += u * layer.D[:, None]
    with torch.no_grad():
        assert torch.allclose(layer(u), expected, atol=1e-4)
    assert torch.allclose(layer(u), expected, atol=1e-4)  # the training route


def test_hippo_is_what_its_definition_says() -> None:
    w, P, B = hippo_legs(16)
    assert np.allclose(w.real, -0.5)
    assert np.all(w.imag > 0)
    both = np.concatenate([w, w.conj()])
    p = np.concatenate([P, P.conj()])
    a = np.diag(both) - np.outer(p, p.conj())
    assert np.allclose(np.sort(np.linalg.eigvals(a).real)[::-1], -np.arange(1, 17), atol=1e-3)  # LegS is triangular with -(n + 1) on its diagonal
    assert np.isclose(np.linalg.norm(np.concatenate([B, B.conj()])), np.sqrt((2 * np.arange(16) + 1).sum()))


def test_an_input_longer_than_the_kernels_is_refused_in_training_and_continues_them_in_drawing() -> None:
    layer = S4(2, 10, 4)
    layer.initialise(seed=0)
    with pytest.raises(ValueError, match="longer"):
        layer(torch.zeros(1, 2, 11))
    longer = S4(2, 40, 4)
    longer.load_state_dict(layer.state_dict())
    with torch.no_grad():
        longer.C.copy_(torch.view_as_real(layer._lengthened(33)[1]))
    continued = layer.two_sided_taps(33)
    assert torch.allclose(continued[:, :33], kernels_by_recurrence(longer)[0, :, :33].float(), atol=1e-5)
    assert torch.allclose(continued[:, :10], layer.two_sided_taps(10)[:, :10], atol=1e-5)  # and begins as it did


def test_kernels_follow_the_weights() -> None:
    layer = S4(2, 10, 4)
    layer.initialise(seed=0)
    u = torch.randn(1, 2, 10)
    with torch.no_grad():
        before = layer(u)
        other = S4(2, 10, 4)
        other.initialise(seed=1)
        layer.load_state_dict(other.state_dict())
        assert torch.allclose(layer(u), other(u))
        assert not torch.allclose(layer(u), before)


def test_training_and_inference_routes_agree() -> None:
    network = _own()
    batch = _batch()
    with torch.no_grad():
        quiet = network(*batch)
    assert torch.allclose(network(*batch), quiet, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"fold": 1, "track_channels": 0, "beat_average": False, "beat_pooling": False, "strip_pooling": False, "linear_filters": 0},
        {"s4_bidirectional": 0},
        {"s4_layernorm": 0},
        {"beat_average": False},
        {"beat_pooling": False, "strip_pooling": False},
        {"label_embed_classes": 0},
        {"kernel_form": "without-conjugates", "skip_channels": 24},
        {"fold": 10, "s4_lmax": 400},
        {"beat_given": True, "track_channels": 15},
    ],
)
@pytest.mark.parametrize("products", ["oneDNN", "plain"])
def test_the_evaluator_computes_the_same_function(change: dict[str, Any], products: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if products == "plain":
        monkeypatch.setattr(evaluator, "_packed", lambda weight, steps: None)
    network = _own(replace(OWN, **change))
    x, _step, labels, track = _batch()
    labels = labels[:, : network.config.label_embed_classes]
    if network.config.beat_given:
        track = torch.cat([track, torch.randn(3, 8, 1000, generator=torch.Generator().manual_seed(3))], dim=1)
    with torch.no_grad():
        fast = evaluator.Evaluator(network, torch.device("cpu")).conditioned(labels, track)
        for step in (0.0, 17.25, 199.0):
            expected = network(x, torch.full((3,), step), labels, track)
            assert torch.allclose(fast(x, step), expected, atol=1e-5 * float(expected.abs().max()))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    network = _own()
    x, step, labels, track = _batch()
    with torch.no_grad():
        together = network(x, step, labels, track)
        alone = network(x[1:2], step[1:2], labels[1:2], track[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_the_track_may_be_left_out() -> None:
    network = _own()
    x, step, labels, track = _batch()
    with torch.no_grad():
        without = network(x, step, labels)
        assert torch.allclose(without, network(x, step, labels, torch.zeros_like(track)))
        assert not torch.allclose(without, network(x, step, labels, track))


def test_unknown_and_impossible_settings_are_refused() -> None:
    with pytest.raises(GeneratorError, match="unknown fields: widht"):
        NetworkConfig.from_dict({"widht": 3})
    with pytest.raises(GeneratorError, match="fold"):
        NetworkConfig(fold=7)
    with pytest.raises(GeneratorError, match="rhythm track"):
        NetworkConfig(beat_pooling=True)


def _own(config: NetworkConfig = OWN) -> Network:
    network = Network(config)
    network.initialise(seed=5)
    with torch.no_grad():
        for parameter in network.parameters():  # the last layers begin at zero, which would hide everything
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    from generator.sssd.rhythm import track

    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 8, 1000, generator=generator)
    tracks = torch.from_numpy(np.stack([track(np.arange(0.3, 10, rr)) for rr in (0.7, 0.9, 1.1)]))
    return x, torch.tensor([3.0, 200.5, 900.0]), torch.eye(2)[[0, 1, 1]], tracks
