import pytest
import torch

from composer.returns import discounted, gae

GAMMA = 0.5
LAMBDA = 0.5


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values)


def flags(*values: list[int]) -> torch.Tensor:
    return torch.tensor(values).bool()


NEVER = flags([0, 0, 0])
REWARDS = rows([1.0, 2.0, 3.0])
VALUES = rows([4.0, 6.0, 8.0])
NEXT_VALUES = rows([6.0, 8.0, 10.0])


def test_gae_sums_discounted_errors_backwards():
    # Errors: 1 + 6/2 - 4 = 0;  2 + 8/2 - 6 = 0;  3 + 10/2 - 8 = 0.
    advantages, targets = gae(REWARDS, VALUES, NEXT_VALUES, NEVER, NEVER, GAMMA, LAMBDA)
    assert torch.equal(advantages, torch.zeros(1, 3))
    assert torch.equal(targets, VALUES)

    # Errors 1, 2, 4 once the rewards are so much higher; γλ = 1/4.
    rewards = REWARDS + rows([1.0, 2.0, 4.0])
    advantages, targets = gae(rewards, VALUES, NEXT_VALUES, NEVER, NEVER, GAMMA, LAMBDA)
    expected = rows([1 + (2 + 4 / 4) / 4, 2 + 4 / 4, 4.0])
    assert torch.equal(advantages, expected)
    assert torch.equal(targets, expected + VALUES)


def test_termination_cuts_the_bootstrap_and_the_trace():
    end = flags([0, 1, 0])
    advantages, _ = gae(REWARDS, VALUES, NEXT_VALUES, end, end, GAMMA, LAMBDA)
    # The middle error is 2 - 6 = -4: neither the next value nor what follows counts.
    assert torch.equal(advantages, rows([0 + -4 / 4, -4.0, 0.0]))


def test_truncation_keeps_the_bootstrap_and_cuts_the_trace():
    end = flags([0, 1, 0])
    next_values = rows([6.0, 20.0, 14.0])  # 20: the value of the final observation
    advantages, _ = gae(REWARDS, VALUES, next_values, NEVER, end, GAMMA, LAMBDA)
    # Errors 0, 2 + 20/2 - 6 = 6, 3 + 14/2 - 8 = 2; the last does not reach across the end.
    assert torch.equal(advantages, rows([0 + 6 / 4, 6.0, 2.0]))


def test_environments_do_not_mix():
    end = flags([0, 1, 0], [0, 0, 0])
    both = gae(
        REWARDS.repeat(2, 1),
        VALUES.repeat(2, 1),
        NEXT_VALUES.repeat(2, 1),
        end,
        end,
        GAMMA,
        LAMBDA,
    )[0]
    for n in range(2):
        alone = gae(REWARDS, VALUES, NEXT_VALUES, end[n : n + 1], end[n : n + 1], GAMMA, LAMBDA)[0]
        assert torch.equal(both[n : n + 1], alone)


def random_rollout(n: int = 3, t: int = 20) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    rewards, values, next_values = torch.randn(3, n, t, generator=generator)
    terminated = torch.rand(n, t, generator=generator) < 0.1
    ended = terminated | (torch.rand(n, t, generator=generator) < 0.1)
    return rewards, values, next_values, terminated, ended


def test_lambda_zero_gives_one_step_errors():
    rewards, values, next_values, terminated, ended = random_rollout()
    advantages, _ = gae(rewards, values, next_values, terminated, ended, 0.9, 0.0)
    errors = rewards + 0.9 * next_values * ~terminated - values
    torch.testing.assert_close(advantages, errors)


def test_lambda_one_gives_monte_carlo_returns_less_values():
    rewards, values, next_values, terminated, ended = random_rollout()
    # Within an episode the value that followed is the value acted on next.
    within = ~ended[:, :-1]
    next_values[:, :-1][within] = values[:, 1:][within]
    advantages, targets = gae(rewards, values, next_values, terminated, ended, 0.9, 1.0)

    returns = torch.empty_like(rewards)
    for n in range(rewards.shape[0]):
        following = float(next_values[n, -1])
        for t in reversed(range(rewards.shape[1])):
            if ended[n, t]:
                following = 0.0 if terminated[n, t] else float(next_values[n, t])
            following = float(rewards[n, t]) + 0.9 * following
            returns[n, t] = following
    torch.testing.assert_close(targets, returns)
    torch.testing.assert_close(advantages, returns - values)


def test_gae_leaves_its_arguments_alone():
    rollout = random_rollout()
    before = [part.clone() for part in rollout]
    gae(*rollout, 0.9, 0.9)
    assert all(map(torch.equal, rollout, before))


def test_gae_of_a_single_step_is_its_error():
    one = torch.ones(2, 1)
    never = torch.zeros(2, 1).bool()
    advantages, _ = gae(one, one, one, never, never, GAMMA, LAMBDA)
    assert torch.equal(advantages, GAMMA * one)


def test_the_running_return_starts_from_the_carry_and_anew_after_an_end():
    rewards = rows([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    ended = flags([0, 1, 0], [0, 0, 1])
    returns, carry = discounted(rewards, ended, GAMMA, torch.tensor([4.0, 0.0]))
    assert torch.equal(returns, rows([3.0, 2.5, 1.0], [1.0, 1.5, 1.75]))
    assert torch.equal(carry, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("cut", [1, 7, 19])
def test_the_running_return_is_the_same_in_two_rollouts_as_in_one(cut):
    rewards, *_, ended = random_rollout()
    zeros = torch.zeros(3)
    whole, last = discounted(rewards, ended, 0.9, zeros)
    first, carry = discounted(rewards[:, :cut], ended[:, :cut], 0.9, zeros)
    second, end = discounted(rewards[:, cut:], ended[:, cut:], 0.9, carry)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end, last)


def test_the_running_return_leaves_its_arguments_alone():
    rewards, *_, ended = random_rollout()
    initial = torch.ones(3)
    before = rewards.clone()
    discounted(rewards, ended, 0.9, initial)
    assert torch.equal(rewards, before)
    assert torch.equal(initial, torch.ones(3))
