"""Methods for the test of the benchmark's time limit."""

import time

import numpy as np


def sleep(columns, n_frames):
    time.sleep(600)


def quick(columns, n_frames):
    return {"curve": np.zeros((n_frames, 3))}


METHODS = {"sleep": sleep, "quick": quick}
