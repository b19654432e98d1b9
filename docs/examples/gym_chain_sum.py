"""Sums of two or three numbers, from reasoning-gym: imitation of bare answers, then GRPO."""

from gym_common import learned

from whet.tasks.gym import Gym

task = Gym("chain_sum", {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1})
recipe = learned(task, words="State the final answer to the following arithmetic problem")
