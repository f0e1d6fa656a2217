"""The soft partition distance, and the kernel's, against loops over all pairs of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from metriseg.functional import (
    SparseAssignment,
    gaussian_frequencies,
    kernel_partition_distance,
    soft_partition_distance,
)
from metriseg.functional.partition import blocks, kernel
from metriseg.partitions import contingency_table, partition_distance
from reference import partitions as reference

FORMS = ("frobenius", "paper")
IMAGES, PIXELS, SEGMENTS, TRUE = 2, 7, 4, 3


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def soft(segments: int = SEGMENTS, seed: int = 0, pixels: int = PIXELS) -> torch.Tensor:
    """``(B, N, m)`` random shares."""
    logits = torch.randn(IMAGES, pixels, segments, generator=rng(seed), dtype=torch.float64)
    return logits.softmax(-1)


def labels(number: int = TRUE, seed: int = 1, pixels: int = PIXELS) -> torch.Tensor:
    """``(B, N)``; every label of the first image occurs."""
    drawn = torch.randint(number, (IMAGES, pixels), generator=rng(seed))
    drawn[0, :number] = torch.arange(number)
    return drawn


def densities(seed: int = 2, pixels: int = PIXELS) -> torch.Tensor:
    return torch.rand(IMAGES, pixels, generator=rng(seed), dtype=torch.float64) + 0.1


def one_hot(index: torch.Tensor, number: int | None = None) -> torch.Tensor:
    return torch.nn.functional.one_hot(index, number or int(index.max()) + 1).double()


def sparse(p: torch.Tensor, kept: int = 2) -> tuple[SparseAssignment, torch.Tensor]:
    """The largest shares alone, as a sparse assignment and as a dense one."""
    value, place = p.topk(kept, dim=-1)
    dense = torch.zeros_like(p).scatter(-1, place, value)
    return SparseAssignment(place, value, p.shape[-1]), dense


def gradient(p: torch.Tensor, q: Any, **arguments: Any) -> torch.Tensor:
    """Of the sum over images."""
    p = p.detach().clone().requires_grad_()
    soft_partition_distance(p, q, **arguments).sum().backward()
    return p.grad


def truths() -> dict[str, Any]:
    shared, _ = sparse(soft(TRUE, seed=5))
    return {"hard": labels(), "soft": soft(TRUE, seed=5), "sparse": shared}


def dense_truth(q: Any) -> torch.Tensor:
    if isinstance(q, SparseAssignment):
        dense = q.value.new_zeros(*q.candidates.shape[:2], q.segments)
        return dense.scatter(-1, q.candidates, q.value)
    return q if q.is_floating_point() else one_hot(q, TRUE)


def phis() -> torch.Tensor:
    return torch.rand(SEGMENTS, TRUE, generator=rng(3), dtype=torch.float64) + 0.5


def oracle(p: torch.Tensor, q: torch.Tensor, w: Any, form: str, phi: Any = None) -> list[float]:
    """Of each image, divided by the squared whole measure."""
    values = []
    for n in range(len(p)):
        density = [1.0] * p.shape[1] if w is None else w[n].tolist()
        if form == "frobenius":
            value = reference.frobenius(p[n].numpy(), q[n].numpy(), density)
        else:
            value = reference.soft_partition(p[n].numpy(), q[n].numpy(), density=density, phi=phi)
        values.append(value / sum(density) ** 2)
    return values


@pytest.mark.parametrize("kind", ["hard", "soft", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_value(form: str, weighted: bool, kind: str) -> None:
    p, q, w = soft(), truths()[kind], densities() if weighted else None
    expected = oracle(p, dense_truth(q), w, form)
    found = soft_partition_distance(p, q, density=w, form=form)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    few, dense = sparse(p)
    expected = oracle(dense, dense_truth(q), w, form)
    found = soft_partition_distance(few, q, density=w, form=form)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_value_with_phi() -> None:
    p, q, phi = soft(), labels(), phis()
    expected = oracle(p, one_hot(q, TRUE), None, "paper", phi.numpy())
    found = soft_partition_distance(p, q, form="paper", phi=phi)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    each = torch.stack([phi, 2 * phi])
    found = soft_partition_distance(p, q, form="paper", phi=each)
    np.testing.assert_allclose(found, [expected[0], 2 * expected[1]], rtol=1e-12)


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("form", FORMS)
def test_gradient_is_the_central_difference(form: str, kind: str) -> None:
    """Both are polynomials of P; nowhere in a soft P is nothing wrong, so no mask."""
    p, q, w = soft(), truths()[kind], densities()
    found = gradient(p, q, density=w, form=form)
    truth = dense_truth(q)
    for n in range(IMAGES):
        shares = (w[n] / w[n].sum()).tolist()

        def value(moved: np.ndarray, n: int = n, shares: list[float] = shares) -> float:
            if form == "frobenius":
                return reference.frobenius(moved, truth[n].numpy(), shares)
            return reference.soft_partition(moved, truth[n].numpy(), density=shares)

        expected = reference.central_differences(value, p[n].numpy(), 1e-4)
        np.testing.assert_allclose(found[n], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["hard", "soft", "sparse"])
@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form: str, kind: str) -> None:
    """Twice, of dense and sparse shares, with a density and, where it exists, phi."""
    q, w = truths()[kind], densities()
    phi = phis() if form == "paper" else None

    def dense(p: torch.Tensor) -> torch.Tensor:
        return soft_partition_distance(p, q, density=w, form=form, phi=phi)

    few, _ = sparse(soft())

    def of_candidates(value: torch.Tensor) -> torch.Tensor:
        p = few._replace(value=value)
        return soft_partition_distance(p, q, density=w, form=form, phi=phi)

    assert gradcheck(dense, soft().requires_grad_())
    assert gradgradcheck(dense, soft().requires_grad_())
    value = few.value.clone().requires_grad_()
    assert gradcheck(of_candidates, value)
    assert gradgradcheck(of_candidates, value)


def test_gradcheck_of_one_candidate() -> None:
    """A share of a single segment needn't be 1: PᵀP is still a diagonal."""
    few, dense = sparse(soft(), kept=1)
    value = few.value.clone().requires_grad_()
    assert gradcheck(lambda v: soft_partition_distance(few._replace(value=v), labels()), value)
    expected = oracle(dense, one_hot(labels(), TRUE), None, "frobenius")
    np.testing.assert_allclose(soft_partition_distance(few, labels()), expected, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_sparse_is_dense(form: str) -> None:
    """All segments as candidates: the same value, the same gradient, in any order."""
    p, q, w = soft(), labels(), densities()
    order = torch.stack(
        [torch.randperm(SEGMENTS, generator=rng(n)) for n in range(IMAGES * PIXELS)]
    ).view(IMAGES, PIXELS, SEGMENTS)
    value = p.gather(-1, order).requires_grad_()
    whole = SparseAssignment(order, value, SEGMENTS)
    found = soft_partition_distance(whole, q, density=w, form=form)
    torch.testing.assert_close(found, soft_partition_distance(p, q, density=w, form=form))
    found.sum().backward()
    expected = gradient(p, q, density=w, form=form)
    torch.testing.assert_close(value.grad, expected.gather(-1, order))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weighted", [False, True])
def test_hard_assignments_have_the_partition_distance(form: str, weighted: bool) -> None:
    pixels = 60
    x, y = labels(5, seed=3, pixels=pixels), labels(4, seed=4, pixels=pixels)
    w = densities(pixels=pixels) if weighted else None
    found = soft_partition_distance(one_hot(x), y, density=w, form=form)
    for n in range(IMAGES):
        table = contingency_table(x[n], y[n], weight=None if w is None else w[n])
        expected = partition_distance(table, normalized=True)
        assert found[n].item() == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_perfect_prediction_is_zero_with_zero_gradient(form: str, dtype: torch.dtype) -> None:
    """Whatever the segments are called, and of whatever form P and Q are."""
    y = labels(5, pixels=3000)
    w = densities(pixels=3000).to(dtype)
    p = one_hot((y + 2) % 5).to(dtype)
    few = SparseAssignment(
        torch.stack([y, (y + 1) % 5], -1), torch.tensor([1.0, 0.0]).expand(IMAGES, 3000, 2), 5, y
    )
    single = dtype == torch.float32
    for q in (y, one_hot(y).to(dtype)):
        for density in (None, w):
            for given in (p, few):
                value = (given.value if isinstance(given, SparseAssignment) else given).to(dtype)
                value = value.clone().requires_grad_()
                same = given._replace(value=value) if given is few else value
                found = soft_partition_distance(same, q, density=density, form=form)
                found.sum().backward()
                assert found.abs().max() < (1e-6 if single else 1e-14)
                assert value.grad.abs().max() * 3000 < (1e-5 if single else 1e-13)


def test_the_frobenius_form_is_zero_where_shares_are_equal() -> None:
    """P = Q, soft: PPᵀ = QQᵀ. The paper's form isn't: sum_uv s (1 - s) of s = P_u · P_v."""
    p = soft()
    assert soft_partition_distance(p, p).abs().max() < 1e-15
    assert gradient(p, p).abs().max() < 1e-15
    same = torch.einsum("buk,bvk->buv", p, p)
    expected = (same * (1 - same)).sum((1, 2)) * 2 / PIXELS**2
    torch.testing.assert_close(soft_partition_distance(p, p, form="paper"), expected)


def test_the_papers_gradient_is_masked_where_nothing_is_wrong() -> None:
    """Pixels 0-2 are a segment in both; 3-5 are split by P: only these get a gradient.

    By the oracle's central differences at every pixel where something is wrong.
    """
    p = one_hot(torch.tensor([[0, 0, 0, 1, 1, 2]]))
    q = torch.tensor([[0, 0, 0, 1, 1, 1]])
    found = gradient(p, q, form="paper")[0].numpy()
    truth = one_hot(q)[0].numpy()
    right = reference.nothing_wrong(p[0].numpy(), truth)
    assert right.tolist() == [True, True, True, False, False, False]
    expected = reference.soft_partition_gradient(p[0].numpy(), truth) / 36
    np.testing.assert_allclose(found, np.where(right[:, None], 0, expected), atol=1e-9)
    assert np.abs(expected[right]).min() > 0.05


@pytest.mark.parametrize("form", FORMS)
def test_names_of_segments_are_nothing(form: str) -> None:
    p, y, w = soft(), labels(), densities()
    order = torch.tensor([2, 0, 3, 1])
    value = soft_partition_distance(p, y, density=w, form=form)
    moved = soft_partition_distance(p[..., order], torch.tensor([1, 2, 0])[y], density=w, form=form)
    torch.testing.assert_close(moved, value)
    torch.testing.assert_close(
        gradient(p[..., order], y, density=w, form=form),
        gradient(p, y, density=w, form=form)[..., order],
    )


@pytest.mark.parametrize("form", FORMS)
def test_uniform_shares_are_stationary(form: str) -> None:
    """All segments are alike, so no pixel's gradient prefers one: none passes a softmax."""
    logits = torch.zeros(IMAGES, PIXELS, SEGMENTS, dtype=torch.float64, requires_grad=True)
    soft_partition_distance(logits.softmax(-1), labels(), form=form).sum().backward()
    assert logits.grad.abs().max() < 1e-16


def test_scale_and_empty_segments_change_nothing() -> None:
    p, y, w = soft(), labels(), densities()
    value = soft_partition_distance(p, y, density=w)
    torch.testing.assert_close(soft_partition_distance(p, y, density=3 * w), value)
    padded = torch.cat([p, torch.zeros_like(p)], -1)
    torch.testing.assert_close(soft_partition_distance(padded, 5 * y, density=w), value)


def test_images_are_their_own() -> None:
    p, y, w = soft(), labels(), densities()
    whole = soft_partition_distance(p, y, density=w)
    for n in range(IMAGES):
        one = soft_partition_distance(p[n : n + 1], y[n : n + 1], density=w[n : n + 1])
        torch.testing.assert_close(one, whole[n : n + 1])


def straight_through() -> SparseAssignment:
    """Three candidates of each pixel with the own one among them, and shares of no meaning."""
    own = torch.tensor([[0, 0, 1, 1, 2, 3, 3], [0, 1, 1, 1, 1, 2, 0]])
    candidates = torch.stack([(own + 1) % SEGMENTS, own, (own + 3) % SEGMENTS], -1)
    return SparseAssignment(candidates, soft(3, seed=7), SEGMENTS, own)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["hard", "soft", "sparse"])
