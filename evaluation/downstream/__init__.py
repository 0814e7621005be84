"""What detectors and segmenters see in what codecs leave of labelled photographs.

`evaluate_downstream` measures, `keeping` stores what it printed, and the pages show it.
"""
