"""Rounding to 8-bit floats: on the grid, and nearer in the outputs than the nearest weights are."""

import pytest

torch = pytest.importorskip("torch")

from training.rounding import round_columns  # noqa: E402


@pytest.fixture(params=[1, 2, 3])
def layer(request: pytest.FixtureRequest) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Weights (outputs, inputs) of the usual size, and inputs (tokens, inputs) that hang together as real ones do."""
    generator = torch.Generator().manual_seed(request.param)
    causes = torch.randn(600, 20, generator=generator)
    inputs = causes @ torch.randn(20, 150, generator=generator) + 0.3 * torch.randn(600, 150, generator=generator)
    return 0.04 * torch.randn(64, 150, generator=generator), inputs


def nearest(weight: "torch.Tensor") -> "torch.Tensor":
    return weight.to(torch.float8_e4m3fn).float()


def test_the_result_is_what_8_bits_hold(layer):
    weight, inputs = layer
    rounded = round_columns(weight, inputs.T @ inputs / len(inputs))
    assert torch.equal(nearest(rounded), rounded)


def test_the_outputs_change_less_than_by_plain_rounding(layer):
    weight, inputs = layer

    def change(other: "torch.Tensor") -> float:
        return float((inputs @ (other - weight).T).square().mean())

    assert change(round_columns(weight, inputs.T @ inputs / len(inputs))) < 0.5 * change(nearest(weight))


def test_what_lies_on_the_grid_stays(layer):
    weight, inputs = nearest(layer[0]), layer[1]
    assert torch.equal(round_columns(weight, inputs.T @ inputs / len(inputs)), weight)
