"""Post-train language models by reinforcement learning on what can be verified."""

import os

# OpenMP's threads wait for one another by spinning, by default for so long that a second busy process on the machine
# makes a training step ten times slower. It reads this once, when torch is loaded; what the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "300")  # some microseconds: docs/decisions/threads.md
