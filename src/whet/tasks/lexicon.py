"""A small English for tasks that are about how a text reads."""

THINGS = (
    *("film", "plot", "cast", "music", "ending", "story", "script", "actor", "scene", "pace", "hero", "dialogue"),
    *("sound", "camera", "humour", "idea", "opening", "villain", "setting", "message", "song", "style", "tone", "set"),
)
GOOD = (
    *("great", "lovely", "superb", "clever", "warm", "funny", "brilliant", "charming", "fresh", "moving", "bright"),
    *("gripping", "fine", "strong", "witty", "tender"),
)
BAD = (
    *("dull", "awful", "boring", "weak", "clumsy", "poor", "silly", "tired", "flat", "ugly", "messy", "bland"),
    *("lazy", "stale", "hollow", "dreadful"),
)
PLAIN = (
    *("long", "short", "quiet", "loud", "old", "new", "modern", "simple", "slow", "fast", "dark", "strange", "large"),
    *("small", "blue", "local"),
)
DEGREES = ("very", "rather", "quite", "so", "really", "mostly", "fairly", "truly")
OTHERS = (  # of no text here: what a model with these words may wrongly say
    *("dog", "girl", "boy", "horse", "farmer", "cat", "nurse", "child", "singer", "baker", "pilot", "monk", "sailor"),
    *("wolf", "king", "teacher", "doctor", "bear", "poet", "guard"),
    *("carries", "finds", "paints", "throws", "cleans", "sells", "breaks", "lifts", "hides", "washes", "loses"),
    *("catches", "draws", "drops", "takes", "wants"),
    *("ball", "lamp", "basket", "hat", "box", "drum", "coat", "book", "rope", "apple", "cup", "chair", "kite", "stone"),
    *("key", "bottle", "map", "candle", "flag", "wheel"),
    *("park", "kitchen", "harbour", "forest", "garden", "market", "tower", "cave", "school", "stable", "field"),
    *("station", "tent", "cellar", "bakery", "church", "desert", "barn", "theatre", "library"),
)
LINKS = ("the", "was", "and", "a", "in", "with", "near", "but")
WORDS = (*THINGS, *GOOD, *BAD, *PLAIN, *DEGREES, *OTHERS, *LINKS)
