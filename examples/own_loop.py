"""A composed module in a loop of your own: policy gradient with a baseline, in sixty lines.

Composer looks at the spaces and builds the module; everything else here is yours.

python examples/own_loop.py
"""

import gymnasium as gym
import numpy as np
import torch

from composer import Columns, compose


def main(updates: int = 150) -> float:
    """Trains on CartPole, and returns the mean return of the last ten episodes."""
    env = gym.make("CartPole-v1")
    blueprint = compose(
        env.observation_space,
        env.action_space,
        model={"encoder": {"type": "mlp", "hidden": [64]}},
        algorithm="ppo",  # a policy head and a value head
    )
    module = blueprint.build(seed=0)
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)

    finished: list[float] = []
    for update in range(updates):
        observations, actions, rewards = [], [], []
        obs, _ = env.reset(seed=update)
        done = False
        while not done:
            step = module.act(obs, generator=generator)
            observations.append(obs)
            actions.append(step.actions)
            obs, reward, terminated, truncated, _ = env.step(step.env_actions)
            rewards.append(float(reward))
            done = terminated or truncated
        finished.append(sum(rewards))

        returns = torch.tensor(np.cumsum(rewards[::-1])[::-1].copy(), dtype=torch.float32) / 100
        out = module.forward_train({Columns.OBS: torch.as_tensor(np.array(observations))})
        advantages = returns - out[Columns.VF_PREDS]
        log_probs = module.action_distribution(out).log_prob(torch.stack(actions))
        loss = -(log_probs * advantages.detach()).mean() + advantages.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    env.close()
    mean_return = float(np.mean(finished[-10:]))
    print(f"mean return of the last ten episodes: {mean_return:.1f}")
    return mean_return


if __name__ == "__main__":
    main()
