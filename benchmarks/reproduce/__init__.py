"""Do the published tables come out here, on real data, trained by this software?

    python -m benchmarks.reproduce TABLE [--short] --data ROOT --out DIR
    python -m benchmarks.reproduce search TABLE --trainings 12 --data ROOT --out DIR
    python -m benchmarks.reproduce report DIR
    python -m benchmarks.reproduce check DIR --data ROOT

A table is a set of cells; a cell is one training of `core.runs.train`, a run as any other. What was
trained is not trained again: each cell leaves its run, a JSON file, the weights of the epochs that
are reported and the positions of the images that it saw. `check` reads those and the raw files of
the images, and computes every accuracy again without this software.
"""
