#!/usr/bin/env bash
# sb3-contrib 2.9.2: an ARS agent with a network (zero_policy=False, which networks need) acts after ARS.load as it did
# before, and its next learn() begins from new random weights: the search keeps its own vector of weights, which the file
# does not have, and load sets the policy alone. The first update puts that vector into the policy. With zero_policy=True
# the vector shares its memory with the policy, so that setting the one sets the other.
#
# Why it matters: going on with the training of a stored agent throws away what it has learned, without an error or a
# warning; looking at the loaded agent shows nothing of it.
#
# Seen: with sb3-contrib 2.9.2, stable-baselines3 2.9.2, torch 2.13.0 and gymnasium 1.4.0; CartPole, 20,000 steps, then one
# update; "near" is within half of the length of the trained weights
#   zero_policy=True   loaded weights as saved: True  one update from there is near: kept True loaded True
#   zero_policy=False  loaded weights as saved: True  one update from there is near: kept True loaded False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --no-compile torch==2.13.0 sb3-contrib==2.9.2 stable-baselines3==2.9.2 \
  gymnasium==1.4.0
cat >"$folder/seen.py" <<'PYTHON'
import sys

import gymnasium
import torch
from sb3_contrib import ARS


def weights(agent):
    return torch.nn.utils.parameters_to_vector(agent.policy.parameters()).detach().clone()


def is_near(agent, trained):
    agent.learn(1, reset_num_timesteps=False)
    return bool((weights(agent) - trained).norm() < trained.norm() / 2)


for zero, policy in ((True, "LinearPolicy"), (False, "MlpPolicy")):
    settings = {"n_delta": 8, "delta_std": 0.1, "learning_rate": 0.05, "seed": 1, "device": "cpu"}
    agent = ARS(policy, "CartPole-v1", zero_policy=zero, **settings).learn(20_000)
    trained = weights(agent)
    agent.save(sys.argv[1])
    loaded = ARS.load(sys.argv[1], env=gymnasium.make("CartPole-v1"), device="cpu")
    same = torch.equal(weights(loaded), trained)
    near = f"kept {is_near(agent, trained)} loaded {is_near(loaded, trained)}"
    print(f"zero_policy={zero!s:5}  loaded weights as saved: {same}  one update from there is near: {near}")
PYTHON
cat >"$folder/expected" <<'TEXT'
zero_policy=True   loaded weights as saved: True  one update from there is near: kept True loaded True
zero_policy=False  loaded weights as saved: True  one update from there is near: kept True loaded False
TEXT
"$folder/venv/bin/python" -W ignore "$folder/seen.py" "$folder/agent.zip" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
