"""Words spelt backward, from reasoning-gym: imitation of bare answers, then GRPO."""

from gym_common import learned

from whet.tasks.gym import Gym

task = Gym("spell_backward", {"min_word_len": 3, "max_word_len": 7})
recipe = learned(task, words="Spell this word backward (example: sun -> nus):", imitate=260)