@pytest.mark.parametrize("form", FORMS)
def test_straight_through(form: str, kind: str, weighted: bool) -> None:
    """The value is that of the hard segments, the gradient the dense one's at them."""
    p, q, w = straight_through(), truths()[kind], densities() if weighted else None
    value = p.value.clone().requires_grad_()
    hard = one_hot(p.own, SEGMENTS)
    found = soft_partition_distance(p._replace(value=value), q, density=w, form=form)
    torch.testing.assert_close(found, soft_partition_distance(hard, q, density=w, form=form))
    found.sum().backward()
    expected = gradient(hard, q, density=w, form=form)
    torch.testing.assert_close(value.grad, expected.gather(-1, p.candidates))
    assert value.grad.abs().sum() > 0


def test_straight_through_with_phi() -> None:
    p, q, phi = straight_through(), labels(), phis()
    value = p.value.clone().requires_grad_()
    found = soft_partition_distance(p._replace(value=value), q, form="paper", phi=phi)
    hard = one_hot(p.own, SEGMENTS)
    torch.testing.assert_close(found, soft_partition_distance(hard, q, form="paper", phi=phi))
    found.sum().backward()
    expected = gradient(hard, q, form="paper", phi=phi)
    torch.testing.assert_close(value.grad, expected.gather(-1, p.candidates))


