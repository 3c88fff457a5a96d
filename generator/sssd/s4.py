"""S4: a long convolution whose kernel is the impulse response of a structured linear state space.

Gu, Goel, Re 2022 (arXiv 2111.00396): the state matrix is diagonal plus rank one, A = diag(w) - P Q^T, discretised by the bilinear
transform, and the kernel's Fourier transform follows in closed form (Woodbury). Poles come in conjugate pairs and one of each pair is kept.

`w, P, Q, B, log_dt` are never trained, as in the published SSSD-ECG; with them fixed the kernel is linear in C, so its basis is computed
once and a training step costs a small matrix product in place of the closed form.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from generator.sssd.config import KernelForm

_CHANNELS_AT_ONCE = 64  # bounds the memory of the closed form: 64 x 32 poles x 501 frequencies x 16 bytes = 16 MB a term


class S4(nn.Module):
    """Two-sided S4 convolution of `features` channels with a skip weight D: (batch, features, length) to the same shape.

    length: taps of each kernel; inputs may be shorter. For longer ones the kernels are continued as the published code does it, doubled until
    they are long enough, except in training (ValueError). state: poles, counting both of a pair.
    """

    w: Tensor  # (features, pairs, 2), as P, Q and B: real and imaginary parts
    P: Tensor
    Q: Tensor
    B: Tensor
    log_dt: Tensor  # (features,)

    def __init__(self, features: int, length: int, state: int, *, bidirectional: bool = True, form: KernelForm = "conjugate") -> None:
        super().__init__()
        pairs = state // 2
        self.features, self.length, self.form, self.directions = features, length, form, 2 if bidirectional else 1
        self.C = nn.Parameter(torch.empty(self.directions, features, pairs, 2))  # real and imaginary parts, already times I - A^length
        self.D = nn.Parameter(torch.ones(features))
        self.register_buffer("w", torch.empty(features, pairs, 2))
        self.register_buffer("P", torch.empty(features, pairs, 2))
        self.register_buffer("Q", torch.empty(features, pairs, 2))
        self.register_buffer("B", torch.empty(features, pairs, 2))
        self.register_buffer("log_dt", torch.empty(features))
        self._basis: Tensor | None = None  # (features, 2 pairs, length); constant, so rebuilt rather than stored
        self._spectrum: tuple[int, Tensor] | None = None  # (input length, spectrum): computed once per checkpoint and device

    def initialise(self, seed: int, *, exactly: bool = True) -> None:
        """HiPPO-LegS poles, time steps log-uniform over 1 to 100 steps in a strip of 1000 samples, random C.

        exactly: C corrected for the kernel's end, which takes seconds a layer in the published size; not needed to measure speed.
        """
        generator = torch.Generator().manual_seed(seed)
        pairs = self.C.shape[2]
        w, P, B = hippo_legs(2 * pairs)
        for buffer, values in ((self.w, w), (self.P, P), (self.Q, P.conj()), (self.B, B)):
            buffer.copy_(torch.view_as_real(torch.from_numpy(values)).expand(self.features, pairs, 2))
        stretch = 1000 / self.length
        low, high = math.log(0.001 * stretch), math.log(min(0.1 * stretch, 0.5))
        self.log_dt.copy_(low + (high - low) * torch.rand(self.features, generator=generator))
        C = torch.view_as_complex(torch.randn(self.directions, self.features, pairs, 2, generator=generator, dtype=torch.float64) * math.sqrt(0.5))
        with torch.no_grad():
            self.C.copy_(torch.view_as_real(self._truncated(C) if exactly else C))
        self.forget()

    def forget(self) -> None:
        """Drop what was computed from the weights; call after changing them."""
        self._basis, self._spectrum = None, None

    def state_space(self, first: int = 0, end: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """w, P, Q, B (features, pairs) complex128 and dt (features,) float64 of some features."""
        w, P, Q, B = (torch.view_as_complex(part[first:end].double().contiguous()) for part in (self.w, self.P, self.Q, self.B))
        return w, P, Q, B, self.log_dt[first:end].double().exp()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.forget()

    def _apply(self, fn: Any, recurse: bool = True) -> S4:
        super()._apply(fn, recurse)
        self.forget()
        return self

    def forward(self, u: Tensor) -> Tensor:
        length = u.shape[-1]
        n = 2 * length  # no tap wraps around
        with torch.autocast(u.device.type, enabled=False):  # float32 throughout: half precision loses the long kernels
            spectrum = self._kernel_spectrum(length, n)
            y = torch.fft.irfft(torch.fft.rfft(u.float(), n=n) * spectrum, n=n)[..., :length]
            return torch.addcmul(y.to(u.dtype), u, self.D[:, None])

    def kernels(self) -> Tensor:
        """(directions, features, length): the impulse responses, differentiable in C."""
        basis = self._basis if self._basis is not None else self._make_basis()
        # (features, directions, 2 pairs) @ (features, 2 pairs, length)
        return torch.bmm(self.C.flatten(2).transpose(0, 1), basis).transpose(0, 1)

    def use_kernels(self, kernels: Tensor) -> None:
        """(directions, features, length): convolve with these until the weights change, whatever route they came by."""
        self._spectrum = (kernels.shape[-1], torch.fft.rfft(_two_sided(kernels), n=2 * kernels.shape[-1]))

    @torch.no_grad()
    def two_sided_taps(self, length: int) -> Tensor:
        """(features, 2 length) float32: the kernel as one circular convolution applies it, the past first, then the future, reversed.

        By the closed form, without a basis: for weights that do not change any more.
        """
        long_enough, C = self._lengthened(length)
        parts = []
        for at in range(0, self.features, _CHANNELS_AT_ONCE):
            w, P, Q, B, dt = self.state_space(at, at + _CHANNELS_AT_ONCE)
            kept, mirrored = _resolvent_terms(w, P, Q, B, dt[:, None], long_enough, self.form)
            c = C[:, at : at + _CHANNELS_AT_ONCE].transpose(0, 1)  # (channels, directions, pairs)
            parts.append(torch.fft.irfft(torch.bmm(c, kept) + torch.bmm(c.conj(), mirrored), n=long_enough)[..., :length])
        return _two_sided(torch.cat(parts).transpose(0, 1).float())

    def _lengthened(self, length: int) -> tuple[int, Tensor]:
        """A length of at least `length` taps and C for it: C (I + A^n) is for 2 n taps what C is for n."""
        taps, C = self.length, torch.view_as_complex(self.C.detach().double().contiguous())
        while taps < length:
            A, _ = discretised(*self.state_space())
            both = torch.cat([C, C.conj()], dim=-1)
            C = (both + torch.einsum("dhm,hmn->dhn", both, torch.linalg.matrix_power(A, taps)))[..., : C.shape[-1]]
            taps *= 2
        return taps, C

    def _kernel_spectrum(self, length: int, n: int) -> Tensor:
        if torch.is_grad_enabled() and self.C.requires_grad:
            if length > self.length:
                raise ValueError(f"An input of {length} steps is longer than the {self.length} steps that this network's kernels are trained for.")
            self._spectrum = None  # weights are about to change
            if self._basis is None:
                self._basis = self._make_basis()
            return torch.fft.rfft(_two_sided(self.kernels()[..., :length]), n=n)
        if self._spectrum is None or self._spectrum[0] != length:
            self._spectrum = (length, torch.fft.rfft(self.two_sided_taps(length), n=n))
        return self._spectrum[1]

    @torch.no_grad()
    def _make_basis(self) -> Tensor:
        return torch.cat([self._basis_of(at, at + _CHANNELS_AT_ONCE) for at in range(0, self.features, _CHANNELS_AT_ONCE)])

    @torch.no_grad()
    def _basis_of(self, first: int, end: int) -> Tensor:
        """(channels, 2 pairs, length): the kernel per unit of Re C and Im C, pole pair after pole pair."""
        w, P, Q, B, dt = self.state_space(first, end)
        kept, mirrored = _resolvent_terms(w, P, Q, B, dt[:, None], self.length, self.form)
        # C G + conj(C) G* for one pole pair: Re C meets G + G*, Im C meets i (G - G*)
        real = torch.fft.irfft(kept + mirrored, n=self.length)
        imaginary = torch.fft.irfft(1j * (kept - mirrored), n=self.length)
        return torch.stack([real, imaginary], dim=2).flatten(1, 2).float()

    def _truncated(self, C: Tensor) -> Tensor:
        """C (I - A^length), which makes the closed form end after `length` taps in place of wrapping around."""
        A, _ = discretised(*self.state_space())
        both = torch.cat([C, C.conj()], dim=-1)
        return (both - torch.einsum("dhm,hmn->dhn", both, torch.linalg.matrix_power(A, self.length)))[..., : C.shape[-1]]


class S4Layer(nn.Module):
    """S4, GELU, a mixing layer, the input added, LayerNorm over channels: (batch, features, length) to the same shape."""

    def __init__(self, features: int, length: int, state: int, *, dropout: float, bidirectional: bool, layer_norm: bool, form: KernelForm) -> None:
        super().__init__()
        self.s4 = S4(features, length, state, bidirectional=bidirectional, form=form)
        self.mix = nn.Linear(features, features)
        self.norm = nn.LayerNorm(features) if layer_norm else None
        self.dropout = nn.Dropout1d(dropout) if dropout > 0 else None

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.gelu(self.s4(x)).transpose(1, 2)  # (batch, length, features) from here
        y = self.mix(y)
        if self.dropout is not None:
            y = self.dropout(y.transpose(1, 2)).transpose(1, 2)
        y = y + x.transpose(1, 2)
        return (y if self.norm is None else self.norm(y)).transpose(1, 2)


def hippo_legs(state: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
    """HiPPO-LegS in its eigenbasis: w, P, B of shape (state // 2,), one pole of each conjugate pair.

    Gu et al. 2020 (arXiv 2008.07669): A[n, k] = -sqrt((2n+1)(2k+1)) for n > k, -(n+1) for n = k; A + P P^T is -1/2 I plus a skew-symmetric matrix.
    """
    n = np.arange(state, dtype=np.float64)
    root = np.sqrt(2 * n + 1)
    A = -np.tril(root[:, None] * root[None, :], -1) - np.diag(n + 1)
    P = np.sqrt(n + 0.5)
    skew = A + P[:, None] * P[None, :] + 0.5 * np.eye(state)
    imaginary, V = np.linalg.eigh(-1j * skew)
    upper = imaginary > 0
    back = V[:, upper].conj().T
    return -0.5 + 1j * imaginary[upper], back @ P.astype(np.complex128), back @ root.astype(np.complex128)


def discretised(w: Tensor, P: Tensor, Q: Tensor, B: Tensor, dt: Tensor, *, both: bool = True) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin) discretisation over both poles of each pair, or over the kept ones: A (features, poles, poles) and B (features, poles).

    w, P, Q, B: (features, pairs) complex; dt: (features,). A_d = (I - dt/2 A)^-1 (I + dt/2 A), B_d = (I - dt/2 A)^-1 dt B, A = diag(w) - P Q^T.
    """
    if both:
        w, P, Q, B = (torch.cat([v, v.conj()], dim=-1) for v in (w, P, Q, B))
    A = torch.diag_embed(w) - P[:, :, None] * Q[:, None, :]
    half = dt[:, None, None] / 2 * A
    one = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    return torch.linalg.solve(one - half, one + half), torch.linalg.solve(one - half, (dt[:, None] * B)[..., None])[..., 0]


def kernels_by_recurrence(layer: S4) -> Tensor:
    """The readable twin, (directions, features, length) in float64: C A^l B for l = 0, 1, 2, ... Slow; for tests.

    Without conjugates the state has one pole of each pair, the response is complex, and the published code makes it real by taking the first
    half of its spectrum for that of a real kernel.
    """
    conjugate = layer.form == "conjugate"
    A, state = discretised(*layer.state_space(), both=conjugate)
    C = torch.view_as_complex(layer.C.detach().double().contiguous())
    if conjugate:
        C = torch.cat([C, C.conj()], dim=-1)  # (directions, features, 2 pairs)
    one = torch.eye(A.shape[-1], dtype=A.dtype)
    C = torch.linalg.solve((one - torch.linalg.matrix_power(A, layer.length)).transpose(-1, -2), C[..., None])[..., 0]
    taps = []
    for _ in range(layer.length):
        taps.append(torch.einsum("dhn,hn->dh", C, state))
        state = torch.einsum("hmn,hn->hm", A, state)
    response = torch.stack(taps, dim=-1)
    return response.real if conjugate else torch.fft.irfft(torch.fft.fft(response)[..., : layer.length // 2 + 1], n=layer.length)


def _resolvent_terms(w: Tensor, P: Tensor, Q: Tensor, B: Tensor, dt: Tensor, length: int, form: KernelForm) -> tuple[Tensor, Tensor]:
    """What multiplies C and conj(C) in the kernel's Fourier transform: twice (features, pairs, length // 2 + 1), complex128.

    z = 2 (1 - omega) / (1 + omega) is infinite at the last frequency; multiplied through by (1 + omega) / 2 everything stays finite.
    """
    omega = torch.exp(-2j * math.pi / length * torch.arange(length // 2 + 1, dtype=torch.float64, device=w.device))
    rise, fall = 1 - omega, (1 + omega) / 2

    def over(pole: Tensor) -> Tensor:  # dt 2 / ((1 + omega) (z - dt w))
        return dt[..., None] / (rise - (dt * pole)[..., None] * fall)

    kept = over(w)
    q_b, q_p = (Q * B)[..., None] * kept, (Q * P)[..., None] * kept
    if form == "conjugate":
        mirrored = over(w.conj())
        q_b, q_p = q_b + (Q * B).conj()[..., None] * mirrored, q_p + (Q * P).conj()[..., None] * mirrored
    share = (q_b.sum(1) * fall / (1 + q_p.sum(1) * fall))[:, None]  # Woodbury, rank one
    terms = kept * (B[..., None] - P[..., None] * share)
    if form == "without-conjugates":
        return terms, torch.zeros_like(terms)
    return terms, mirrored * (B.conj()[..., None] - P.conj()[..., None] * share)


def _two_sided(kernels: Tensor) -> Tensor:
    """(features, 2 length) circular taps from (directions, features, length): the past first, then the future (if any), reversed."""
    future = kernels[1].flip(-1) if kernels.shape[0] == 2 else torch.zeros_like(kernels[0])
    return torch.cat([kernels[0], future], dim=-1)
