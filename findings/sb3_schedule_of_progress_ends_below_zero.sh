#!/usr/bin/env bash
# stable-baselines3 2.9.2: an on-policy algorithm collects whole rollouts, so it goes beyond total_timesteps, and the
# progress that is left, which a schedule is given, is then below zero. A schedule that is linear in it, as in the examples
# of the documentation (`progress_remaining * initial_value`), gives a learning rate below zero for the last update.
# torch refuses such a rate where an optimizer is made and does not look when it is set later, as stable-baselines3 does:
# so the last update goes uphill, with no error and no warning. Its own LinearSchedule ends at zero.
#
# Why it matters: the agent that is saved after training is the one that the wrong update has changed. With few rollouts
# the rate is a good part of the first one. Stored agents have schedules that end below zero, and a reader that refuses
# such a rate cannot load them.
#
# Seen: with stable-baselines3 2.9.2, torch 2.13.0 and gymnasium 1.4.0; PPO, rollouts of 64 steps, 100 steps asked for
#   rates of the steps, linear in progress:  0.000360 0.000360 -0.000280 -0.000280
#   rates of the steps, LinearSchedule:      0.000360 0.000360 0.000000 0.000000
#   Adam made with a rate below zero:        ValueError: Invalid learning rate: -0.001
#   Adam given one later, from 0 towards 1:  -0.001
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --no-compile torch==2.13.0 stable-baselines3==2.9.2 gymnasium==1.4.0
cat >"$folder/seen.py" <<'PYTHON'
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.utils import LinearSchedule


def rates(schedule):
    agent = PPO(
        "MlpPolicy", "CartPole-v1", n_steps=64, batch_size=32, n_epochs=1, learning_rate=schedule, seed=0, device="cpu"
    )
    optimizer, seen = agent.policy.optimizer, []
    step = optimizer.step

    def watched():
        seen.append(optimizer.param_groups[0]["lr"])
        return step()

    optimizer.step = watched
    agent.learn(100)
    return " ".join(f"{rate:.6f}" for rate in seen)


print("rates of the steps, linear in progress: ", rates(lambda left: left * 1e-3))
print("rates of the steps, LinearSchedule:     ", rates(LinearSchedule(1e-3, 0.0, 1.0)))
weight = torch.zeros(1, requires_grad=True)
try:
    torch.optim.Adam([weight], lr=-1e-3)
except ValueError as error:
    print("Adam made with a rate below zero:        ValueError:", error)
optimizer = torch.optim.Adam([weight], lr=1e-3)
optimizer.param_groups[0]["lr"] = -1e-3
((weight - 1) ** 2).sum().backward()
optimizer.step()
print("Adam given one later, from 0 towards 1: ", round(weight.item(), 6))
PYTHON
cat >"$folder/expected" <<'TEXT'
rates of the steps, linear in progress:  0.000360 0.000360 -0.000280 -0.000280
rates of the steps, LinearSchedule:      0.000360 0.000360 0.000000 0.000000
Adam made with a rate below zero:        ValueError: Invalid learning rate: -0.001
Adam given one later, from 0 towards 1:  -0.001
TEXT
"$folder/venv/bin/python" -W ignore "$folder/seen.py" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