def test_what_a_step_from_hard_segments_means() -> None:
    """Between hard segments the paper's form has the right slope, the Frobenius form hasn't.

    A pixel of true segment l that goes from s to k changes a_s, a_k, C_sl and C_kl by one:
    sum a² + sum b² - 2 sum C² grows by 2 (a_k - 2 C_kl) - 2 (a_s - 2 C_sl) - 2. The paper's
    slopes of k and s differ by just that but for the 2, the pixel itself. Those of the Frobenius
    form differ by -4 C_kl - 4 (a_s - C_sl), never above 0: it bids every pixel leave.
    """
    x, y = labels(4, seed=3, pixels=12), labels(3, seed=4, pixels=12)
    hard = one_hot(x, 4)
    slopes = {form: 144 * gradient(hard, y, form=form) for form in FORMS}
    before = 144 * soft_partition_distance(hard, y)
    wrong = slopes["paper"].any(-1)
    assert wrong.sum() > 12
    for n, u, k in zip(*torch.nonzero(wrong[..., None].expand(-1, -1, 4)).T.tolist(), strict=True):
        s = int(x[n, u])
        if k == s:
            continue
        moved = x.clone()
        moved[n, u] = k
        grown = 144 * soft_partition_distance(one_hot(moved, 4), y)[n] - before[n]
        step = slopes["paper"][n, u, k] - slopes["paper"][n, u, s]
        assert step.item() - 2 == pytest.approx(grown.item())
        assert slopes["frobenius"][n, u, k] <= slopes["frobenius"][n, u, s] + 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_no_measure(form: str) -> None:
    """0 with a zero gradient, beside an image that has some; ignored values don't matter."""
    w = torch.stack([torch.zeros(PIXELS), torch.ones(PIXELS)]).double()
    for p in (soft(), straight_through()):
        value = (p.value if isinstance(p, SparseAssignment) else p).clone().requires_grad_()
        given = p._replace(value=value) if isinstance(p, SparseAssignment) else value
        found = soft_partition_distance(given, labels(), density=w, form=form)
        found.sum().backward()
        assert found[0] == 0
        assert found[1] > 0
        assert not value.grad[0].any()
        assert value.grad[1].any()


