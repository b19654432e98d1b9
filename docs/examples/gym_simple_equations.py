"""Linear equations in one unknown, from reasoning-gym: imitation of bare answers, then GRPO."""

from gym_common import learned

from whet.tasks.gym import Gym

task = Gym("simple_equations", {"min_value": 1, "max_value": 9})
recipe = learned(task, words="Find Determine Solve the value of in equation for that satisfies")
