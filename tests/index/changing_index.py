"""Change an index until killed: `python changing_index.py INDEX SEED`.

Prints "ready", then a line for each change once it is acknowledged: "added 50 51 ..." or
"deleted 3 9".
"""

import sys
from pathlib import Path

import numpy as np
from drawings_and_codes import items_of

from sketchjax.index.store import open_index

engine = open_index(Path(sys.argv[1]), read_only=False)
random = np.random.default_rng(int(sys.argv[2]))
snapshot = engine.snapshot()
alive = snapshot.ids[snapshot.rows_of(snapshot.ids)[1]].tolist()
print("ready", flush=True)
while True:
    if random.random() < 0.7 or len(alive) < 10:
        ids = engine.add(items_of(7, seed=int(random.integers(1 << 30)))).tolist()
        alive += ids
        print("added", *ids, flush=True)
    else:
        ids = random.choice(alive, 2, replace=False).tolist()
        engine.delete(ids)
        alive = [number for number in alive if number not in ids]
        print("deleted", *ids, flush=True)
