"""What a person writes by hand for CartPole: one file, plain torch, no library on top."""

import math
import time

import gymnasium as gym
import numpy as np
import torch
from torch import nn


def layer(in_dim: int, out_dim: int, gain: float = math.sqrt(2)) -> nn.Linear:
    """A linear layer, orthogonally initialised."""
    linear = nn.Linear(in_dim, out_dim)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


class ActorCritic(nn.Module):
    """Two 64×64 networks."""

    def __init__(self, obs_dim: int = 4, actions: int = 2) -> None:
        super().__init__()
        self.actor = nn.Sequential(
            layer(obs_dim, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, actions, 0.01)
        )
        self.critic = nn.Sequential(
            layer(obs_dim, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0)
        )

    def act(self, obs: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """obs: `(B, 4)` → actions, log-probabilities, values."""
        with torch.no_grad():
            x = torch.from_numpy(obs)
            dist = torch.distributions.Categorical(logits=self.actor(x))
            actions = dist.sample()
            return actions, dist.log_prob(actions), self.critic(x).squeeze(-1)


def ppo(total_steps: int, seed: int, num_envs: int = 8, steps: int = 128) -> float:
    """PPO as CleanRL writes it; returns environment steps a second."""
    torch.manual_seed(seed)
    envs = gym.make_vec("CartPole-v1", num_envs, vectorization_mode="sync")
    agent = ActorCritic()
    optimiser = torch.optim.Adam(agent.parameters(), lr=2.5e-4, eps=1e-5)
    obs_buffer = torch.zeros(steps, num_envs, 4)
    action_buffer = torch.zeros(steps, num_envs, dtype=torch.long)
    logp_buffer, value_buffer, reward_buffer, done_buffer = (
        torch.zeros(steps, num_envs) for _ in range(4)
    )
    obs, _ = envs.reset(seed=seed)
    done = np.zeros(num_envs, dtype=bool)
    start = time.perf_counter()
    taken = 0
    while taken < total_steps:
        for t in range(steps):
            obs_buffer[t] = torch.from_numpy(obs)
            done_buffer[t] = torch.from_numpy(done)
            action_buffer[t], logp_buffer[t], value_buffer[t] = agent.act(obs)
            obs, rewards, terminated, truncated, _ = envs.step(action_buffer[t].numpy())
            reward_buffer[t] = torch.from_numpy(rewards)
            done = terminated | truncated
            taken += num_envs
        _update(
            agent,
            optimiser,
            obs,
            done,
            obs_buffer,
            action_buffer,
            logp_buffer,
            value_buffer,
            reward_buffer,
            done_buffer,
        )
    elapsed = time.perf_counter() - start
    envs.close()
    return taken / elapsed


def _update(
    agent,
    optimiser,
    obs,
    done,
    obs_buffer,
    action_buffer,
    logp_buffer,
    value_buffer,
    reward_buffer,
    done_buffer,
) -> None:
    steps, num_envs = reward_buffer.shape
    with torch.no_grad():
        next_value = agent.critic(torch.from_numpy(obs)).squeeze(-1)
    advantages = torch.zeros_like(reward_buffer)
    last = torch.zeros(num_envs)
    for t in reversed(range(steps)):
        alive = 1.0 - (torch.from_numpy(done).float() if t == steps - 1 else done_buffer[t + 1])
        value = next_value if t == steps - 1 else value_buffer[t + 1]
        delta = reward_buffer[t] + 0.99 * value * alive - value_buffer[t]
        advantages[t] = last = delta + 0.99 * 0.95 * alive * last
    flat = [b.flatten(0, 1) for b in (obs_buffer, action_buffer, logp_buffer)]
    flat += [advantages.flatten(), (advantages + value_buffer).flatten()]
    size = steps * num_envs // 4
    for _ in range(4):
        order = torch.randperm(steps * num_envs)
        for index in order.split(size):
            o, a, logp, adv, target = (b[index] for b in flat)
            dist = torch.distributions.Categorical(logits=agent.actor(o))
            ratio = (dist.log_prob(a) - logp).exp()
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
            policy = -torch.min(adv * ratio, adv * ratio.clamp(0.8, 1.2)).mean()
            value = (agent.critic(o).squeeze(-1) - target).square().mean()
            loss = policy + 0.5 * value - 0.0 * dist.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimiser.step()