def test_pixels_of_no_density_are_not_there() -> None:
    p, y, w = soft(), labels(), densities()
    w[:, 4:] = 0
    cut = soft_partition_distance(p[:, :4], y[:, :4], density=w[:, :4])
    torch.testing.assert_close(soft_partition_distance(p, y, density=w), cut)
    assert not gradient(p, y, density=w)[:, 4:].any()


@pytest.mark.parametrize("form", FORMS)
def test_single_precision(form: str) -> None:
    p, y, w = soft(pixels=2000), labels(pixels=2000), densities(pixels=2000)
    exact = soft_partition_distance(p, y, density=w, form=form)
    found = soft_partition_distance(p.float(), y, density=w, form=form)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        gradient(p.float(), y, density=w, form=form).double() * 2000,
        gradient(p, y, density=w, form=form) * 2000,
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "l2"}, "form must be one of 'frobenius', 'paper', got 'l2'"),
        ({"phi": phis()}, "phi belongs to form='paper'"),
        ({"p": soft()[0]}, r"p must have shape \(B, N, m\), got \(7, 4\)"),
        ({"q": labels()[:, :5]}, r"q must have shape .* = \(2, 7\), got \(2, 5\)"),
        ({"q": labels()[0]}, r"q must have shape .*, got \(7,\)"),
        ({"q": soft(TRUE)[:1]}, r"q must have shape .*, got \(1, 7, 3\)"),
        ({"q": soft(TRUE)[..., 0]}, r"q must have shape .*, got \(2, 7\)"),
        ({"q": labels()[..., None]}, r"q must have shape .*, got \(2, 7, 1\)"),
        ({"q": labels() - 1}, "q must hold labels >= 0, got -1"),
        ({"q": sparse(soft())[0]._replace(candidates=labels())}, "q must have shape"),
        ({"density": densities()[:1]}, r"density must have shape .* = \(2, 7\), got \(1, 7\)"),
        ({"form": "paper", "phi": phis().T}, r"phi must have shape .* \(4, 3\), got \(3, 4\)"),
        ({"form": "paper", "phi": phis()[0]}, r"phi must have shape .* \(4, 3\), got \(3,\)"),
        (
            {"p": SparseAssignment(labels()[..., None], soft(), SEGMENTS)},
            r"p.candidates must have the shape of p.value, \(2, 7, 4\), got \(2, 7, 1\)",
        ),
        (
            {"p": straight_through()._replace(own=labels()[:1])},
            r"p.own must have shape \(B, N\) = \(2, 7\), got \(1, 7\)",
        ),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    given = {"p": soft(), "q": labels(), **arguments}
    with pytest.raises(ValueError, match=message):
        soft_partition_distance(given.pop("p"), given.pop("q"), **given)


