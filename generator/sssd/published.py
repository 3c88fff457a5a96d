"""Checkpoints of the published SSSD-ECG code, read without it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from generator.errors import GeneratorError
from generator.sssd.checkpoint import put
from generator.sssd.config import KernelForm, NetworkConfig
from generator.sssd.network import Network


def network_from_published(file: Path, published_config: dict[str, dict[str, float]], *, kernel_form: KernelForm = "conjugate") -> Network:
    """A network in eval mode from a checkpoint of the published code: {'model_state_dict': ...}, keys with or without `module.`.

    published_config: its JSON (wavenet_config is used). kernel_form: "conjugate" for weights trained with pykeops or the CUDA extension,
    "without-conjugates" for weights trained with the plain PyTorch fallback.
    """
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GeneratorError(f"{file} does not exist.") from error
    except Exception as error:  # torch raises pickle's, zip's and its own
        raise GeneratorError(f"{file} is not a PyTorch checkpoint that can be read safely ({error}).") from error
    if not isinstance(stored, dict) or "model_state_dict" not in stored:
        raise GeneratorError(f"{file} has no 'model_state_dict'. A checkpoint of the published SSSD-ECG code is needed.")
    config = NetworkConfig.from_dict({**published_config["wavenet_config"], "kernel_form": kernel_form})
    network = Network(config)
    put(network, published_weights(stored["model_state_dict"]), name=str(file))
    return network.eval().requires_grad_(False)


def published_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under this program's names: weight norm folded in (w = g v / |v|), expanded views made real, frequencies left out."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    folded: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key.endswith("weight_g"):
            v = state[key[:-1] + "v"]
            folded[key[:-2]] = tensor * v / v.flatten(1).norm(dim=1)[:, None, None]
        elif not key.endswith(("weight_v", ".omega", ".z")):
            folded[key] = tensor
    return {_own_name(key): _own_shape(key, tensor) for key, tensor in folded.items()}


_OWN_NAMES = (
    ("init_conv.0.conv.", "first."),
    ("embedding.", "labels."),
    ("residual_layer.fc_t1.", "step_1."),
    ("residual_layer.fc_t2.", "step_2."),
    ("residual_layer.residual_blocks.", "blocks."),
    ("final_conv.0.conv.", "last_1."),
    ("final_conv.2.conv.", "last_2."),
    (".fc_t.", ".step."),
    (".fc_label.", ".label."),
    (".conv_layer.conv.", ".conv."),
    (".res_conv.", ".onwards."),
    (".skip_conv.", ".skip."),
    (".S41.", ".s4_1."),
    (".S42.", ".s4_2."),
    (".s4_layer.kernel.kernel.", ".s4."),
    (".s4_layer.output_linear.", ".mix."),
    (".s4_layer.", ".s4."),
    (".norm_layer.", ".norm."),
)


def _own_name(key: str) -> str:
    for theirs, ours in _OWN_NAMES:
        key = key.replace(theirs, ours)
    return key


def _own_shape(key: str, tensor: Tensor) -> Tensor:
    if key == "embedding.weight":
        return tensor.T.contiguous()
    if key.endswith((".B", ".P", ".Q", ".D")):
        return tensor[0].contiguous()  # a leading axis for rank or for copies, always 1
    if key.endswith("output_linear.bias"):
        return tensor[:, 0].contiguous()
    return tensor.contiguous()
