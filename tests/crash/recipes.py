"""Recipes with the modules of `crash_modules`."""

SIMULATE = """
recipe: 1
name: crash
params: {n: 6000}
modules:
  - Locs_Simulate:
      output_localizations: with_drift
      output_drift: truth
      n_localizations: "${n}"
      n_frames: 800
      field: 2.0
"""


def waiting(notes, seconds):
    """A step that takes its time, between two that do not."""
    return (
        SIMULATE
        + f"""
  - Crash_Wait: {{id: wait, input: with_drift, output: waited, seconds: {seconds}, notes: "{notes}"}}
  - FilterTable: {{id: filter, inputName: waited, outputName: filtered, filters: {{error_x: [0, 30]}}}}
outputs: {{filtered: filtered.hdf}}
"""
    )


def dying(notes, times):
    """A step that kills its process."""
    return (
        SIMULATE
        + f"""
  - Crash_Die: {{id: die, input: with_drift, output: alive, times: {times}, notes: "{notes}"}}
outputs: {{alive: alive.hdf}}
"""
    )


def holding(notes):
    """A step that reads its inputs late."""
    return (
        SIMULATE
        + f"""
  - Locs_Render:
      id: render
      input_localizations: with_drift
      output_image: series
      output_figure: picture
      pixel_size: 20
      frames_per_image: 200
  - Crash_Hold: {{id: hold, input: with_drift, input_image: series, output: held, notes: "{notes}"}}
outputs: {{held: held.hdf}}
"""
    )