# the kernel's


def embeddings(pixels: int = 12, dim: int = 3) -> torch.Tensor:
    return torch.randn(IMAGES, pixels, dim, generator=rng(4), dtype=torch.float64)


def exact(embedding: torch.Tensor, y: torch.Tensor, w: Any = None, **arguments: Any) -> list[float]:
    values = []
    for n in range(len(embedding)):
        density = [1.0] * y.shape[1] if w is None else w[n].tolist()
        value = reference.gaussian_kernel_distance(
            embedding[n].numpy(), y[n].tolist(), density=density, **arguments
        )
        values.append(value / sum(density) ** 2)
    return values


def draws(
    count: int, frequencies: int, bandwidth: float = 1.0, *, gradients: bool = False
) -> torch.Tensor:
    """``(count, …)``: estimates of one embedding, with a density, by independent draws."""
    f, y, w = embeddings(), labels(pixels=12), densities(pixels=12)
    generator = rng(5)
    many = torch.stack(
        [
            gaussian_frequencies(3, frequencies, bandwidth=bandwidth, generator=generator, like=f)
            for _ in range(count)
        ]
    )
    found = []
    for one in many:
        if not gradients:
            found.append(kernel_partition_distance(f, y, one, density=w))
            continue
        moved = f.clone().requires_grad_()
        kernel_partition_distance(moved, y, one, density=w).sum().backward()
        found.append(moved.grad)
    return torch.stack(found)


