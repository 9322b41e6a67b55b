"""The same training as torchrun's, started by Ray Train.

    python examples/ray_train.py falcon2-11b --tokens tokens --output run --gpus 1024

On a cluster that also curates, Ray is there already. Each worker is one process of the training; a failed one makes Ray
start all again, and the run goes on from its last checkpoint.
"""

import argparse
import os
from pathlib import Path


def train_one(config):
    """What each worker does: Ray has set torchrun's variables and joined the processes."""
    from trainer.layout import launched
    from trainer.run import train

    code = train(config["recipe"], tokens=config["tokens"], output=config["output"], process=launched(os.environ))
    if code:
        raise SystemExit(code)


def main(arguments=None):
    options = parser().parse_args(arguments)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    tokens, output = options.tokens.absolute(), options.output.absolute()
    recipe = Path(options.recipe)
    TorchTrainer(
        train_one,
        train_loop_config={
            "recipe": str(recipe.absolute() if recipe.is_file() else recipe),
            "tokens": tokens,
            "output": output,
        },
        scaling_config=ScalingConfig(num_workers=options.gpus or options.workers, use_gpu=bool(options.gpus)),
        run_config=RunConfig(
            # Ray's own records, beside the run.
            storage_path=str(output.parent),
            name=f"{output.name}-ray",
            failure_config=FailureConfig(max_failures=3),
        ),
    ).fit()


def parser():
    top = argparse.ArgumentParser(description="falconmix train, on Ray Train")
    top.add_argument("recipe")
    top.add_argument("--tokens", type=Path, required=True)
    top.add_argument("--output", type=Path, required=True, help="on a file system that all nodes share")
    how_many = top.add_mutually_exclusive_group(required=True)
    how_many.add_argument("--gpus", type=int, help="one process each")
    how_many.add_argument("--workers", type=int, help="processes on CPUs")
    return top


if __name__ == "__main__":
    main()
