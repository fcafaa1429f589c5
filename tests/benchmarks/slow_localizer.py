"""Tasks for the test of the localization benchmark's processes."""

import numpy as np


def prepare(folder):
    return folder


def count(shared, n):
    return {"count": n, "columns": {"x": np.arange(n)}}


def timed(shared):
    return {"count": 1, "seconds": 2.0, "cpu": 0.5}


TASKS = {"count": count, "timed": timed}