@pytest.mark.parametrize("bandwidth", [1.0, 0.6])
def test_the_mean_over_draws_is_the_exact_kernel(bandwidth: float) -> None:
    """Within four standard errors."""
    values = draws(2000, 8, bandwidth)
    expected = exact(embeddings(), labels(pixels=12), densities(pixels=12), bandwidth=bandwidth)
    error = values.std(0) / len(values) ** 0.5
    assert ((values.mean(0) - torch.tensor(expected)).abs() < 4 * error).all()
    assert (error < 0.01).all()


def test_the_deviation_halves_with_four_times_the_frequencies() -> None:
    """1 / sqrt(R), up to the deviation's own error, 3 standard errors of 1 / sqrt(2 x 1000)."""
    few, many = draws(1000, 16).std(0), draws(1000, 64).std(0)
    np.testing.assert_allclose(few / many, [2.0, 2.0], rtol=0.15)


def test_the_gradient_is_unbiased() -> None:
    """Its mean is within 4.5 standard errors of the exact kernel's central difference."""
    found = draws(1000, 8, gradients=True)
    f, y, w = embeddings(), labels(pixels=12), densities(pixels=12)
    for n in range(IMAGES):
        shares = (w[n] / w[n].sum()).tolist()

        def value(moved: np.ndarray, n: int = n, shares: list[float] = shares) -> float:
            return reference.gaussian_kernel_distance(moved, y[n].tolist(), density=shares)

        expected = reference.central_differences(value, f[n].numpy(), 1e-5)
        error = found[:, n].std(0) / len(found) ** 0.5
        assert ((found[:, n].mean(0) - torch.tensor(expected)).abs() < 4.5 * error + 1e-9).all()


def test_one_draw_for_both_sides_would_be_biased() -> None:
    """The estimate with a repeated draw is larger by the kernel's variance."""
    f, y = embeddings(), labels(pixels=12)
    generator = rng(6)
    repeated = []
    for _ in range(500):
        frequencies = gaussian_frequencies(3, 8, generator=generator, like=f)
        once = frequencies[:1].expand(2, -1, -1)
        repeated.append(kernel_partition_distance(f, y, once))
    mean = torch.stack(repeated).mean(0)
    assert (mean > torch.tensor(exact(f, y)) + 0.02).all()


def test_gradcheck_at_fixed_frequencies() -> None:
    f, y, w = embeddings(6).requires_grad_(), labels(pixels=6), densities(pixels=6)
    frequencies = gaussian_frequencies(3, 4, generator=rng(), like=f)
    assert gradcheck(lambda v: kernel_partition_distance(v, y, frequencies, density=w), f)


def test_blocks_give_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    y, w = labels(pixels=12), densities(pixels=12)
    frequencies = gaussian_frequencies(3, 5, generator=rng(), like=embeddings())

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        f = embeddings().requires_grad_()
        value = kernel_partition_distance(f, y, frequencies, density=w)
        value.sum().backward()
        return value.detach(), f.grad

    whole = both()
    monkeypatch.setattr(blocks, "NEAR", IMAGES * 5 * 4 * 5)
    assert len(list(kernel._blocks(embeddings(), frequencies))) == 3
    torch.testing.assert_close(both(), whole)


