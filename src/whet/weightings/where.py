"""Some attempts count, the others do not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from whet.types import Batch, Weighting
from whet.weightings.token_mean import TokenMean


@dataclass(frozen=True)
class Where:
    """w = weighting(the batch with only those attempts trained whose reward term `term` is above 0); 0 on the others.

    The others are in no count either: the mean is one over the attempts that are left. A term without a verdict (NaN)
    is not above 0. Where no attempt is left, every weight is 0.

    With a term that is 1 for correct attempts it makes `Likelihood` the loss on correct replies alone (Klear-Reasoner:
    Su et al. 2025, arXiv 2508.07629); with `rewards.length.Finished` it is overlong filtering, which leaves attempts
    that were cut off out of the loss (DAPO: Yu et al. 2025, arXiv 2503.14476, section 3.4). A term that has weight 0 in
    the reward is measured all the same.

    Raises ValueError for a batch whose reward has no such term.
    """

    term: str
    weighting: Weighting = field(default_factory=TokenMean)

    def __call__(self, batch: Batch) -> Tensor:
        if self.term not in batch.terms:
            raise ValueError(
                f"Where needs the reward term {self.term!r}, and the batch has {sorted(batch.terms) or 'none'}; "
                "name one of these, or add the term to the reward (with weight 0 if it should not count there)"
            )
        counts = batch.terms[self.term] > 0
        return self.weighting(replace(batch, trained=batch.trained & counts[:, None]))


EXAMPLES = [Where("correct")]
