"""The greatest common divisor of two numbers, from reasoning-gym: imitation of bare answers, then GRPO."""

from gym_common import learned

from whet.tasks.gym import Gym

task = Gym("gcd", {"min_numbers": 2, "max_numbers": 2, "min_value": 1, "max_value": 100})
recipe = learned(
    task, words="Find the Greatest Common Divisor GCD of these numbers Give only as your final answer", imitate=150
)