def test_kernel_in_single_precision() -> None:
    y, w = labels(pixels=12), densities(pixels=12)
    frequencies = gaussian_frequencies(3, 16, generator=rng(), like=embeddings())
    found = []
    for dtype in (torch.float32, torch.float64):
        f = embeddings().to(dtype).requires_grad_()
        value = kernel_partition_distance(f, y, frequencies.to(dtype), density=w)
        value.sum().backward()
        assert value.dtype == f.grad.dtype == dtype
        found.append((value.detach().double(), f.grad.double()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_a_perfect_embedding_tends_to_zero() -> None:
    """Segments 30 bandwidths apart: exp(-450) between them, 1 within; no gradient to speak of."""
    y = labels(pixels=12)
    f = (30.0 * y.double().unsqueeze(-1)).expand(-1, -1, 2).clone().requires_grad_()
    assert max(exact(f.detach(), y)) < 1e-100
    values = []
    for seed in range(300):
        frequencies = gaussian_frequencies(2, 64, generator=rng(seed), like=f)
        values.append(kernel_partition_distance(f, y, frequencies))
    mean = torch.stack(values).mean(0)
    error = torch.stack(values).std(0) / 300**0.5
    assert (mean.abs() < 4 * error).all()


def test_kernel_of_the_pixels_that_count() -> None:
    """Those of density 0 may as well not be there; each image has as many as it has."""
    f, y, w = embeddings(), labels(pixels=12), densities(pixels=12).double() + 0.1
    w[0, [0, 3, 4, 11]] = 0
    w[1, [2, 5]] = 0
    frequencies = gaussian_frequencies(3, 4, generator=rng(), like=f)
    whole = torch.where(w.unsqueeze(-1) > 0, f, 7.0).requires_grad_()
    found = kernel_partition_distance(whole, y, frequencies, density=w)
    found.sum().backward()
    for n, counts in enumerate(w > 0):
        part = f[n : n + 1, counts].clone().requires_grad_()
        alone = kernel_partition_distance(
            part, y[n : n + 1, counts], frequencies, density=w[n : n + 1, counts]
        )
        alone.backward()
        torch.testing.assert_close(found[n], alone[0])
        torch.testing.assert_close(whole.grad[n, counts], part.grad[0])
        assert not whole.grad[n, ~counts].any()


def test_kernel_without_measure() -> None:
    f = embeddings().requires_grad_()
    w = torch.stack([torch.zeros(12), torch.ones(12)])
    frequencies = gaussian_frequencies(3, 4, generator=rng(), like=f)
    found = kernel_partition_distance(f, labels(pixels=12), frequencies, density=w)
    found.sum().backward()
    assert found[0] == 0
    assert not f.grad[0].any()
    assert f.grad[1].any()


def test_more_segments_than_there_are() -> None:
    f, y = embeddings(), labels(pixels=12)
    frequencies = gaussian_frequencies(3, 4, generator=rng(), like=f)
    torch.testing.assert_close(
        kernel_partition_distance(f, y, frequencies, segments=9),
        kernel_partition_distance(f, y, frequencies),
    )


def test_frequencies() -> None:
    """Two independent draws of deviation 1 / bandwidth."""
    found = gaussian_frequencies(3, 4000, bandwidth=2.0, generator=rng())
    assert found.shape == (2, 3, 4000)
    np.testing.assert_allclose(found.std(-1), 0.5, rtol=0.05)
    assert abs(torch.corrcoef(found.flatten(1))[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedding": embeddings()[0]}, r"embedding must have shape \(B, N, D\), got \(12, 3\)"),
        ({"labels": labels()}, r"labels must be integers .* = \(2, 12\), got \(2, 7\)"),
        ({"labels": labels(pixels=12).double()}, "labels must be integers .*float64"),
        ({"labels": labels(pixels=12) - 1}, "labels must lie in 0 … 1, got values from -1 to 1"),
        ({"segments": 2}, "labels must lie in 0 … 1, got values from 0 to 2"),
        ({"frequencies": torch.zeros(2, 4, 5)}, r"\(2, D, R\) with D = 3, got \(2, 4, 5\)"),
        ({"frequencies": torch.zeros(3, 5)}, r"frequencies must have shape .* got \(3, 5\)"),
        ({"density": densities()}, r"density must have shape .* = \(2, 12\), got \(2, 7\)"),
    ],
)
def test_bad_kernel_input(arguments: dict[str, Any], message: str) -> None:
    given = {
        "embedding": embeddings(),
        "labels": labels(pixels=12),
        "frequencies": torch.zeros(2, 3, 5, dtype=torch.float64),
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        kernel_partition_distance(**given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim must be a whole number >= 1, got 0"),
        ({"frequencies": 0}, "frequencies must be a whole number >= 1, got 0"),
        ({"bandwidth": 0.0}, r"bandwidth must be a finite number in \(0, inf\], got 0"),
    ],
)
def test_bad_frequencies(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussian_frequencies(**{"dim": 2, "frequencies": 4, **arguments})
