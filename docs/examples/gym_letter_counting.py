"""How often a letter is in a text, from reasoning-gym: imitation of bare answers, then GRPO."""

from gym_common import learned

from whet.tasks.gym import Gym

task = Gym("letter_counting", {"min_words": 2, "max_words": 4})
recipe = learned(task, words="How many times does the letter appear in the text", imitate=150)
