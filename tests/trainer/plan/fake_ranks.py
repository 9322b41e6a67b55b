"""Dry runs of many layouts, a JSON object a line: fake_ranks.py"""

import json
from dataclasses import asdict, replace
from multiprocessing import get_context

from trainer.config import load_recipe
from trainer.layout import Layout
from trainer.plan.compared import compared
from trainer.plan.dry_run import Order, run

MODEL = {"vocab": 8192, "hidden": 1024, "layers": 4, "heads": 8, "kv_heads": 4, "mlp": 4096}
TIED, UNTIED = 0, 3


def order(
    world: int, layout: Layout, stage: int = TIED, context: int = 1024, sequences: int = 1, passes: int = 3
) -> Order:
    config = load_recipe("falcon2-11b")
    config = replace(config, model=replace(config.model, **MODEL), layout=layout)
    return Order(
        config=config,
        world=world,
        data_rank=0,
        stage=stage,
        context=context,
        sequences=sequences,
        passes=passes,
        mixed=world > 1,
    )


ORDERS = {
    "one process": order(1, Layout(), passes=1),
    "shards": order(8, Layout()),
    "shards, kept, untied": order(8, Layout(reshard=False), UNTIED, passes=2),
    "shards, full": order(8, Layout(recompute="full"), sequences=4),
    "shards, selective": order(8, Layout(recompute="selective"), sequences=4),
    "shards, whole": order(8, Layout(accumulate="whole"), UNTIED),
    "replicas": order(16, Layout(replicate=2), sequences=2),
    "tensor": order(64, Layout(tensor=4), sequences=4),
    "tensor, whole, kept": order(64, Layout(tensor=4, accumulate="whole", reshard=False), passes=5),
    "tensor, whole, untied": order(64, Layout(tensor=4, accumulate="whole"), UNTIED, passes=2),
    "tensor, full": order(32, Layout(tensor=4, replicate=2, recompute="full"), UNTIED, sequences=4),
    "tensor, selective": order(32, Layout(tensor=2, recompute="selective"), sequences=4, passes=1),
    "context": order(16, Layout(context=2), context=4096),
    "context and tensor, full": order(32, Layout(context=4, tensor=2, recompute="full"), UNTIED, context=8192),
}


def dry_run(name: str) -> str:
    asked = ORDERS[name]
    seen = run(asked)
    rows = [asdict(row) for row in compared(asked, seen)]
    return json.dumps({"name": name, "rows": rows, **asdict(seen)})


if __name__ == "__main__":
    # torch remembers groups that are gone: each has a process of its own, which has imported all before it begins.
    with get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for line in pool.imap(dry_run, ORDERS, chunksize=1):
            print(line, flush=True)
