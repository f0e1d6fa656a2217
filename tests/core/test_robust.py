"""What is special about the T-loss: a likelihood, and a parameter that is learnt."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from scipy.stats import multivariate_t

from metriseg import RobustTLoss
from metriseg import functional as F
from reference.batches import IGNORE, random_labels, random_logits


def test_equals_scipy() -> None:
    """scipy's multivariate t with identity shape over the residuals of an image."""
    logits, target = random_logits(1, images=1), random_labels(1, images=1)
    residuals = (logits.sigmoid()[0, 0] - target[0]).flatten().numpy()
    for log_degrees in (-3.0, 1.0, 4.0):
        loss = RobustTLoss(log_degrees, epsilon=0.0, activation="sigmoid")
        density = multivariate_t(loc=[0.0] * residuals.size, df=math.exp(log_degrees))
        assert loss(logits, target).item() == pytest.approx(-density.logpdf(residuals))


def test_many_degrees_are_half_the_squares() -> None:
    """nu to infinity: the normal distribution, s / 2 + D ln(2 pi) / 2. Low nu is not MSE."""
    squares = torch.tensor([0.0, 0.5, 3.0, 40.0]).double()
    dimensions = torch.full_like(squares, 12.0)
    found = F.student_t(squares, dimensions, torch.tensor(math.e**18).double())
    expected = squares / 2 + 6 * math.log(2 * math.pi)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_few_degrees_grow_as_a_logarithm() -> None:
    """For s much above nu, twice the squares cost (nu + D) ln(2) / 2 more, wherever one stands."""
    squares = torch.tensor([1e3, 2e3, 1e6, 2e6]).double()
    dimensions, nu = torch.full_like(squares, 12.0), torch.tensor(0.01).double()
    found = F.student_t(squares, dimensions, nu)
    for step in (found[1] - found[0], found[3] - found[2]):
        assert step.item() == pytest.approx(12.01 / 2 * math.log(2), rel=1e-4)


@pytest.mark.parametrize("log_degrees", [-4.9, -4.2, -1.0, 1.0, 6.0])
def test_gradient_of_the_degrees_of_freedom(log_degrees: float) -> None:
    """Analytic and finite differences agree, below the bend too; first and second order."""
    logits, target = random_logits(3), random_labels(3, ignore=0.2)
    loss = RobustTLoss(log_degrees, ignore_index=IGNORE).double()

    def value(degrees: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loss, {"log_degrees_of_freedom": degrees}, (z, target))

    inputs = (loss.log_degrees_of_freedom.detach().requires_grad_(), logits.requires_grad_())
    assert torch.autograd.gradcheck(value, inputs)
    assert torch.autograd.gradgradcheck(value, inputs, fast_mode=True)


def test_training_moves_the_degrees_of_freedom() -> None:
    """They follow the residuals: small ones ask for fewer, and the loss falls at every step."""
    logits, target = random_logits(1), random_labels(1)
    loss = RobustTLoss(activation="sigmoid")
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.01)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(logits, target)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert loss.log_degrees_of_freedom.item() != 1.0
    assert values == sorted(values, reverse=True)
    assert loss.log_degrees == 1.0


def test_a_perfect_fit_stops_at_the_floor() -> None:
    """Without residuals the likelihood has no bound as nu vanishes; here nu stays above e^-5.

    And it comes back once residuals appear, for the slope below the bend isn't zero. (It is small,
    and the pull of residuals is 1 where that of a perfect fit is D / 2: hence the larger steps.)
    """
    loss = RobustTLoss(activation="identity")
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.05)
    target = random_labels(1)
    for _ in range(300):
        optimizer.zero_grad()
        loss(target.unsqueeze(1).double(), target).backward()
        optimizer.step()
    lowest = loss.degrees_of_freedom.item()
    assert math.exp(-5) <= lowest < math.exp(-4)
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        loss(torch.full((2, 1, 5, 4), 0.5).double(), target).backward()
        optimizer.step()
    assert loss.degrees_of_freedom.item() > 2 * lowest


def test_the_bend_is_exact_above_and_continuous() -> None:
    x = torch.tensor([-4.0, 0.0, 1.0, 20.0]).double()
    assert torch.equal(F.floored(x, -5.0), x)
    grid = torch.linspace(-40, 0, 401).double().requires_grad_()
    bent = F.floored(grid, -5.0)
    (slope,) = torch.autograd.grad(bent.sum(), grid)
    assert (bent >= -5).all()
    assert (slope > 0).all()
    assert (slope <= 1).all()


def test_a_checkpoint_says_where_it_stands_and_a_config_where_it_started() -> None:
    loss = RobustTLoss(log_degrees=2.0)
    assert list(loss.state_dict()) == ["log_degrees_of_freedom"]
    with torch.no_grad():
        loss.log_degrees_of_freedom.fill_(0.5)
    again = RobustTLoss(**loss.arguments())
    assert again.log_degrees_of_freedom.item() == 2.0
    again.load_state_dict(loss.state_dict())
    logits, target = random_logits(3), random_labels(3)
    assert torch.equal(again(logits, target), loss(logits, target))
    assert torch.equal(copy.deepcopy(loss)(logits, target), loss(logits, target))


def test_nothing_valid_leaves_the_parameter_alone() -> None:
    """0, and a zero gradient to logits and parameter, which takes part all the same."""
    logits = random_logits(3).requires_grad_()
    loss = RobustTLoss(ignore_index=IGNORE)
    loss(logits, torch.full((2, 5, 4), IGNORE)).backward()
    assert torch.equal(loss.log_degrees_of_freedom.grad, torch.zeros(1))


def test_images_have_a_density_each() -> None:
    """The index of the paper's sum is the image, not the pixel: the mean of the images' values."""
    logits, target = random_logits(3), random_labels(3)
    loss = RobustTLoss()
    one, two = (loss(logits[n : n + 1], target[n : n + 1]) for n in (0, 1))
    torch.testing.assert_close(loss(logits, target), (one + two) / 2)


def test_large_images_in_float32() -> None:
    """The gamma functions of D = 2^20 are 1.2e7 and differ in their seventh digit."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 1, 1024, 1024, generator=generator)
    target = torch.randint(2, (1, 1024, 1024), generator=generator)
    loss = RobustTLoss(activation="sigmoid")
    torch.testing.assert_close(
        loss(logits, target).double(), loss(logits.double(), target), rtol=1e-6, atol=0.0
    )


@pytest.mark.parametrize("bad", [-5.1, 21.0, math.nan])
def test_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"log_degrees must be a finite number in \[-5, 20\]"):
        RobustTLoss(log_degrees=bad)
