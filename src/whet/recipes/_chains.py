"""The small model on which cot-passk and limit-of-rlvr are both judged: it adds up modulo 10 in steps, learned from
traces of which a part has a step that is wrong and still ends in the right answer.
"""

import re

from whet.models.tiny import TinyQwen
from whet.objectives.likelihood import Likelihood
from whet.randomness import generator
from whet.recipe import Made
from whet.rewards.reasoned import Reasoned
from whet.rewards.verified import exact
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled
from whet.tasks.splits import worked
from whet.types import Decoding, Problem
